"""Pictures that the editor sends, and pictures that it shows."""

import io
import os
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from fastapi.responses import FileResponse, PlainTextResponse, Response
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from .....nodes.pack import PACK
from ....core.errors import BadInput, WorkflowError, shorten
from ....core.files import make_folder
from ..json_data import Json
from ..room import Room, note_use
from ..uploads import DECODING, THUMBNAIL
from .places import Outside, Places

_MOST_OF_A_NAME = 1000  # files that may have one name, with a number
_SHOWN = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "AVIF": "image/avif",
}


class BadUpload(Exception):
    """What was sent is no picture, or has no name that a file can have."""


def take(places: Places, room: Room, name: str, subfolder: str, data: BinaryIO, *, overwrite: bool) -> Json:
    """Keep a picture that was sent, once all of its pixels were decoded.

    Raises:
        BadUpload: it is no picture, the name leads out, or there is no room.
    """
    with _received(places, name, data) as received:
        return _keep(places, room, name, subfolder, received, overwrite=overwrite)


def take_mask(
    places: Places,
    room: Room,
    name: str,
    subfolder: str,
    data: BinaryIO,
    original: Mapping[str, object],
    *,
    overwrite: bool,
) -> Json:
    """Keep a painted mask: the alpha of what was sent, with the pixels of the picture that it was painted on.

    Raises:
        BadUpload: one of the two is no picture, they differ in size, a name leads out, or there is no room.
    """
    source = picture_of(places, original)
    if source is None:
        raise BadUpload("the picture that the mask was painted on is not here any more")
    with _received(places, name, data) as received:
        masked = received.with_suffix(".masked.png")
        try:
            PACK.require_picture(source)
            with DECODING:
                _put_alpha(source, received, masked)
            return _keep(places, room, name, subfolder, masked, overwrite=overwrite)
        except BadInput as error:
            raise BadUpload(f"the picture that the mask was painted on: found {error.found}") from None
        except (OSError, ValueError, SyntaxError, UnidentifiedImageError) as error:
            raise BadUpload(f"the mask cannot be used: {type(error).__name__}") from None
        finally:
            with suppress(OSError):
                masked.unlink()


def _put_alpha(source: Path, mask: Path, to: Path) -> None:
    """Write the pixels of one picture with the alpha of another; upright, as the editor shows them."""
    with Image.open(source) as opened, Image.open(mask) as painted:
        texts = PngInfo()
        for key, value in getattr(opened, "text", {}).items():
            texts.add_text(key, value)
        profile = opened.info.get("icc_profile")
        upright = ImageOps.exif_transpose(opened)
        alpha = painted.convert("RGBA").getchannel("A")
        if alpha.size != upright.size:
            raise BadUpload(f"the mask is {alpha.size} large, its picture {upright.size}")
        pixels = upright.convert("RGBA")
        pixels.putalpha(alpha)
        pixels.save(to, "PNG", compress_level=4, pnginfo=texts, icc_profile=profile)


class _received:
    """A file that was sent, below a name of its own, and decoded; it goes at the end of the block."""

    def __init__(self, places: Places, name: str, data: BinaryIO) -> None:
        make_folder(places.pictures)
        self._name = name
        self._path = places.pictures / f".{uuid.uuid4().hex}.part"
        self._data = data

    def __enter__(self) -> Path:
        small = self._path.with_suffix(".small")
        try:
            with open(self._path, "xb") as file:
                while part := self._data.read(2**20):
                    file.write(part)
            with DECODING:
                PACK.small_picture(self._path, small, THUMBNAIL)
        except BadInput as error:
            self._remove()
            found = error.found.replace(self._path.name, shorten(self._name).strip("'\""))
            raise BadUpload(f"found {found}; expected {error.expected}") from None
        except OSError:
            self._remove()
            raise
        finally:
            with suppress(OSError):
                small.unlink()
        return self._path

    def __exit__(self, *error: object) -> None:
        self._remove()

    def _remove(self) -> None:
        with suppress(OSError):
            self._path.unlink()


def _keep(places: Places, room: Room, name: str, subfolder: str, received: Path, *, overwrite: bool) -> Json:
    """Move a file to its name; with another picture there, to that name with a number."""
    suffix = Path(name).suffix.lower()
    if suffix not in PACK.picture_suffixes or "/" in name or "\\" in name:
        raise BadUpload(f"the name of a picture ends in one of {', '.join(sorted(PACK.picture_suffixes))}")
    stem = name[: -len(suffix)]
    try:
        room.make(received.stat().st_size)
        for number in range(_MOST_OF_A_NAME):
            tried = f"{stem} ({number}){suffix}" if number else name
            path = places.writable(places.pictures, subfolder, tried)
            if overwrite:
                os.replace(received, path)
            elif not _claim(received, path):
                continue
            below = path.parent.relative_to(places.pictures).as_posix()
            return {"name": tried, "subfolder": "" if below == "." else below, "type": "input"}
    except WorkflowError as error:
        raise BadUpload(str(error.problems[0])) from None
    except (Outside, IsADirectoryError):
        raise BadUpload("a name or a folder that cannot be below the server's") from None
    raise BadUpload(f"there are {_MOST_OF_A_NAME} pictures of that name")


def _claim(received: Path, path: Path) -> bool:
    """Give a file a name that is free, or that this very file has already."""
    try:
        os.link(received, path)
    except FileExistsError:
        return path.is_file() and path.stat().st_size == received.stat().st_size and _same(path, received)
    except OSError:  # no hard links here
        if path.exists():
            return _same(path, received)
        os.replace(received, path)
    return True


def _same(one: Path, other: Path) -> bool:
    return one.read_bytes() == other.read_bytes()


def picture_of(places: Places, named: Mapping[str, object]) -> Path | None:
    """The file that the editor names by `filename`, `subfolder` and `type`; None if there is none."""
    name, subfolder = str(named.get("filename") or ""), str(named.get("subfolder") or "")
    kind = str(named.get("type") or "output")
    for suffix in ("input", "output", "temp"):
        if name.endswith(f" [{suffix}]"):
            name, kind = name.removesuffix(f" [{suffix}]"), suffix
    if not name:
        return None
    if kind != "input":
        return places.output(name, subfolder)
    found = places.input(name, subfolder)
    if found is not None and found.is_relative_to(os.path.realpath(places.pictures)):
        note_use(found)
    return found


def shown(path: Path, *, preview: str | None, channel: str | None) -> Response:
    """A picture as the editor asks for it: whole, as a small file, or one of its channels."""
    media = media_of(path)
    name = path.name.replace("\\", "_").replace('"', "_").encode("ascii", "replace").decode()
    headers = {"Content-Disposition": f'inline; filename="{name}"', "Cache-Control": "no-cache"}
    if media is None:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
        return FileResponse(path, media_type="application/octet-stream", headers=headers)
    if preview is None and channel not in ("rgb", "a"):
        return FileResponse(path, media_type=media, headers=headers)
    try:
        with DECODING:
            return _made(path, preview, channel, headers)
    except Exception as error:  # noqa: BLE001 - of a damaged file: decoders raise what they like
        return PlainTextResponse(f"the picture cannot be shown: {type(error).__name__}", 422)


def _made(path: Path, preview: str | None, channel: str | None, headers: dict[str, str]) -> Response:
    with Image.open(path) as opened:
        opened.load()
        picture: Image.Image = opened
        if channel == "a":
            alpha = opened.convert("RGBA").getchannel("A")
            picture = Image.new("RGBA", opened.size)
            picture.putalpha(alpha)
        elif channel == "rgb":
            picture = opened.convert("RGBA").convert("RGB") if "A" in opened.getbands() else opened.convert("RGB")
        return _encoded(picture, preview, channel, headers)


def _encoded(picture: Image.Image, preview: str | None, channel: str | None, headers: dict[str, str]) -> Response:
    made = io.BytesIO()
    if preview is None:
        picture.save(made, "PNG")
        return Response(made.getvalue(), media_type="image/png", headers=headers)
    words = preview.split(";")
    kind = "jpeg" if words[0] == "jpeg" and channel != "a" else "webp"
    quality = min(int(words[-1]), 100) if words[-1].isdecimal() and len(words[-1]) < 4 else 90
    if kind == "jpeg" or picture.mode not in ("RGB", "RGBA", "L"):
        picture = picture.convert("RGB" if kind == "jpeg" or "A" not in picture.getbands() else "RGBA")
    picture.save(made, kind, quality=quality)
    return Response(made.getvalue(), media_type=f"image/{kind}", headers=headers)


def media_of(path: Path) -> str | None:
    """The type of a picture, told from its bytes; None for all that is none."""
    try:
        PACK.require_picture(path)
        with Image.open(path) as opened:
            return _SHOWN.get(opened.format or "")
    except (OSError, BadInput, ValueError, SyntaxError):
        return None
