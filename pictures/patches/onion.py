"""The start on the coarsest level: the hole is filled in layers from its edge (Criminisi et al. 2004, no priority)."""

from ...graph_runtime.core.light.later import F, Float, Tensor, torch
from .describe import planes_of
from .level import Level

FEW = 2048  # sources that are compared
WHIM = 0.1  # share by which costs vary by chance, so that seeds differ; an exact match stays the best


def peel(level: Level, generator: torch.Generator) -> Float[Tensor, "c h w"]:
    """Colours of the level with its hole filled: each pixel from the source most alike in what is known by then.

    Costs vary a little by chance.
    """
    height, width = level.shape
    radius = level.radius
    colours, unknown = level.colours * ~level.hole, level.hole.clone()
    offsets = torch.tensor([down * width + across for down, across in level.offsets()], device=colours.device)
    chosen = level.sources[:: -(-len(level.sources) // FEW)]
    sources = planes_of(level.colours).flatten(1)[:, chosen[:, None] + offsets]
    sources = sources.movedim(0, 1).flatten(1)
    while bool(unknown.any()):
        layer = (unknown & (F.max_pool2d((~unknown).float()[None], 3, 1, 1)[0] > 0)).flatten().nonzero()[:, 0]
        if not len(layer):
            layer = unknown.flatten().nonzero()[:, 0]
        centre = (layer // width).clamp(radius, height - 1 - radius) * width
        centre = centre + (layer % width).clamp(radius, width - 1 - radius)
        places = centre[:, None] + offsets
        known = F.pad(~unknown, (0, 1, 0, 1))
        both = torch.stack([known[:-1, :-1] & known[:-1, 1:], known[:-1, :-1] & known[1:, :-1]])
        planes = planes_of(colours)
        mask = torch.cat([(~unknown).expand(len(colours), -1, -1), both]).to(planes).flatten(1)[:, places]
        values = planes.flatten(1)[:, places] * mask
        mask, values = mask.movedim(0, 1).flatten(1), values.movedim(0, 1).flatten(1)
        cost = (mask @ (sources**2).T - 2 * values @ sources.T + (values**2).sum(1, keepdim=True)).clamp(min=0)
        whim = 1 + WHIM * torch.rand(len(chosen), generator=generator)
        best = chosen[(cost * whim.to(cost)).argmin(1)]
        colours = colours.flatten(1).index_copy(1, layer, level.colours.flatten(1)[:, best + layer - centre])
        colours = colours.reshape(-1, height, width)
        unknown = unknown.flatten().index_fill(0, layer, False).reshape(height, width)
    return colours
