"""Small copies of pictures, in sRGB: for contact sheets and lists."""

from pathlib import Path

import numpy as np
from PIL import Image as Pil

from .colour.space import values_to_srgb
from .files.read import Picture, read_picture, unit


def small_copy(picture: Picture, side: int) -> Pil.Image:
    """At most `side` pixels wide and high, in sRGB; transparency is left out."""
    values = values_to_srgb(_scaled(picture, side), picture.info.colour)
    return Pil.fromarray(np.asarray(np.clip(values, 0, 1) * 255 + 0.5, np.uint8))


def write_small(source: Path, to: Path, side: int) -> tuple[int, int, str]:
    """Decode a picture to its last pixel, and write a small copy of it as JPEG.

    Args:
        source: the file.
        to: the file to write.
        side: pixels of the copy's longer side, at most.

    Returns:
        Width and height of the upright picture in pixels, and Pillow's mode of the file.

    Raises:
        BadInput: see `read_picture`.
        OSError: nothing can be written.
    """
    picture = read_picture(source)
    small_copy(picture, side).save(to, "JPEG", quality=85)
    return *picture.size, picture.mode


def _scaled(picture: Picture, side: int) -> np.ndarray:
    """`[h w 3]` float32 of at most `side` pixels a side, in the file's own colours."""
    width, height = picture.size
    scale = min(1.0, side / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if picture.colour8 is None:
        step = max(1, max(width, height) // (4 * side))
        whole = Pil.fromarray(np.asarray(picture.sampled(step) * 255 + 0.5, np.uint8))
    else:
        whole = picture.colour8 if picture.colour8.mode == "RGB" else picture.colour8.convert("RGB")
    return unit(np.asarray(whole.resize(size, Pil.Resampling.BOX, reducing_gap=2.0)))
