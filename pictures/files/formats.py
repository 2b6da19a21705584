"""The formats that are read: Pillow's own, AVIF where Pillow has it, HEIC where pillow-heif is installed."""

from functools import cache
from importlib.util import find_spec

#: Suffixes of the pictures that Pillow reads without another library.
READ_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif"})
#: Formats that are written, with the suffix of a new file.
WRITTEN_SUFFIX = {"png": ".png", "jpeg": ".jpg", "webp": ".webp"}
#: Suffixes of pictures that may hold a workflow.
WORKFLOW_SUFFIXES = frozenset({*WRITTEN_SUFFIX.values(), ".jpeg"})
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
HEIC_SUFFIXES, AVIF_SUFFIXES = frozenset({".heic", ".heif", ".hif"}), frozenset({".avif"})
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
READABLE = "a PNG, JPEG, WebP, BMP, TIFF or GIF picture (AVIF and HEIC with their libraries)"


@cache
def has_avif() -> bool:
    """True if this Pillow reads AVIF (11.3 and later, depending on its build)."""
    from PIL import features

    return "avif" in features.modules and bool(features.check("avif"))


@cache
def has_heic() -> bool:
    """True if pillow-heif is installed."""
    return find_spec("pillow_heif") is not None


def suffixes() -> frozenset[str]:
    """Suffixes of the files in a folder that are treated as pictures."""
    return (
        READ_SUFFIXES | (AVIF_SUFFIXES if has_avif() else frozenset()) | (HEIC_SUFFIXES if has_heic() else frozenset())
    )


def brand(head: bytes) -> str:
    """`HEIC`, `AVIF` or empty, by a file's first 32 bytes, whatever its suffix."""
    if head[4:8] != b"ftyp":
        return ""
    if b"avif" in head[8:32] or b"avis" in head[8:12]:
        return "AVIF"
    return "HEIC" if head[8:12] in HEIC_BRANDS else ""


def formats_for(head: bytes) -> tuple[str, ...]:
    """Pillow's names of the formats to try for a file with these first bytes; loads pillow-heif only for HEIC."""
    kind = brand(head)
    if kind == "AVIF" and has_avif():
        return ("AVIF",)
    if kind == "HEIC" and has_heic():
        _register()
        return ("HEIF",)
    return FORMATS


@cache
def _register() -> None:
    import pillow_heif

    pillow_heif.register_heif_opener()


def remedy(head: bytes) -> str:
    """The fix for a HEIC or AVIF file that cannot be read; empty for other files."""
    kind = brand(head)
    if kind == "HEIC":
        return (
            "the file is damaged: copy it again"
            if has_heic()
            else "pip install pillow-heif, which reads it; or convert it to PNG"
        )
    if kind == "AVIF":
        return (
            "the file is damaged: copy it again"
            if has_avif()
            else "pip install --upgrade pillow (11.3 and later read AVIF); or convert it to PNG"
        )
    return ""
