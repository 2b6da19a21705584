"""The mask in a picture, as a file that holds nothing else."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pil

from ..files.read import read_picture
from .read import mask_in


def mask_file(source: Path) -> tuple[bytes, Sequence[str]]:
    """The mask that `mask.load` reads with channel=drawn, as a PNG file of one channel with 8 bits.

    Args:
        source: the picture.

    Returns:
        The file, 255 where the mask repaints and 0 elsewhere, and doubts about it.

    Raises:
        BadInput: see `read_picture`.
    """
    plane, notes = mask_in(read_picture(source), "drawn")
    made = io.BytesIO()
    Pil.fromarray(np.asarray(plane > 0, np.uint8) * np.uint8(255)).save(made, "PNG", compress_level=1)
    return made.getvalue(), notes
