"""What several nodes of this family return."""

from typing import NamedTuple

from ..ports import Mask


class OneMask(NamedTuple):
    """A mask."""

    mask: Mask
