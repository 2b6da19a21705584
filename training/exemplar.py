"""Train Paint by Example, from model descriptions to a written model: `train.exemplar` without its sockets."""

import dataclasses
from typing import TYPE_CHECKING, Literal, cast

from ..graph_runtime import Context
from ..graph_runtime.core.light.later import torch
from ..methods.paint_by_example import ExemplarDenoiser, widen
from ..models.noise_levels import noise_levels
from ..models.paint_by_example.encoder import ExemplarEncoder
from .encoding import encoders_for
from .example_source import ExampleSource
from .exemplar_model import TrainedExemplarModel, finish
from .exemplar_settings import ExemplarSettings
from .fitting import fit, spare
from .inputs import TrainingInputs, require_models, side_of
from .objective import Objective, prepare, small_enough_for_plain_attention
from .processes import Workers
from .sample_sheets import SampleSheets
from .trainer import Progress, Trainer
from .training_folder import TrainingFolder, append_line

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


def train_exemplar(inputs: TrainingInputs, settings: ExemplarSettings, ctx: Context) -> TrainedExemplarModel:
    """Train to the last step, continuing from the checkpoint; descriptions of the result, and a report.

    Raises:
        BadInput: the models do not fit together, or the photos have no boxes.
        TrainingFailed: the loss is not finite, or a file cannot be written.
    """
    require_models(inputs.denoiser, inputs.vae, inputs.encoder)
    side = side_of(inputs.denoiser, inputs.vae, settings.size)
    workers = Workers(ctx.device)
    place = TrainingFolder.open(ctx, settings, settings.key(side, inputs.fingerprints()), workers)
    with torch.inference_mode(False), torch.enable_grad():
        model = load_model(inputs, settings, side, workers.device)
        names, options = model.trainable(), settings.trainer_options()
        trainer = Trainer(place.path, place.key, model, names, options, workers, lambda: spare(ctx, model))
        if settings.resume and trainer.resume():
            ctx.warn(f"continuing from step {trainer.step}, found in {place.path}")
        with ctx.models.lease(inputs.vae, str(workers.device)) as vae:
            encoder = cast(ExemplarEncoder, model.encoder)
            encoders = encoders_for(inputs, vae, encoder, workers, settings.precision, side)
            views = settings.example_options(side, inputs.encoder.image_size)
            source = ExampleSource(inputs.photos, views, encoders, settings.seed, settings.variations, settings.chunk)
            if settings.variations and trainer.step < settings.steps:
                source.keep(
                    place.path / "examples",
                    workers,
                    lambda done, total: ctx.progress(done, total, note="encoding examples"),
                )
            sheets = None
            if settings.sample_every:
                sheets = SampleSheets(place.path / "samples", source, model, trainer, inputs, vae)
            _fit(inputs, settings, ctx, place, trainer, source, sheets)
        trained = finish(place, trainer, model, inputs, settings.half)
    if workers.main:
        ctx.announce(place.path / "model")
    return trained


def _fit(
    inputs: TrainingInputs,
    settings: ExemplarSettings,
    ctx: Context,
    place: TrainingFolder,
    trainer: Trainer,
    source: ExampleSource,
    sheets: SampleSheets | None,
) -> None:
    levels = noise_levels(inputs.scheduler.config)
    objective = Objective(
        levels.alpha_bars,
        levels.prediction,
        settings.condition_dropout,
        settings.seed,
        settings.snr_limit,
    )
    main, begun = trainer.workers.main, trainer.step
    if sheets is not None and begun and begun % settings.sample_every == 0 and main and not sheets.has(begun):
        sheets.draw(begun)  # the run was killed between this step's checkpoint and its sheet

    def on_step(now: Progress) -> None:
        if main and (now.step % 10 == 0 or now.step == settings.steps):
            append_line(place.path / "log.jsonl", dataclasses.asdict(now))
        due = sheets is not None and main and now.step % settings.sample_every == 0
        sheet = sheets.draw(now.step) if sheets is not None and due else None
        ctx.progress(now.step, settings.steps, sheet, f"loss {now.mean:.4f} · {now.per_second:.1f} pictures/s")

    fit(trainer, objective, source, on_step, ctx.warn)


def load_model(
    inputs: TrainingInputs, settings: ExemplarSettings, side: int, device: torch.device, place: str = ""
) -> ExemplarDenoiser:
    """Copies of UNet and encoder in training precision: leased modules must not change."""
    double = inputs.denoiser.dtype == "float64"
    dtype: Literal["float64", "float32"] = "float64" if double else "float32"
    where = place or str(device)
    unet = cast("UNet2DConditionModel", dataclasses.replace(inputs.denoiser, dtype=dtype).load(where))
    encoder = cast(ExemplarEncoder, dataclasses.replace(inputs.encoder, dtype=dtype).load(where))
    if inputs.denoiser.in_channels == inputs.denoiser.latent_channels:
        widen(unet, inputs.denoiser.latent_channels + 1)
    prepare(
        unet,
        one_token=encoder.one_token,
        plain_attention=small_enough_for_plain_attention(device, side // inputs.vae.factor),
        checkpointing=settings.checkpointing,
    )
    model = ExemplarDenoiser(unet, encoder).to(where, torch.float64 if double else torch.float32)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # in place, untyped in torch
    return model
