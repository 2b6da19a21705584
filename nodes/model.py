"""Models, as descriptions: where the weights are and what their configuration says. Nothing is loaded here."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ..graph_runtime import BadInput, ModelSource, node
from ..models.precision import DType, Quantize
from ..models.source import locate
from ..models.stable_diffusion import DenoiserComponent, IdentityVae, SchedulerComponent, VaeComponent
from ..models.text_encoder import TextEncoderComponent
from ..models.unused_encoder_keys import warn_unused_of_encoder, warn_unused_of_reader
from ..models.unused_keys import warn_unused_of_model, warn_unused_preprocessing
from .ports import Denoiser, ExemplarEncoder, Scheduler, TextEncoder, Vae

Prediction = Literal["epsilon", "v_prediction", "sample"]


class StableDiffusion(NamedTuple):
    """The four components of a Stable Diffusion model."""

    denoiser: Denoiser
    vae: Vae
    text_encoder: TextEncoder
    scheduler: Scheduler


class PaintByExample(NamedTuple):
    """The four components of a Paint-by-Example model."""

    denoiser: Denoiser
    vae: Vae
    exemplar_encoder: ExemplarEncoder
    scheduler: Scheduler


class NewEncoder(NamedTuple):
    """An exemplar encoder to be trained."""

    exemplar_encoder: ExemplarEncoder


class PixelDiffusion(NamedTuple):
    """The components of an unconditional pixel-space model."""

    denoiser: Denoiser
    vae: Vae
    scheduler: Scheduler


@node("model.stable_diffusion", version=1, static=True)
def stable_diffusion(
    source: ModelSource = "dollhouse",
    revision: str | None = None,
    variant: str | None = None,
    dtype: DType = "auto",
    prediction: Prediction | None = None,
    vae_dtype: DType | None = None,
    encoder_dtype: DType | None = None,
    quantize: Quantize = "none",
) -> StableDiffusion:
    """Select a Stable Diffusion 1.x or 2.x model, inpainting models included.

    Weights are read only from safetensors, and only when a node needs them.

    Args:
        source: `dollhouse` (embedded), a hub id such as `owner/name`, a diffusers folder, or one .safetensors file.
        revision: branch, tag or commit of a hub id; null is its default branch.
        variant: which files of a component to read, e.g. `fp16`; null prefers the plain ones.
        dtype: precision in memory; auto is float16 on a CUDA device and float32 elsewhere, but float32
            for a VAE unless its configuration sets force_upcast to false.
        vae_dtype: precision of the VAE alone; null: the same as dtype.
        encoder_dtype: precision of the encoder alone; null: the same as dtype.
        quantize: hold the weights of the UNet's linear layers in 8 bits, for less memory and another, slightly worse
            picture; int8 and float8 need torchao (pip install 'torchao>=0.18').
        prediction: overrides the scheduler's prediction type; needed only for single files that do not name it.

    Raises:
        ModelError: a file is missing, damaged or a pickle; a component is of another family; the components do not
            fit together.
    """
    origin = locate(source, revision=revision, variant=variant, prediction=prediction)
    parts = StableDiffusion(
        DenoiserComponent.describe(origin, dtype, quantize),
        VaeComponent.describe(origin, vae_dtype or dtype),
        TextEncoderComponent.describe(origin, encoder_dtype or dtype),
        SchedulerComponent.describe(origin, dtype),
    )
    if origin.known:
        check_family(parts)
        warn_unused_of_model(origin, ("unet", "vae", "text_encoder", "scheduler", "tokenizer"), vae_dtype or dtype)
        warn_unused_of_reader(parts.text_encoder)
    return parts


@node("model.paint_by_example", version=1, static=True)
def paint_by_example(
    source: ModelSource = "dollhouse-exemplar",
    revision: str | None = None,
    variant: str | None = None,
    dtype: DType = "auto",
    vae_dtype: DType | None = None,
    encoder_dtype: DType | None = None,
    quantize: Quantize = "none",
) -> PaintByExample:
    """Select a Paint-by-Example model: a 9-channel UNet conditioned on a picture instead of words.

    Each component is read on its own, from safetensors, and only when a node needs it.

    Args:
        source: `dollhouse-exemplar` (embedded), a hub id such as `Fantasy-Studio/Paint-by-Example`, a diffusers folder,
            or one .safetensors file with the keys of the original checkpoint.
        revision: branch, tag or commit of a hub id; null is its default branch.
        variant: which files of a component to read, e.g. `fp16`; null prefers the plain ones.
        dtype: precision in memory; auto is float16 on a CUDA device and float32 elsewhere, but float32
            for a VAE unless its configuration sets force_upcast to false.
        vae_dtype: precision of the VAE alone; null: the same as dtype.
        encoder_dtype: precision of the encoder alone; null: the same as dtype.
        quantize: hold the weights of the UNet's linear layers in 8 bits, for less memory and another, slightly worse
            picture; int8 and float8 need torchao (pip install 'torchao>=0.18').

    Raises:
        ModelError: a file is missing, damaged or a pickle; a component is of another family; the components do not
            fit together.
    """
    from ..models.paint_by_example.component import ExemplarEncoderComponent

    origin = locate(source, revision=revision, variant=variant, family="paint_by_example")
    denoiser, vae = (
        DenoiserComponent.describe(origin, dtype, quantize),
        VaeComponent.describe(origin, vae_dtype or dtype),
    )
    encoder = ExemplarEncoderComponent.describe(origin, encoder_dtype or dtype)
    parts = PaintByExample(
        denoiser,
        vae,
        encoder,
        SchedulerComponent.describe(origin, dtype),
    )
    if origin.known:
        _check_exemplar_family(parts)
        warn_unused_of_model(
            origin, ("unet", "vae", "image_encoder", "feature_extractor", "scheduler"), vae_dtype or dtype
        )
        warn_unused_of_encoder(encoder)
        warn_unused_preprocessing(encoder)
    return parts


def _check_exemplar_family(parts: PaintByExample) -> None:
    """Refuse components that belong to different models."""
    denoiser, vae, encoder = parts.denoiser, parts.vae, parts.exemplar_encoder
    latent = vae.latent_channels
    if denoiser.in_channels != 2 * latent + 1 or denoiser.latent_channels != latent:
        raise BadInput(
            "source",
            found=f"a UNet of {denoiser.in_channels} input channels in {denoiser.origin.name}",
            expected=f"{2 * latent + 1}: the latent, the masked picture's latent, and the mask",
            fix="use model.stable_diffusion for this model, or make one of it with train.exemplar",
        )
    if encoder.width != denoiser.cross_attention_dim:
        raise BadInput(
            "source",
            found=f"exemplar tokens of width {encoder.width} and a UNet that expects {denoiser.cross_attention_dim}",
            expected="components of one model",
            fix="download the model again",
        )


@node("model.exemplar_encoder", version=1, static=True)
def exemplar_encoder(
    source: ModelSource = "dollhouse-clip",
    revision: str | None = None,
    variant: str | None = None,
    dtype: DType = "auto",
    width: Annotated[int, Field(ge=1, le=65_536)] = 768,
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0,
) -> NewEncoder:
    """Build a new, untrained exemplar encoder on a CLIP, for train.exemplar.

    Args:
        source: a CLIP: `dollhouse-clip` (embedded), a hub id such as `openai/clip-vit-large-patch14`, or a folder.
        revision: branch, tag or commit of a hub id; null is its default branch.
        variant: which files to read; null prefers the plain ones.
        dtype: precision in memory; auto is float16 on a CUDA device and float32 elsewhere.
        width: width of the token, that of the UNet's cross-attention, 768 for Stable Diffusion 1.x, 160 for dollhouse.
        seed: random seed of the new mapper, projection and learned vector.

    Raises:
        ModelError: a file is missing, damaged or a pickle, or is no CLIP.
    """
    from ..models.paint_by_example.component import NewExemplarEncoderComponent

    origin = locate(source, revision=revision, variant=variant, family="clip")
    stamp = NewExemplarEncoderComponent.state(origin) if origin.known else ""
    part = NewExemplarEncoderComponent(origin, dtype, stamp, width, seed)
    if origin.known:
        part.check()
        warn_unused_of_encoder(part)
        warn_unused_preprocessing(part)
    return NewEncoder(part)


@node("model.pixel_diffusion", version=1, static=True)
def pixel_diffusion(
    source: ModelSource,
    revision: str | None = None,
    variant: str | None = None,
    dtype: DType = "auto",
    quantize: Quantize = "none",
) -> PixelDiffusion:
    """Select an unconditional pixel-space diffusion model (a UNet2DModel in the diffusers layout).

    Its VAE is the identity: factor 1, scale 1, pictures in [−1, 1] are the latents.

    Args:
        source: a diffusers folder (with unet/ and scheduler/, or with both configurations at the top) or a hub id.
        revision: branch, tag or commit of a hub id; null is its default branch.
        variant: which files to read, e.g. `fp16`; null prefers the plain ones.
        dtype: precision in memory; auto is float16 on a CUDA device and float32 elsewhere.
        quantize: hold the weights of the UNet's linear layers in 8 bits, for less memory and another, slightly worse
            picture; int8 and float8 need torchao (pip install 'torchao>=0.18').

    Raises:
        ModelError: a file is missing, damaged or a pickle; the UNet is conditional or not for RGB pictures.
    """
    origin = locate(source, revision=revision, variant=variant, family="pixel")
    denoiser = DenoiserComponent.describe(origin, dtype, quantize)
    if denoiser.known and denoiser.conditional:
        raise BadInput(
            "source",
            found=f"a text-conditional UNet in {origin.name}",
            expected="an unconditional UNet2DModel",
            fix="use model.stable_diffusion for this model",
        )
    if denoiser.known and denoiser.in_channels != 3:
        raise BadInput(
            "source",
            found=f"a UNet of {denoiser.in_channels} channels in {origin.name}",
            expected="3 channels, red, green and blue",
            fix="use a model that was trained on RGB pictures",
        )
    if denoiser.known:
        warn_unused_of_model(origin, ("unet", "scheduler"), dtype)
    return PixelDiffusion(denoiser, IdentityVae(), SchedulerComponent.describe(origin, dtype))


def check_family(parts: StableDiffusion) -> None:
    """Refuse components that belong to different models."""
    denoiser, vae, text = parts.denoiser, parts.vae, parts.text_encoder
    if denoiser.cross_attention_dim is None:
        raise BadInput(
            "source",
            found=f"an unconditional UNet in {denoiser.origin.name}",
            expected="a UNet with cross-attention to text",
            fix="use model.pixel_diffusion for this model",
        )
    if vae.latent_channels != denoiser.latent_channels:
        raise BadInput(
            "source",
            found=f"a VAE of {vae.latent_channels} latent channels and a UNet of {denoiser.latent_channels}",
            expected="components of one model",
            fix="download the model again",
        )
    if text.hidden_size != denoiser.cross_attention_dim:
        raise BadInput(
            "source",
            found=f"a text encoder of width {text.hidden_size} and a UNet that expects {denoiser.cross_attention_dim}",
            expected="components of one model",
            fix="Stable Diffusion 1.x is 768 wide, 2.x 1024: take both from one model",
        )
