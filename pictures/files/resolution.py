"""A picture file's resolution in pixels per inch."""

import math

from PIL import Image as Pil

from .exif import RESOLUTION_UNIT, X_RESOLUTION, Y_RESOLUTION


def dpi_of(picture: Pil.Image, turned: bool) -> tuple[float, float] | None:
    """Pixels per inch, across and down the upright picture; None if the file states none."""
    stated = picture.info.get("dpi")
    if (
        picture.format not in ("TIFF", "BMP")
        and picture.info.get("jfif_unit") not in (1, 2)
        and (picture.format in ("JPEG", "MPO") or stated is None)
    ):  # for a JPEG without a resolution Pillow returns 72
        stated = _exif_dpi(picture)
    if not isinstance(stated, tuple) or len(stated) != 2:
        return None
    try:
        across, down = (float(value) for value in stated)
    except (TypeError, ValueError, ZeroDivisionError):
        return None
    if not all(math.isfinite(value) and 1 <= value <= 1e5 for value in (across, down)):
        return None
    return (down, across) if turned else (across, down)


def _exif_dpi(picture: Pil.Image) -> tuple[float, float] | None:
    """The resolution in EXIF data, in pixels per inch; None if there is none, or only a ratio."""
    try:
        exif = picture.getexif()
        inches = {2: 1.0, 3: 2.54}[exif.get(RESOLUTION_UNIT, 2)]
        return float(exif[X_RESOLUTION]) * inches, float(exif[Y_RESOLUTION]) * inches
    except Exception:  # noqa: BLE001 - damaged data may fail in any way
        return None
