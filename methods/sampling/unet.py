"""A leased UNet as loops call it: `(z, t, embeddings) -> output`, in and out in the loop's own precision.

Gradients of an inversion's loss are 1e-6 to 1e-7 and vanish in float16, whose smallest number is 6e-8. So they are
scaled on their way in, by a power of two for each row, and scaled back in float32 on their way out. The chain rule is
linear, so the result is the same, except for values that would have vanished (Micikevicius et al. 2018, §3.2). In
other precisions nothing is scaled.
"""

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from ...graph_runtime import BadInput

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

    Attributes:
        dtype: the UNet's own precision.
        peak: power of two at which float16 gradients enter; lowered if they overflow.
    """

    def __init__(self, unet: "UNet2DConditionModel", channels: int) -> None:
        self.dtype: torch.dtype = next(unet.parameters()).dtype
        self.peak = PEAK
        self._unet, self._channels = unet, channels

    def __call__(self, z: Tensor, t: Tensor, embeddings: Tensor | None) -> Tensor:
        """The output for latents `[b c lh lw]` at a timestep, under embeddings `[b n d]`."""
        scaling = None
        if embeddings is not None and embeddings.requires_grad and self.dtype == torch.float16:
            scaling = _Scaling(self.peak)
            embeddings = _Unscaled.apply(embeddings, scaling)  # type: ignore[no-untyped-call]
        inputs = {} if embeddings is None else {"encoder_hidden_states": embeddings.to(self.dtype)}
        output: Tensor = self._unet(z.to(self.dtype), t, return_dict=False, **inputs)[0][:, : self._channels].to(
            z.dtype
        )
        return output if scaling is None else _Scaled.apply(output, scaling)  # type: ignore[no-untyped-call]

    def lower_peak(self) -> bool:
        """Scale gradients less after an overflow; False if that does not help."""
        if self.dtype != torch.float16 or self.peak - LOWER < -PEAK:
            return False
        self.peak -= LOWER
        return True


class _Scaling:
    """The factor of each row, once the gradient has arrived."""

    def __init__(self, peak: int) -> None:
        self.peak = peak
        self.factor: Tensor | None = None

    def of(self, gradient: Tensor) -> Tensor:
        """A power of two for each row `[b]`; 1 for a zero gradient."""
        largest = gradient.abs().flatten(1).amax(1)
        power = self.peak - 1 - torch.floor(torch.log2(largest.clamp(min=1e-30)))
        self.factor = torch.where(largest > 0, torch.exp2(power), torch.ones_like(largest))
        return self.factor


class _ScalingContext(FunctionCtx):
    scaling: _Scaling


class _Scaled(torch.autograd.Function):  # its `apply` is untyped in torch
    """Identity whose gradient is scaled up."""

    @staticmethod
    def forward(ctx: "_ScalingContext", value: Tensor, scaling: _Scaling) -> Tensor:
        ctx.scaling = scaling
        return value.view_as(value)

    @staticmethod
    def backward(ctx: "_ScalingContext", gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * ctx.scaling.of(gradient)[:, None, None, None], None


class _Unscaled(torch.autograd.Function):
    """Identity whose gradient is scaled back."""

    @staticmethod
    def forward(ctx: "_ScalingContext", value: Tensor, scaling: _Scaling) -> Tensor:
        ctx.scaling = scaling
        return value.view_as(value)

    @staticmethod
    def backward(ctx: "_ScalingContext", gradient: Tensor) -> tuple[Tensor, None]:
        assert ctx.scaling.factor is not None
        return gradient / ctx.scaling.factor[:, None, None], None


def as_model(unet: "UNet2DConditionModel", denoiser: UNetDescription) -> UNetModel:
    """The leased UNet of a description, for the loops."""
    return UNetModel(unet, denoiser.latent_channels)


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
