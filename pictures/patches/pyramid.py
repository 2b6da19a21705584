"""The scales on which a hole is filled."""

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Bool, F, Float, Tensor, torch
from .level import Level, halve
from .texture import texture

LEAST = 200  # sources of the coarsest level
MOST_FILLED = 200_000  # pixels of a hole on the finest level that is searched
MOST_SEEN = 1_500_000  # pixels of that level
LIMIT = 2_000_000  # pixels of a hole that are filled where larger scales leave no source
STRIP = 4_000_000  # pixels that are shrunk at once


def pyramid(
    picture: Float[Tensor, "h w 3"], hole: Bool[Tensor, "h w"], source: Bool[Tensor, "h w"], patch: int
) -> tuple[list[Level], int]:
    """The levels that are searched, finest first, and how often the picture is larger than the first.

    Raises:
        BadInput: a hole so large, with so little around it, that nothing could be copied in bounded time.
    """
    scale = 1
    while int(hole.sum()) > MOST_FILLED * scale**2 or hole.numel() > MOST_SEEN * scale**2:
        scale *= 2
    level = _fitting(shrunk(picture, hole, source, patch, scale))
    while scale > 1 and not len(level.sources):
        scale //= 2
        level = _fitting(shrunk(picture, hole, source, patch, scale))
        if int(level.hole.sum()) > LIMIT:
            raise BadInput(
                "mask",
                found="a hole with next to nothing to copy from around it",
                expected="known pixels that lie together",
                fix="make the hole smaller, or use fill=blur",
            )
    features = torch.cat([level.colours, texture(level.colours, level.hole)])
    levels = [Level(features, level.hole, level.source, level.patch)]
    while len((coarser := halve(levels[-1])).sources) >= LEAST:
        levels.append(coarser)
    return levels, scale


def shrunk(
    picture: Float[Tensor, "h w 3"], hole: Bool[Tensor, "h w"], source: Bool[Tensor, "h w"], patch: int, scale: int
) -> Level:
    """A picture `scale` times smaller: means of the known pixels; strip by strip, so that memory stays small."""
    height, width = hole.shape
    strip = max(1, STRIP // (width * scale)) * scale
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for top in range(0, height, strip):
        rows = slice(top, top + strip)
        colours = torch.where(hole[rows], 0, picture[rows].movedim(-1, 0).float())
        if scale == 1:
            parts.append((colours, hole[rows], source[rows]))
            continue
        barred = torch.stack([hole[rows], ~source[rows]]).float()
        most = F.max_pool2d(barred[None], scale, ceil_mode=True)[0] > 0
        share = F.avg_pool2d(1 - barred[None, :1], scale, ceil_mode=True).clamp(min=1e-6)
        parts.append(((F.avg_pool2d(colours[None], scale, ceil_mode=True) / share)[0], most[0], ~most[1]))
    planes, holes, sources = zip(*parts, strict=True)
    return Level(torch.cat(planes, 1), torch.cat(holes), torch.cat(sources), patch)


def _fitting(level: Level) -> Level:
    """The level, with smaller patches if the source has no room for one."""
    while level.patch > 1 and (level.patch > min(level.shape) or not len(level.sources)):
        level = Level(level.colours, level.hole, level.source, level.patch - 2)
    return level
