"""Copying at the full resolution, by displacements of a smaller one: what is filled is as sharp as its source."""

from collections.abc import Iterator

from ...graph_runtime.core.light.later import Bool, Float, Int, Tensor, torch
from .level import Level
from .seams import Places, hide_seams

BAND = 2_000_000  # pixels that are copied at once


def copy_pixels(
    picture: Float[Tensor, "h w 3"],
    hole: Bool[Tensor, "h w"],
    source: Bool[Tensor, "h w"],
    level: Level,
    at: Int[Tensor, " p"],
    scale: int,
    blend: bool,
) -> None:
    """Fill the hole of a picture, in place.

    Args:
        picture: The picture; only its hole is written.
        hole: What is filled.
        source: What may be copied.
        level: The finest level that was searched.
        at: For each pixel of its hole, the pixel that it is a copy of.
        scale: How often the picture is larger than the level.
        blend: Hide the seams.
    """
    low, high = picture[source].amin(), picture[source].amax()
    if not bool(hole.all()):
        low, high = picture[~hole].amin(), picture[~hole].amax()
    table = torch.arange(level.hole.numel(), device=at.device).index_copy(0, level.pixels, at)
    later = hole.clone()
    for copies in _bands(hole):
        there = table[copies.rows // scale * level.shape[1] + copies.columns // scale]
        rows = there // level.shape[1] * scale + copies.rows % scale
        columns = there % level.shape[1] * scale + copies.columns % scale
        originals = Places(rows.clamp(max=hole.shape[0] - 1), columns.clamp(max=hole.shape[1] - 1))
        picture[copies] = picture[originals]
        if blend:
            change = hide_seams(picture, source, later, copies, originals)
            plain = picture[copies]
            mended = (plain + change.to(plain)).clamp(low, high)
            picture[copies] = torch.where(change != 0, mended, plain)
        later[copies] = False


def _bands(hole: Bool[Tensor, "h w"]) -> Iterator[Places]:
    """The pixels of a hole, a band of lines at a time."""
    total = hole.sum(1).cumsum(0)
    band = torch.div((total - 1).clamp(min=0), BAND, rounding_mode="floor")
    for number in range(int(band[-1]) + 1):
        lines = (band == number).nonzero()[:, 0]
        if len(lines):
            first, last = int(lines[0]), int(lines[-1]) + 1
            rows, columns = hole[first:last].nonzero(as_tuple=True)
            if len(rows):
                yield Places(rows + first, columns)
