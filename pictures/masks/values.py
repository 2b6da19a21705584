"""Mask values: 1 = repaint, 0 = keep."""

from collections.abc import Callable
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Float, Tensor, torch
from ...graph_runtime.core.light.sketch import Sketch

RANGE_SLACK = 1e-3  # overshoot of [0, 1] that resampling in other packs may cause


def unit_mask(mask: Float[Tensor, "b h w"], port: str = "mask") -> Float[Tensor, "b h w"]:
    """`mask` clamped to [0, 1]; the mask itself where it lies there already.

    Raises:
        BadInput: at `port`, for NaN, infinity, or values well outside [0, 1].
    """
    if mask.is_meta:  # not computed yet: only its shape is known
        return mask
    if not mask.is_floating_point():
        mask = mask.float()
    low, high = _bounds(mask)
    if not (low >= -RANGE_SLACK and high <= 1 + RANGE_SLACK):  # also true for NaN
        raise BadInput(
            port,
            found=f"mask values from {low:g} to {high:g}",
            expected="values in [0, 1], 1 = repaint",
            fix="divide by 255 if it holds bytes; else check the node that made NaN or infinity",
        )
    return mask if low >= 0 and high <= 1 else mask.clamp(0, 1)


def _bounds(mask: Tensor) -> tuple[float, float]:
    if isinstance(mask, Sketch):
        return float(mask.min()), float(mask.max())
    low, high = torch.aminmax(mask)
    return float(low), float(high)


def per_mask(
    function: Callable[[NDArray[np.float32]], NDArray[np.generic]], mask: Float[Tensor, "b h w"]
) -> Float[Tensor, "b h w"]:
    """A numpy function applied to every `[h w]` plane; the result has the mask's dtype and device."""
    planes = [np.ascontiguousarray(function(plane)) for plane in mask.detach().cpu().numpy()]
    return as_tensor(np.stack(planes), mask).to(mask)


def as_tensor(values: NDArray[np.generic], like: Tensor) -> Tensor:
    """Numbers as a tensor; as a sketch where `like` is one."""
    return cast(Tensor, Sketch.of(values)) if isinstance(like, Sketch) else torch.from_numpy(values)
