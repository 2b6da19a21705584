"""From matches to colours: every patch over a pixel votes for what its source shows there (Wexler et al. 2007)."""

import math

from ...graph_runtime.core.light.later import Float, Int, Tensor, torch
from .level import Level
from .search import Matches

DECAY = 1.3  # a vote loses this factor with each pixel of depth in the hole
SHARPNESS = 0.3  # share of that spread that is used: below 1, blur fades sooner
QUANTILE = 0.75  # of the costs: the spread of a Gaussian that weights votes (Newson et al. 2014, equation 4)


def weights_of(level: Level, matches: Matches) -> Float[Tensor, " t"]:
    """How much each target's vote counts: exp(−cost / 2σ²) · 1.3^−depth."""
    ranked = matches.cost.sort().values
    spread = ranked[int(QUANTILE * (len(ranked) - 1))].clamp(min=1e-8)
    agreement = -matches.cost / (2 * SHARPNESS * spread)
    return torch.exp(agreement - math.log(DECAY) * level.depth).clamp(min=1e-30)


def vote(level: Level, matches: Matches) -> Float[Tensor, "p c"]:
    """The weighted mean of the votes for each pixel of the hole."""
    table = level.colours.flatten(1).T.contiguous()
    width = level.shape[1]
    weights = torch.cat([weights_of(level, matches), torch.zeros(1, device=table.device)])
    rows, columns = level.pixels // width + level.radius, level.pixels % width + level.radius
    total = torch.zeros(len(level.pixels), table.shape[1] + 1, device=table.device)
    table = torch.cat([table, torch.ones_like(table[:, :1])], 1)
    for down, across in level.offsets():
        number = level.number[rows - down, columns - across]
        source = matches.at[number.clamp(min=0)] + down * width + across
        total.addcmul_(table[source], weights[number][:, None])
    return total[:, :-1] / total[:, -1:]


def majority(level: Level, matches: Matches) -> Int[Tensor, " p"]:
    """For each pixel of the hole the pixel to copy: by the displacement that has most votes."""
    width = level.shape[1]
    weights = torch.cat([weights_of(level, matches), torch.zeros(1, device=matches.at.device)])
    rows, columns = level.pixels // width + level.radius, level.pixels % width + level.radius
    out = []
    offsets = torch.tensor(level.offsets(), device=rows.device).T
    for some in torch.arange(len(rows), device=rows.device).split(16_384):
        number = level.number[rows[some] - offsets[0][:, None], columns[some] - offsets[1][:, None]]
        source = matches.at[number.clamp(min=0)] + (offsets[0] * width + offsets[1])[:, None]
        weight = weights[number]
        score = torch.zeros_like(weight)
        for row in range(len(source)):
            score += weight[row] * (source == source[row])
        best = torch.where(number >= 0, score, -1).argmax(0)
        out.append(source.gather(0, best[None])[0])
    return torch.cat(out)
