"""The result of learning a subject: a LoRA file, with its origin in the header, and a report."""

from pathlib import Path
from typing import cast

from pydantic import JsonValue

from ..graph_runtime.core.light.later import torch
from ..models.lora.component import weights_hash
from ..models.lora.file import Pair, stored_names
from ..models.stable_diffusion import DenoiserComponent
from .checkpoint import write_tensors
from .errors import TrainingFailed
from .inputs import TrainingInputs
from .subject_settings import SubjectSettings
from .trainer import Trainer


def write_lora(path: Path, trainer: Trainer, inputs: TrainingInputs, settings: SubjectSettings, stopped: str) -> None:
    """Write the LoRA in half precision.

    Raises:
        TrainingFailed: half precision cannot hold it, or the disk is full.
    """
    base = _base(inputs)
    about: dict[str, JsonValue] = {
        "base": base.origin.name,
        "base_sha256": weights_hash(base),
        "rank": settings.rank,
        "alpha": settings.scale,
        "targets": settings.targets,
        "steps": trainer.step,
        "photos_sha256": inputs.photos.fingerprint,
        "stopped": stopped,
        "training": settings.values(),
    }
    tensors = {
        name: value.half() if value.ndim else value
        for name, value in stored_names(_pairs(trainer, settings), settings.layout).items()
    }
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise TrainingFailed(
                "learning_rate",
                found=f"values in {name} that half precision cannot represent",
                expected=f"less than {torch.finfo(torch.float16).max:g}",
                fix="set another prefix and a lower learning_rate or alpha",
            )
    write_tensors(tensors, path, about)


def report(path: Path, trainer: Trainer, inputs: TrainingInputs, settings: SubjectSettings, stopped: str) -> str:
    """A report in Markdown; it may be saved and shared, so it names no folder of this machine."""
    count = sum(value.numel() for value in trainer.values.values())
    rows = {
        "base": _base(inputs).origin.name,
        "photos": len(inputs.photos),
        "rank": settings.rank,
        "steps": trainer.step,
        "loss, running mean": f"{trainer.state.mean:.5f}",
        "parameters": f"{count:,}",
        "file": f"{path.name} ({path.stat().st_size / 1e6:.2f} MB)" if path.exists() else path.name,
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"# {path.parent.name}\n\n| | |\n|---|---|\n{table}\n" + (f"\n{stopped}\n" if stopped else "")


def _base(inputs: TrainingInputs) -> DenoiserComponent:
    return cast(DenoiserComponent, inputs.denoiser.base())


def _pairs(trainer: Trainer, settings: SubjectSettings) -> dict[str, Pair]:
    """The trained pairs by the UNet's own names, on the CPU, because merging may need float64."""
    values = {name: value.cpu() for name, value in trainer.result().items()}
    pairs = {}
    for name, down in values.items():
        stem, separator, _ = name.partition(".lora_A.")
        if separator:
            up = values[f"{stem}.lora_B.subject.weight"]
            pairs[stem.removeprefix("unet.")] = Pair(down, up, settings.scale)
    return pairs
