"""A diffusers folder: the files of a model, found without reading any weights.

Reads configurations (JSON) and, of the weights, only the safetensors header: some kilobytes that list names, shapes and
dtypes. That is enough to refuse what is missing, truncated, pickled or of another family before anything runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from ..graph_runtime import ModelError
from ..graph_runtime.core.errors import clean, shorten
from ..graph_runtime.core.reading.places import CONVERT_PICKLE, PICKLES
from .config import Config
from .files.json_objects import read_json, read_shards
from .files.safetensors_header import read_header
from .files.stamps import has_entry, stamp_of, state_of
from .tokens.files import has_vocabulary, tokenizer_files

#: Models inside the package: name -> (folder below dollhouse/, family).
EMBEDDED: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "dollhouse": ("weights", "stable_diffusion"),
        "dollhouse-exemplar": ("exemplar", "paint_by_example"),
        "dollhouse-clip": ("clip", "clip"),
        "dollhouse-detector": ("detector", "detector"),
    }
)
#: The components that a model of each family must have.
FAMILIES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "stable_diffusion": ("unet", "vae", "text_encoder", "scheduler", "tokenizer"),
        "paint_by_example": ("unet", "vae", "image_encoder", "scheduler"),
        "pixel": ("unet", "scheduler"),
        "clip": ("clip",),
        "dino": ("dino",),
        "captioner": ("captioner",),
        "detector": ("detector",),
    }
)
FLAT = frozenset({"pixel", "clip", "dino", "captioner", "detector"})  # their files may lie in the model's folder itself

# component of a pipeline: (name of its configuration, stem of its weights or None)
COMPONENTS: Mapping[str, tuple[str, str | None]] = MappingProxyType(
    {
        "unet": ("config.json", "diffusion_pytorch_model"),
        "vae": ("config.json", "diffusion_pytorch_model"),
        "text_encoder": ("config.json", "model"),
        "scheduler": ("scheduler_config.json", None),
        "tokenizer": ("tokenizer_config.json", None),
        "image_encoder": ("config.json", "model"),
        "feature_extractor": ("preprocessor_config.json", None),
        "clip": ("config.json", "model"),
        "dino": ("config.json", "model"),
        "captioner": ("config.json", "model"),
        "detector": ("config.json", "model"),
    }
)


class WeightFiles(NamedTuple):
    """The weight files of one component: their folder, the variant found, the files, and the prefix of its keys."""

    folder: Path
    variant: str | None
    files: tuple[Path, ...]
    prefix: str | tuple[str, ...] = ""
    listing: Path | None = None  # the index that lists them, if there are several


@dataclass(frozen=True)
class ModelFolder:
    """A diffusers folder on disk.

    Attributes:
        root: the folder.
        name: what the user called it, for messages.
        variant: the requested file variant (`fp16`), or None for the plain files or, if there are none, any variant.
        flat: the components lie in `root` itself, as old unconditional models are published.
        prediction: a prediction type that overrides the scheduler's own.
        shared: another folder of this layout, for the components that are not in `root`.
    """

    root: Path
    name: str
    variant: str | None = None
    flat: bool = False
    prediction: str | None = None
    shared: Path | None = None

    known = True  # its configuration can be read at once, with no network

    def folder(self, component: str) -> Path:
        """The folder of a component's files."""
        if self.flat:
            return self.root
        own = self.root / component
        return self.shared / component if self.shared is not None and not own.is_dir() else own

    def has(self, component: str) -> bool:
        """True if the component's configuration exists."""
        return (self.folder(component) / COMPONENTS[component][0]).is_file()

    def config(self, component: str) -> Config:
        """The component's configuration.

        Raises:
            ModelError: there is none, or it is not a JSON object.
        """
        path = self.folder(component) / COMPONENTS[component][0]
        if not path.is_file():
            if path.is_symlink() or path.exists():
                state_of(path)
            raise self.missing(component, path)
        config = read_json(path)
        if component == "scheduler" and self.prediction is not None:
            config = MappingProxyType({**config, "prediction_type": self.prediction})
        return config

    def index(self) -> Config:
        """The contents of `model_index.json`; empty if there is none."""
        path = self.root / "model_index.json"
        return read_json(path) if has_entry(path) else MappingProxyType({})

    def optional(self, component: str) -> Config:
        """The configuration of an optional component; empty if it is absent."""
        path = self.folder(component) / COMPONENTS[component][0]
        return read_json(path) if has_entry(path) else MappingProxyType({})

    def weights(self, component: str) -> WeightFiles:
        """The safetensors files of a component, of the requested variant.

        Raises:
            ModelError: there are none (or only pickles), a shard is missing, or a file is damaged.
        """
        folder, stem = self.folder(component), COMPONENTS[component][1]
        assert stem is not None, f"{component} has no weights"
        found = weight_variants(folder, stem)
        variant = self._choose(component, folder, stem, found)
        index = found[variant] if found[variant].suffix == ".json" else None
        files = listed_files(index) if index else (found[variant],)
        for file in files:
            read_header(file)
        return WeightFiles(folder, variant, files, listing=index)

    def stamp(self, component: str) -> str:
        """Changes when a file of the component changes: name, size, time or contents, never the folder's place."""
        if component == "tokenizer":
            return stamp_of(tokenizer_files(self.tokenizer_folder(), "clip"))
        if component == "feature_extractor" and not has_entry(self.folder(component) / COMPONENTS[component][0]):
            return ""
        self.config(component)  # must be there
        files = [self.folder(component) / COMPONENTS[component][0]]
        if COMPONENTS[component][1] is not None:
            weights = self.weights(component)
            files += [*filter(None, [weights.listing]), *weights.files]
        return stamp_of(files) + (self.prediction or "" if component == "scheduler" else "")

    def tokenizer_folder(self) -> Path:
        """The folder with the vocabulary of CLIP's tokenizer.

        Raises:
            ModelError: its files are not there.
        """
        folder = self.folder("tokenizer")
        if not has_vocabulary(folder, "clip"):
            raise self.missing("tokenizer", folder / "vocab.json")
        return folder

    def missing(self, component: str, path: Path) -> ModelError:
        """The message about a missing component."""
        there = sorted(entry.name for entry in self.root.iterdir())[:12] if self.root.is_dir() else []
        fix = "give the folder that holds model_index.json, unet/, vae/ …, or download the model again"
        if component == "text_encoder" and "image_encoder" in there:
            fix = "use model.paint_by_example: this model takes exemplars, not prompts"
        if component == "image_encoder" and "text_encoder" in there:
            fix = "use model.stable_diffusion: this model takes prompts, not exemplars"
        return ModelError(
            "source",
            found=f"{self.name} has no {self._short(path)}"
            + (f" (it holds {', '.join(there)})" if there else " (the folder is empty)"),
            expected=f"a {'folder' if self.flat else 'diffusers folder'} with a {component} in it",
            fix=fix,
        )

    def _short(self, path: Path) -> str:
        return str(path.relative_to(self.root)) if path.is_relative_to(self.root) else f"{path.parent.name}/{path.name}"

    def _choose(self, component: str, folder: Path, stem: str, found: Mapping[str | None, Path]) -> str | None:
        if self.variant in found:
            return self.variant
        if self.variant is None and found:  # no plain files: use the variant there is; the label names it
            return min(found, key=str)
        if found:
            kinds = ", ".join(sorted(str(kind or "plain") for kind in found))
            raise ModelError(
                "variant",
                found=f"{self.name} has no {self.variant!r} files for its {component}",
                expected=f"one of the variants that are there: {kinds}",
                fix="set variant to null",
            )
        pickles = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLES)
        if pickles:
            raise pickled(f"{self.name}/{component}/{pickles[0]}" if not self.flat else f"{self.name}/{pickles[0]}")
        raise self.missing(component, folder / f"{stem}.safetensors")


def pickled(what: str) -> ModelError:
    """Refuse a pickle: opening one runs the code inside."""
    return ModelError(
        "source",
        found=f"{what}, a pickle",
        expected="weights as .safetensors (a pickle can run code)",
        fix=f"use the model's .safetensors files, or convert a file you trust once: {CONVERT_PICKLE}",
    )


def weight_variants(folder: Path, stem: str) -> dict[str | None, Path]:
    """The weights in a folder by variant: a file, or an index of several; the variant of the plain ones is None."""
    found: dict[str | None, Path] = {}
    for path in sorted(folder.glob(f"{stem}*.safetensors")):
        variant = path.name.removeprefix(stem).removesuffix(".safetensors")
        if variant == "" or (variant.startswith(".") and "-of-" not in variant):
            found[variant.lstrip(".") or None] = path
    start = f"{stem}.safetensors.index"
    for path in sorted(folder.glob(f"{start}*.json")):
        variant = path.name.removeprefix(start).removesuffix(".json")
        found.setdefault(variant.lstrip(".") or None, path)
    return found


def listed_files(index: Path) -> tuple[Path, ...]:
    """The files that a safetensors index lists.

    Raises:
        ModelError: one is missing, or would lie in another folder.
    """
    folder, shards = index.parent, read_shards(index)
    for shard in shards:
        if Path(shard).name != shard or not (folder / shard).is_file():
            raise ModelError(
                "source",
                found=f"{index.name} names {clean(shorten(shard))}, which is missing",
                expected="every shard in the folder of its index",
                fix="download the model again",
            )
    return tuple(folder / shard for shard in shards)
