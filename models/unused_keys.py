"""One warning per model, when it is described, for everything in its configurations that has no effect.

For a scheduler's configuration the schedule nodes do this, because the schedule decides which keys are used.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from ..graph_runtime import ModelError
from ..graph_runtime.core.errors import clean, shorten
from .component import Origin, is_single_file
from .config import Config
from .known_keys.detector import BACKBONE, DETECTOR
from .known_keys.encoders import PREPROCESSOR, TEXT
from .known_keys.pipeline import PIPELINE, UNET, VAE
from .known_keys.table import Table, is_empty, list_unused, warn_unused
from .tokens.unused import unused_of_settings
from .unet_config import UNETS

if TYPE_CHECKING:
    from .detr.component import DetectorComponent

TABLES: Mapping[str, Table] = {"unet": UNET, "vae": VAE, "text_encoder": TEXT}
HALF = ("float16", "bfloat16")


def warn_unused_of_model(origin: Origin, components: tuple[str, ...], dtype: str = "auto") -> None:
    """Refuse settings that cannot be followed, and warn about unused ones, in the files of a model on this machine.

    Args:
        origin: where the files are.
        components: the outputs of the node.
        dtype: the node's precision setting.

    Raises:
        ModelError: a configuration has a setting that would change the result and is not supported.
    """
    found: list[str] = []
    for component in components:
        if component in TABLES:
            found += [f"{component}: {phrase}" for phrase in _of_config(origin, component, dtype)]
    if "tokenizer" in components:
        found += [f"tokenizer: {phrase}" for phrase in unused_of_settings(origin.optional("tokenizer"), "clip")]
    if is_single_file(origin):
        found += origin.notes()
    found += [f"model_index.json: {phrase}" for phrase in _of_index(origin.index(), components)]
    warn_unused(origin.name, found)


def _of_config(origin: Origin, component: str, dtype: str) -> list[str]:
    table, config = TABLES[component], origin.config(component)
    for key, value in config.items():
        entry = table.get(key)
        if entry is not None and entry.use == "refused" and not is_empty(value):
            raise ModelError(
                "source",
                found=f"{key} = {clean(shorten(value))} in {component}/config.json of {origin.name}",
                expected=f"a model without it: {entry.what}",
                fix="use a Stable Diffusion 1.x or 2.x model with plain weights",
            )
    found = list_unused(table, config, handled=() if dtype in HALF else ("force_upcast",))
    return found + _of_another_class(component, config)


def _of_another_class(component: str, config: Config) -> list[str]:
    """Keys that another class of the same component would use."""
    kind = str(config.get("_class_name") or "UNet2DConditionModel")
    if component != "unet" or kind not in UNETS:
        return []
    others = {key for other in UNETS.values() for key in other.model_fields} - set(UNETS[kind].model_fields)
    return [
        f"{key} = {clean(shorten(value, 40))} (a {kind} has no such setting)"
        for key, value in config.items()
        if key in others and not is_empty(value)
    ]


def _of_index(index: Config, components: tuple[str, ...]) -> list[str]:
    """Components of a pipeline that no node outputs, and unused keys of its index."""
    left = []
    for key, value in index.items():
        if isinstance(value, (list, tuple)):
            entry = PIPELINE.get(key)
            if (
                not any(value)
                or key in components
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
            left += list_unused(PIPELINE, {key: value})
    return left


class HasPreprocessor(Protocol):
    """An image encoder whose preprocessor is described by a file."""

    @property
    def origin(self) -> Origin:
        """The origin of its files."""

    @property
    def preprocessor(self) -> Config:
        """The contents of that file."""


def warn_unused_preprocessing(encoder: HasPreprocessor, stretched: bool = False) -> None:
    """Warn about preprocessor settings that `preprocess_images` ignores; `stretched`: both sides are resized."""
    config = encoder.preprocessor
    found = list_unused(PREPROCESSOR, config)
    for key in ("do_resize", "do_center_crop", "do_rescale", "do_normalize"):
        if config.get(key) is False and not (stretched and key == "do_center_crop"):
            found.append(f"{key} = False ({PREPROCESSOR[key].what})")
    size = config.get("size")
    if (
        isinstance(size, Mapping)
        and "height" in size
        and size.get("height") == size.get("width")
        and "crop_size" not in config
        and not stretched
    ):
        found.append("size of a height and a width (the picture would be stretched; the middle is cut out instead)")
    warn_unused(f"preprocessor_config.json of {encoder.origin.name}", found)


def warn_unused_of_detector(detector: "DetectorComponent") -> None:
    """Warn about unused keys of a detector's configuration; its preprocessing is followed completely."""
    inner = detector.config.get("backbone_config")
    found = list_unused(DETECTOR, detector.config)
    if isinstance(inner, Mapping):
        found += [f"backbone_config: {phrase}" for phrase in list_unused(BACKBONE, inner)]
    warn_unused(detector.origin.name, found)
