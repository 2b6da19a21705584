"""ICC profiles with lookup tables: littleCMS converts, at 8 bits."""

import io
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from ..arrays import Float64Array
from .icc import model_of

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageCms import ImageCmsTransform


@dataclass(frozen=True)
class TableSpace:
    """A profile with lookup tables."""

    icc: bytes


def table_to_srgb(values: Float64Array, space: TableSpace) -> Float64Array:
    """sRGB for `[h w 3]` values of `space`, rounded to 8 bits."""
    picture = _rounded(values)
    grey = model_of(space.icc) == "GRAY"
    return _unit(transform(space.icc, True, "L" if grey else "RGB").apply(picture.convert("L") if grey else picture))


def table_from_srgb(values: Float64Array, space: TableSpace) -> Float64Array:
    """Values of `space` for `[h w 3]` sRGB, rounded to 8 bits."""
    grey = model_of(space.icc) == "GRAY"
    return _unit(transform(space.icc, False, "L" if grey else "RGB").apply(_rounded(values)))


def _rounded(values: Float64Array) -> "Image.Image":
    from PIL import Image

    return Image.fromarray(np.round(values * 255).astype(np.uint8))


def _unit(picture: "Image.Image") -> Float64Array:
    return np.asarray(picture.convert("RGB")).astype(np.float64) / 255


@lru_cache(maxsize=16)
def transform(icc: bytes, forward: bool, mode: str) -> "ImageCmsTransform":
    """littleCMS's transform from a profile to sRGB (`forward`) or back; `mode` is Pillow's, of the profile's pictures.

    Raises:
        ImageCms.PyCMSError, OSError: the profile is damaged, or is for one way only.
    """
    from PIL import ImageCms

    own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(icc)), ImageCms.createProfile("sRGB")
    if forward:
        return ImageCms.buildTransform(own, srgb, mode, "RGB")
    return ImageCms.buildTransform(srgb, own, "RGB", mode)


def why_unusable(icc: bytes, model: str) -> str:
    """Why an ICC profile cannot be used for a picture of that colour model (`RGB`, `GRAY`, `CMYK`); empty if it can.

    A grey picture may have an RGB profile: its values are then used for red, green and blue.
    """
    own = model_of(icc)
    if own not in ("RGB", "GRAY", "CMYK"):
        return "is damaged" if not own else f"is one for {own} colours"
    if own != model and not (model == "GRAY" and own == "RGB"):
        return f"is one for {own} pictures"
    try:
        transform(icc, True, {"GRAY": "L"}.get(own, own))
    except Exception:  # noqa: BLE001 - damaged data may fail in any way
        return "is damaged"
    return ""


def profile_name(icc: bytes) -> str:
    """The name in a profile."""
    from PIL import ImageCms

    try:
        return ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(icc))).strip() or "unnamed"
    except Exception:  # noqa: BLE001 - damaged data may fail in any way
        return "unnamed"
