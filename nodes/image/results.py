"""What several nodes of this family return."""

from typing import NamedTuple

from ..ports import Image


class OneImage(NamedTuple):
    """A picture."""

    image: Image
