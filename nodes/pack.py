"""What this pack tells the front ends: the order of its families, its libraries, its embedded models, its checks.

The oldest releases are those of pyproject.toml, and `.ci/floor-test` runs the main jobs on them. `.ci/newest` reports
releases that are newer than those noted here.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ..graph_runtime.core.pack import FastNode, Pack, SheetBlock, SheetPair
from ..pictures.files.formats import READ_SUFFIXES, WORKFLOW_SUFFIXES
from .checks.installation import embedded_models, embedded_weights, torchvision
from .everyday.inpaint import INPAINT
from .host_types import EXPECTED_INPUTS, HOST_TYPES
from .menu import FOLDERS, TITLES, WORDS
from .model_choices import MODELS, downloaded


def _recorded_text(path: Path, name: str) -> tuple[str | None, frozenset[str]]:
    from ..pictures.files.recorded import recorded_text

    return recorded_text(path, name)


def _write_value(value: object, folder: Path, name: str) -> tuple[Path, tuple[str, ...], bool] | None:
    from ..pictures.memory.write import write_value

    return write_value(value, folder, name)


def _save_picture(source: object, path: Path, suffix: str, texts: Mapping[str, str]) -> list[str]:
    from ..pictures.memory.save import save_picture

    return save_picture(source, path, suffix, texts)


def _read_suffixes() -> frozenset[str]:
    from ..pictures.files.formats import suffixes

    return suffixes()


def _require_picture(path: Path) -> object:
    from ..pictures.files.headers import header

    return header(path)


def _contact_sheet(pairs: Sequence[SheetPair], to: Path) -> None:
    from ..pictures.contact import write_contact_sheet

    write_contact_sheet(pairs, to)


def _grid_sheet(blocks: Sequence[SheetBlock], side: int, to: Path) -> None:
    from ..pictures.grid_sheet import write_grid_sheet

    write_grid_sheet(blocks, side, to)


def _small_picture(source: Path, to: Path, side: int) -> tuple[int, int, str]:
    from ..pictures.small import write_small

    return write_small(source, to, side)


def _mask_file(source: Path) -> tuple[bytes, Sequence[str]]:
    from ..pictures.masks.file import mask_file

    return mask_file(source)


PACK = Pack(
    families=(
        "image",
        "mask",
        "caption",
        "model",
        "latent",
        "noise",
        "schedule",
        "condition",
        "constraint",
        "sample",
        "invert",
        "embed",
        "attention",
        "subject",
        "train",
        "metric",
        "report",
    ),
    tested={  # the newest by its first two numbers
        "torch": ("2.6", "2.13"),
        "diffusers": ("0.35", "0.42"),
        "transformers": ("4.50", "5.24"),
        "accelerate": ("1.0", "1.15"),
        "peft": ("0.17", "0.21"),
        "huggingface_hub": ("0.34", "2.4"),
        "safetensors": ("0.5", "0.8"),
        "tokenizers": ("0.21", "0.23"),
        "numpy": ("1.26", "2.4"),
        "scipy": ("1.12", "1.17"),
        "pillow": ("11.3", "13.0"),
        "networkx": ("3.2", "3.6"),
        "pydantic": ("2.8", "2.14"),
        "jaxtyping": ("0.2.36", "0.3"),
        "rich": ("13.7", "15.0"),
        "platformdirs": ("4.0", "4.14"),
        "packaging": ("23.1", "26.4"),
        "filelock": ("3.13", "4.3"),
        "docstring_parser": ("0.16", "0.18"),
    },
    computing=("diffusers", "transformers", "peft", "numpy", "scipy", "pillow"),
    recorded=("torch", "diffusers", "transformers", "torchao", "pillow", "numpy"),
    embedded=embedded_models,
    checks=(torchvision, embedded_weights),
    picture_suffixes=READ_SUFFIXES,
    read_suffixes=_read_suffixes,
    require_picture=_require_picture,
    contact_sheet=_contact_sheet,
    grid_sheet=_grid_sheet,
    workflow_suffixes=WORKFLOW_SUFFIXES,
    write_value=_write_value,
    save_picture=_save_picture,
    recorded_text=_recorded_text,
    host_types=HOST_TYPES,
    expected_inputs=EXPECTED_INPUTS,
    small_picture=_small_picture,
    mask_file=_mask_file,
    models=MODELS,
    downloaded=downloaded,
    expanders={"inpaint": INPAINT},
    titles=TITLES,
    menu=FOLDERS,
    words=WORDS,
    lighter={"latent.encode": {"tiling": "on"}, "latent.decode": {"tiling": "on"}},
    several={"noise.gaussian": ("count", "without --together, or a smaller --variations")},
    renamed={"image.open": "image.with_mask"},
    fast=FastNode(
        "model.fast",
        "denoiser",
        "denoiser",
        ("sample.denoise", "invert.ddim", "invert.target_text", "invert.null_text"),
        {
            "compile": ("compile", "kernels"),
            "cuda-graphs": ("compile", "cuda_graphs"),
            "channels-last": ("channels_last", True),
            "step-cache": ("step_cache", 2),
        },
    ),
)
