"""What kind of model a folder holds, by its configuration: enough for a list, with a glance at one small file each."""

import re
from pathlib import Path

from ..graph_runtime import ModelError
from .config import Config
from .files.json_objects import read_json

_STABLE = re.compile(r"StableDiffusion(?!XL|3)\w*Pipeline")


def _read(path: Path) -> Config:
    try:
        return read_json(path) if path.is_file() else {}
    except (OSError, ModelError):
        return {}


def is_stable_diffusion(folder: Path) -> bool:
    """True for Stable Diffusion 1.x and 2.x in the layout of diffusers."""
    return _STABLE.fullmatch(str(_read(folder / "model_index.json").get("_class_name"))) is not None


def is_paint_by_example(folder: Path) -> bool:
    """True for Paint by Example in the layout of diffusers."""
    return _read(folder / "model_index.json").get("_class_name") == "PaintByExamplePipeline"


def is_pixel_diffusion(folder: Path) -> bool:
    """True for an unconditional UNet, with its pipeline or alone."""
    return any(_read(folder / name).get("_class_name") == "UNet2DModel" for name in ("unet/config.json", "config.json"))


def is_lora(folder: Path) -> bool:
    """True for a repository that holds a LoRA and no model."""
    names = {path.name for path in folder.glob("*.safetensors")} if folder.is_dir() else set()
    return bool(names) and not any((folder / name).exists() for name in ("config.json", "model_index.json", "unet"))


def model_type(folder: Path) -> str:
    """The architecture that a configuration of transformers names, such as `clip`; empty without one."""
    found = _read(folder / "config.json").get("model_type")
    return found if isinstance(found, str) else ""
