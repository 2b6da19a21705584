"""Learning one subject from a few photos (Lim & Kim): `train.subject_lora` without its sockets.

The objective of Paint by Example, with each photo as its own exemplar; only a LoRA on the UNet is trained.
"""

import dataclasses
from typing import TYPE_CHECKING, Literal, cast

from ..graph_runtime import Context
from ..graph_runtime.core.light.later import torch
from ..methods.paint_by_example import ExemplarDenoiser
from ..methods.subject_lora import add_lora, kinds_of
from ..models.lora.source import LoraSource
from ..models.noise_levels import noise_levels
from ..models.paint_by_example.encoder import ExemplarEncoder
from .early_stopping import EarlyStopping
from .encoding import encoders_for
from .example_source import ExampleSource
from .fitting import fit, spare
from .inputs import TrainingInputs, require_subject_models, side_of
from .objective import Objective, prepare, small_enough_for_plain_attention
from .processes import Workers
from .randomness import generator_of
from .sample_sheets import SampleSheets
from .subject_file import report, write_lora
from .subject_photos import warn_of_contents, warn_of_sizes
from .subject_settings import SubjectSettings
from .trainer import Progress, Trainer
from .training_folder import TrainingFolder, append_line

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


def train_subject(inputs: TrainingInputs, settings: SubjectSettings, ctx: Context) -> tuple[LoraSource, str]:
    """Train to the last epoch, continuing from the checkpoint; the LoRA's file, and a report.

    Raises:
        BadInput: the models do not fit together, or the rank is larger than a layer.
        TrainingFailed: the loss is not finite, or a file cannot be written.
    """
    require_subject_models(inputs.denoiser, inputs.encoder)
    warn_of_sizes(inputs.photos, ctx)
    side = side_of(inputs.denoiser, inputs.vae, settings.size)
    workers = Workers(ctx.device)
    steps = settings.steps(len(inputs.photos.pairs()))
    with torch.inference_mode(False), torch.enable_grad():
        model = load_model(inputs, settings, side, workers.device)
        place = TrainingFolder.open(ctx, settings, settings.key(side, inputs.fingerprints()), workers)
        names = [name for name, _ in model.named_parameters() if ".lora_" in name]
        options = settings.trainer_options(steps)
        trainer = Trainer(place.path, place.key, model, names, options, workers, lambda: spare(ctx, model))
        if settings.resume and trainer.resume():
            ctx.warn(f"continuing from step {trainer.step}, found in {place.path}")
        with ctx.models.lease(inputs.vae, str(workers.device)) as vae:
            encoder = cast(ExemplarEncoder, model.encoder)
            encoders = encoders_for(inputs, vae, encoder, workers, settings.precision, side)
            views = settings.example_options(side, inputs.encoder.image_size)
            source = ExampleSource(inputs.photos, views, encoders, settings.seed, settings.variations, settings.chunk)
            warn_of_contents(inputs.photos, source, ctx)
            if settings.variations and trainer.step < steps:
                source.keep(
                    place.path / "examples",
                    workers,
                    lambda done, total: ctx.progress(done, total, note="encoding views"),
                )
            sheets = None
            if settings.sample_every:
                sheets = SampleSheets(place.path / "samples", source, model, trainer, inputs, vae)
            stopped = _fit(inputs, settings, ctx, place, trainer, source, sheets)
        path = place.path / "lora.safetensors"
        if workers.main:
            write_lora(path, trainer, inputs, settings, stopped)
        workers.wait()
    if workers.main:
        ctx.announce(path)
    return LoraSource(str(path)), report(path, trainer, inputs, settings, stopped)


class _StopEarly(Exception):
    """The samples no longer improve."""


def _fit(
    inputs: TrainingInputs,
    settings: SubjectSettings,
    ctx: Context,
    place: TrainingFolder,
    trainer: Trainer,
    source: ExampleSource,
    sheets: SampleSheets | None,
) -> str:
    """Train; returns the reason for ending before the last step, or an empty text."""
    levels = noise_levels(inputs.scheduler.config)
    objective = Objective(
        levels.alpha_bars,
        levels.prediction,
        settings.condition_dropout,
        settings.seed,
    )
    stopping = EarlyStopping(place.path / "likeness.jsonl", settings.patience, trainer.step)
    total, begun, main = trainer.options.steps, trainer.step, trainer.workers.main
    stopped = f"the samples' likeness to the subject has not grown for {settings.patience} sheets"
    if sheets is not None and begun and begun % settings.sample_every == 0 and main and not stopping.knows(begun):
        sheets.draw(begun)  # the run was killed between this step's checkpoint and its sheet
        stopping.note(begun, sheets.likeness)
    if settings.patience and trainer.workers.any(stopping.due):  # all processes ask, also those that see no log
        return f"stopped at step {begun} of {total}: {stopped}"

    def on_step(now: Progress) -> None:
        if main and (now.step % 10 == 0 or now.step == total):
            append_line(place.path / "log.jsonl", dataclasses.asdict(now))
        sheet, note = None, f"loss {now.mean:.4f} · {now.per_second:.1f} views/s"
        due = sheets is not None and now.step % settings.sample_every == 0
        if sheets is not None and due and main:
            sheet = sheets.draw(now.step)
            stopping.note(now.step, sheets.likeness)
            note += f" · likeness {sheets.likeness:.3f}"
        ctx.progress(now.step, total, sheet, note)
        # only the main process has drawn the sheet; one that went on without it would wait for it forever
        if settings.patience and due and trainer.workers.any(stopping.due):
            raise _StopEarly

    try:
        fit(trainer, objective, source, on_step, ctx.warn)
    except _StopEarly:  # the trainer has written its checkpoint
        return f"stopped at step {trainer.step} of {total}: {stopped}"
    return ""


def load_model(
    inputs: TrainingInputs, settings: SubjectSettings, side: int, device: torch.device, place: str = ""
) -> ExemplarDenoiser:
    """Copies of the UNet with a new LoRA, and of the encoder, in training precision."""
    dtype: Literal["float64", "float32"] = "float64" if inputs.denoiser.dtype == "float64" else "float32"
    where = place or str(device)
    unet = cast("UNet2DConditionModel", dataclasses.replace(inputs.denoiser, dtype=dtype).load(where))
    encoder = cast(ExemplarEncoder, dataclasses.replace(inputs.encoder, dtype=dtype).load(where))
    prepare(
        unet,
        one_token=encoder.one_token,
        plain_attention=small_enough_for_plain_attention(device, side // inputs.vae.factor),
        checkpointing=settings.checkpointing,
    )
    kinds = kinds_of(encoder.one_token, settings.targets)
    add_lora(unet, kinds, settings.rank, settings.alpha, generator_of(settings.seed, "lora").initial_seed())
    return ExemplarDenoiser(unet, encoder).to(where)
