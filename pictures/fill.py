"""Fills for a hole before a model runs: nearest colours, a membrane, noise. `[b h w 3]` in [0, 1]."""

from ..graph_runtime.core.light.later import Bool, F, Float, Tensor, torch
from .boxes import bounding_box

GREY = 0.5  # 0 in the model's [−1, 1]
MARGIN = 8  # pixels around the hole that the membrane uses
JACOBI_STEPS = 32  # on each grid of the membrane


def nearest_known(image: Float[Tensor, "b h w 3"], hole: Bool[Tensor, "b h w"]) -> Float[Tensor, "b h w 3"]:
    """Each hole pixel in the colour of the nearest known one (Euclidean); mid-grey if no pixel is known."""
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
    """The mean of the known pixels in each 2×2 block; a block without known pixels stays a hole."""
    known = (~hole).to(picture)
    weight = F.avg_pool2d(known, 2, ceil_mode=True)
    total = F.avg_pool2d(torch.where(hole, 0, picture), 2, ceil_mode=True)
    return total / weight.clamp(min=1e-6), weight == 0


def noise_like(image: Float[Tensor, "b h w 3"], seed: int) -> Float[Tensor, "b h w 3"]:
    """Gaussian noise around mid-grey, standard deviation 0.25, clamped to [0, 1]; drawn on the CPU."""
    generator = torch.Generator("cpu").manual_seed(seed)
    draw = torch.randn(image.shape, generator=generator, dtype=torch.float32)
    return (GREY + 0.25 * draw).clamp(0, 1).to(image)
