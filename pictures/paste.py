"""Paste a patch back without changing the known pixels, and match its colours and its edge to theirs."""

from collections.abc import Callable

import numpy as np

from ..graph_runtime import BadInput
from ..graph_runtime.core.light.later import Bool, Float, Tensor, torch
from .arrays import Float64Array
from .boxes import bounding_box
from .masks.morphology import depth
from .membrane import membrane

RING = 32  # pixels around the hole in which colours are compared
RING_LEAST = 64  # known pixels; if the ring has fewer, all known ones are compared


def blend(
    base: Float[Tensor, "b h w 3"],
    patch: Float[Tensor, "b h w 3"],
    weight: Float[Tensor, "b h w"],
) -> Float[Tensor, "b h w 3"]:
    """`base` bit for bit where weight is 0, `patch` bit for bit where it is 1, and a mixture in between.

    Selection instead of arithmetic: `0 · NaN` is NaN, `−0.0 + 0.0` is `0.0`, and `b + 0·(p − b)` rounds.
    """
    w = weight[..., None]
    mixed = base + w * (patch - base)
    return torch.where(w == 0, base, torch.where(w == 1, patch, mixed))


def shown_through(base: Tensor, patch: Tensor, mask: Tensor, weight: Tensor) -> float:
    """How much two pictures differ where a feather lets both show: the mean over its soft border, 0 to 1."""
    border = (weight > 0) & (weight < mask)
    return float((patch - base)[border].abs().mean()) if bool(border.any()) else 0.0


def even_out(
    patch: Float[Tensor, "b h w 3"], base: Float[Tensor, "b h w 3"], hole: Bool[Tensor, "b h w"]
) -> Float[Tensor, "b h w 3"]:
    """The patch plus the membrane over its error at the hole's edge, in the hole alone (Pérez et al. 2003, eq. 7).

    So it goes over into the base without a jump, and keeps its own detail. Clamped to [0, 1] in the hole. A plane
    without a known pixel is unchanged.
    """
    some = ~hole.flatten(1).all(1)
    out = patch.clone()
    for picture, given, plane in zip(out, base, hole & some[:, None, None], strict=True):
        box = bounding_box(plane[None])
        if box is not None:
            left, top, right, bottom = box
            part = slice(max(0, top - 1), bottom + 1), slice(max(0, left - 1), right + 1)
            error, inside = (given[part] - picture[part])[None], plane[part]
            moved = (picture[part] + membrane(error, inside[None])[0]).clamp(0, 1)
            picture[part] = torch.where(inside[..., None], moved, picture[part])
    return out


def edge(hole: Bool[Tensor, "b h w"]) -> Bool[Tensor, "b h w"]:
    """The known pixels beside the hole: those with one of their four neighbours in it."""
    near = torch.zeros_like(hole)
    near[:, 1:] |= hole[:, :-1]
    near[:, :-1] |= hole[:, 1:]
    near[:, :, 1:] |= hole[:, :, :-1]
    near[:, :, :-1] |= hole[:, :, 1:]
    return near & ~hole


def match_colours(
    patch: Float[Tensor, "b h w 3"], base: Float[Tensor, "b h w 3"], hole: Bool[Tensor, "b h w"], method: str
) -> Float[Tensor, "b h w 3"]:
    """The patch with channels shifted (`mean`) or remapped (`histogram`) to match the base on the known pixels.

    Both are fitted on the known pixels within 32 px of the hole (on all known ones where these are too few): `mean`
    adds the difference of the channel means, `histogram` maps each channel by its sorted values. Clamped to [0, 1].

    Raises:
        BadInput: no pixel is known.
    """
    remap: Callable[[Tensor, Tensor, Tensor], Tensor] = _shift if method == "mean" else _remap
    out = []
    for picture, target, plane in zip(patch, base, hole, strict=True):
        if plane.all():
            raise BadInput(
                "color_match",
                found="a mask that covers the whole picture",
                expected="known pixels to compare colours on",
                fix="use color_match=none",
            )
        ring = ~plane
        if plane.any():
            near = ring & (depth(ring[None])[0] <= RING)
            ring = near if int(near.sum()) >= RING_LEAST else ring
        channels = [remap(picture[..., c], picture[..., c][ring], target[..., c][ring]) for c in range(3)]
        out.append(torch.stack(channels, -1).clamp(0, 1).to(patch))
    return torch.stack(out)


def _shift(values: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """`values` plus the difference of the means of `target` and `source`."""
    return values + (target.double().mean() - source.double().mean()).to(values)


def _remap(values: Tensor, source: Tensor, target: Tensor) -> Tensor:
    """Map quantiles of `source` to those of `target`, linearly in between; beyond the range, the shift of the end is
    kept."""
    at, to = _strictly_rising(np.sort(source.double().cpu().numpy()), np.sort(target.double().cpu().numpy()))
    flat = values.double().cpu().numpy()
    mapped = np.interp(flat, at, to)
    mapped += np.where(flat < at[0], flat - at[0], 0) + np.where(flat > at[-1], flat - at[-1], 0)
    return torch.from_numpy(mapped).to(values)


def _strictly_rising(at: Float64Array, to: Float64Array) -> tuple[Float64Array, Float64Array]:
    """Merge equal positions to the mean of their targets, so that the map is a function."""
    unique, start = np.unique(at, return_index=True)
    counts = np.diff(np.append(start, len(at)))
    return unique, np.add.reduceat(to, start) / counts
