"""Pictures as numbers: filling a hole, pasting back exactly, matching colours, resizing. `[b h w 3]` in [0, 1]."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from ..graph_runtime import BadInput
from .masks import bounding_box, depth

GREY = 0.5  # 0 in the model's [−1, 1]
MARGIN = 8  # pixels around the hole that the membrane sees
JACOBI_STEPS = 32  # on each grid of the membrane
RING = 32  # pixels around the hole in which colours are compared
RING_LEAST = 64  # fewer known pixels than this say nothing about colour: all known ones are taken


def common_batch(**tensors: Tensor) -> list[Tensor]:
    """Expand batches of 1 to the largest batch; the keywords are port names.

    Raises:
        BadInput: two batches differ and neither is 1.
    """
    largest = max(tensor.shape[0] for tensor in tensors.values())
    for port, tensor in tensors.items():
        if tensor.shape[0] not in (1, largest):
            sizes = ", ".join(f"{name} {value.shape[0]}" for name, value in tensors.items())
            raise BadInput(
                port,
                found=f"batches of different sizes ({sizes})",
                expected="batches of one size, or of 1",
                fix="load as many of each, or just one",
            )
    return [tensor.expand(largest, *tensor.shape[1:]) for tensor in tensors.values()]


def per_variation(rows: int, **tensors: Tensor) -> list[Tensor]:
    """Repeat each row of the largest batches for its variations: of `rows` rows, row i belongs to i // k.

    Batches of 1 stay so, and where `rows` is no multiple all do: `common_batch` expands them, or says what is wrong.
    """
    count = max(tensor.shape[0] for tensor in tensors.values())
    if count == 1 or rows <= count or rows % count:
        return list(tensors.values())
    return [
        tensor.repeat_interleave(rows // count, dim=0) if tensor.shape[0] == count else tensor
        for tensor in tensors.values()
    ]


def resize_image(image: Float[Tensor, "b h w 3"], height: int, width: int) -> Float[Tensor, "b height width 3"]:
    """Bicubic with antialiasing, clamped to [0, 1]; the same size gives the same bits."""
    if image.shape[1:3] == (height, width):
        return image.clone()
    out = F.interpolate(image.movedim(-1, 1), size=(height, width), mode="bicubic", antialias=True)
    return out.movedim(1, -1).clamp(0, 1).contiguous()


def reflect_index(start: int, stop: int, length: int) -> Tensor:
    """Indices `start … stop − 1` folded into [0, length) by mirroring at the borders (edge pixel not repeated)."""
    index = torch.arange(start, stop)
    if length == 1:
        return torch.zeros_like(index)
    index = index.remainder(2 * (length - 1))
    return torch.where(index < length, index, 2 * (length - 1) - index)


def nearest_known(image: Float[Tensor, "b h w 3"], hole: Bool[Tensor, "b h w"]) -> Float[Tensor, "b h w 3"]:
    """Every hole pixel takes the colour of the nearest known one (Euclidean); without any known pixel, mid-grey."""
    from scipy.ndimage import distance_transform_edt

    out = image.clone()
    for picture, plane in zip(out, hole.cpu().numpy(), strict=True):
        if plane.all():
            picture.fill_(GREY)
        elif plane.any():
            rows, columns = distance_transform_edt(plane, return_distances=False, return_indices=True)
            inside = torch.from_numpy(plane)
            picture[inside] = picture[torch.from_numpy(rows[plane]).long(), torch.from_numpy(columns[plane]).long()]
    return out


def smooth_fill(image: Float[Tensor, "b h w 3"], hole: Bool[Tensor, "b h w"]) -> Float[Tensor, "b h w 3"]:
    """The membrane over the hole: nearly harmonic (Laplace's equation with the known colours as boundary).

    Cascadic multigrid (Bornemann and Deuflhard, 1996): known colours are averaged on coarser and coarser grids until no
    hole is left; then each grid starts from the coarser one and takes Jacobi steps inside the hole. O(pixels).
    """
    box = bounding_box(hole)
    if box is None:
        return image.clone()
    left, top, right, bottom = box
    part = (slice(None), slice(max(0, top - MARGIN), bottom + MARGIN), slice(max(0, left - MARGIN), right + MARGIN))
    grids = [(image[part].movedim(-1, 1), hole[part][:, None])]
    while bool(grids[-1][1].any()) and max(grids[-1][0].shape[2:]) > 1:
        grids.append(_halve(*grids[-1]))
    solution = torch.where(grids[-1][1], GREY, grids[-1][0])
    for picture, inside in reversed(grids[:-1]):
        height, width = picture.shape[2:]
        finer = F.interpolate(solution, scale_factor=2, mode="bilinear", align_corners=False)[..., :height, :width]
        solution = torch.where(inside, finer, picture)
        for _ in range(JACOBI_STEPS):
            around = F.pad(solution, (1, 1, 1, 1), mode="replicate")
            mean = (around[..., :-2, 1:-1] + around[..., 2:, 1:-1] + around[..., 1:-1, :-2] + around[..., 1:-1, 2:]) / 4
            solution = torch.where(inside, mean, picture)
    out = image.clone()
    out[part] = solution.movedim(1, -1)
    return out


def _halve(picture: Tensor, hole: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the known pixels in every 2×2 block; a block without any stays hole."""
    known = (~hole).to(picture)
    weight = F.avg_pool2d(known, 2, ceil_mode=True)
    total = F.avg_pool2d(torch.where(hole, 0, picture), 2, ceil_mode=True)
    return total / weight.clamp(min=1e-6), weight == 0


def noise_like(image: Float[Tensor, "b h w 3"], seed: int) -> Float[Tensor, "b h w 3"]:
    """Gaussian noise around mid-grey, standard deviation 0.25, clamped to [0, 1]; drawn on the CPU."""
    generator = torch.Generator("cpu").manual_seed(seed)
    draw = torch.randn(image.shape, generator=generator, dtype=torch.float32)
    return (GREY + 0.25 * draw).clamp(0, 1).to(image)


def blend(
    base: Float[Tensor, "b h w 3"],
    patch: Float[Tensor, "b h w 3"],
    weight: Float[Tensor, "b h w"],
) -> Float[Tensor, "b h w 3"]:
    """`base` bit for bit where weight is 0, `patch` bit for bit where it is 1, their mixture between.

    Selection instead of arithmetic: `0 · NaN` is NaN, `−0.0 + 0.0` is `0.0`, and `b + 0·(p − b)` rounds.
    """
    w = weight[..., None]
    mixed = base + w * (patch - base)
    return torch.where(w == 0, base, torch.where(w == 1, patch, mixed))


def match_colours(
    patch: Float[Tensor, "b h w 3"], base: Float[Tensor, "b h w 3"], hole: Bool[Tensor, "b h w"], method: str
) -> Float[Tensor, "b h w 3"]:
    """Shift (`mean`) or remap (`histogram`) the patch's channels so that its known pixels look like the base's.

    Both are fitted on the known pixels within 32 px of the hole (all known ones where these are too few): `mean` adds
    the difference of the channel means, `histogram` maps each channel by its sorted values. Clamped to [0, 1].

    Raises:
        BadInput: nothing is known, so there is nothing to compare.
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


def _shift(values: Tensor, seen: Tensor, wanted: Tensor) -> Tensor:
    return values + (wanted.double().mean() - seen.double().mean()).to(values)


def _remap(values: Tensor, seen: Tensor, wanted: Tensor) -> Tensor:
    """Quantile to quantile by linear interpolation; beyond the seen range the end's shift is kept."""
    at, to = _strictly_rising(np.sort(seen.double().cpu().numpy()), np.sort(wanted.double().cpu().numpy()))
    flat = values.double().cpu().numpy()
    mapped = np.interp(flat, at, to)
    mapped += np.where(flat < at[0], flat - at[0], 0) + np.where(flat > at[-1], flat - at[-1], 0)
    return torch.from_numpy(mapped).to(values)


def _strictly_rising(at: np.ndarray, to: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Equal positions are merged and given the mean of their targets, so that the map is a function."""
    unique, start = np.unique(at, return_index=True)
    counts = np.diff(np.append(start, len(at)))
    return unique, np.add.reduceat(to, start) / counts
