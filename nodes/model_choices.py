"""The models that each node takes, for lists to choose from: embedded ones, and what lies on this machine."""

from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

from ..graph_runtime.core.pack import ModelChoices

CHECKPOINTS, PIPELINES, LORAS, VISION, OWN = "checkpoints", "diffusers", "loras", "clip_vision", "inlay"


def downloaded() -> Iterator[tuple[str, Path]]:
    """Hub ids of the repositories on this machine, and their folders."""
    from ..models.hub.snapshots import downloaded

    return downloaded()


def _is(check: str) -> Callable[[Path], bool]:
    def fits(folder: Path) -> bool:
        return bool(getattr(import_module("..models.kinds", __package__), check)(folder))

    return fits


def _has(kinds: tuple[str, ...], folder: Path) -> bool:
    from ..models.kinds import model_type

    return model_type(folder) in kinds


MODELS = {
    "model.stable_diffusion": ModelChoices(("dollhouse",), (CHECKPOINTS,), (PIPELINES,), _is("is_stable_diffusion")),
    "model.paint_by_example": ModelChoices(
        ("dollhouse-exemplar",), (CHECKPOINTS,), (PIPELINES,), _is("is_paint_by_example")
    ),
    "model.pixel_diffusion": ModelChoices((), (), (PIPELINES,), _is("is_pixel_diffusion")),
    "model.lora": ModelChoices((), (LORAS,), (), _is("is_lora")),
    "model.exemplar_encoder": ModelChoices(("dollhouse-clip",), (), (VISION,), partial(_has, ("clip",))),
    "model.clip": ModelChoices(("dollhouse-clip",), (), (VISION,), partial(_has, ("clip",))),
    "model.dino": ModelChoices((), (), (VISION,), partial(_has, ("vit", "dinov2", "dinov2_with_registers"))),
    "model.detector": ModelChoices(("dollhouse-detector",), (), (OWN,), partial(_has, ("detr",))),
    "model.captioner": ModelChoices((), (), (OWN,), partial(_has, ("blip",))),
}
