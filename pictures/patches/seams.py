"""Hiding the seams between copied pieces: a screened Poisson equation inside the hole.

Minimises `Σ |u_p − u_q − g_pq|² + λ Σ |u_p − c_p|²` with the copy `c`, its gradients `g` (where two pieces meet, that
of the piece that is closer to the copy) and the known colours around the hole as boundary (Pérez et al. 2003;
screening: Bhat et al. 2008). Without screening the colours of one side bleed across the hole, and so do steps that are
edges of things.
"""

from typing import NamedTuple

from ...graph_runtime.core.light.later import Bool, Float, Int, Tensor, torch

SCREEN = 0.005  # λ
CONFLICT = 0.3  # a step of this size between pieces is half hidden, a larger one less: it is no mere seam
STEPS = 200  # of conjugate gradients at most
CLOSE = 3e-3  # share of the first residual at which they end
EXACT = 1e-6  # a residual that is rounding alone


class Places(NamedTuple):
    """Pixels of a picture, by their rows and columns."""

    rows: Int[Tensor, " p"]
    columns: Int[Tensor, " p"]

    def moved(self, down: int, across: int) -> "Places":
        """Their neighbours."""
        return Places(self.rows + down, self.columns + across)

    def inside(self, shape: torch.Size) -> Bool[Tensor, " p"]:
        """Which of them lie in a picture of that height and width."""
        return (self.rows >= 0) & (self.rows < shape[0]) & (self.columns >= 0) & (self.columns < shape[1])

    def where(self, usable: Bool[Tensor, " p"]) -> "Places":
        """The same, with the first pixel in the place of those that are not usable."""
        return Places(torch.where(usable, self.rows, 0), torch.where(usable, self.columns, 0))


def hide_seams(
    picture: Float[Tensor, "h w 3"],
    source: Bool[Tensor, "h w"],
    later: Bool[Tensor, "h w"],
    copies: Places,
    originals: Places,
) -> Float[Tensor, "p 3"]:
    """What to add to copied pixels so that their seams disappear.

    Args:
        picture: Known colours, and the copied ones.
        source: What may be looked at beside the copied pixels.
        later: What is not filled yet, the copied pixels included.
        copies: The pixels that were copied, line by line.
        originals: What they are copies of.
    """
    width = picture.shape[1]
    order = copies.rows * width + copies.columns
    own, drawn = picture[copies].float(), picture[originals].float()
    diagonal = torch.full((len(own), 1), SCREEN, device=own.device)
    residual = torch.zeros_like(own)
    numbers = []
    for down, across in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        beside = copies.moved(down, across)
        there = beside.inside(picture.shape[:2])
        beside = beside.where(there)
        place = beside.rows * width + beside.columns
        number = torch.searchsorted(order, place).clamp(max=len(order) - 1)
        copied = there & (order[number] == place)
        there &= copied | ~later[beside]
        now = picture[beside].float() - own
        error, size = _error(now, picture, source, originals.moved(down, across), drawn)
        back = Places(originals.rows[number], originals.columns[number])
        other, size_of_other = _error(-now, picture, source, back.moved(-down, -across), drawn[number])
        use_other = copied & (size_of_other < size)
        error = torch.where(use_other[:, None], -other, error)
        error = torch.where((there & torch.isfinite(torch.minimum(size, size_of_other)))[:, None], error, 0)
        residual -= error / (1 + (error**2).sum(1, keepdim=True) / CONFLICT**2)
        diagonal += there[:, None]
        numbers.append(torch.where(copied, number, len(order)))
    return _solve(residual, diagonal, torch.stack(numbers))


def _error(
    now: Float[Tensor, "p 3"],
    picture: Float[Tensor, "h w 3"],
    source: Bool[Tensor, "h w"],
    beside: Places,
    drawn: Float[Tensor, "p 3"],
) -> tuple[Float[Tensor, "p 3"], Float[Tensor, " p"]]:
    """What a step to the neighbour lacks of that in the source, and its square; infinite where the source ends."""
    usable = beside.inside(picture.shape[:2])
    beside = beside.where(usable)
    usable &= source[beside]
    error = torch.where(usable[:, None], picture[beside].float() - drawn - now, 0)
    return error, torch.where(usable, (error**2).sum(1), torch.inf)


def _solve(
    residual: Float[Tensor, "p 3"], diagonal: Float[Tensor, "p 1"], numbers: Int[Tensor, "4 p"]
) -> Float[Tensor, "p 3"]:
    """Conjugate gradients, from 0; `numbers` are the four neighbours of each unknown, one beyond the last for none."""
    out = torch.zeros_like(residual)
    if float(residual.abs().max()) <= EXACT:
        return out
    direction, norm = residual.clone(), (residual**2).sum(0)
    end = norm * CLOSE**2
    for _ in range(STEPS):
        padded = torch.cat([direction, torch.zeros_like(direction[:1])])
        image = diagonal * direction
        for number in numbers:
            image -= padded[number]
        step = norm / (direction * image).sum(0).clamp(min=1e-30)
        out += step * direction
        residual = residual - step * image
        before, norm = norm, (residual**2).sum(0)
        if bool((norm <= end).all()):
            break
        direction = residual + norm / before.clamp(min=1e-30) * direction
    return out
