"""The colours of a latent: a linear map from latent channels to RGB, for previews while sampling.

For Stable Diffusion's VAE the map is published (K. Turner, "Decoding latents to RGB without upscaling", Hugging Face
forum, 2022). For any other VAE it is the least-squares fit between pictures of plain shapes and their latents.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from ..graph_runtime.core.light.later import Tensor, torch

SIDE, SHAPES = 64, 16  # pixels of a fitted picture, and shapes on it
DARKEST, LIGHTEST = 0.2, 0.9  # a decoder is bent where colours end
STABLE_DIFFUSION = ((0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473))


@dataclass(frozen=True, eq=False)
class LatentColours:
    """RGB in [−1, 1] = latent · weight + bias.

    Attributes:
        weight: `[c 3]`, of scaled latents.
        bias: `[3]`.
    """

    weight: Tensor
    bias: Tensor

    @classmethod
    def stable_diffusion(cls) -> Self:
        """The published map of Stable Diffusion 1.x and 2.x."""
        return cls(torch.tensor(STABLE_DIFFUSION), torch.zeros(3))

    @classmethod
    def of_pixels(cls) -> Self:
        """The map of models in pixel space, whose latent is the picture."""
        return cls(torch.eye(3), torch.zeros(3))

    @classmethod
    def fitted(cls, encode: Callable[[Tensor], Tensor], factor: int) -> Self:
        """The map of a VAE, always the same for the same weights.

        Args:
            encode: pictures `[b h w 3]` in [0, 1] to scaled latents `[b c lh lw]`.
            factor: pixels that a cell spans.
        """
        pictures = _plain_shapes(max(SIDE, 8 * factor) // factor * factor)
        latents = encode(pictures).double().permute(0, 2, 3, 1).flatten(0, 2)
        cells = torch.nn.functional.avg_pool2d(pictures.permute(0, 3, 1, 2).double(), factor)
        known = torch.cat([latents, torch.ones(len(latents), 1, dtype=torch.float64)], dim=1)
        solved = torch.linalg.lstsq(known, cells.permute(0, 2, 3, 1).flatten(0, 2) * 2 - 1).solution.float()
        return cls(solved[:-1].contiguous(), solved[-1].contiguous())

    def pictures(self, latent: Tensor) -> Tensor:
        """Latents `[b c lh lw]` as bytes `[b lh lw 3]` on the CPU, one pixel for each cell."""
        rgb = latent.permute(0, 2, 3, 1).float() @ self.weight.to(latent.device) + self.bias.to(latent.device)
        return ((rgb + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def _plain_shapes(side: int) -> Tensor:
    """Four pictures `[4 side side 3]`: two of rectangles in one colour each, two of smooth colours."""
    draw = torch.Generator().manual_seed(0)
    pictures = []
    for coarse in (3, 6):
        picture = torch.rand(3, generator=draw).expand(side, side, 3).clone()
        for _ in range(SHAPES):
            top, left = (torch.rand(2, generator=draw) * 0.9 * side).int().tolist()
            height, width = (torch.rand(2, generator=draw) * 0.5 * side).int().tolist()
            picture[top : top + height + 4, left : left + width + 4] = torch.rand(3, generator=draw)
        smooth = torch.rand(1, 3, coarse, coarse, generator=draw)
        grown = torch.nn.functional.interpolate(smooth, (side, side), mode="bilinear", align_corners=True)
        pictures += [picture, grown[0].permute(1, 2, 0)]
    return DARKEST + (LIGHTEST - DARKEST) * torch.stack(pictures)
