"""One picture at one scale: what is known, what is searched, and where pixels lie.

Pixels are rows of a matrix `[h·w c]`, numbered line by line. A *patch* is named by its centre; all of it lies inside
the picture. A *target* is a patch that touches the hole, a *source* one that may be copied as a whole.
"""

from dataclasses import dataclass
from functools import cached_property

from ...graph_runtime.core.light.later import Bool, F, Float, Int, Tensor, torch
from ..boxes import bounding_box

DEEPEST = 32  # steps from the hole's edge beyond which depth no longer counts


@dataclass(frozen=True)
class Level:
    """A picture of one scale.

    Attributes:
        colours: RGB and texture, `[c h w]`; what lies in the hole means nothing.
        hole: What is to be filled, `[h w]`.
        source: What may be copied, `[h w]`; none of it lies in the hole.
        patch: Side of a patch, odd.
    """

    colours: Float[Tensor, "c h w"]
    hole: Bool[Tensor, "h w"]
    source: Bool[Tensor, "h w"]
    patch: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.hole.shape[0], self.hole.shape[1]

    @property
    def radius(self) -> int:
        """Pixels between the centre of a patch and its edge."""
        return self.patch // 2

    @cached_property
    def inside(self) -> Bool[Tensor, "h w"]:
        """Centres of the patches that lie inside the picture."""
        out = torch.zeros_like(self.hole)
        out[self.radius : self.shape[0] - self.radius, self.radius : self.shape[1] - self.radius] = True
        return out

    @cached_property
    def valid(self) -> Bool[Tensor, " n"]:
        """Of each pixel, whether it is the centre of a source."""
        return (self.inside & ~spread(~self.source, self.radius)).flatten()

    @cached_property
    def sources(self) -> Int[Tensor, " s"]:
        """The centres of all sources."""
        return self.valid.nonzero()[:, 0]

    @cached_property
    def targets(self) -> Int[Tensor, " t"]:
        """The centres of all targets."""
        return (self.inside & spread(self.hole, self.radius)).flatten().nonzero()[:, 0]

    @cached_property
    def pixels(self) -> Int[Tensor, " p"]:
        """The pixels of the hole."""
        return self.hole.flatten().nonzero()[:, 0]

    @cached_property
    def number(self) -> Int[Tensor, "h2 w2"]:
        """Of each pixel, the number of the target whose centre it is, or −1; with a margin of the radius."""
        out = torch.full((self.hole.numel(),), -1, dtype=torch.long, device=self.hole.device)
        out[self.targets] = torch.arange(len(self.targets), device=out.device)
        return F.pad(out.reshape(self.shape), (self.radius,) * 4, value=-1)

    @cached_property
    def depth(self) -> Float[Tensor, " t"]:
        """Steps from the centre of each target to the hole's edge, 0 outside the hole, at most DEEPEST (octagonal)."""
        out = torch.zeros(self.shape, device=self.hole.device)
        if (box := bounding_box(self.hole[None])) is None:
            return out.flatten()[self.targets]
        part = (slice(max(0, box[1] - 1), box[3] + 1), slice(max(0, box[0] - 1), box[2] + 1))
        rest = self.hole[part].float()
        for step in range(DEEPEST):
            out[part] += rest
            around = F.pad(1 - rest[None, None], (1, 1, 1, 1))
            wide = F.max_pool2d(around, 3, 1)
            if step % 2:
                across, down = F.max_pool2d(around[:, :, 1:-1], (1, 3), 1), F.max_pool2d(around[..., 1:-1], (3, 1), 1)
                wide = torch.maximum(across, down)
            rest = 1 - wide[0, 0]
        return out.flatten()[self.targets]

    def offsets(self) -> list[tuple[int, int]]:
        """Row and column of each pixel of a patch, from its centre."""
        steps = range(-self.radius, self.radius + 1)
        return [(down, across) for down in steps for across in steps]


def spread(plane: Bool[Tensor, "h w"], radius: int) -> Bool[Tensor, "h w"]:
    """A plane grown by a square of `radius` pixels."""
    if radius == 0:
        return plane
    return F.max_pool2d(plane.float()[None, None], 2 * radius + 1, 1, radius)[0, 0] > 0


def halve(level: Level) -> Level:
    """The level of half the size (rounded up): means of 2×2 pixels that are known.

    A pixel belongs to the hole if one of the four does, and to the source if all of them do.
    """
    known = (~level.hole).to(level.colours)[None]
    weight = F.avg_pool2d(known, 2, ceil_mode=True)
    total = F.avg_pool2d(level.colours * known, 2, ceil_mode=True)
    hole = F.max_pool2d(level.hole.float()[None], 2, ceil_mode=True)[0] > 0
    barred = F.max_pool2d((~level.source).float()[None], 2, ceil_mode=True)[0] > 0
    return Level(total / weight.clamp(min=1e-6), hole, ~barred, level.patch)
