"""Encoding training examples: pictures to latents, exemplars to tokens."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from ..graph_runtime.core.light.later import F, Tensor, nn, torch
from ..graph_runtime.core.values import without_gradients
from ..models.paint_by_example.encoder import ExemplarEncoder
from .errors import TrainingFailed
from .examples import Example
from .inputs import TrainingInputs
from .precision import Precision, autocast_dtype
from .processes import Workers
from .transfer import to_device


class Batch(NamedTuple):
    """Encoded examples: latents `[b 4 lh lw]`, masked pictures' latents, keep masks `[b 1 lh lw]`, tokens `[b n d]`."""

    latent: Tensor
    masked: Tensor
    keep: Tensor
    token: Tensor


class UnencodedBatch(NamedTuple):
    """Examples on the CPU, not encoded yet.

    Attributes:
        picture: `[b 3 s s]` in [0, 1].
        keep: `[b 1 s s]`, 1 = kept.
        cells: `keep` on the latent grid, `[b 1 lh lw]`.
        exemplar: `[b 3 r r]`, normalised as CLIP sees it.
        noise: for both posteriors, first that of the whole picture, `[b 2 c lh lw]`.
    """

    picture: Tensor
    keep: Tensor
    cells: Tensor
    exemplar: Tensor
    noise: Tensor


class Encoders(NamedTuple):
    """The models that turn examples into latents and tokens.

    Attributes:
        vae: on its device, in a precision of its own.
        scale: latents are (posterior − shift) · scale.
        shift: see scale.
        clip: normalised exemplars `[b 3 r r]` to tokens `[b n d]`.
        mean: of CLIP's input, `[3 1 1]`.
        std: of CLIP's input, `[3 1 1]`.
        device: of `clip` and of the results.
        latent: channels, height and width of a latent.
        dtype: of the results: that of the weights that are trained, whatever the VAE's.
        autocast: dtype of autocast, or None for none.
    """

    vae: nn.Module
    scale: float
    shift: float
    clip: Callable[[Tensor], Tensor]
    mean: Tensor
    std: Tensor
    device: torch.device
    latent: tuple[int, int, int]
    dtype: torch.dtype = torch.float32
    autocast: torch.dtype | None = None


def encoders_for(
    inputs: TrainingInputs, vae: nn.Module, encoder: ExemplarEncoder, workers: Workers, precision: Precision, side: int
) -> Encoders:
    """The encoders of examples of `side` pixels. The VAE is never cast to float16, in which it overflows.

    Args:
        inputs: describe both models.
        vae: on its device.
        encoder: an exemplar encoder, on the device of the training.
        workers: name that device.
        precision: of the training.
        side: of the cut-outs, pixels.
    """
    dtype = autocast_dtype(precision, workers.device)
    mean, std = (torch.tensor(values)[:, None, None] for values in (inputs.encoder.mean, inputs.encoder.std))
    cells = side // inputs.vae.factor
    return Encoders(
        vae,
        inputs.vae.scaling_factor,
        inputs.vae.shift_factor,
        encoder.token,
        mean,
        std,
        workers.device,
        (inputs.vae.latent_channels, cells, cells),
        next(encoder.parameters()).dtype,
        dtype if dtype == torch.bfloat16 else None,
    )


def collate(examples: Sequence[Example], generators: Sequence[torch.Generator], encoders: Encoders) -> UnencodedBatch:
    """Examples joined; each posterior's noise comes from its example's generator."""
    keep = torch.stack([example.keep for example in examples])
    exemplar = torch.stack([example.exemplar for example in examples])
    return UnencodedBatch(
        torch.stack([example.picture for example in examples]),
        keep,
        F.interpolate(keep, encoders.latent[1:]),
        (exemplar - encoders.mean) / encoders.std,
        torch.stack([torch.randn((2, *encoders.latent), generator=generator) for generator in generators]),
    )


@without_gradients
def encode(batch: UnencodedBatch, encoders: Encoders) -> Batch:
    """Latents and tokens of examples, posteriors sampled, in the precision of the weights that are trained."""
    weight = next(encoders.vae.parameters())
    batch = to_device(batch, weight.device)
    pictures = batch.picture.to(torch.promote_types(weight.dtype, torch.float32)) * 2 - 1
    both = torch.cat([pictures, pictures * batch.keep.to(pictures)]).to(weight.dtype)
    with torch.autocast(weight.device.type, encoders.autocast, enabled=encoders.autocast is not None):
        posterior = encoders.vae.encode(both, return_dict=False)[0]  # type: ignore[operator]
        token = encoders.clip(batch.exemplar.to(encoders.device))
    mean, std = (value.to(encoders.dtype) for value in (posterior.mean, posterior.std))
    drawn = mean + std * torch.cat(batch.noise.to(mean).unbind(1))
    latent, masked = ((drawn - encoders.shift) * encoders.scale).to(encoders.device).chunk(2)
    return Batch(latent, masked, batch.cells.to(latent), token.to(encoders.dtype))


def require_finite(batch: Batch, encoders: Encoders) -> None:
    """Raise TrainingFailed if latents or tokens are not finite, naming the model at fault."""
    for port, model, value in (
        ("vae", "the VAE", torch.cat([batch.latent, batch.masked])),
        ("exemplar_encoder", "the exemplar encoder", batch.token),
    ):
        if not torch.isfinite(value).all():
            dtype = next(encoders.vae.parameters()).dtype if port == "vae" else encoders.dtype
            kind = str(dtype).removeprefix("torch.")
            raise TrainingFailed(
                port,
                found=f"NaN or infinity from {model}, which computes in {kind}",
                expected="finite numbers",
                fix="set dtype to float32 in its model node"
                + ("; if it is so already, its weights are damaged" if kind == "float32" else ""),
            )
