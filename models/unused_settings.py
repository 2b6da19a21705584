"""What the configurations of a model say and nobody uses, named once where the model is described.

A scheduler's own words are named by the schedule nodes: which of them are used depends on the schedule.
"""

from collections.abc import Mapping
from typing import Any

from ..graph_runtime import ModelError
from ..graph_runtime.core.errors import clean, shorten
from .known_keys import (
    BACKBONE,
    DETECTOR,
    NOTHING,
    PIPELINE,
    PREPROCESSOR,
    TEXT,
    TOKENIZER,
    UNET,
    VAE,
    Table,
    name_unheard,
    unheard,
)

PARTS: Mapping[str, Table] = {"unet": UNET, "vae": VAE, "text_encoder": TEXT}
HALF = ("float16", "bfloat16")


def name_unused(origin: Any, parts: tuple[str, ...], dtype: str = "auto") -> None:
    """Refuse what cannot be followed, and name what is not used, of a model whose files are here.

    Args:
        origin: where the files are.
        parts: those that the node gives out.
        dtype: the precision that the node was given.

    Raises:
        ModelError: a configuration asks for what would give another result, and cannot be had.
    """
    found: list[str] = []
    for part in parts:
        if part in PARTS:
            found += [f"{part}: {phrase}" for phrase in _of_config(origin, part, dtype)]
    if "tokenizer" in parts and hasattr(origin, "optional"):
        words = origin.optional("tokenizer")
        found += [f"tokenizer: {phrase}" for phrase in unheard(TOKENIZER, words)]
        if words.get("do_lower_case") is False:
            found.append(f"tokenizer: do_lower_case = False ({TOKENIZER['do_lower_case'].what})")
    if hasattr(origin, "notes"):  # a single file
        found += origin.notes()
    index = origin.index() if hasattr(origin, "index") else {}
    found += [f"model_index.json: {phrase}" for phrase in _of_index(index, parts)]
    name_unheard(origin.name, found)


def _of_config(origin: Any, part: str, dtype: str) -> list[str]:
    table, config = PARTS[part], origin.config(part)
    for key, value in config.items():
        entry = table.get(key)
        if entry is not None and entry.use == "refused" and not _empty(value):
            raise ModelError(
                "source",
                found=f"{key} = {clean(shorten(value))} in {part}/config.json of {origin.name}",
                expected=f"a model without it: {entry.what}",
                fix="use a Stable Diffusion 1.x or 2.x model with plain weights",
            )
    return unheard(table, config, besides=() if dtype in HALF else ("force_upcast",))


def _empty(value: Any) -> bool:
    return any(type(value) is type(nothing) and value == nothing for nothing in NOTHING)


def _of_index(index: Mapping[str, Any], parts: tuple[str, ...]) -> list[str]:
    """Parts of a pipeline that no node gives out, and what its index says besides."""
    left = []
    for key, value in index.items():
        if isinstance(value, (list, tuple)):
            entry = PIPELINE.get(key)
            if (
                not any(value)
                or key in parts
                or (
                    entry is not None
                    and entry.use in ("neutral", "used")
                    and key not in ("image_encoder", "text_encoder", "vae")
                )
            ):
                continue
            what = entry.what if entry is not None and entry.use == "named" else "a part that is left out"
            left.append(f"{clean(str(key))[:60]} ({what})")
        else:
            left += unheard(PIPELINE, {key: value})
    return left


def name_unused_preprocessing(part: Any, stretched: bool = False) -> None:
    """Name what a preprocessor says and `preprocess_exemplar` does not do; `stretched`: both sides are fitted."""
    said = part.preprocessor.values
    found = unheard(PREPROCESSOR, said)
    for key in ("do_resize", "do_center_crop", "do_rescale", "do_normalize"):
        if said.get(key) is False and not (stretched and key == "do_center_crop"):
            found.append(f"{key} = False ({PREPROCESSOR[key].what})")
    size = said.get("size")
    if (
        isinstance(size, Mapping)
        and "height" in size
        and size.get("height") == size.get("width")
        and "crop_size" not in said
        and not stretched
    ):
        found.append("size of a height and a width (the picture would be stretched; the middle is cut out instead)")
    name_unheard(f"preprocessor_config.json of {part.origin.name}", found)


def name_unused_of_detector(part: Any) -> None:
    """Name what a detector's configuration says and nobody uses; its preprocessing is all followed."""
    inner = part.config.get("backbone_config")
    found = unheard(DETECTOR, part.config)
    if isinstance(inner, Mapping):
        found += [f"backbone_config: {phrase}" for phrase in unheard(BACKBONE, inner)]
    name_unheard(part.origin.name, found)
