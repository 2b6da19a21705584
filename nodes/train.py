"""Training on pictures, resumable to the bit: a Paint-by-Example model, or one subject as a LoRA."""

from collections.abc import Mapping
from typing import Annotated, NamedTuple

from ..graph_runtime import Context, Needed, Renamed, SocketRole, node
from ..methods.subject_lora import kinds_of, require_rank
from ..models.lora.component import layer_sizes
from ..training.exemplar_settings import ExemplarSettings
from ..training.inputs import TrainingInputs, require_models, require_subject_models, side_of
from ..training.subject_settings import SubjectSettings
from .checks.before_run import described
from .evaluation import say_plain
from .ports import Denoiser, ExemplarEncoder, Lora, Photos, Scheduler, Text, Vae


class ExemplarTrained(NamedTuple):
    """A trained Paint-by-Example model."""

    denoiser: Denoiser
    exemplar_encoder: ExemplarEncoder
    report: Text


def _check_exemplar(known: Mapping[str, object], params: Mapping[str, object]) -> None:
    """Models that do not fit together, and a size that the VAE cannot encode."""
    denoiser, vae, encoder = (known.get(name) for name in ("denoiser", "vae", "exemplar_encoder"))
    if described(denoiser) and described(vae) and described(encoder):
        inputs = TrainingInputs.connected(denoiser, vae, None, encoder, None)
        require_models(inputs.denoiser, inputs.vae, inputs.encoder)
        side_of(inputs.denoiser, inputs.vae, ExemplarSettings.model_validate(dict(params)).size)


def _need_of_exemplar(known: Mapping[str, object], params: Mapping[str, object], device: str) -> Needed | None:
    """Copies of both models in training precision, their gradients, moments and average, and activations."""
    if not (inputs := _described(known)):
        return None
    from ..training.needed import needed_by_exemplar

    return needed_by_exemplar(inputs, ExemplarSettings.model_validate(dict(params)), device)


def _described(known: Mapping[str, object]) -> TrainingInputs | None:
    """The models of a training, if they are on this machine, and its photos as far as they are known."""
    denoiser, vae, scheduler, encoder = (
        known.get(name) for name in ("denoiser", "vae", "scheduler", "exemplar_encoder")
    )
    if not (described(denoiser) and described(vae) and described(scheduler) and described(encoder)):
        return None
    return TrainingInputs.connected(denoiser, vae, scheduler, encoder, known.get("photos"))


@node(
    "train.exemplar",
    version=2,
    effects=True,
    check=_check_exemplar,
    needs=_need_of_exemplar,
    migrations={1: Renamed({"extend_mask": "mask_jitter"})},
)
def exemplar(
    denoiser: Annotated[Denoiser, SocketRole("described")],
    vae: Vae,
    scheduler: Scheduler,
    exemplar_encoder: Annotated[ExemplarEncoder, SocketRole("described")],
    photos: Photos,
    ctx: Context,
    settings: ExemplarSettings,
) -> ExemplarTrained:
    """Train a Paint-by-Example model on pictures with boxes, with the pictures themselves as exemplars.

    Yang et al. 2022: the contents of a box are cut out, augmented and encoded as one CLIP token, and the denoiser
    learns to paint them back into a hole of arbitrary shape. A 4-channel UNet first gets more input channels, with zero
    weights. The UNet is trained, and the exemplar encoder's mapper, last norm, projection and learned vector; CLIP
    stays frozen. Checkpoints, samples and the model are kept in a folder below the output folder. After a stop, run the
    same settings again: training continues, to the same result. Several GPUs: `accelerate launch -m inlay run FILE`.

    Args:
        denoiser: a UNet of 4 channels to start from, or of 9 to train further.
        vae: the model's VAE.
        scheduler: gives the noise levels and what the model predicts.
        exemplar_encoder: from model.paint_by_example, or model.exemplar_encoder for a new one around a CLIP.
        photos: pictures with boxes, from subject.photos.

    Raises:
        BadInput: the models do not fit together, or the photos have no boxes.
        TrainingFailed: the loss is not finite, or the disk is full; the last checkpoint is intact.
    """
    from ..training.exemplar import train_exemplar

    say_plain(ctx, denoiser, "training")
    inputs = TrainingInputs.connected(denoiser, vae, scheduler, exemplar_encoder, photos)
    return ExemplarTrained(*train_exemplar(inputs, settings, ctx))


class SubjectTrained(NamedTuple):
    """The subject as a LoRA."""

    lora: Lora
    report: Text


def _check_subject(known: Mapping[str, object], params: Mapping[str, object]) -> None:
    """Models that do not fit together, a size that the VAE cannot encode, a rank that is larger than a layer."""
    denoiser, vae, encoder = (known.get(name) for name in ("denoiser", "vae", "exemplar_encoder"))
    if described(denoiser) and described(vae) and described(encoder):
        inputs, settings = (
            TrainingInputs.connected(denoiser, vae, None, encoder, None),
            SubjectSettings.model_validate(dict(params)),
        )
        require_subject_models(inputs.denoiser, inputs.encoder)
        side_of(inputs.denoiser, inputs.vae, settings.size)
        require_rank(layer_sizes(inputs.denoiser.base()), kinds_of(True, settings.targets), settings.rank)


def _need_of_subject(known: Mapping[str, object], params: Mapping[str, object], device: str) -> Needed | None:
    """Copies of both models in float32, the LoRA with what trains it, and activations."""
    if not (inputs := _described(known)):
        return None
    from ..training.needed import needed_by_subject

    return needed_by_subject(inputs, SubjectSettings.model_validate(dict(params)), device)


@node("train.subject_lora", version=1, effects=True, check=_check_subject, needs=_need_of_subject)
def subject_lora(
    denoiser: Annotated[Denoiser, SocketRole("described")],
    vae: Vae,
    scheduler: Scheduler,
    exemplar_encoder: Annotated[ExemplarEncoder, SocketRole("described")],
    photos: Photos,
    ctx: Context,
    settings: SubjectSettings,
) -> SubjectTrained:
    """Learn one subject from two to four photos, as a LoRA of a few megabytes on a Paint-by-Example model.

    Lim & Kim: the model is trained further on these photos alone, each the exemplar for its own hole. Its weights stay
    frozen; only A and B of h = W₀x + (α/r)·B·A·x are trained (Hu et al. 2022). The LoRA is written in half precision,
    with its base and settings in its header. After a stop, run the same settings again: training continues, to the same
    result.

    Args:
        denoiser: of model.paint_by_example.
        vae: the model's VAE.
        scheduler: gives the noise levels and what the model predicts.
        exemplar_encoder: its exemplar encoder; it does not change.
        photos: of the subject, from subject.photos.

    Raises:
        BadInput: the models do not fit together, or the rank is larger than a layer.
        TrainingFailed: the loss is not finite, or the disk is full; the last checkpoint is intact.
    """
    from ..training.subject import train_subject

    say_plain(ctx, denoiser, "training")
    inputs = TrainingInputs.connected(denoiser, vae, scheduler, exemplar_encoder, photos)
    return SubjectTrained(*train_subject(inputs, settings, ctx))
