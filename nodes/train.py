"""Training: models that learn from pictures, resumable to the bit."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from ..graph_runtime import Context, node
from ..training.exemplar import Parts, Settings, require_models, side_of, train_exemplar
from ..training.trainer import Precision
from .checks.before_run import described
from .ports import Denoiser, ExemplarEncoder, Photos, Scheduler, Text, Vae

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10**7)]
Seed = Annotated[int, Field(ge=0, le=2**64 - 1)]


class ExemplarTrained(NamedTuple):
    """A trained Paint-by-Example model."""

    denoiser: Denoiser
    exemplar_encoder: ExemplarEncoder
    report: Text


def _check(known: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Models that do not fit together, and a size that the VAE cannot encode."""
    models = [known.get(name) for name in ("denoiser", "vae", "exemplar_encoder")]
    if described(*models):
        parts = Parts(models[0], models[1], None, models[2], None)
        require_models(parts)
        side_of(parts, SimpleNamespace(size=params["size"]))


@node("train.exemplar", version=1, effects=True, check=_check)
def exemplar(
    denoiser: Denoiser,
    vae: Vae,
    scheduler: Scheduler,
    exemplar_encoder: ExemplarEncoder,
    photos: Photos,
    ctx: Context,
    steps: Count = 20_000,
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16,
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-5,
    condition_dropout: Share = 0.2,
    size: Annotated[int, Field(ge=16, le=2048)] | None = None,
    variations: Annotated[int, Field(ge=0, le=10_000)] = 0,
    flip: Share = 0.5,
    rotate: Annotated[float, Field(ge=0, le=180)] = 20.0,
    blur: Share = 0.3,
    elastic: Share = 0.3,
    arbitrary_mask: Share = 0.5,
    extend_mask: Share = 0.4,
    warmup: Annotated[int, Field(ge=0)] = 0,
    decay: Share = 0.0,
    weight_decay: Share = 0.01,
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.9999,
    snr_limit: Annotated[float, Field(ge=0)] = 0.0,
    precision: Precision = "auto",
    micro_batch: Annotated[int, Field(ge=0)] = 0,
    checkpointing: bool = False,
    seed: Seed = 0,
    resume: bool = True,
    save_every: Count = 250,
    sample_every: Annotated[int, Field(ge=0)] = 500,
    half: bool = True,
    prefix: str = "paint-by-example",
) -> ExemplarTrained:
    """Train a Paint-by-Example model on pictures with boxes, with the pictures themselves as exemplars.

    Yang et al. 2022: what lies in a box is cut out, augmented, and shown through one CLIP token; the denoiser learns to
    put it back into a hole of an arbitrary shape. A 4-channel UNet is first widened with zero channels. What learns is
    the UNet, and of the exemplar encoder the mapper, last norm, projection and learned vector; CLIP stays as it is.
    Everything is kept in a folder below the output folder, from which the same settings go on after any stop, to the
    same result. Several GPUs: `accelerate launch -m inlay run FILE`.

    Args:
        denoiser: a UNet of 4 channels to begin from, or of 9 to go on with.
        vae: its VAE.
        scheduler: gives the noise levels and what the model predicts.
        exemplar_encoder: from model.paint_by_example, or model.exemplar_encoder for a new one around a CLIP.
        photos: pictures with boxes, from subject.photos.
        steps: optimizer steps in all; more than a finished training had makes it go on.
        batch_size: examples a step, over all devices.
        learning_rate: of AdamW.
        condition_dropout: probability that the learned vector stands in for the exemplar; guidance needs some.
        size: side of the square cut-outs in pixels; null is what the UNet was trained on.
        variations: examples made of each box once and kept encoded, much faster; 0 makes new ones at each step.
        flip: probability that an exemplar is mirrored.
        rotate: largest angle by which an exemplar is turned, degrees.
        blur: probability that an exemplar is blurred.
        elastic: probability that an exemplar is warped.
        arbitrary_mask: share of holes of an arbitrary shape; the others are rectangles.
        extend_mask: how far a hole may reach beyond its box, as a share of the free space on each side.
        warmup: steps over which the learning rate rises.
        decay: last share of the steps, over which the learning rate falls to zero; 0 keeps it constant.
        weight_decay: of AdamW.
        ema: decay of the moving average of the weights, which is what is given out; 0 gives out the last weights.
        snr_limit: weights noise levels by min(SNR, limit) / SNR; 0 leaves them equal, as published.
        precision: what is computed in; the weights stay in float32. auto: bfloat16 on a GPU that has it.
        micro_batch: examples that go through at once, gradients accumulate; 0 is all, halved when memory runs out.
        checkpointing: recompute activations in the backward pass: slower, less memory.
        seed: of everything random.
        resume: go on from the checkpoint in the folder; false begins anew.
        save_every: steps between checkpoints.
        sample_every: steps between sample sheets; 0 makes none.
        half: write the model in half precision.
        prefix: the folder's name begins with it.

    Raises:
        BadInput: the parts do not fit together, or the photos have no boxes.
        TrainingFailed: the loss is not finite, or the disk is full; the last checkpoint is whole.
    """
    settings = Settings(
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        condition_dropout=condition_dropout,
        size=size,
        variations=variations,
        flip=flip,
        rotate=rotate,
        blur=blur,
        elastic=elastic,
        arbitrary_mask=arbitrary_mask,
        extend_mask=extend_mask,
        warmup=warmup,
        decay=decay,
        weight_decay=weight_decay,
        ema=ema,
        snr_limit=snr_limit,
        precision=precision,
        micro_batch=micro_batch,
        checkpointing=checkpointing,
        seed=seed,
        resume=resume,
        save_every=save_every,
        sample_every=sample_every,
        half=half,
        prefix=prefix,
    )
    trained = train_exemplar(Parts(denoiser, vae, scheduler, exemplar_encoder, photos), settings, ctx)
    return ExemplarTrained(*trained)
