"""A training of Paint by Example from descriptions to a written model: `train.exemplar` without its sockets."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from ..graph_runtime import BadInput, Context
from ..graph_runtime.core.port_types import has_fact
from ..graph_runtime.core.values import describe
from ..methods.paint_by_example import ExemplarDenoiser, widen
from ..models.noise_levels import alphas_cumprod, check_prediction_type
from ..models.roles import require_denoiser
from ..pictures.augmentation import Augment
from .examples import Batch, Encoders, Recipes, Source, require_finite
from .exemplar_output import Run, Sheets, append_line, finish
from .objective import Inputs, Objective, prepare
from .prefetch import Ahead
from .processes import Workers
from .settings import Precision, Share, TrainingSettings
from .trainer import Progress, Recipe, Trainer, TrainingFailed, precision_of

Count = Annotated[int, Field(ge=1, le=10**7)]
SMALL = 1024  # latent cells up to which plain attention is the faster one on a CPU


class Parts(NamedTuple):
    """What is trained, and on what: descriptions, and the photos."""

    denoiser: Any
    vae: Any
    scheduler: Any
    encoder: Any
    photos: Any


class ExemplarSettings(TrainingSettings):
    """Settings of `train.exemplar`.

    Attributes:
        steps: optimizer steps in all; more than a finished training had makes it go on.
        variations: examples made of each box once and kept encoded, much faster; 0 makes new ones at each step.
        elastic: probability that an exemplar is warped.
        warmup: steps over which the learning rate rises.
        ema: decay of the moving average of the weights, which is what is given out; 0 gives out the last weights.
        snr_limit: weights noise levels by min(SNR, limit) / SNR; 0 leaves them equal, as published.
        precision: what is computed in; the weights stay in float32. auto: bfloat16 on a GPU that has it.
        half: write the model in half precision.
    """

    FREE = TrainingSettings.FREE | {"half"}
    LENGTH = "steps"
    KEY_NAMES: ClassVar = {"mask_jitter": "extend_mask"}
    ORDER = (
        *("steps", "batch_size", "learning_rate", "condition_dropout", "size", "variations", "flip", "rotate", "blur"),
        *("elastic", "arbitrary_mask", "mask_jitter", "warmup", "decay", "weight_decay", "ema", "snr_limit"),
        *("precision", "micro_batch", "checkpointing", "seed", "resume", "save_every", "sample_every", "half"),
        "prefix",
    )

    steps: Count = 20_000
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-5
    variations: Annotated[int, Field(ge=0, le=10_000)] = 0
    elastic: Share = 0.3
    warmup: Annotated[int, Field(ge=0)] = 0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    snr_limit: Annotated[float, Field(ge=0)] = 0.0
    save_every: Count = 250
    sample_every: Annotated[int, Field(ge=0)] = 500
    half: bool = True
    prefix: str = "paint-by-example"

    def recipe(self) -> Recipe:
        """What the trainer needs of them."""
        return Recipe(
            self.steps,
            self.batch_size,
            self.learning_rate,
            self.weight_decay,
            self.warmup,
            self.decay,
            self.ema,
            self.seed,
            self.micro_batch,
            self.precision,
            save_every=self.save_every,
        )

    def examples(self, side: int, exemplar_size: int) -> Recipes:
        """How examples are made."""
        augment = Augment(flip=self.flip, rotate=self.rotate, blur=self.blur, elastic=self.elastic)
        return Recipes(side, exemplar_size, augment, self.arbitrary_mask, self.mask_jitter)


def train_exemplar(parts: Parts, settings: ExemplarSettings, ctx: Context) -> tuple[Any, Any, str]:
    """Train to the last step, going on where the training was left; descriptions of the result, and a report.

    Raises:
        BadInput: the parts do not fit together.
        TrainingFailed: the loss is not finite, or a file cannot be written.
    """
    require_parts(parts)
    side = side_of(parts, settings.size)
    workers = Workers(ctx.device)
    run = Run.open(
        ctx, settings.prefix, settings.key(side, [part.fingerprint for part in parts]), settings.resume, workers
    )
    with torch.inference_mode(False), torch.enable_grad():
        model = _model(parts, settings, side, workers)
        trainer = Trainer(run.folder, run.key, model, model.trainable(), settings.recipe(), workers)
        if settings.resume and trainer.resume():
            ctx.warn(f"going on from step {trainer.step}, found in {run.folder}")
        with ctx.models.lease(parts.vae, str(workers.device)) as vae:
            encoders = encoders_of(vae, parts, model.encoder, workers, settings.precision, side)
            how = settings.examples(side, parts.encoder.image_size)
            source = Source(parts.photos, how, encoders, settings.seed, settings.variations)
            if settings.variations and trainer.step < settings.steps:
                source.keep(
                    run.folder / "examples",
                    workers,
                    lambda done, total: ctx.progress(done, total, note="encoding examples"),
                )
            draw = Sheets(source, model, trainer, parts, vae, run) if settings.sample_every else None
            _fit(parts, settings, ctx, run, trainer, source, draw)
        found = finish(run, trainer, model, parts, settings.half)
    if workers.main:
        ctx.announce(run.folder / "model")
    return found


def _fit(
    parts: Parts, settings: ExemplarSettings, ctx: Context, run: Run, trainer: Trainer, source: Source, draw: Any
) -> None:
    objective = Objective(
        alphas_cumprod(parts.scheduler.config),
        check_prediction_type(parts.scheduler.prediction_type),
        settings.condition_dropout,
        settings.seed,
        settings.snr_limit,
    )
    main = trainer.workers.main

    def on_step(now: Progress) -> None:
        if main and (now.step % 10 == 0 or now.step == settings.steps):
            append_line(run.folder / "log.jsonl", dataclasses.asdict(now))
        sheet = draw(now.step) if draw is not None and main and now.step % settings.sample_every == 0 else None
        ctx.progress(now.step, settings.steps, sheet, f"loss {now.mean:.4f} · {now.per_second:.1f} pictures/s")

    fit(trainer, objective, source, on_step, ctx.warn)


def fit(
    trainer: Trainer,
    objective: Objective,
    source: Source,
    on_step: Callable[[Progress], None],
    warn: Callable[[str], None],
) -> None:
    """Train, while threads make what the next steps need.

    Raises:
        TrainingFailed: the loss is not finite; what is at fault is named: a model that encodes, or the learning rate.
    """
    device, now = trainer.workers.device, trainer.step
    batches: list[Batch] = []  # of the step that is being taken

    def later(step: int, rows: range) -> Iterator[tuple[int, int, int]]:
        for at in range(step, trainer.recipe.steps):
            for one in trainer.rows():
                if at > step or one.start > rows.start:
                    yield at, one.start, one.stop

    def make(key: tuple[int, int, int]) -> Inputs:
        return objective.inputs(source, key[0], range(*key[1:]))

    def loss_of(module: nn.Module, step: int, rows: range) -> Tensor:
        nonlocal now
        inputs = ahead.take((step, rows.start, rows.stop), later(step, rows))
        with torch.autocast(device.type, enabled=False):
            batch = source.encoded(inputs.made)
        if step != now:
            batches.clear()
        now = step
        batches.append(batch)
        return objective.of(module, batch, inputs.drawn, device)

    with Ahead(make, device, trainer.workers.count) as ahead:
        try:
            trainer.fit(loss_of, on_step, warn)
        except TrainingFailed as error:
            if error.port == "learning_rate":
                for batch in batches:
                    require_finite(batch, source.encoders)
            raise


def require_parts(parts: Parts) -> None:
    """Raise BadInput unless the parts fit together."""
    require_models(parts)
    if not hasattr(parts.photos, "pairs"):
        raise BadInput(
            "photos",
            found=describe(parts.photos),
            expected="pictures with boxes",
            fix="wire the photos output of subject.photos",
        )


def require_models(parts: Parts) -> None:
    """Raise BadInput unless the models fit together, whatever the photos."""
    require_denoiser(parts.denoiser)
    if not has_fact(parts.encoder, "image_size"):
        raise BadInput(
            "exemplar_encoder",
            found=describe(parts.encoder),
            expected="the description of an exemplar encoder",
            fix="wire the output of model.paint_by_example, or of model.exemplar_encoder for a new one",
        )
    channels, latent = parts.denoiser.in_channels, parts.denoiser.latent_channels
    if channels not in (latent, 2 * latent + 1) or parts.vae.latent_channels != latent:
        raise BadInput(
            "denoiser",
            found=f"a UNet of {channels} input channels with a VAE of {parts.vae.latent_channels}",
            expected=f"{latent} or {2 * latent + 1} input channels",
            fix="begin from a plain Stable Diffusion 1.x or a Paint-by-Example model",
        )
    if parts.encoder.width != parts.denoiser.cross_attention_dim:
        raise BadInput(
            "exemplar_encoder",
            found=f"tokens of width {parts.encoder.width}",
            expected=f"{parts.denoiser.cross_attention_dim}, as the {parts.denoiser.label} listens to",
            fix=f"set width to {parts.denoiser.cross_attention_dim} in model.exemplar_encoder",
        )


def side_of(parts: Parts, size: int | None) -> int:
    """Side of the cut-outs in pixels, which the VAE can encode."""
    side = size or int((parts.denoiser.sample_size or 64) * parts.vae.factor)
    if side % parts.vae.factor:
        raise BadInput(
            "size",
            found=f"{side} pixels",
            expected=f"a multiple of {parts.vae.factor}, as the {parts.vae.label} needs",
            fix=f"use {side // parts.vae.factor * parts.vae.factor}",
        )
    return side


def _model(parts: Parts, settings: ExemplarSettings, side: int, workers: Workers) -> ExemplarDenoiser:
    """UNet and encoder in training precision, nobody else's: leased modules must not change."""
    master = torch.float64 if parts.denoiser.dtype == "float64" else torch.float32
    name = "float64" if master == torch.float64 else "float32"
    unet, encoder = (
        dataclasses.replace(part, dtype=name).load(str(workers.device)) for part in (parts.denoiser, parts.encoder)
    )
    if parts.denoiser.in_channels == parts.denoiser.latent_channels:
        widen(unet, parts.denoiser.latent_channels + 1)
    plain = workers.device.type == "cpu" and (side // parts.vae.factor) ** 2 <= SMALL
    prepare(unet, one_token=encoder.one_token, plain_attention=plain, checkpointing=settings.checkpointing)
    whole = ExemplarDenoiser(unet, encoder).to(workers.device, master)
    return whole.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def encoders_of(vae: Any, parts: Parts, encoder: Any, workers: Workers, precision: Precision, side: int) -> Encoders:
    """What encodes examples of `side` pixels, as training uses it: the VAE never in float16, which it overflows."""
    half = precision_of(precision, workers.device)
    casting = half if half == torch.bfloat16 else None
    mean, std = (torch.tensor(values)[:, None, None] for values in (parts.encoder.mean, parts.encoder.std))
    cells = side // parts.vae.factor
    return Encoders(
        vae,
        parts.vae.scaling_factor,
        parts.vae.shift_factor,
        encoder.token,
        mean,
        std,
        workers.device,
        (parts.vae.latent_channels, cells, cells),
        next(encoder.parameters()).dtype,
        casting,
    )
