"""The models and photos of a training, and checks that they fit together."""

from typing import NamedTuple, cast

from ..graph_runtime import BadInput
from ..models.fast.component import FastDenoiser
from ..models.image_encoder import ImageEncoderComponent
from ..models.paint_by_example.component import ExemplarEncoderComponent, NewExemplarEncoderComponent
from ..models.stable_diffusion import DenoiserComponent, SchedulerComponent, VaeComponent
from ..pictures.photos.photo import PhotoSet

AnyExemplarEncoder = ExemplarEncoderComponent | NewExemplarEncoderComponent


class TrainingInputs(NamedTuple):
    """The inputs of a training: descriptions of models, and photos with boxes."""

    denoiser: DenoiserComponent
    vae: VaeComponent
    scheduler: SchedulerComponent
    encoder: AnyExemplarEncoder
    photos: PhotoSet

    @classmethod
    def connected(
        cls, denoiser: object, vae: object, scheduler: object, encoder: object, photos: object
    ) -> "TrainingInputs":
        """The values connected to a node; `require_models` and `require_photos` check their types.

        A denoiser that is to be evaluated faster is trained as it is.
        """
        return cls(
            cast(DenoiserComponent, denoiser.inner if isinstance(denoiser, FastDenoiser) else denoiser),
            cast(VaeComponent, vae),
            cast(SchedulerComponent, scheduler),
            cast(AnyExemplarEncoder, encoder),
            cast(PhotoSet, photos),
        )

    def fingerprints(self) -> list[str]:
        """The fingerprint of each, in order."""
        return [item.fingerprint for item in self]


def require_models(denoiser: DenoiserComponent, vae: VaeComponent, encoder: ImageEncoderComponent) -> None:
    """Raise BadInput unless a Paint-by-Example model can be trained from these."""
    _require_whole_weights(denoiser)
    channels, latent = denoiser.in_channels, denoiser.latent_channels
    if channels not in (latent, 2 * latent + 1) or vae.latent_channels != latent:
        raise BadInput(
            "denoiser",
            found=f"a UNet of {channels} input channels with a VAE of {vae.latent_channels}",
            expected=f"{latent} or {2 * latent + 1} input channels",
            fix="start from a plain Stable Diffusion 1.x or a Paint-by-Example model",
        )
    require_width(denoiser, encoder, fix=f"set width to {denoiser.cross_attention_dim} in model.exemplar_encoder")


def _require_whole_weights(denoiser: DenoiserComponent) -> None:
    """Raise BadInput for quantised weights: steps of training are smaller than theirs."""
    how = getattr(denoiser, "quantize", "none")  # a UNet of another pack may have no such setting
    if how != "none":
        raise BadInput(
            "denoiser",
            found=f"the {denoiser.label}: quantised weights, which cannot be trained",
            expected="weights in the model's own precision",
            fix="set quantize to none in the model node; what is trained works with quantised weights afterwards",
        )


def require_subject_models(denoiser: DenoiserComponent, encoder: ImageEncoderComponent) -> None:
    """Raise BadInput unless the LoRA of a subject can be trained on these models."""
    if hasattr(denoiser, "adapters"):
        raise BadInput(
            "denoiser",
            found=f"the {denoiser.label}",
            expected="a base model, without LoRAs",
            fix="connect the model node itself; the finished LoRA can be stacked on others",
        )
    _require_whole_weights(denoiser)
    wanted = 2 * denoiser.latent_channels + 1
    if denoiser.in_channels != wanted:
        raise BadInput(
            "denoiser",
            found=f"the {denoiser.label}, of {denoiser.in_channels} input channels",
            expected=f"{wanted}: a Paint-by-Example model",
            fix="connect model.paint_by_example",
        )
    require_width(denoiser, encoder, fix="take both from one model.paint_by_example")


def require_width(denoiser: DenoiserComponent, encoder: ImageEncoderComponent, fix: str) -> None:
    """Raise BadInput unless the tokens are as wide as the denoiser's cross-attention."""
    width = getattr(encoder, "width", None)
    if width != denoiser.cross_attention_dim:
        raise BadInput(
            "exemplar_encoder",
            found=f"tokens of width {width}",
            expected=f"{denoiser.cross_attention_dim}, the cross-attention width of the {denoiser.label}",
            fix=fix,
        )


def side_of(denoiser: DenoiserComponent, vae: VaeComponent, size: int | None) -> int:
    """Side of the cut-outs in pixels: `size`, or the size that the UNet was trained on.

    Raises:
        BadInput: the VAE cannot encode it.
    """
    side = size or int((denoiser.sample_size or 64) * vae.factor)
    if side % vae.factor:
        raise BadInput(
            "size",
            found=f"{side} pixels",
            expected=f"a multiple of {vae.factor}, as the {vae.label} needs",
            fix=f"use {side // vae.factor * vae.factor}",
        )
    return side
