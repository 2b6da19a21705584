"""The search for the most similar source of each target: PatchMatch (Barnes et al. 2009), all targets at once."""

from dataclasses import dataclass

from ...graph_runtime.core.light.later import Bool, F, Float, Int, Tensor, torch
from .level import Level

EXHAUSTIVE = 8_000_000  # pairs of target and source up to which all of them are compared
BLOCK = 4_000_000  # distances at once
FLAT = 0.03  # share of the sources' mean variance below which a patch counts as flat
JUMPS = (1, 2, 4)  # steps to the neighbours that pass their displacement on


@dataclass
class Matches:
    """For each target the centre of its source, and the distance of their descriptions: squared, times a factor."""

    at: Int[Tensor, " t"]
    cost: Float[Tensor, " t"]


def rates(level: Level) -> Float[Tensor, " n"]:
    """Factor of the distance to each source: less for busy ones.

    Of two sources that have nothing to do with a target the flatter is closer, by its variance, so plain distances fill
    texture with flat patches. Here it counts half. A perfect match has no distance whatever its factor.
    """
    planes, side = level.colours[None, :3], level.patch
    mean, square = (F.avg_pool2d(values, side, 1, side // 2) for values in (planes, planes**2))
    variance = (square - mean**2).clamp(min=0).sum(1).flatten()
    flat = FLAT * variance[level.sources].mean() + 1e-6
    return (flat / (flat + variance)).sqrt()


def nearest(
    targets: Float[Tensor, "t k"], level: Level, table: Float[Tensor, "n k"], rate: Float[Tensor, " n"]
) -> Matches:
    """The most similar source of each target, by comparing all."""
    sources, rate_of_source = table[level.sources], rate[level.sources]
    size = (sources**2).sum(1)
    best = []
    for part in targets.split(max(1, BLOCK // len(sources))):
        cost = torch.addmm((part**2).sum(1, keepdim=True) + size, part, sources.T, alpha=-2)
        best += [cost.mul_(rate_of_source).argmin(1)]
    at = level.sources[torch.cat(best)]
    return Matches(at, ((table[at] - targets) ** 2).sum(1) * rate[at])


class Search:
    """PatchMatch on one level, whose sources never change."""

    def __init__(self, level: Level, table: Float[Tensor, "n k"], generator: torch.Generator) -> None:
        self.level = level
        self.table = table
        self.generator = generator
        self.rate = rates(level)
        self.rows = level.targets // level.shape[1]
        self.columns = level.targets % level.shape[1]

    def start(self, at: Int[Tensor, " t"], usable: Bool[Tensor, " t"]) -> Int[Tensor, " t"]:
        """`at` where it is usable and the centre of a source, else a source by chance."""
        level = self.level
        usable = usable & level.valid[at.clamp(0, level.hole.numel() - 1)]
        chance = torch.rand(len(at), generator=self.generator, dtype=torch.float64).to(at.device)
        return torch.where(usable, at, level.sources[(chance * len(level.sources)).long()])

    def improve(self, targets: Float[Tensor, "t k"], at: Int[Tensor, " t"], rounds: int) -> Matches:
        """Better sources than `at`; no source if compared with all would be better, where the level is small."""
        level = self.level
        if len(targets) * len(level.sources) <= EXHAUSTIVE:
            return nearest(targets, level, self.table, self.rate)
        found = Matches(at.clone(), ((self.table[at] - targets) ** 2).sum(1) * self.rate[at])
        for _ in range(rounds):
            for jump in JUMPS:
                for down, across in ((0, jump), (0, -jump), (jump, 0), (-jump, 0)):
                    self._pass_on(found, targets, down, across)
            reach = max(level.shape)
            while reach >= 1:
                self._by_chance(found, targets, reach)
                reach //= 2
        return found

    def _pass_on(self, found: Matches, targets: Float[Tensor, "t k"], down: int, across: int) -> None:
        """Try the displacement of the neighbour `(down, across)` away."""
        height, width = self.level.shape
        radius = self.level.radius
        rows, columns = (self.rows + down).clamp(0, height - 1), (self.columns + across).clamp(0, width - 1)
        neighbour = self.level.number[rows + radius, columns + radius]
        there = found.at[neighbour.clamp(min=0)]
        self._try(found, targets, there // width - down, there % width - across, neighbour >= 0)

    def _by_chance(self, found: Matches, targets: Float[Tensor, "t k"], reach: int) -> None:
        """Try a source by chance within `reach` of the present one."""
        width = self.level.shape[1]
        draw = torch.randint(-reach, reach + 1, (2, len(targets)), generator=self.generator).to(found.at.device)
        self._try(found, targets, found.at // width + draw[0], found.at % width + draw[1], None)

    def _try(
        self,
        found: Matches,
        targets: Float[Tensor, "t k"],
        rows: Int[Tensor, " t"],
        columns: Int[Tensor, " t"],
        usable: Bool[Tensor, " t"] | None,
    ) -> None:
        height, width = self.level.shape
        fits = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        at = torch.where(fits, rows * width + columns, 0)
        fits &= self.level.valid[at]
        if usable is not None:
            fits &= usable
        which = (fits & (at != found.at)).nonzero()[:, 0]
        at = at[which]
        cost = ((self.table[at] - targets[which]) ** 2).sum(1) * self.rate[at]
        better = cost < found.cost[which]
        which = which[better]
        found.at[which], found.cost[which] = at[better], cost[better]
