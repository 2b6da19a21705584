"""Check that a mask fits its pictures."""

from ..graph_runtime import BadInput
from ..graph_runtime.core.light.later import Tensor


def require_mask_fits(mask: Tensor, image: Tensor | None, port: str = "mask") -> Tensor:
    """`mask` `[b h w]`, if it has the size of `image` `[b h w 3]` (if given), and 1 or as many rows.

    Raises:
        BadInput: it does not fit; names `port`.
    """
    if image is None:
        return mask
    if mask.shape[1:] != image.shape[1:3]:
        turned = tuple(mask.shape[1:]) == (image.shape[2], image.shape[1])
        raise BadInput(
            port,
            found=f"a mask of {mask.shape[2]}×{mask.shape[1]} pixels",
            expected=f"the picture's size, {image.shape[2]}×{image.shape[1]}",
            fix="rotate the mask: a photo is loaded upright by its EXIF data, so draw the mask on it as it is shown"
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
