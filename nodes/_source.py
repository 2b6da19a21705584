"""From what a person typed to where the model is: an embedded name, a folder, a single file or a hub id."""

import re
from pathlib import Path
from typing import Any

from ..graph_runtime import ModelError
from ..graph_runtime.errors import did_you_mean, shorten
from ._model_files import EMBEDDED, PICKLES, ModelFolder, pickled

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")


def locate(source: str, *, revision: str | None = None, variant: str | None = None, prediction: str | None = None,
           pixel: bool = False) -> Any:
    """The origin that `source` names.

    An absolute path is local (the runtime has resolved and permitted it); all else is an embedded name or a hub id.

    Raises:
        ModelError: no such model; the message says where was looked.
    """
    if source == EMBEDDED and not pixel:
        return _embedded(variant, prediction)
    path = Path(source).expanduser()
    if path.is_absolute():
        return _local(path, variant, prediction, pixel)
    if HUB_ID.fullmatch(source):
        from ._hub import HubModel

        return HubModel(source, revision, variant, prediction, pixel)
    raise ModelError("source", found=shorten(source), expected=f"{EMBEDDED!r}, a hub id such as 'owner/name', "
                     "a diffusers folder or a .safetensors file that exists",
                     fix=f"{did_you_mean(source, [EMBEDDED])}; a path must exist where it is looked for")


def _embedded(variant: str | None, prediction: str | None) -> ModelFolder:
    root = Path(__file__).resolve().parent.parent / "dollhouse" / "weights"
    if not root.is_dir():
        raise ModelError("source", found=f"no weights of {EMBEDDED!r} in {root}", expected="the embedded model",
                         fix="install inlay again, or train it: python -m inlay.dollhouse.train")
    return ModelFolder(root, EMBEDDED, variant, prediction=prediction)


def _local(path: Path, variant: str | None, prediction: str | None, pixel: bool) -> Any:
    if not path.exists():
        raise ModelError("source", found=f"{path}, which does not exist", expected="a model folder or a file",
                         fix=_nearby(path))
    if path.is_dir():
        return _folder(path, variant, prediction, pixel)
    if path.suffix in PICKLES:
        raise pickled(path.name)
    if path.suffix != ".safetensors":
        raise ModelError("source", found=f"the file {path.name}", expected="a diffusers folder or a .safetensors file",
                         fix="name the folder that holds model_index.json")
    if pixel:
        raise ModelError("source", found=f"the single file {path.name}", expected="a diffusers folder",
                         fix="pixel-space models are read from a folder with config.json")
    from ._single_file import SingleFile

    return SingleFile.read(path, prediction)


def _folder(path: Path, variant: str | None, prediction: str | None, pixel: bool) -> ModelFolder:
    flat = pixel and (path / "config.json").is_file() and not (path / "unet").is_dir()
    if not flat and not any((path / part).is_dir() for part in ("unet", "vae", "transformer")):
        pickles = sorted(entry.name for entry in path.glob("*") if entry.suffix in PICKLES)
        if pickles:
            raise pickled(f"{path.name}/{pickles[0]}")
        single = sorted(entry.name for entry in path.glob("*.safetensors"))
        fix = f"name the file itself: {path / single[0]}" if single else "name the folder that holds model_index.json"
        raise ModelError("source", found=f"{path}, a folder with no unet/ in it", expected="a diffusers folder",
                         fix=fix)
    if (path / "transformer").is_dir() and not (path / "unet").is_dir():
        raise ModelError("source", found=f"{path.name}, a model with a transformer instead of a UNet",
                         expected="a Stable Diffusion 1.x or 2.x model", fix="SD3, Flux and the like are not supported")
    return ModelFolder(path, path.name, variant, flat=flat, prediction=prediction)


def _nearby(path: Path) -> str:
    parent = path.parent
    if not parent.is_dir():
        return f"the folder {parent} does not exist either: check the path"
    names = sorted(entry.name for entry in parent.iterdir())
    return did_you_mean(path.name, names)
