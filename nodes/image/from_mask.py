"""A mask as a picture."""

from typing import NamedTuple

from ...graph_runtime import node
from ...pictures.masks.values import unit_mask
from ..checks.before_run import Facts, Known, Params, shaped
from ..ports import Image, Mask


class Grey(NamedTuple):
    """The mask in grey."""

    image: Image


def _check(known: Known, params: Params) -> Facts:
    mask = known.get("mask")
    return {} if mask is None else {"image": shaped(*unit_mask(mask).shape, 3)}


@node("image.from_mask", check=_check)
def from_mask(mask: Mask) -> Grey:
    """Show a mask as a grey picture: white = repaint.

    Args:
        mask: The hole, 1 = repaint.

    Raises:
        BadInput: NaN, or values outside [0, 1].
    """
    return Grey(unit_mask(mask)[..., None].repeat(1, 1, 1, 3))
