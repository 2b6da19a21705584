"""Which pixel each pixel of the hole is to be a copy of: search and vote in turn, from coarse to fine."""

from collections.abc import Callable

from ...graph_runtime.core.light.later import Bool, Float, Int, Tensor, torch
from .describe import components, describe
from .level import Level
from .onion import peel
from .search import Matches, Search
from .vote import majority, vote

ROUNDS = 2  # of the search after each vote
VOTES = (3, 10)  # on the finest and on the coarsest level
STARTS = 4  # on the coarsest level; the one that fits best goes on
FIRST_VOTES = 3  # before starts are compared
MANY = 60_000  # targets of a level with fewer votes


def displacements(
    levels: list[Level], generator: torch.Generator, report: Callable[[float], None]
) -> Int[Tensor, " p"]:
    """For each pixel of the hole of the finest level, the pixel that it becomes a copy of.

    Args:
        levels: The scales, finest first.
        generator: Of all that is left to chance, on the CPU.
        report: Called with the share that is done before each step.
    """
    turns = [_votes(level, number, len(levels)) for number, level in enumerate(levels)]
    work = sum(count * len(level.targets) for count, level in zip(turns, levels, strict=True))
    done = 0
    matches: Matches | None = None
    coarser = levels[-1]
    for count, level in reversed(list(zip(turns, levels, strict=True))):
        weights = components(level)
        search = Search(level, describe(level.colours, weights), generator)
        if matches is None:
            report(0)
            matches, colours = _begun(level, search, weights)
        else:
            at = search.start(*_finer(level, coarser, matches.at))
            matches = Matches(at, torch.zeros_like(at).to(level.colours))
            colours = _put(level, vote(level, matches))
        for turn in range(count):
            report(done / work)
            done += len(level.targets)
            matches = search.improve(describe(colours, weights)[level.targets], matches.at, ROUNDS)
            if turn < count - 1:
                colours = _put(level, vote(level, matches))
        coarser = level
    if matches is None:
        raise ValueError("no level")
    return majority(levels[0], matches)


def _begun(level: Level, search: Search, weights: Float[Tensor, "k c2 p p"]) -> tuple[Matches, Float[Tensor, "c h w"]]:
    """The best of some starts on the coarsest level: matches, and the level's colours with its hole filled."""
    found = []
    nowhere = torch.zeros_like(level.targets)
    for _ in range(STARTS):
        colours = peel(level, search.generator)
        matches = Matches(search.start(nowhere, nowhere > 0), nowhere.to(colours))
        for _ in range(FIRST_VOTES):
            matches = search.improve(describe(colours, weights)[level.targets], matches.at, ROUNDS)
            colours = _put(level, vote(level, matches))
        found.append((float(matches.cost.mean()), matches, colours))
    return min(found, key=lambda start: start[0])[1:]


def _votes(level: Level, number: int, levels: int) -> int:
    """How often the colours of a level are voted for."""
    if len(level.targets) > 2 * MANY:
        return 1
    if len(level.targets) > MANY:
        return 2
    least, most = VOTES
    return least + (most - least) * number // max(1, levels - 1)


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
