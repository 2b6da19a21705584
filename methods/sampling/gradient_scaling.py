"""Identities whose gradient is scaled up, and back down (see unet.py)."""

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx


class Scaling:
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
    scaling: Scaling


class Scaled(torch.autograd.Function):  # its `apply` is untyped in torch
    """Identity whose gradient is scaled up."""

    @staticmethod
    def forward(ctx: _ScalingContext, value: Tensor, scaling: Scaling) -> Tensor:
        """The value."""
        ctx.scaling = scaling
        return value.view_as(value)

    @staticmethod
    def backward(ctx: _ScalingContext, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient, scaled."""
        return gradient * ctx.scaling.of(gradient)[:, None, None, None], None


class Unscaled(torch.autograd.Function):
    """Identity whose gradient is scaled back."""

    @staticmethod
    def forward(ctx: _ScalingContext, value: Tensor, scaling: Scaling) -> Tensor:
        """The value."""
        ctx.scaling = scaling
        return value.view_as(value)

    @staticmethod
    def backward(ctx: _ScalingContext, gradient: Tensor) -> tuple[Tensor, None]:
        """The gradient, scaled."""
        assert ctx.scaling.factor is not None
        return gradient / ctx.scaling.factor[:, None, None], None
