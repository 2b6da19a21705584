"""Training: models that learn from pictures, resumable to the bit."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ..graph_runtime import Context, Renamed, node
from ..training.exemplar import train_exemplar
from ..training.exemplar_settings import ExemplarSettings
from ..training.inputs import TrainingInputs, require_models, side_of
from .checks.before_run import described
from .ports import Denoiser, ExemplarEncoder, Photos, Scheduler, Text, Vae


class ExemplarTrained(NamedTuple):
    """A trained Paint-by-Example model."""

    denoiser: Denoiser
    exemplar_encoder: ExemplarEncoder
    report: Text


def _check(known: Mapping[str, Any], params: Mapping[str, Any]) -> None:
    """Models that do not fit together, and a size that the VAE cannot encode."""
    denoiser, vae, encoder = (known.get(name) for name in ("denoiser", "vae", "exemplar_encoder"))
    if denoiser is not None and vae is not None and encoder is not None and described(denoiser, vae, encoder):
        require_models(denoiser, vae, encoder)
        side_of(denoiser, vae, params["size"])


@node(
    "train.exemplar",
    version=2,
    effects=True,
    check=_check,
    migrations={1: Renamed({"extend_mask": "mask_jitter"})},
)
def exemplar(
    denoiser: Denoiser,
    vae: Vae,
    scheduler: Scheduler,
    exemplar_encoder: ExemplarEncoder,
    photos: Photos,
    ctx: Context,
    settings: ExemplarSettings,
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

    Raises:
        BadInput: the parts do not fit together, or the photos have no boxes.
        TrainingFailed: the loss is not finite, or the disk is full; the last checkpoint is whole.
    """
    inputs = TrainingInputs(denoiser, vae, scheduler, exemplar_encoder, photos)
    return ExemplarTrained(*train_exemplar(inputs, settings, ctx))
