"""Learning one subject from a few photos, as a LoRA."""

from collections.abc import Mapping
from typing import NamedTuple

from ..graph_runtime import Context, node
from ..methods.subject_lora import kinds_of, require_rank
from ..models.lora.component import layer_sizes
from ..training.inputs import TrainingInputs, require_subject_models, side_of
from ..training.subject import train_subject
from ..training.subject_settings import SubjectSettings
from .checks.before_run import described
from .ports import Denoiser, ExemplarEncoder, Lora, Photos, Scheduler, Text, Vae


class SubjectTrained(NamedTuple):
    """The subject as a LoRA."""

    lora: Lora
    report: Text


def _check(known: Mapping[str, object], params: Mapping[str, object]) -> None:
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


@node("train.subject_lora", version=1, effects=True, check=_check)
def subject_lora(
    denoiser: Denoiser,
    vae: Vae,
    scheduler: Scheduler,
    exemplar_encoder: ExemplarEncoder,
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
        vae: its VAE.
        scheduler: gives the noise levels and what the model predicts.
        exemplar_encoder: its exemplar encoder; it does not change.
        photos: of the subject, from subject.photos.

    Raises:
        BadInput: the models do not fit together, or the rank is larger than a layer.
        TrainingFailed: the loss is not finite, or the disk is full; the last checkpoint is intact.
    """
    inputs = TrainingInputs.connected(denoiser, vae, scheduler, exemplar_encoder, photos)
    return SubjectTrained(*train_subject(inputs, settings, ctx))
