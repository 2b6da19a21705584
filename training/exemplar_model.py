"""The result of an exemplar training, written as a Paint-by-Example model folder."""

import dataclasses
import json
from copy import deepcopy
from pathlib import Path
from typing import NamedTuple, TypeVar, cast

from pydantic import JsonValue

from ..graph_runtime.core.disk_errors import disk_error
from ..graph_runtime.core.files import replacing_folder
from ..graph_runtime.core.light.later import nn, torch
from ..graph_runtime.core.quiet import quiet
from ..methods.paint_by_example import ExemplarDenoiser
from ..models.folder import ModelFolder
from ..models.paint_by_example.component import ExemplarEncoderComponent
from ..models.paint_by_example.encoder import ExemplarEncoder, save_encoder
from ..models.stable_diffusion import DenoiserComponent
from .errors import TrainingFailed
from .inputs import AnyExemplarEncoder, TrainingInputs
from .moving_average import averaged
from .trainer import Trainer
from .training_folder import TrainingFolder

Module = TypeVar("Module", bound=nn.Module)


class TrainedExemplarModel(NamedTuple):
    """Descriptions of the trained models, and a report in Markdown."""

    denoiser: DenoiserComponent
    encoder: ExemplarEncoderComponent
    report: str


def finish(
    place: TrainingFolder, trainer: Trainer, model: ExemplarDenoiser, inputs: TrainingInputs, half: bool
) -> TrainedExemplarModel:
    """Write the model with its averaged weights, in the main process.

    Raises:
        TrainingFailed: a weight does not fit half precision, or the disk is full.
    """
    folder = place.path / "model"
    if trainer.workers.main:
        with averaged(trainer.values, trainer.state.average):
            _write_model(folder, model, inputs, half)
    trainer.workers.wait()
    origin = ModelFolder(folder, f"{place.path.name}/model")
    report = (
        f"# {place.path.name}\n\n| | |\n|---|---|\n| steps | {trainer.step} |\n| loss, running mean | "
        f"{trainer.state.mean:.5f} |\n| parameters trained | {sum(v.numel() for v in trainer.values.values()):,} |\n"
        f"| model | {folder} |\n"
    )
    return TrainedExemplarModel(DenoiserComponent.describe(origin), ExemplarEncoderComponent.describe(origin), report)


def _write_model(folder: Path, model: ExemplarDenoiser, inputs: TrainingInputs, half: bool) -> None:
    """Write the diffusers layout to a new folder, then swap it in."""
    dtype = torch.float16 if half else next(model.parameters()).dtype
    try:
        with replacing_folder(folder) as beside:
            with quiet("diffusers", "transformers"):
                unet = _cast(model.unet, dtype)
                unet.save_pretrained(beside / "unet")
                save_encoder(_cast(cast(ExemplarEncoder, model.encoder), dtype), beside / "image_encoder")
                vae = dataclasses.replace(inputs.vae, dtype="float16" if half else inputs.vae.dtype).load("cpu")
                vae.save_pretrained(beside / "vae")  # type: ignore[operator]  # a diffusers model
            for name in ("unet", "vae"):
                _remove_origin(beside / name / "config.json")
            (beside / "scheduler").mkdir()
            for name, config in _configs(inputs).items():
                path = beside / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    except TrainingFailed:
        raise
    except Exception as error:
        if (cause := disk_error(error)) is None:
            raise
        raise TrainingFailed(
            None,
            found=f"the model could not be written: {cause.strerror or cause}",
            expected="room for it on the disk",
            fix="make room, then run again: the checkpoint is intact",
        ) from error


def _configs(inputs: TrainingInputs) -> dict[str, dict[str, JsonValue]]:
    """The JSON files of the folder, except those of UNet, VAE and encoder."""
    return {
        "scheduler/scheduler_config.json": dict(inputs.scheduler.config),
        "feature_extractor/preprocessor_config.json": _preprocessor(inputs.encoder),
        "model_index.json": {
            "_class_name": "PaintByExamplePipeline",
            "unet": ["diffusers", "UNet2DConditionModel"],
            "vae": ["diffusers", "AutoencoderKL"],
            "scheduler": ["diffusers", str(inputs.scheduler.config.get("_class_name"))],
            "image_encoder": ["paint_by_example", "PaintByExampleImageEncoder"],
            "feature_extractor": ["transformers", "CLIPImageProcessor"],
            "safety_checker": [None, None],
        },
    }


def _remove_origin(path: Path) -> None:
    """Remove the path of the original model from a configuration, because the folder may be shared."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _cast(module: Module, dtype: torch.dtype) -> Module:
    copy = deepcopy(module).cpu().to(dtype)
    for name, value in copy.state_dict().items():
        if not torch.isfinite(value).all():
            raise TrainingFailed(
                "half",
                found=f"{name}, which does not fit {dtype}",
                expected="finite weights",
                fix="set half to false, then run again: training is done and not repeated",
            )
    return copy


def _preprocessor(encoder: AnyExemplarEncoder) -> dict[str, JsonValue]:
    """The configuration of transformers' CLIPImageProcessor."""
    side = encoder.image_size
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"shortest_edge": side},
        "resample": 3,
        "do_center_crop": True,
        "crop_size": {"height": side, "width": side},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(encoder.mean),
        "image_std": list(encoder.std),
        "do_convert_rgb": True,
    }
