"""Write pictures: PNG, JPEG and lossless WebP, with those metadata of the source that the format can hold."""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import numpy as np
from PIL import Image as Pil
from PIL.PngImagePlugin import PngInfo

from ..arrays import FloatArray, Samples, strips
from ..colour.icc import model_of
from ..colour.space import icc_for, is_high_dynamic_range
from .exif import EXIF_FOLDER, MAKER_NOTE, RESOLUTION_UNIT, X_RESOLUTION, Y_RESOLUTION, exif_for, has_place, packed
from .info import FileInfo
from .png16 import write_png16
from .texts import PLACE_OMITTED, is_place

SIDE_LIMIT = {"jpeg": 65_500, "webp": 16_383}
DESCRIPTION, USER_COMMENT = 0x010E, 0x9286
NAMED = 20  # parts that were left out, in a message
JPEG_EXIF_LIMIT = 65_500  # one segment holds 64 KiB
EXIF_NAMES = {  # EXIF tags for PNG's usual texts
    "author": 0x013B,
    "artist": 0x013B,
    "copyright": 0x8298,
    "software": 0x0131,
    "description": DESCRIPTION,
    "title": DESCRIPTION,
}


@dataclass(frozen=True)
class SavedMetadata:
    """Metadata to save with the pixels.

    Attributes:
        texts: of this run, e.g. the workflow, by name.
        bare: only pixels and colour profile.
        gps: include the place where the source was taken.
    """

    texts: dict[str, str]
    bare: bool = False
    gps: bool = False


class SaveOptions(TypedDict, total=False):
    """The metadata arguments of Pillow's writers."""

    icc_profile: bytes
    dpi: tuple[float, float]
    exif: bytes
    comment: bytes
    pnginfo: PngInfo


@dataclass
class _File:
    """A file being written: its contents, and notes for the user."""

    kind: str
    info: FileInfo
    saved: SavedMetadata
    options: SaveOptions = field(default_factory=SaveOptions)
    notes: list[str] = field(default_factory=list)
    omitted: list[str] = field(default_factory=list)


def write_picture(
    values: FloatArray,
    path: Path,
    kind: str,
    saved: SavedMetadata,
    info: FileInfo | None = None,
    masks: Sequence[FloatArray] = (),
) -> list[str]:
    """Write `[h w 3]` in [0, 1] as png, jpeg or webp (lossless); the same input gives the same bytes.

    The texts of `saved` become PNG text chunks of the same names. In JPEG and WebP, `inlay` (the workflow) becomes EXIF
    ImageDescription and all others one JSON object in EXIF UserComment.

    Args:
        values: the picture.
        path: the file.
        kind: png, jpeg or webp.
        saved: metadata of this run, and which of the source's are kept.
        info: the source file's depth, transparency, colours and metadata.
        masks: `[h w]` in [0, 1], 1 = repainted, and so opaque now.

    Returns:
        Notes for the user: metadata that the format cannot hold, or that are left out.
    """
    file = _File(kind, info or FileInfo(), saved)
    samples = _samples(values, file, masks)
    if icc := _icc(file, grey=samples.shape[2] < 3):
        file.options["icc_profile"] = icc
    texts = _texts(file)
    if file.info.dpi and not saved.bare:
        file.options["dpi"] = file.info.dpi
    exif = Pil.Exif() if saved.bare else exif_for(file.info.exif, (samples.shape[1], samples.shape[0]), saved.gps)
    if kind == "png":
        _write_png(samples, path, file, exif, texts)
    else:
        file.options["exif"] = _exif(file, exif, texts)
        picture = Pil.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples)
        if kind == "jpeg":
            whole = io.BytesIO()  # Pillow takes no notice when a full disk takes only a part of a JPEG
            picture.save(whole, format="JPEG", quality=95, subsampling=0, **file.options)
            path.write_bytes(whole.getvalue())
        else:
            file.options.pop("dpi", None)
            picture.save(path, format="WEBP", lossless=True, exact=True, quality=80, method=4, **file.options)
    if file.omitted:
        names = list(dict.fromkeys(file.omitted))
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        file.notes.append("left out of the file: " + ", ".join(names[:NAMED]) + more)
    return file.notes


def _samples(values: FloatArray, file: _File, masks: Sequence[FloatArray]) -> Samples:
    """`[h w c]` in the file's depth: grey or RGB, each with or without alpha."""
    info = file.info
    deep = info.bits == 16 and file.kind == "png"
    if info.bits == 16 and not deep:
        file.notes.append(f"16 bits a channel: {file.kind} holds 8; png keeps them")
    top = 65_535 if deep else 255
    samples: Samples = np.empty(values.shape, np.uint16) if deep else np.empty(values.shape, np.uint8)
    for rows in strips(*values.shape[:2]):  # a large photo in float64 needs gigabytes
        samples[rows] = np.round(np.clip(values[rows].astype(np.float64), 0, 1) * top)
    own_grey = info.is_grey and (deep or model_of(info.colour.icc) == "GRAY") and file.kind != "webp"
    if own_grey and model_of(info.colour.icc) != "RGB" and (samples == samples[..., :1]).all():
        samples = samples[..., :1]
    if info.alpha is None:
        return samples
    if (info.alpha.height, info.alpha.width) != samples.shape[:2]:
        if not info.alpha.is_opaque:
            file.notes.append(
                f"its transparency is left out: it belongs to {info.alpha.width}×{info.alpha.height} pixels"
            )
        return samples
    alpha = _opacity(info.alpha.samples, info.alpha.bits, masks, top)
    if file.kind == "jpeg":
        if (alpha != top).any():
            file.notes.append("JPEG has no transparency: the colours beneath it show; png and webp keep it")
        return samples
    return np.concatenate([samples, alpha[..., None].astype(samples.dtype)], axis=-1)


def _opacity(stored: Samples, bits: int, masks: Sequence[FloatArray], top: int) -> Samples:
    """The stored alpha outside the repainted part; masks are added to it: `min(1, alpha + mask)`."""
    highest = 2**bits - 1
    out = stored if highest == top else np.round(stored.astype(np.float64) * (top / highest)).astype(np.uint8)
    for mask in masks:
        if mask.shape == stored.shape:
            opaque = np.minimum(out + mask.astype(np.float64) * top, top)
            out = np.where(mask > 0, np.round(opaque), out).astype(out.dtype)
    return out


def _icc(file: _File, grey: bool) -> bytes:
    """The ICC profile to embed, or nothing."""
    colour = file.info.colour
    if file.kind != "png" and is_high_dynamic_range(colour):
        file.notes.append(f"{file.kind} cannot store high dynamic range: save as PNG to keep it")
    if file.kind == "png" and not (file.saved.bare and colour.adobe):
        return icc_for(colour, grey) if colour.icc and model_of(colour.icc) == "GRAY" else colour.icc
    return b"" if colour.adobe and not file.saved.bare else icc_for(colour, grey)


def _texts(file: _File) -> tuple[tuple[str, str], ...]:
    """The source's texts that are kept."""
    if file.saved.bare:
        return ()
    file.omitted.extend(file.info.omitted)
    texts = file.info.texts
    if not file.saved.gps:
        texts = tuple((name, text) for name, text in texts if not is_place(name))
        if has_place(file.info.exif) or texts != file.info.texts:
            file.omitted.append(PLACE_OMITTED)
    return texts


def _write_png(samples: Samples, path: Path, file: _File, exif: Pil.Exif, texts: tuple[tuple[str, str], ...]) -> None:
    chunks = PngInfo()
    for name, data in file.info.colour.chunks:
        chunks.add(name, data)
    own = file.saved.texts
    for title, text in (*((name, text) for name, text in texts if name not in own), *own.items()):
        chunks.add_text(title, text)  # Latin-1 as tEXt, anything else as iTXt
    file.options["pnginfo"] = chunks
    if len(exif):
        file.options["exif"] = packed(exif)
    if samples.dtype == np.uint16:
        one_pixel = io.BytesIO()
        mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[samples.shape[2]]
        Pil.new(mode, (1, 1)).save(one_pixel, format="PNG", **file.options)
        write_png16(path, samples, one_pixel.getvalue())
    else:
        Pil.fromarray(samples[..., 0] if samples.shape[2] == 1 else samples).save(path, format="PNG", **file.options)


def _exif(file: _File, exif: Pil.Exif, texts: tuple[tuple[str, str], ...]) -> bytes:
    """EXIF data of a JPEG or WebP: the source's, its texts that fit EXIF tags, and this run's texts."""
    _add_texts(file, exif, texts)
    if file.kind == "webp" and file.info.dpi and not file.saved.bare and X_RESOLUTION not in exif:
        exif[X_RESOLUTION], exif[Y_RESOLUTION] = file.info.dpi
        exif[RESOLUTION_UNIT] = 2  # inches
    own = packed(exif) if len(exif) else b""
    data = _with_texts(exif, file.saved.texts)
    if file.kind != "jpeg" or len(data) <= JPEG_EXIF_LIMIT:
        return data
    if file.saved.texts:
        file.notes.append("the workflow is too long for JPEG's metadata and was left out: save as PNG to keep it")
    if len(own) > JPEG_EXIF_LIMIT and MAKER_NOTE in (folder := exif.get_ifd(EXIF_FOLDER)):
        del folder[MAKER_NOTE]
        file.omitted.append("the maker's note of its EXIF data (too long for JPEG)")
        own = packed(exif)
    if len(own) > JPEG_EXIF_LIMIT:
        file.omitted.append("its EXIF data (too long for JPEG)")
        return b""
    return own


def _add_texts(file: _File, exif: Pil.Exif, texts: tuple[tuple[str, str], ...]) -> None:
    """Store the source's texts that fit EXIF tags; ImageDescription is reserved for the workflow."""
    workflow = "inlay" in file.saved.texts
    if workflow and DESCRIPTION in exif:
        file.omitted.append("its EXIF description (the workflow is stored there: png has room for both)")
        del exif[DESCRIPTION]
    for name, text in texts:
        tag = EXIF_NAMES.get(name.lower())
        if name == "Comment" and file.kind == "jpeg":
            file.options["comment"] = text.encode("utf-8")
        elif tag is None or tag in exif or (tag == DESCRIPTION and workflow):
            file.omitted.append(f"the text {name[:40]!r} ({file.kind} has no place for it; png has)")
        else:
            exif[tag] = text.encode("utf-8")


def _with_texts(exif: Pil.Exif, texts: dict[str, str]) -> bytes:
    """EXIF data with this run's texts."""
    if not texts:
        return packed(exif) if len(exif) else b""
    out, others = Pil.Exif(), {name: text for name, text in texts.items() if name != "inlay"}
    if len(exif):
        out.load(packed(exif))
    if "inlay" in texts:
        out[DESCRIPTION] = texts["inlay"]
    if others:
        out.get_ifd(EXIF_FOLDER)[USER_COMMENT] = b"ASCII\0\0\0" + json.dumps(others).encode("ascii")
    return packed(out)
