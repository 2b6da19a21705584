"""Resizing and mirroring pictures."""

import numpy as np
from numpy.typing import NDArray

from ..graph_runtime.core.light.later import F, Float, Tensor, torch


def resize_image(image: Float[Tensor, "b h w 3"], height: int, width: int) -> Float[Tensor, "b height width 3"]:
    """Bicubic with antialiasing, clamped to [0, 1]; the same size gives the same bits."""
    if image.shape[1:3] == (height, width):
        return image.clone()
    out = F.interpolate(image.movedim(-1, 1), size=(height, width), mode="bicubic", antialias=True)
    return out.movedim(1, -1).clamp(0, 1).contiguous()


def reflect_index(start: int, stop: int, length: int) -> Tensor:
    """Indices `start … stop − 1` folded into [0, length) by mirroring at the borders (edge pixel not repeated)."""
    return torch.from_numpy(reflected(start, stop, length))


def reflected(start: int, stop: int, length: int) -> NDArray[np.int64]:
    """The same as an array of NumPy."""
    index = np.arange(start, stop, dtype=np.int64)
    if length == 1:
        return np.zeros_like(index)
    index %= 2 * (length - 1)
    return np.where(index < length, index, 2 * (length - 1) - index)
