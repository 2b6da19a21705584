"""The folder of an exemplar training: checkpoint, examples, sample sheets, and the model that comes of it."""

import dataclasses
import json
import os
import re
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ..graph_runtime import BadInput, Context
from ..graph_runtime.core.context import safe_prefix
from ..graph_runtime.core.files import replacing, replacing_folder
from ..graph_runtime.core.quiet import quiet
from ..methods.latents import decode_latent
from ..methods.paint_by_example import ExemplarDenoiser
from ..methods.sampling.ddim import ddim
from ..methods.sampling.guidance import Guidance
from ..methods.sampling.loop import denoise
from ..methods.sampling.noise import gaussian
from ..models.folder import ModelFolder
from ..models.noise_levels import noise_levels
from ..models.paint_by_example.encoder import save_encoder
from ..pictures.sheet import draw_sheet
from .examples import Source, collate, encode
from .objective import averaged
from .processes import Workers
from .trainer import CHECKPOINT, Trainer, TrainingFailed

SHOWN, SHEET_STEPS, SHEET_GUIDANCE = 4, 20, 5.0


class Run(NamedTuple):
    """Where a training lives, and what identifies it."""

    folder: Path
    key: str

    @classmethod
    def open(cls, ctx: Context, prefix: str, key: str, resume: bool, workers: Workers) -> "Run":
        """The training's folder `<out>/<prefix>-<key>`; without `resume`, its checkpoint is set aside.

        Raises:
            BadInput: the prefix would leave the output folder, or the folder cannot be made.
        """
        root = ctx.out.resolve()
        folder = (root / f"{prefix}-{key[:8]}").resolve()
        if not safe_prefix(prefix) or not folder.is_relative_to(root):
            raise BadInput(
                "prefix",
                found=repr(prefix),
                expected="a name below the output folder",
                fix="use a plain name such as 'paint-by-example'",
            )
        if workers.main:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                if resume and not (folder / CHECKPOINT).exists():
                    _name_others(folder, ctx)
                if not resume and (folder / CHECKPOINT).exists():
                    os.replace(folder / CHECKPOINT, folder / f"checkpoint-{time.time_ns()}.safetensors")
            except OSError as error:
                raise BadInput(
                    "prefix",
                    found=f"{folder}: {error.strerror or error}",
                    expected="a folder to write to",
                    fix="use another --out",
                ) from error
        workers.wait()
        return cls(folder, key)


def _name_others(folder: Path, ctx: Context) -> None:
    """Say that a training begins anew beside others of its prefix: a setting that was changed makes another one."""
    pattern = re.compile(re.escape(folder.name[:-8]) + "[0-9a-f]{8}")
    names = (path.parent.name for path in folder.parent.glob(f"*/{CHECKPOINT}"))
    others = sorted(name for name in names if pattern.fullmatch(name))
    if others:
        ctx.warn(
            f"a new training begins in {folder.name}: {', '.join(others[:3])}"
            f"{' …' * (len(others) > 3)} used other photos, models or settings, and is kept; "
            "to continue that one, restore its settings"
        )


class Sheets:
    """Paints a few fixed examples with the weights as they are, and keeps the sheets in `samples`.

    Attributes:
        likeness: of the last sheet: mean cosine between exemplars and what was painted, as the exemplar encoder sees
            them.
    """

    def __init__(self, source: Source, model: ExemplarDenoiser, trainer: Trainer, parts: Any, vae: Any, run: Run):
        places = [(number * 7919 % len(source.pairs), 2**41 + number) for number in range(SHOWN)]
        self._examples, generators = source.examples(places)
        self._batch = encode(collate(self._examples, generators, source.encoders), source.encoders)
        self._schedule = ddim(noise_levels(parts.scheduler.config), steps=SHEET_STEPS, eta=0.0)
        self._model, self._trainer, self._vae, self._run = model, trainer, vae, run
        self._source, self._scale, self._shift = source, parts.vae.scaling_factor, parts.vae.shift_factor
        self.likeness = 0.0

    @torch.no_grad()
    def __call__(self, step: int) -> Image.Image:
        """Rows of: the picture with its hole, the exemplar, what the model paints."""
        state = torch.get_rng_state()
        painted = self._paint()
        self.likeness = self._likeness(painted)
        pictures: list[Tensor] = []
        for example, found in zip(self._examples, painted, strict=True):
            hole = example.picture * example.keep + 0.5 * (1 - example.keep)
            pictures += [hole.permute(1, 2, 0), example.exemplar.permute(1, 2, 0), found]
        sheet = draw_sheet(pictures, ["hole", "exemplar", f"step {step}"] * len(self._examples), 6)[0]
        picture = Image.fromarray((sheet * 255).round().to(torch.uint8).numpy())
        _keep_sheet(picture, self._run.folder / "samples" / f"step-{step:07d}.png")
        torch.set_rng_state(state)
        return picture

    def _paint(self) -> list[Tensor]:
        """The examples' pictures `[h w 3]`, painted by the averaged weights."""
        model, batch, device = self._model, self._batch, self._trainer.workers.device
        model.eval()
        with averaged(self._trainer.values, self._trainer.average):
            told = model.encoder.project(batch.token.to(device))
            extra = torch.cat([batch.masked, batch.keep], dim=1).to(device)
            stream = gaussian(tuple(batch.latent.shape), 0).stream()
            guidance = Guidance(told, model.encoder.uncond_vector.expand_as(told), SHEET_GUIDANCE, True, extra)

            def call(z: Tensor, t: Tensor, embeddings: Tensor | None) -> Tensor:
                return model.unet(z, t, encoder_hidden_states=embeddings, return_dict=False)[0]

            z = stream.start().to(device, told.dtype)
            clean = denoise(call, self._schedule, z, stream, guidance)
        model.train()
        return [decode_latent(self._vae, row[None], self._scale, self._shift)[0].float().cpu() for row in clean]

    def _likeness(self, painted: list[Tensor]) -> float:
        """Mean cosine between the exemplars and the painted holes."""
        with_, side = self._source.encoders, self._source.how.exemplar_size
        cut = []
        for example, found in zip(self._examples, painted, strict=True):
            rows, columns = (torch.nonzero((example.keep[0] < 0.5).any(axis)).flatten() for axis in (1, 0))
            part = found[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1].permute(2, 0, 1)
            cut.append(F.interpolate(part[None], (side, side), mode="bicubic", antialias=True)[0].clamp(0, 1))
        exemplars = torch.stack([example.exemplar for example in self._examples])
        seen, wanted = (
            with_.clip(((values - with_.mean) / with_.std).to(with_.device)).flatten(1)
            for values in (torch.stack(cut), exemplars)
        )
        return float(F.cosine_similarity(seen, wanted, dim=-1).mean())


def _keep_sheet(picture: Image.Image, path: Path) -> None:
    try:
        with replacing(path, parents=True) as beside:
            picture.save(beside, "PNG")
    except OSError as error:
        raise TrainingFailed(
            None,
            found=f"{path.name} could not be written: {error.strerror or error}",
            expected="room for it on the disk",
            fix="make room, then run again",
        ) from error


def finish(run: Run, trainer: Trainer, model: ExemplarDenoiser, parts: Any, half: bool) -> tuple[Any, Any, str]:
    """Write the model as a Paint-by-Example folder; descriptions of its UNet and encoder, and a report in Markdown."""
    from ..models.paint_by_example.component import ExemplarEncoderComponent
    from ..models.stable_diffusion import DenoiserComponent

    folder = run.folder / "model"
    if trainer.workers.main:
        with averaged(trainer.values, trainer.average):
            _write_model(folder, model, parts, half)
    trainer.workers.wait()
    origin = ModelFolder(folder, f"{run.folder.name}/model")
    report = (
        f"# {run.folder.name}\n\n| | |\n|---|---|\n| steps | {trainer.step} |\n| loss, running mean | "
        f"{trainer.mean:.5f} |\n| parameters trained | {sum(v.numel() for v in trainer.values.values()):,} |\n"
        f"| model | {folder} |\n"
    )
    return DenoiserComponent.describe(origin), ExemplarEncoderComponent.describe(origin), report


def _write_model(folder: Path, model: ExemplarDenoiser, parts: Any, half: bool) -> None:
    """The diffusers layout, written beside and then swapped in.

    Raises:
        TrainingFailed: a weight does not fit half precision, or the disk is full.
    """
    kind = torch.float16 if half else next(model.parameters()).dtype
    try:
        with replacing_folder(folder) as beside:
            with quiet():
                unet = _cast(model.unet, kind)
                unet.save_pretrained(beside / "unet")
                save_encoder(_cast(model.encoder, kind), beside / "image_encoder")
                module = dataclasses.replace(parts.vae, dtype="float16" if half else parts.vae.dtype).load("cpu")
                module.save_pretrained(beside / "vae")
            for name in ("unet", "vae"):
                _forget_place(beside / name / "config.json")
            (beside / "scheduler").mkdir()
            texts = {
                "scheduler/scheduler_config.json": dict(parts.scheduler.config),
                "feature_extractor/preprocessor_config.json": _preprocessor(parts.encoder),
                "model_index.json": {
                    "_class_name": "PaintByExamplePipeline",
                    "unet": ["diffusers", "UNet2DConditionModel"],
                    "vae": ["diffusers", "AutoencoderKL"],
                    "scheduler": ["diffusers", str(parts.scheduler.config.get("_class_name"))],
                    "image_encoder": ["paint_by_example", "PaintByExampleImageEncoder"],
                    "feature_extractor": ["transformers", "CLIPImageProcessor"],
                    "safety_checker": [None, None],
                },
            }
            for name, value in texts.items():
                path = beside / name
                path.parent.mkdir(exist_ok=True)
                path.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise TrainingFailed(
            None,
            found=f"the model could not be written: {error.strerror or error}",
            expected="room for it on the disk",
            fix="make room, then run again: the checkpoint is whole",
        ) from error


def _forget_place(path: Path) -> None:
    """Take out of a configuration where on this machine its model came from: the folder may be given to others."""
    config = json.loads(path.read_text(encoding="utf-8"))
    config.pop("_name_or_path", None)
    path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def _cast(module: Any, kind: torch.dtype) -> Any:
    from copy import deepcopy

    cast = deepcopy(module).cpu().to(kind)
    for name, value in cast.state_dict().items():
        if not torch.isfinite(value).all():
            raise TrainingFailed(
                "half",
                found=f"{name}, which does not fit {kind}",
                expected="finite weights",
                fix="set half to false, then run again: training is done and not repeated",
            )
    return cast


def _preprocessor(encoder: Any) -> dict[str, Any]:
    """What transformers' CLIPImageProcessor is told."""
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


def append_line(path: Path, line: dict[str, Any]) -> None:
    """Add one JSON object to a log; a log that cannot be written never stops a training."""
    try:
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
    except OSError:
        return
