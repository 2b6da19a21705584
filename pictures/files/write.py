"""Pictures as files: PNG, JPEG and lossless WebP, with what the picture's source said as far as the format holds it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pil
from PIL.PngImagePlugin import PngInfo

from ..colour.space import icc_for, is_high_dynamic_range, model_of
from .exif import EXIF_FOLDER, MAKER_NOTE, RESOLUTION_UNIT, X_RESOLUTION, Y_RESOLUTION, exif_for, has_place, packed
from .info import FileInfo, Samples
from .png import write_sixteen
from .texts import PLACE_KEPT, is_place

SIDE_LIMIT = {"jpeg": 65_500, "webp": 16_383}
DESCRIPTION, USER_COMMENT = 0x010E, 0x9286
ROWS = 256  # of a picture are rounded at a time
JPEG_EXIF_LIMIT = 65_500  # one segment holds 64 KiB
EXIF_NAMES = {
    "author": 0x013B,
    "artist": 0x013B,
    "copyright": 0x8298,
    "software": 0x0131,
    "description": DESCRIPTION,
    "title": DESCRIPTION,
}  # where PNG's usual texts go in EXIF


@dataclass
class SavedMetadata:
    """What goes into the file beside pixels.

    Attributes:
        metadata: of this run, e.g. the workflow, by name.
        bare: nothing but the pixels and what they mean.
        gps: also where the source was taken.
    """

    metadata: dict[str, str]
    bare: bool = False
    gps: bool = False


def write_picture(
    values: NDArray[np.floating[Any]],
    path: Path,
    kind: str,
    saved: SavedMetadata,
    info: FileInfo | None = None,
    painted: list[NDArray[np.floating[Any]]] | None = None,
) -> list[str]:
    """Write `[h w 3]` in [0, 1] as png, jpeg or webp (lossless); the same input gives the same bytes.

    Metadata become PNG text chunks of the same names. In JPEG and WebP, `inlay` (the workflow) becomes EXIF
    ImageDescription and all others one JSON object in EXIF UserComment.

    Args:
        values: the picture.
        path: the file.
        kind: png, jpeg or webp.
        saved: what to say beside it.
        info: what its source said, from which depth, transparency, colours and the rest are taken.
        painted: `[h w]` in [0, 1]: what was painted, and is opaque now.

    Returns:
        Notes for the user: what the format does not hold, and what is left out.
    """
    info = info or FileInfo()
    notes: list[str] = []
    samples, colour = _samples(values, kind, info, painted or [], notes), info.colour
    grey = samples.shape[2] < 3
    if kind == "png" and not (saved.bare and colour.adobe):
        icc = icc_for(colour, grey) if colour.icc and model_of(colour.icc) == "GRAY" else colour.icc
    else:
        icc = b"" if colour.adobe and not saved.bare else icc_for(colour, grey)
    if kind != "png" and is_high_dynamic_range(colour):
        notes.append(f"{kind} cannot say that its numbers are of high dynamic range: save as PNG to keep it")
    options: dict[str, Any] = {"icc_profile": icc} if icc else {}
    texts, left = ((), []) if saved.bare else (info.texts, list(info.left))
    if not saved.bare and not saved.gps:
        kept = tuple((name, text) for name, text in texts if not is_place(name))
        if has_place(info.exif) or kept != texts:
            left.append(PLACE_KEPT)
        texts = kept
    if info.dpi and not saved.bare:
        options["dpi"] = info.dpi
    exif = Pil.Exif() if saved.bare else exif_for(info.exif, (samples.shape[1], samples.shape[0]), saved.gps)
    if kind == "png":
        told = PngInfo()
        for mark, data in colour.chunks:
            told.add(mark, data)
        for name, text in (*((n, t) for n, t in texts if n not in saved.metadata), *saved.metadata.items()):
            told.add_text(name, text)  # Latin-1 as tEXt, anything else as iTXt
        if len(exif):
            options["exif"] = packed(exif)
        _save_png(samples, path, pnginfo=told, **options)
    else:
        data = _exif(exif, kind, texts, info, saved, options, left, notes)
        picture = Pil.fromarray(samples[..., 0] if grey else samples)
        if kind == "jpeg":
            picture.save(path, format="JPEG", quality=95, subsampling=0, exif=data, **options)
        else:
            options.pop("dpi", None)
            picture.save(path, format="WEBP", lossless=True, exact=True, quality=80, method=4, exif=data, **options)
    if left:
        notes.append("left out of the file: " + ", ".join(dict.fromkeys(left)))
    return notes


def _samples(
    values: NDArray[np.floating[Any]],
    kind: str,
    info: FileInfo,
    painted: list[NDArray[np.floating[Any]]],
    notes: list[str],
) -> Samples:
    """`[h w c]` in the file's depth: grey, RGB, each with or without alpha."""
    deep = info.bits == 16 and kind == "png"
    if info.bits == 16 and not deep:
        notes.append(f"16 bits a channel: {kind} holds 8; png keeps them")
    top = 65_535 if deep else 255
    samples = np.empty(values.shape, np.uint16 if deep else np.uint8)
    for row in range(0, len(values), ROWS):  # a large photo in float64 needs gigabytes
        part = values[row : row + ROWS].astype(np.float64)
        samples[row : row + ROWS] = np.round(np.clip(part, 0, 1) * top)
    own_grey = info.is_grey and (deep or model_of(info.colour.icc) == "GRAY") and kind != "webp"
    if own_grey and model_of(info.colour.icc) != "RGB" and (samples == samples[..., :1]).all():
        samples = samples[..., :1]
    if info.alpha is None:
        return samples
    if (info.alpha.height, info.alpha.width) != samples.shape[:2]:
        if not info.alpha.is_opaque:
            notes.append(f"its transparency is left out: it belongs to {info.alpha.width}×{info.alpha.height} pixels")
        return samples
    alpha = _opacity(info, painted, top)
    if kind == "jpeg":
        if (alpha != top).any():
            notes.append("JPEG holds no transparency: the colours beneath it show; png and webp keep it")
        return samples
    return np.concatenate([samples, alpha[..., None].astype(samples.dtype)], axis=-1)


def _opacity(info: FileInfo, painted: list[NDArray[np.floating[Any]]], top: int) -> Samples:
    """The alpha as stored where nothing was painted; paint adds its cover: `min(1, alpha + mask)`."""
    assert info.alpha is not None
    stored = info.alpha.samples
    highest = 2**info.alpha.bits - 1
    out = stored if highest == top else np.round(stored.astype(np.float64) * (top / highest)).astype(np.uint8)
    for mask in painted:
        if mask.shape == stored.shape:
            cover = np.minimum(out + mask.astype(np.float64) * top, top)
            out = np.where(mask > 0, np.round(cover), out).astype(out.dtype)
    return out


def _save_png(samples: Samples, path: Path, **told: Any) -> None:
    if samples.dtype == np.uint16:
        write_sixteen(path, samples, **told)
    else:
        Pil.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples).save(path, format="PNG", **told)


def _exif(
    exif: Pil.Exif,
    kind: str,
    texts: tuple[tuple[str, str], ...],
    info: FileInfo,
    saved: SavedMetadata,
    options: dict[str, Any],
    left: list[str],
    notes: list[str],
) -> bytes:
    """EXIF data of a JPEG or WebP: the source's, its texts where EXIF has a place for them, and this run's metadata."""
    if "inlay" in saved.metadata and DESCRIPTION in exif:
        left.append("its EXIF description (the workflow stands there: png has room for both)")
        del exif[DESCRIPTION]
    for name, text in texts:
        tag = EXIF_NAMES.get(name.lower())
        if name == "Comment" and kind == "jpeg":
            options["comment"] = text.encode("utf-8")
        elif tag is None or tag in exif or (tag == DESCRIPTION and "inlay" in saved.metadata):
            left.append(f"the text {name[:40]!r} ({kind} has no place for it; png has)")
        else:
            exif[tag] = text.encode("utf-8")
    if kind == "webp" and info.dpi and not saved.bare and X_RESOLUTION not in exif:
        exif[X_RESOLUTION], exif[Y_RESOLUTION] = info.dpi
        exif[RESOLUTION_UNIT] = 2  # inches
    own = packed(exif) if len(exif) else b""
    data = _with_metadata(exif, saved.metadata)
    if kind != "jpeg" or len(data) <= JPEG_EXIF_LIMIT:
        return data
    if saved.metadata:
        notes.append("the workflow is too long for JPEG's metadata and was left out: save as PNG to keep it")
    if len(own) > JPEG_EXIF_LIMIT and MAKER_NOTE in (folder := exif.get_ifd(EXIF_FOLDER)):
        del folder[MAKER_NOTE]
        left.append("the maker's note of its EXIF data (too long for JPEG)")
        own = packed(exif)
    if len(own) > JPEG_EXIF_LIMIT:
        left.append("its EXIF data (too long for JPEG)")
        return b""
    return own


def _with_metadata(exif: Pil.Exif, metadata: dict[str, str]) -> bytes:
    if not metadata:
        return packed(exif) if len(exif) else b""
    out, others = Pil.Exif(), {name: text for name, text in metadata.items() if name != "inlay"}
    if len(exif):
        out.load(packed(exif))
    if "inlay" in metadata:
        out[DESCRIPTION] = metadata["inlay"]
    if others:
        out.get_ifd(EXIF_FOLDER)[USER_COMMENT] = b"ASCII\0\0\0" + json.dumps(others).encode("ascii")
    return packed(out)
