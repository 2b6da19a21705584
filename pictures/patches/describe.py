"""Short descriptions of patches, whose distance stands for that of the patches.

A patch is its RGB, the differences of its luma (gradients, Darabi et al. 2012, Image Melding) and its texture features
(Newson et al. 2014). Its description is its projection on the principal components of the source's patches.
"""

from ...graph_runtime.core.light.later import F, Float, Tensor, torch
from .level import Level
from .texture import differences, luminance

COMPONENTS = 24
SAMPLE = 4096  # source patches from which the components are made
GRADIENT = 1.0  # weight of the differences beside the colours


def planes_of(colours: Float[Tensor, "c h w"]) -> Float[Tensor, "c2 h w"]:
    """What is compared of each pixel: colours, texture, differences."""
    return torch.cat([colours, GRADIENT * differences(luminance(colours))])


def components(level: Level) -> Float[Tensor, "k c2 p p"]:
    """Principal components of the source's patches, as the weights of a convolution."""
    planes = planes_of(level.colours)
    chosen = level.sources[:: max(1, len(level.sources) // SAMPLE)]
    width = level.shape[1]
    at = torch.stack([chosen + down * width + across for down, across in level.offsets()])
    patches = planes.flatten(1)[:, at].flatten(0, 1).double()
    patches = patches - patches.mean(1, keepdim=True)
    vectors = torch.linalg.eigh((patches @ patches.T).cpu())[1].flip(1)[:, :COMPONENTS]
    weights: Tensor = vectors.T.to(planes).reshape(-1, len(planes), level.patch, level.patch)
    return weights.contiguous()


def describe(colours: Float[Tensor, "c h w"], weights: Float[Tensor, "k c2 p p"]) -> Float[Tensor, "n k"]:
    """The description of the patch around each pixel; those that reach out of the picture mean nothing."""
    found = F.conv2d(planes_of(colours)[None], weights, padding=weights.shape[-1] // 2)[0]
    return found.flatten(1).T.contiguous()
