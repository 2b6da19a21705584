"""Learning one subject from a few photos, as a LoRA."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Annotated, Any, NamedTuple

from pydantic import Field

from ..graph_runtime import Context, node
from ..models.lora.component import layer_sizes
from ..models.lora.file import Layout
from ..training.exemplar import Parts, side_of
from ..training.subject import SubjectSettings, Targets, kinds_of, require_models, require_rank, train_subject
from ..training.trainer import Precision
from .checks.before_run import described
from .ports import Denoiser, ExemplarEncoder, Lora, Photos, Scheduler, Text, Vae

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=10**6)]


class SubjectTrained(NamedTuple):
    """The subject as a LoRA."""

    lora: Lora
    report: Text


def _check(known: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Models that do not fit together, a size that the VAE cannot encode, a rank that is larger than a layer."""
    models = [known.get(name) for name in ("denoiser", "vae", "exemplar_encoder")]
    if described(*models):
        parts = Parts(models[0], models[1], None, models[2], None)
        require_models(parts)
        side_of(parts, SimpleNamespace(size=params["size"]))
        require_rank(layer_sizes(parts.denoiser.base()), kinds_of(True, params["targets"]), params["rank"])


@node("train.subject_lora", version=1, effects=True, check=_check)
def subject_lora(
    denoiser: Denoiser,
    vae: Vae,
    scheduler: Scheduler,
    exemplar_encoder: ExemplarEncoder,
    photos: Photos,
    ctx: Context,
    rank: Annotated[int, Field(ge=1, le=1024)] = 4,
    alpha: Annotated[float, Field(gt=0, le=4096)] | None = None,
    targets: Targets = "attention",
    epochs: Count = 40,
    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16,
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 3e-5,
    condition_dropout: Share = 0.2,
    size: Annotated[int, Field(ge=16, le=2048)] | None = None,
    variations: Annotated[int, Field(ge=0, le=10_000)] = 100,
    flip: Share = 0.5,
    rotate: Annotated[float, Field(ge=0, le=180)] = 20.0,
    blur: Share = 0.3,
    mask_jitter: Share = 0.4,
    arbitrary_mask: Share = 0.5,
    decay: Share = 0.0,
    weight_decay: Share = 0.01,
    precision: Precision = "auto",
    micro_batch: Annotated[int, Field(ge=0)] = 0,
    checkpointing: bool = False,
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0,
    resume: bool = True,
    save_every: Count = 100,
    sample_every: Annotated[int, Field(ge=0)] = 100,
    patience: Annotated[int, Field(ge=0)] = 0,
    layout: Layout = "diffusers",
    prefix: str = "subject",
) -> SubjectTrained:
    """Learn one subject from two to four photos, as a LoRA of a few megabytes on a Paint-by-Example model.

    Lim & Kim: the model's own training goes on with these photos alone, each the exemplar for its own hole, while its
    weights stand still and h = W₀x + (α/r)·B·A·x learns (Hu et al. 2022). The LoRA is written in half precision, with
    what it was made of in its header. The same settings go on after any stop, to the same result.

    Args:
        denoiser: of model.paint_by_example.
        vae: its VAE.
        scheduler: gives the noise levels and what the model predicts.
        exemplar_encoder: its exemplar encoder; it does not change.
        photos: of the subject, from subject.photos.
        rank: of the LoRA; 1 to 64, the file grows with it.
        alpha: scale of the LoRA; null is the rank, which is a scale of 1.
        targets: attention, or the feed-forward layers too.
        epochs: how long; an epoch is 100 augmented views of each photo. More of them go on where the training ended,
            unless decay is set: then another number is another training.
        batch_size: views a step.
        learning_rate: of AdamW.
        condition_dropout: probability that the learned vector stands in for the exemplar.
        size: side of the square cut-outs in pixels; null is what the UNet was trained on.
        variations: views of each photo that are made once and kept encoded; 0 makes new ones at each step, which takes
            more than twice as long.
        flip: probability that an exemplar is mirrored.
        rotate: largest angle by which an exemplar is turned, degrees.
        blur: probability that an exemplar is blurred.
        mask_jitter: how far a hole may reach beyond its box, as a share of the free space: people draw masks too large.
        arbitrary_mask: share of holes of an arbitrary shape; the others are rectangles.
        decay: last share of the steps, over which the learning rate falls to zero; 0 keeps it constant, as published.
        weight_decay: of AdamW.
        precision: what is computed in; the LoRA learns in float32. auto: bfloat16 on a GPU that has it.
        micro_batch: views that go through at once, gradients accumulate; 0 is all, halved when memory runs out.
        checkpointing: recompute activations in the backward pass: slower, less memory.
        seed: of everything random.
        resume: go on from the checkpoint in the folder; false begins anew.
        save_every: steps between checkpoints.
        sample_every: steps between sample sheets; 0 makes none.
        patience: sheets without more likeness to the subject after which training ends; 0 goes to the last epoch.
        layout: names of the tensors in the file, as diffusers or as kohya writes them.
        prefix: the folder's name begins with it.

    Raises:
        BadInput: the parts do not fit together, or the rank is larger than a layer.
        TrainingFailed: the loss is not finite, or the disk is full; the last checkpoint is whole.
    """
    settings = SubjectSettings(
        rank=rank,
        alpha=alpha,
        targets=targets,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        condition_dropout=condition_dropout,
        size=size,
        variations=variations,
        flip=flip,
        rotate=rotate,
        blur=blur,
        mask_jitter=mask_jitter,
        arbitrary_mask=arbitrary_mask,
        decay=decay,
        weight_decay=weight_decay,
        precision=precision,
        micro_batch=micro_batch,
        checkpointing=checkpointing,
        seed=seed,
        resume=resume,
        save_every=save_every,
        sample_every=sample_every,
        patience=patience,
        layout=layout,
        prefix=prefix,
    )
    return SubjectTrained(*train_subject(Parts(denoiser, vae, scheduler, exemplar_encoder, photos), settings, ctx))
