"""A window around the hole: cut out, resized for a model, and put back."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from .batches import per_variation
from .fit import _near, _up
from .masks.morphology import resize_mask
from .resize import reflect_index, resize_image

SMALLEST_WINDOW = 64  # pixels; a smaller window gives a model too little context


@dataclass(frozen=True, eq=False)
class Window:
    """Where a patch was cut: `[top : top + height, left : left + width]` of `base`, resized to `size` (height, width).

    A window may extend beyond the picture; the part outside is mirrored, and dropped when the patch is put back.
    `mask` is the whole picture's.
    """

    base: Tensor
    mask: Tensor
    top: int
    left: int
    height: int
    width: int
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        """Bytes in memory, for the cache."""
        return self.base.nbytes + self.mask.nbytes


def plan_window(
    box: tuple[int, int, int, int], height: int, width: int, context: float, size: int | None, multiple: int = 8
) -> tuple[int, int, int, int, tuple[int, int]]:
    """`(top, left, height, width, patch size)` of a window around `box` (left, top, right, bottom).

    It is a square of `context` times the box's long side (at least 64 px), limited to the picture's sides, and moved
    inside. With a `size`, its long side becomes that; without one, its sides grow to a multiple of 8.
    """
    left, top, right, bottom = box
    side = max(SMALLEST_WINDOW, round(max(right - left, bottom - top) * context))
    window_h, window_w = min(side, height), min(side, width)
    if size is None:
        window_h, window_w = _up(window_h, multiple), _up(window_w, multiple)
        patch = (window_h, window_w)
    else:
        scale = size / max(window_h, window_w)
        patch = (
            max(multiple, _near(round(window_h * scale), multiple)),
            max(multiple, _near(round(window_w * scale), multiple)),
        )
    return _start(top, bottom, window_h, height), _start(left, right, window_w, width), window_h, window_w, patch


def _start(low: int, high: int, length: int, limit: int) -> int:
    """Where a window of `length` begins: centred on low … high, inside the picture where it fits there."""
    centred = (low + high - length) // 2
    return min(max(0, centred), limit - length) if length <= limit else -((length - limit) // 2)


def cut_window(window: Window) -> tuple[Float[Tensor, "b ph pw 3"], Float[Tensor, "b ph pw"]]:
    """The picture and the mask inside the window at the patch's size; beyond the border: mirrored, and known."""
    height, width = window.base.shape[1:3]
    rows = reflect_index(window.top, window.top + window.height, height).to(window.base.device)
    columns = reflect_index(window.left, window.left + window.width, width).to(window.base.device)
    image, mask = window.base[:, rows][:, :, columns], window.mask[:, rows][:, :, columns]
    inside = _inside(window)
    mask = torch.where(inside, mask, 0)
    return resize_image(image, *window.size), resize_mask(mask, *window.size)


def _inside(window: Window) -> Bool[Tensor, "h w"]:
    height, width = window.base.shape[1:3]
    y = torch.arange(window.top, window.top + window.height, device=window.base.device)
    x = torch.arange(window.left, window.left + window.width, device=window.base.device)
    return ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None]


def place_patch(patch: Float[Tensor, "b ph pw 3"], window: Window) -> Float[Tensor, "b h w 3"]:
    """The whole picture with the resized patch in the window's place."""
    patch = resize_image(patch.to(window.base), window.height, window.width)
    height, width = window.base.shape[1:3]
    base = per_variation(patch.shape[0], crop=window.base)[0]
    out = base.expand(max(patch.shape[0], base.shape[0]), -1, -1, -1).clone()
    top, left = max(0, window.top), max(0, window.left)
    bottom, right = min(height, window.top + window.height), min(width, window.left + window.width)
    out[:, top:bottom, left:right] = patch[
        :, top - window.top : bottom - window.top, left - window.left : right - window.left
    ]
    return out
