"""The harmonic fill of a hole, and the membrane over an error at its edge. Exact: Laplace's equation, solved.

Pérez, Gangnet & Blake, "Poisson Image Editing", SIGGRAPH 2003: seamless cloning adds to a patch the membrane over its
error at the hole's edge, the solution of Δm = 0 with m = base − patch on the known pixels beside the hole (eq. 2–4).

On the pixel grid (eq. 7) with the picture's border free (no flux), each hole pixel is the mean of its neighbours:

    A x = b:   deg(p)·x(p) − Σ x(q) = Σ k(r)     q and r: the 4-neighbours of p in the hole, and known; deg(p): of both

A is symmetric and positive definite where a known pixel exists. It is solved by conjugate gradients in float64, with a
V-cycle of multigrid in float32 as preconditioner: 2×2 pixels become one cell, and the coarse matrix is the fine one
summed over them, times a factor because it is too stiff (Braess, "Towards algebraic multigrid for elliptic problems of
second order", 1995). A V-cycle of the residual is close to the error itself, so its largest value tells when to stop.
Time and memory grow with the pixels of the boxes around the holes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ..graph_runtime.core.light.later import Bool, F, Float, Tensor, torch
from .boxes import bounding_box

TOLERANCE = 1e-6  # largest error, in units of the picture: a fifteenth of a step of 16 bits
MOST_CYCLES = 200  # a hole of any shape needs 10 to 40
DAMPING = 0.85  # of a Jacobi sweep
COARSE_SWEEPS = 8  # on the coarsest grid, of at most 2×2 cells
STIFFNESS = 0.55  # of a coarse grid, over the sum of the fine one's
BLOCK = 64  # pixels; holes that share no block, nor neighbouring ones, are solved apart
AT_ONCE = 2**21  # values; channels of larger boxes are solved one after the other


def harmonic_fill(image: Float[Tensor, "b h w c"], hole: Bool[Tensor, "b h w"]) -> Float[Tensor, "b h w c"]:
    """The image whose hole holds the harmonic function of its known values, to 1e-6; known pixels keep their bits.

    What the hole held is not looked at. A plane without a known pixel is left as it is.
    """
    out = image.clone()
    for picture, plane in zip(out, hole, strict=True):
        if bool(plane.all()):
            continue
        for part, inside in windows_of(plane):
            values = torch.where(inside[..., None], 0, picture[part])
            solved = solve_poisson(around(exact(values.movedim(-1, 0))), inside)
            picture[part] = torch.where(inside[..., None], solved.movedim(0, -1).to(picture), picture[part])
    return out


def membrane(error: Float[Tensor, "b h w c"], hole: Bool[Tensor, "b h w"]) -> Float[Tensor, "b h w c"]:
    """The membrane over an error that is known outside the hole, 0 outside it; 0 where nothing is known.

    Args:
        error: base − patch; what it holds in the hole is not looked at.
        hole: the unknown.
    """
    known = torch.where(hole[..., None], 0, error)
    return torch.where(hole[..., None], harmonic_fill(known, hole), 0)


def windows_of(plane: Bool[Tensor, "h w"]) -> Iterator[tuple[tuple[slice, slice], Bool[Tensor, "h w"]]]:
    """Windows with one pixel of margin, and the part of the hole that is solved in each.

    Holes far apart do not share a window: those of one window touch the same or neighbouring blocks.
    """
    from scipy.ndimage import find_objects, label

    box = bounding_box(plane[None])
    if box is None:
        return
    height, width = plane.shape
    blocks = F.max_pool2d(plane[None, None].to(torch.float32), BLOCK, ceil_mode=True)[0, 0].cpu().numpy() > 0
    labels, count = label(blocks, structure=[[1, 1, 1]] * 3)
    for number, (rows, columns) in enumerate(find_objects(labels), 1):
        top, bottom = rows.start * BLOCK, min(height, rows.stop * BLOCK)
        left, right = columns.start * BLOCK, min(width, columns.stop * BLOCK)
        mine = plane[top:bottom, left:right]
        if count > 1:
            own = torch.from_numpy(labels[rows, columns] == number).to(plane.device)
            own = own.repeat_interleave(BLOCK, 0).repeat_interleave(BLOCK, 1)[: bottom - top, : right - left]
            mine = mine & own
        tight = bounding_box(mine[None])
        assert tight is not None
        x0, y0, x1, y1 = left + tight[0], top + tight[1], left + tight[2], top + tight[3]
        part = slice(max(0, y0 - 1), min(height, y1 + 1)), slice(max(0, x0 - 1), min(width, x1 + 1))
        inside = torch.zeros_like(plane[part])
        at = slice(y0 - part[0].start, y1 - part[0].start), slice(x0 - part[1].start, x1 - part[1].start)
        inside[at] = mine[tight[1] : tight[3], tight[0] : tight[2]]
        yield part, inside


@dataclass(frozen=True, eq=False)
class _Grid:
    """A on one grid: its diagonal, and minus its other entries: the links to the right and downwards `[h w]`."""

    diagonal: Tensor
    inverse: Tensor
    across: Tensor
    down: Tensor

    def times(self, x: Tensor) -> Tensor:
        """A x, of each plane of `x` `[n h w]`."""
        out = self.diagonal * x
        out[..., :-1].addcmul_(self.across, x[..., 1:], value=-1)
        out[..., 1:].addcmul_(self.across, x[..., :-1], value=-1)
        out[..., :-1, :].addcmul_(self.down, x[..., 1:, :], value=-1)
        out[..., 1:, :].addcmul_(self.down, x[..., :-1, :], value=-1)
        return out

    def left_over(self, x: Tensor, b: Tensor) -> Tensor:
        """b − A x."""
        return self.times(x).neg_().add_(b)

    def sweep(self, x: Tensor, b: Tensor) -> Tensor:
        """One damped Jacobi sweep."""
        return self.left_over(x, b).mul_(self.inverse).add_(x)


def exact(values: Tensor) -> Tensor:
    """The values in float64; on the CPU where their device has none."""
    return values.to("cpu" if values.device.type == "mps" else values.device, torch.float64)


def solve_poisson(right: Float[Tensor, "n h w"], inside: Bool[Tensor, "h w"]) -> Float[Tensor, "n h w"]:
    """x of A x = b for float64 right sides; what they hold outside the hole is not looked at.

    Args:
        right: b. For Laplace's equation: at each pixel of the hole, the sum of its known neighbours.
        inside: the hole; at least one pixel beside it must be outside, within these planes.
    """
    inside = inside.to(right.device)
    rows = right.split(max(1, AT_ONCE // inside.numel()))
    return torch.cat([_conjugate_gradients(torch.where(inside, row, 0), inside) for row in rows])


def _conjugate_gradients(residual: Float[Tensor, "n h w"], inside: Bool[Tensor, "h w"]) -> Float[Tensor, "n h w"]:
    """x of A x = `residual`, which is 0 outside and is used up."""
    grids = [_finest(inside, torch.float32)]
    while max(grids[-1].diagonal.shape) > 2:
        grids.append(_coarser(grids[-1]))
    finest = _finest(inside, residual.dtype)
    x, direction, before = torch.zeros_like(residual), torch.zeros_like(residual), residual.new_ones(())
    for _ in range(MOST_CYCLES):
        scale = residual.abs().amax().clamp(min=1e-30)  # float32 reaches down to 1e-38
        z = _v_cycle(grids, 0, (residual / scale).float()).to(residual) * scale
        if float(z.abs().amax()) <= TOLERANCE / 4:
            x += z
            break
        square = (residual * z).sum((-2, -1), keepdim=True)
        direction = direction.mul_(square / before.clamp(min=1e-300)).add_(z)
        before = square
        image = finest.times(direction)
        step = square / (direction * image).sum((-2, -1), keepdim=True).clamp(min=1e-300)
        x.addcmul_(step, direction)
        residual.addcmul_(step, image, value=-1)
    return x


def around(x: Tensor) -> Tensor:
    """The sum of the four neighbours."""
    out = torch.zeros_like(x)
    out[..., :-1] += x[..., 1:]
    out[..., 1:] += x[..., :-1]
    out[..., :-1, :] += x[..., 1:, :]
    out[..., 1:, :] += x[..., :-1, :]
    return out


def _finest(inside: Bool[Tensor, "h w"], dtype: torch.dtype) -> _Grid:
    f = inside.to(dtype)
    return _grid(around(torch.ones_like(f)) * f, f[:, 1:] * f[:, :-1], f[1:] * f[:-1])


def _grid(diagonal: Tensor, across: Tensor, down: Tensor) -> _Grid:
    inverse = torch.where(diagonal > 0, DAMPING / diagonal.clamp(min=1e-30), 0)
    return _Grid(diagonal, inverse, across, down)


def _coarser(fine: _Grid) -> _Grid:
    """The matrix summed over blocks of 2×2 cells: links inside a block go, those between two blocks add up."""
    across, down = F.pad(fine.across, (0, 1)), F.pad(fine.down, (0, 0, 0, 1))
    inner_across, inner_down = across.clone(), down.clone()
    inner_across[:, 1::2], inner_down[1::2] = 0, 0
    diagonal = _blocks(fine.diagonal) - 2 * (_blocks(inner_across) + _blocks(inner_down))
    outer_across, outer_down = _blocks(across - inner_across)[:, :-1], _blocks(down - inner_down)[:-1]
    return _grid(STIFFNESS * diagonal, STIFFNESS * outer_across, STIFFNESS * outer_down)


def _blocks(x: Tensor) -> Tensor:
    """Sums over blocks of 2×2."""
    height, width = x.shape[-2:]
    padded = F.pad(x, (0, width % 2, 0, height % 2))
    rows = padded[..., ::2, :] + padded[..., 1::2, :]
    return rows[..., ::2] + rows[..., 1::2]


def _v_cycle(grids: list[_Grid], level: int, b: Tensor) -> Tensor:
    """About A⁻¹ b, symmetric: a sweep, the correction of the coarser grid, a sweep."""
    grid = grids[level]
    x = grid.inverse * b
    if level == len(grids) - 1:
        for _ in range(COARSE_SWEEPS):
            x = grid.sweep(x, b)
        return x
    coarse = _v_cycle(grids, level + 1, _blocks(grid.left_over(x, b)))
    height, width = b.shape[-2:]
    # a coarse cell also covers pixels outside the hole: they have no links, and their inverse is 0
    spread = coarse.repeat_interleave(2, -2).repeat_interleave(2, -1)[..., :height, :width]
    x += torch.where(grid.diagonal > 0, spread, 0)
    return grid.sweep(x, b)
