"""A picture file's resolution in pixels an inch."""

import math

from PIL import Image as Pil

from .exif import RESOLUTION_UNIT, X_RESOLUTION, Y_RESOLUTION


def dpi_of(picture: Pil.Image, turned: bool) -> tuple[float, float] | None:
    """Pixels an inch, across and down the upright picture; None where the file does not say."""
    given = picture.info.get("dpi")
    if (
        picture.format not in ("TIFF", "BMP")
        and picture.info.get("jfif_unit") not in (1, 2)
        and (picture.format in ("JPEG", "MPO") or given is None)
    ):  # Pillow's is 72 of a JPEG that says nothing
        given = _resolved(picture)
    if not isinstance(given, tuple) or len(given) != 2:
        return None
    try:
        across, down = (float(value) for value in given)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not all(math.isfinite(value) and 1 <= value <= 1e5 for value in (across, down)):
        return None
    return (down, across) if turned else (across, down)


def _resolved(picture: Pil.Image) -> tuple[float, float] | None:
    """What EXIF data say in pixels an inch; None where they do not, or give a ratio alone."""
    try:
        exif = picture.getexif()
        inches = {2: 1.0, 3: 2.54}[exif.get(RESOLUTION_UNIT, 2)]
        return float(exif[X_RESOLUTION]) * inches, float(exif[Y_RESOLUTION]) * inches
    except Exception:
        return None
