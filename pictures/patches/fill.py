"""Content-aware filling of holes: patches of the picture itself, found on several scales and copied.

The hole is filled on the coarsest scale in layers from its edge. On each scale, search (PatchMatch, Barnes et al.
2009) and vote (Wexler et al. 2007) alternate; the matches start the next finer scale. At the end nothing is averaged:
each pixel is a copy, by the displacement that most patches over it agree on, and a screened Poisson equation hides the
seams.
"""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...graph_runtime import BadInput
from .describe import components, describe
from .level import Level, halve
from .onion import peel
from .seams import hide_seams
from .search import Matches, Search
from .texture import texture
from .vote import majority, vote

LEAST = 200  # sources of the coarsest level
MARGIN = 96  # least pixels around a hole in which sources are searched
AREA = 60_000  # pixels of a hole on the finest level that is searched
ROUNDS = (2, 2)  # of PatchMatch: at first on a level, and after each vote
VOTES = (3, 10)  # votes on the finest and on the coarsest level
STEPS = 100  # of progress, for each picture
Progress = Callable[[int, int], None]


def fill_patches(
    image: Float[Tensor, "b h w 3"],
    hole: Bool[Tensor, "b h w"],
    *,
    source: Bool[Tensor, "b h w"] | None = None,
    patch: int = 7,
    seed: int = 0,
    blend: bool = True,
    progress: Progress | None = None,
) -> Float[Tensor, "b h w 3"]:
    """Fill each picture's hole with patches of its known part; known pixels keep their bits.

    The result follows from the inputs and the seed alone, on one machine. A picture has the same result alone as in a
    batch.

    Args:
        image: Pictures in [0, 1].
        hole: What is to be filled.
        source: Where patches may be copied from; None: from everything that is known.
        patch: Side of a patch in pixels, odd. Smaller ones are used where the source has no room for such a patch.
        seed: Of the random search, drawn on the CPU.
        blend: Hide the seams between copied pieces. Without it every filled pixel has the bits of a source pixel.
        progress: Called with the number of steps done and of all steps; it may raise to stop.

    Raises:
        BadInput: a picture with a hole has nothing to copy from.
    """
    out = image.clone()
    for number, (picture, plane) in enumerate(zip(out, hole, strict=True)):
        if not bool(plane.any()):
            continue
        usable = ~plane if source is None else source[number] & ~plane
        if not bool(usable.any()):
            raise BadInput(
                "mask" if source is None else "source",
                found="a hole with nothing to copy from",
                expected="known pixels",
                fix="make the hole smaller, or mark more of the picture as source",
            )
        generator = torch.Generator("cpu").manual_seed(seed)
        part = window(plane, usable)

        def report(share: float, before: int = number) -> None:
            if progress is not None:
                progress(STEPS * before + round(STEPS * share), STEPS * len(out))

        picture[part] = _fill_window(picture[part], plane[part], usable[part], patch, generator, blend, report)
    return out


def window(hole: Bool[Tensor, "h w"], source: Bool[Tensor, "h w"]) -> tuple[slice, slice]:
    """The hole's surroundings, in which sources are searched."""
    found = []
    for axis in (0, 1):
        marked = hole.any(1 - axis).nonzero()[:, 0]
        first, last = int(marked[0]), int(marked[-1]) + 1
        margin = max(MARGIN, last - first)
        found.append(slice(max(0, first - margin), min(hole.shape[axis], last + margin)))
    part = (found[0], found[1])
    return part if bool(source[part].any()) else (slice(None), slice(None))


def _fill_window(
    picture: Float[Tensor, "h w 3"],
    hole: Bool[Tensor, "h w"],
    source: Bool[Tensor, "h w"],
    patch: int,
    generator: torch.Generator,
    blend: bool,
    report: Callable[[float], None],
) -> Float[Tensor, "h w 3"]:
    rgb = torch.where(hole, 0, picture.float().movedim(-1, 0))
    levels, scale = pyramid(rgb, hole, source, patch)
    copied = displacements(levels, generator, report)
    height, width = hole.shape
    rows, columns = _enlarge(levels[0], copied, scale, height, width)
    filled = torch.where(hole[..., None], picture[rows, columns], picture)
    if not blend:
        return filled
    low, high = picture[~hole].amin(), picture[~hole].amax()
    change = hide_seams(filled.float(), hole, source, rows, columns)
    mended = (filled + change.to(filled)).clamp(low, high)
    return torch.where(hole[..., None] & (change != 0), mended, filled)


def pyramid(
    rgb: Float[Tensor, "3 h w"], hole: Bool[Tensor, "h w"], source: Bool[Tensor, "h w"], patch: int
) -> tuple[list[Level], int]:
    """The levels that are searched, finest first, and how often the picture is larger than the first."""
    level, scale = _fitting(Level(rgb, hole, source, patch)), 1
    while int(level.hole.sum()) > AREA and len(halve(level).sources) >= LEAST:
        level, scale = halve(level), 2 * scale
    features = torch.cat([level.colours, texture(level.colours, level.hole)])
    levels = [Level(features, level.hole, level.source, level.patch)]
    while len((coarser := halve(levels[-1])).sources) >= LEAST:
        levels.append(coarser)
    return levels, scale


def _fitting(level: Level) -> Level:
    """The level, with smaller patches if the source has no room for one."""
    while level.patch > 1 and (level.patch > min(level.shape) or not len(level.sources)):
        level = Level(level.colours, level.hole, level.source, level.patch - 2)
    return level


def displacements(
    levels: list[Level], generator: torch.Generator, report: Callable[[float], None]
) -> Int[Tensor, " p"]:
    """For each pixel of the hole of the finest level, the pixel that it becomes a copy of."""
    turns = [VOTES[0] + (VOTES[1] - VOTES[0]) * number // max(1, len(levels) - 1) for number in range(len(levels))]
    work = sum(count * len(level.targets) for count, level in zip(turns, levels, strict=True))
    done = 0
    at: Int[Tensor, " t"] | None = None
    coarser: Level | None = None
    for number, level in reversed(list(enumerate(levels))):
        weights = components(level)
        search = Search(level, describe(level.colours, weights), generator)
        if coarser is None or at is None:
            colours = peel(level, generator)
            at = search.start(torch.zeros_like(level.targets), torch.zeros_like(level.targets, dtype=torch.bool))
        else:
            at = search.start(*_finer(level, coarser, at))
            matches = Matches(at, torch.zeros(len(at), device=at.device))
            colours = _put(level, vote(level, matches))
        for turn in range(turns[number]):
            report(done / work)
            done += len(level.targets)
            targets = describe(colours, weights)[level.targets]
            matches = search.improve(targets, at, ROUNDS[turn > 0])
            at = matches.at
            if turn < turns[number] - 1:
                colours = _put(level, vote(level, matches))
        coarser = level
    return majority(levels[0], matches)


def _finer(level: Level, coarser: Level, at: Int[Tensor, " t"]) -> tuple[Int[Tensor, " n"], Bool[Tensor, " n"]]:
    """Matches of a coarser level on a finer one: sources of its targets, and whether there was one."""
    width, less = level.shape[1], coarser.shape[1]
    rows, columns = level.targets // width, level.targets % width
    number = coarser.number[rows // 2 + coarser.radius, columns // 2 + coarser.radius]
    there = at[number.clamp(min=0)]
    rows, columns = 2 * (there // less) + rows % 2, 2 * (there % less) + columns % 2
    fits = (rows < level.shape[0]) & (columns < width)
    return torch.where(fits, rows * width + columns, 0), fits & (number >= 0)


def _put(level: Level, values: Float[Tensor, "p c"]) -> Float[Tensor, "c h w"]:
    """The level's colours with other ones in the hole."""
    return level.colours.flatten(1).index_copy(1, level.pixels, values.T).reshape(level.colours.shape)


def _enlarge(
    level: Level, copied: Int[Tensor, " p"], scale: int, height: int, width: int
) -> tuple[Int[Tensor, "h w"], Int[Tensor, "h w"]]:
    """Row and column to copy of each pixel of the whole picture; pixels outside the hole are their own copies."""
    flat = torch.arange(level.hole.numel(), device=copied.device).index_copy(0, level.pixels, copied)
    flat = flat.reshape(level.shape)
    planes = []
    for axis, (plane, length) in enumerate(((flat // level.shape[1], height), (flat % level.shape[1], width))):
        large = plane.repeat_interleave(scale, 0).repeat_interleave(scale, 1)[:height, :width]
        shape = (-1, 1) if axis == 0 else (1, -1)
        phase = (torch.arange(length, device=copied.device) % scale).reshape(shape)
        planes.append((large * scale + phase).clamp(max=length - 1))
    return planes[0], planes[1]
