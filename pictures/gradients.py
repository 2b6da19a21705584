"""Seamless cloning with gradients that are as small as the picture's own.

Pérez et al. 2003 (eq. 7) solve for f with f = base at the hole's edge and, in it, gradients as near as possible to a
guidance v; seamless cloning takes the patch's gradients. But what a VAE decodes is never quite flat: where the picture
changes by 0 or 1 of 255 from one pixel to the next, a patch changes by 2, and the eye sees the hole as a rougher area.

So the lengths of gradients are compared on the known pixels around the hole, where both pictures show the same: the
n-th smallest of the patch belongs to the n-th smallest of the base (a histogram, matched). In the hole each gradient of
the patch is shortened by the ratio of that pair, and never made longer:

    v_pq = g(|Δ|)·Δ,   Δ = patch_p − patch_q,   g(|Δ|) = min(1, base's quantile / patch's) at |Δ|

A patch as lively as the picture keeps its gradients, and where nothing can be compared this is the membrane.
"""

from collections.abc import Callable

from ..graph_runtime.core.light.later import Bool, Float, Tensor, torch
from .boxes import bounding_box
from .membrane import around, exact, solve_poisson, windows_of

RING = 64  # pixels around the hole in which lengths are compared
LEAST = 512  # pairs of pixels; with fewer, all gradients are kept
MOST = 1 << 20  # pairs that are compared; of more, every n-th
QUANTILES = 256  # many, because edges are rare: a hundredth of the pairs

Gain = Callable[[Tensor], Tensor]


def even_gradients(
    patch: Float[Tensor, "b h w 3"], base: Float[Tensor, "b h w 3"], hole: Bool[Tensor, "b h w"]
) -> Float[Tensor, "b h w 3"]:
    """The patch, in the hole alone, with its gradients shortened to the base's and no jump at the edge; in [0, 1].

    Known pixels where the patch holds the base's own values say nothing and are not compared. A plane without a known
    pixel is unchanged.
    """
    out = patch.clone()
    for picture, given, known, plane in zip(out, patch, base, hole, strict=True):
        if bool(plane.all()):
            continue
        gain = _gain_around(given, known, plane)
        for part, inside in windows_of(plane):
            made, there = (exact(value[part].movedim(-1, 0)) for value in (given, known))
            mine = inside.to(made.device)
            error = torch.where(mine, 0, there - made)
            moved = made + solve_poisson(around(error) + _excess(made, gain), inside)
            evened = moved.movedim(0, -1).to(picture).clamp(0, 1)
            picture[part] = torch.where(inside[..., None], evened, picture[part])
    return out


def _excess(patch: Float[Tensor, "c h w"], gain: Gain) -> Float[Tensor, "c h w"]:
    """At each pixel p, the sum over its neighbours q of v_pq − (patch_p − patch_q)."""
    out = torch.zeros_like(patch)
    across, down = patch[:, :, :-1] - patch[:, :, 1:], patch[:, :-1] - patch[:, 1:]
    across *= gain(across.norm(dim=0)) - 1
    down *= gain(down.norm(dim=0)) - 1
    out[:, :, :-1] += across
    out[:, :, 1:] -= across
    out[:, :-1] += down
    out[:, 1:] -= down
    return out


def _gain_around(patch: Float[Tensor, "h w 3"], base: Float[Tensor, "h w 3"], hole: Bool[Tensor, "h w"]) -> Gain:
    """g, from the known pixels within `RING` of the box around the hole."""
    box = bounding_box(hole[None])
    if box is None:
        return torch.ones_like
    left, top, right, bottom = box
    part = slice(max(0, top - RING), bottom + RING), slice(max(0, left - RING), right + RING)
    comparable = torch.isfinite(patch[part]).all(-1) & torch.isfinite(base[part]).all(-1)
    known = ~hole[part] & comparable & (patch[part] != base[part]).any(-1)
    ours, theirs = _lengths(patch[part], known), _lengths(base[part], known)
    if len(ours) < LEAST:
        return torch.ones_like
    pairs = zip(ours.tensor_split(QUANTILES), theirs.tensor_split(QUANTILES), strict=True)
    means = torch.stack([torch.stack([one.mean(), other.mean()]) for one, other in pairs])
    at, ratio = means[:, 0].contiguous(), _ratio(means)
    return lambda length: _interpolated(length, at.to(length), ratio.to(length))


def _ratio(means: Float[Tensor, "n 2"]) -> Float[Tensor, " n"]:
    return torch.where(means[:, 0] > 0, means[:, 1] / means[:, 0].clamp(min=1e-12), 1).clamp(max=1)


def _lengths(picture: Float[Tensor, "h w 3"], known: Bool[Tensor, "h w"]) -> Float[Tensor, " n"]:
    """The lengths of all differences between neighbours that are both known, in rising order."""
    across, down = known[:, 1:] & known[:, :-1], known[1:] & known[:-1]
    found = torch.cat([(picture[:, 1:] - picture[:, :-1])[across], (picture[1:] - picture[:-1])[down]])
    lengths: Tensor = exact(found[:: -(-len(found) // MOST) or 1]).norm(dim=-1)
    return lengths.sort().values


def _interpolated(x: Tensor, at: Float[Tensor, " n"], to: Float[Tensor, " n"]) -> Tensor:
    """Linear between the points (`at` rises), and the end's value beyond."""
    above = torch.searchsorted(at, x.contiguous()).clamp(1, len(at) - 1)
    low, high = at[above - 1], at[above]
    share = ((x - low) / (high - low).clamp(min=1e-12)).clamp(0, 1)
    return torch.lerp(to[above - 1], to[above], share)
