"""Windows around holes: cut out, resized for a model, and put back."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from ..graph_runtime.core.light.later import Float, Tensor, torch
from .boxes import Box
from .masks.morphology import depth, resize_mask
from .paste import RING, RING_LEAST
from .resize import reflect_index, resize_image

Paste = Callable[[Tensor, Tensor, Tensor], Tensor]  # (base, patch, mask) of a part: what is shown there


class Place(NamedTuple):
    """A window's corner and sides in pixels of the whole picture; it may extend beyond the picture."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, eq=False)
class Window:
    """Where patches were cut: each of `places` of each picture of `base`, resized to `size` (height, width).

    The patches of one picture follow each other. The part of a window outside the picture is mirrored, and dropped when
    the patch is put back. `base` and `mask` are whole pictures, shared with the node that they came from: they are
    never written to.
    """

    base: Tensor
    mask: Tensor
    places: tuple[Place, ...]
    size: tuple[int, int]

    @property
    def top(self) -> int:
        """First row of the first window."""
        return self.places[0].top

    @property
    def left(self) -> int:
        """First column of the first window."""
        return self.places[0].left

    @property
    def height(self) -> int:
        """Height of the first window in the picture."""
        return self.places[0].height

    @property
    def width(self) -> int:
        """Width of the first window in the picture."""
        return self.places[0].width

    @property
    def rows(self) -> int:
        """How many patches were cut."""
        return len(self.base) * len(self.places)

    @property
    def nbytes(self) -> int:
        """Bytes in memory, for the cache."""
        return self.base.nbytes + self.mask.nbytes


def cut_windows(
    window: Window, *, mirror_mask: bool = False
) -> tuple[Float[Tensor, "n ph pw 3"], Float[Tensor, "n ph pw"]]:
    """Picture and mask inside each window at the patch's size.

    Beyond the picture's border, its pixels are mirrored. They count as known, or with `mirror_mask` as hole where a
    hole is mirrored.
    """
    parts, masks = [], []
    for place in window.places:
        image, mask = _cut(window.base, place), _cut(window.mask, place)
        inside = _inside(place, *window.base.shape[1:3])
        if not mirror_mask and not inside.all():
            mask = torch.where(inside.to(mask.device), mask, 0)
        parts.append(resize_image(image, *window.size))
        masks.append(resize_mask(mask, *window.size))
    return _by_picture(parts), _by_picture(masks)


def _cut(whole: Tensor, place: Place) -> Tensor:
    """The part of `[b h w …]` at a place, mirrored beyond the border; a view where the place lies inside."""
    height, width = whole.shape[1:3]
    if place.top >= 0 and place.left >= 0 and place.top + place.height <= height and place.left + place.width <= width:
        return whole[:, place.top : place.top + place.height, place.left : place.left + place.width]
    rows = reflect_index(place.top, place.top + place.height, height).to(whole.device)
    columns = reflect_index(place.left, place.left + place.width, width).to(whole.device)
    return whole[:, rows][:, :, columns]


def _inside(place: Place, height: int, width: int) -> Tensor:
    y = torch.arange(place.top, place.top + place.height)
    x = torch.arange(place.left, place.left + place.width)
    return ((y >= 0) & (y < height))[:, None] & ((x >= 0) & (x < width))[None]


def _by_picture(parts: list[Tensor]) -> Tensor:
    """A batch for each place as one batch, in which the parts of one picture follow each other."""
    return parts[0] if len(parts) == 1 else torch.stack(parts, 1).flatten(0, 1)


def put_back(patch: Float[Tensor, "n ph pw 3"], window: Window, paste: Paste, ringed: bool) -> Tensor:
    """The whole pictures `[b·k h w 3]` with the patches in their windows, for k variations of each patch.

    Args:
        patch: one for each window that was cut, or k for each, one after the other; or one for all.
        window: where they were cut.
        paste: mixes a part of the picture and a patch by the mask of that part.
        ringed: `paste` looks at known pixels around the hole, up to `RING` away.
    """
    patch = patch.to(window.base)
    count, places = max(len(patch), window.rows), len(window.places)
    variations = count // window.rows
    out = window.base.clone() if variations == 1 else window.base.repeat_interleave(variations, 0)
    for row in range(count):
        picture, number = divmod(row // variations, places)
        place, mask = window.places[number], window.mask[picture][None]
        base = window.base[picture][None]
        shown = resize_image(patch[row % len(patch)][None], place.height, place.width)
        height, width = base.shape[1:3]
        inner = _clipped(place, height, width)
        outer = _around(inner, mask, ringed)
        part = base[:, outer[1] : outer[3], outer[0] : outer[2]]
        pasted = part.clone()
        here = (
            slice(None),
            slice(inner[1] - outer[1], inner[3] - outer[1]),
            slice(inner[0] - outer[0], inner[2] - outer[0]),
        )
        pasted[here] = shown[
            :, inner[1] - place.top : inner[3] - place.top, inner[0] - place.left : inner[2] - place.left
        ]
        pasted = paste(part, pasted, mask[:, outer[1] : outer[3], outer[0] : outer[2]])
        out[picture * variations + row % variations, inner[1] : inner[3], inner[0] : inner[2]] = pasted[here][0]
    return out


def hidden(mask: Float[Tensor, "b h w"], place: Place) -> bool:
    """True if a mask covers everything that a window shows of the picture."""
    left, top, right, bottom = _clipped(place, *mask.shape[1:])
    return bool((mask[:, top:bottom, left:right] > 0).flatten(1).all(1).any())


def _clipped(place: Place, height: int, width: int) -> Box:
    """The part of a place that lies in the picture."""
    return (
        max(0, place.left),
        max(0, place.top),
        min(width, place.left + place.width),
        min(height, place.top + place.height),
    )


def _around(inner: Box, mask: Float[Tensor, "1 h w"], ringed: bool) -> Box:
    """A box that decides as the whole picture would: all known pixels that feathering and colours ask for are in it.

    A hole's depth depends on pixels next to it, its colours on the ring around it; where that is too small, on all.
    """
    height, width = mask.shape[1:]
    margin = RING + 1 if ringed else 1
    outer = (
        max(0, inner[0] - margin),
        max(0, inner[1] - margin),
        min(width, inner[2] + margin),
        min(height, inner[3] + margin),
    )
    if ringed:
        known = mask[:, outer[1] : outer[3], outer[0] : outer[2]] <= 0
        if known.all() or int(((depth(known) <= RING) & known).sum()) < RING_LEAST:
            return 0, 0, width, height
    return outer
