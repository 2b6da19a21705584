"""A leased UNet as loops call it: `(z, t, embeddings) -> output`, in and out in the loop's own precision.

Gradients of an inversion's loss are 1e-6 to 1e-7 and vanish in float16, whose smallest number is 6e-8. So they are
scaled on their way in, by a power of two for each row, and scaled back in float32 on their way out. The chain rule is
linear, so the result is the same, except for values that would have vanished (Micikevicius et al. 2018, §3.2). In
other precisions nothing is scaled.
"""

from typing import TYPE_CHECKING, Protocol

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor, torch
from .evaluation import Evaluate, Plain

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

PEAK = 8  # gradients enter the UNet with a largest value of 2^7 to 2^8; float16 goes from 2^-24 to 2^16
LOWER = 6  # by how many powers of two the scale is lowered after an overflow


class Model(Protocol):
    """The model for loops: `(z, t, embeddings) -> output`, latents `[b c lh lw]`, embeddings `[b n d]` or None."""

    def __call__(self, z: Tensor, t: Tensor, embeddings: Tensor | None, /) -> Tensor:
        """The output `[b c lh lw]` at timestep `t` `[]`."""


class UNetDescription(Protocol):
    """The part of a UNet's description that methods use."""

    @property
    def label(self) -> str:
        """A name for messages."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the weights, or the way they are used, change."""

    @property
    def latent_channels(self) -> int:
        """Channels of the latent that is denoised."""


class UNetModel:
    """A UNet in some precision as a function for loops in float32 (or float64).

    Args:
        unet: whose precision counts.
        channels: of the latent that is denoised.
        evaluate: how it is evaluated; None: as it is.

    Attributes:
        dtype: the UNet's own precision.
        peak: power of two at which float16 gradients enter; lowered if they overflow.
    """

    def __init__(self, unet: "UNet2DConditionModel", channels: int, evaluate: Evaluate | None = None) -> None:
        self.dtype: torch.dtype = next(unet.parameters()).dtype
        self.peak = PEAK
        self._evaluate, self._channels = evaluate or Plain(unet), channels

    def __call__(self, z: Tensor, t: Tensor, embeddings: Tensor | None) -> Tensor:
        """The output for latents `[b c lh lw]` at a timestep, under embeddings `[b n d]`."""
        from .gradient_scaling import Scaled, Scaling, Unscaled

        scaling = None
        if embeddings is not None and embeddings.requires_grad and self.dtype == torch.float16:
            scaling = Scaling(self.peak)
            embeddings = Unscaled.apply(embeddings, scaling)  # type: ignore[no-untyped-call]
        inputs = {} if embeddings is None else {"encoder_hidden_states": embeddings.to(self.dtype)}
        output: Tensor = self._evaluate(z.to(self.dtype), t, **inputs)[:, : self._channels].to(z.dtype)
        return output if scaling is None else Scaled.apply(output, scaling)  # type: ignore[no-untyped-call]

    def lower_peak(self) -> bool:
        """Scale gradients less after an overflow; False if that does not help."""
        if self.dtype != torch.float16 or self.peak - LOWER < -PEAK:
            return False
        self.peak -= LOWER
        return True


def as_model(unet: "UNet2DConditionModel", denoiser: UNetDescription, evaluate: Evaluate | None = None) -> UNetModel:
    """The leased UNet of a description, for the loops; evaluated as it is, or by `evaluate`."""
    return UNetModel(unet, denoiser.latent_channels, evaluate)


def not_finite(model: object, where: str = "") -> BadInput:
    """The error for NaN or infinity from a model, with the likely cause for its precision."""
    dtype = getattr(model, "dtype", None)
    where = f" {where}" if where else ""
    if dtype in (torch.float16, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        return BadInput(
            "denoiser",
            found=f"NaN or infinity from the model in {name}{where}",
            expected="finite numbers: "
            + (
                "this model's activations exceed 65504, the largest float16"
                if dtype == torch.float16
                else "this model is too coarse in it"
            ),
            fix="set dtype to "
            + ("bfloat16 or float32" if dtype == torch.float16 else "float32")
            + " in the model node",
        )
    return BadInput(
        "denoiser",
        found=f"NaN or infinity from the model{where}",
        expected="finite numbers",
        fix=f"it computes in {str(dtype).removeprefix('torch.')}, so its weights are damaged: download the model again"
        if dtype is not None
        else "set dtype to float32 in the model node",
    )


def to_device(value: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Copy a CPU tensor to a device, in its own precision or another, without waiting for CUDA.

    It waits for an Apple GPU, because torch may free the source before it has been read (pytorch issue 189690).
    """
    value = value.to(dtype or value.dtype)
    if device.type != "cuda":
        return value.to(device)
    return value.pin_memory().to(device, non_blocking=True)  # pinned: otherwise the host would wait for the copy
