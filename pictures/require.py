"""Pictures and masks as they arrive at a node: of the right shape, size and number."""

from torch import Tensor

from ..graph_runtime import BadInput
from ..graph_runtime.core.values import describe


def require_image(image: Tensor, port: str = "image") -> Tensor:
    """`image` if it is `[b, h, w, 3]` floating point with b, h, w ≥ 1; raises BadInput that names `port` otherwise."""
    if not isinstance(image, Tensor) or image.ndim != 4 or image.shape[-1] != 3 or 0 in image.shape:
        raise BadInput(
            port,
            found=describe(image),
            expected="an image [b, h, w, 3], RGB in [0, 1]",
            fix="wire the output of image.load, or add the missing batch or colour axis",
        )
    if not image.is_floating_point():
        raise BadInput(port, found=describe(image), expected="floating point values in [0, 1]", fix="divide by 255")
    return image


def require_mask(mask: Tensor, image: Tensor | None = None, port: str = "mask") -> Tensor:
    """`mask` if it is `[b, h, w]`, of the size of `image` where one is given, with 1 or as many masks as images."""
    if not isinstance(mask, Tensor) or mask.ndim != 3 or 0 in mask.shape:
        raise BadInput(
            port,
            found=describe(mask),
            expected="a mask [b, h, w], 1 = repaint",
            fix="wire the output of mask.load or mask.shape",
        )
    if image is None:
        return mask
    if mask.shape[1:] != image.shape[1:3]:
        turned = tuple(mask.shape[1:]) == (image.shape[2], image.shape[1])
        raise BadInput(
            port,
            found=f"a mask of {mask.shape[2]}×{mask.shape[1]} pixels",
            expected=f"the picture's size, {image.shape[2]}×{image.shape[1]}",
            fix="turn the mask: a photo that its EXIF data turn is loaded upright, draw the mask on it as it is shown"
            if turned
            else "draw the mask on this picture, or bring both to one size with image.fit",
        )
    if mask.shape[0] not in (1, image.shape[0]) and image.shape[0] != 1:
        raise BadInput(
            port,
            found=f"{mask.shape[0]} masks for {image.shape[0]} pictures",
            expected="one mask, or one for each picture",
            fix="load as many masks as pictures",
        )
    return mask
