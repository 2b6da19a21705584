"""The orientation that a picture's EXIF data state."""

from PIL import Image as Pil

ORIENTATION = 0x0112  # the tag


def orientation_of(picture: Pil.Image, decode: bool = True) -> int | None:
    """The EXIF orientation, 1 if there is none, or None if the EXIF data are damaged.

    For a PNG without EXIF data, Pillow decodes the pixels to find some after them; `decode=False` does not.
    """
    try:
        exif = picture.getexif() if decode or picture.format != "PNG" else Pil.Image.getexif(picture)
        orientation = exif.get(ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - damaged data may fail in any way
        return None
    return orientation if isinstance(orientation, int) else 1
