"""Hiding the seams between copied pieces: a screened Poisson equation inside the hole.

Minimises `Σ |u_p − u_q − g_pq|² + λ Σ |u_p − c_p|²` with the copy `c`, its gradients `g` (where two pieces meet, that
of the piece that is closer to the copy) and the known colours around the hole as boundary (Pérez et al. 2003;
screening: Bhat et al. 2008).
Without screening the colours of one side bleed across the hole.
"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

SCREEN = 0.02  # λ
STEPS = 200  # of conjugate gradients at most
CLOSE = 1e-4  # share of the first residual at which they end
EXACT = 1e-6  # a residual that is rounding alone


def hide_seams(
    picture: Float[Tensor, "h w 3"],
    hole: Bool[Tensor, "h w"],
    source: Bool[Tensor, "h w"],
    rows: Int[Tensor, "h w"],
    columns: Int[Tensor, "h w"],
) -> Float[Tensor, "h w 3"]:
    """What to add to a copy so that its seams disappear; 0 outside the hole.

    Args:
        picture: Known colours, and the copied ones in the hole.
        hole: What was copied.
        source: What may be looked at beyond the copied pixels.
        rows: Of each pixel of the hole, the row of the pixel that it is a copy of.
        columns: The same for columns.
    """
    height, width = hole.shape
    diagonal = torch.full(hole.shape, SCREEN, device=picture.device)
    residual = torch.zeros_like(picture)
    for down, across in ((0, 1), (1, 0)):
        first = (slice(0, height - down), slice(0, width - across))
        second = (slice(down, height), slice(across, width))
        now = picture[second] - picture[first]
        error, least = torch.zeros_like(now), torch.full_like(now[..., :1], torch.inf)
        for base, step in ((first, 1), (second, -1)):
            there = (rows[base] + step * down, columns[base] + step * across)
            usable = hole[base] & (there[0] >= 0) & (there[0] < height) & (there[1] >= 0) & (there[1] < width)
            there = (torch.where(usable, there[0], 0), torch.where(usable, there[1], 0))
            usable = (usable & source[there])[..., None]
            wanted = step * (picture[there] - picture[rows[base], columns[base]]) - now
            size = torch.where(usable, (wanted**2).sum(-1, keepdim=True), torch.inf)
            error, least = torch.where(size < least, wanted, error), torch.minimum(size, least)
        residual[first] -= error
        residual[second] += error
        diagonal[first] += 1
        diagonal[second] += 1
    residual = torch.where(hole[..., None], residual, 0)
    return _solve(residual, diagonal, hole)


def _solve(
    residual: Float[Tensor, "h w 3"], diagonal: Float[Tensor, "h w"], hole: Bool[Tensor, "h w"]
) -> Float[Tensor, "h w 3"]:
    """Conjugate gradients for the correction, 0 outside the hole."""
    inside, diagonal = hole[..., None].to(residual), diagonal[..., None]
    out = torch.zeros_like(residual)
    if float(residual.abs().max()) <= EXACT:
        return out
    direction, norm = residual, (residual**2).sum((0, 1))
    end = norm * CLOSE**2
    for _ in range(STEPS):
        image = diagonal * direction
        image[:, 1:] -= direction[:, :-1]
        image[:, :-1] -= direction[:, 1:]
        image[1:] -= direction[:-1]
        image[:-1] -= direction[1:]
        image *= inside
        step = norm / (direction * image).sum((0, 1)).clamp(min=1e-30)
        out += step * direction
        residual = residual - step * image
        before, norm = norm, (residual**2).sum((0, 1))
        if bool((norm <= end).all()):
            break
        direction = residual + norm / before.clamp(min=1e-30) * direction
    return out
