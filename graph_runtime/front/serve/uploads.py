"""Files that clients send. One counts only after all of its pixels were decoded; the very bytes come back.

Each has a folder of its own, so that it keeps its name: what a run makes of it is named after it.
"""

import os
import re
import shutil
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ....nodes.pack import PACK
from ...core.context import safe_prefix
from ...core.errors import BadInput, WorkflowError, clean
from ...core.files import make_folder
from .json_data import Json
from .records import Records
from .room import Room, note_use
from .settings import Settings, new_id

TYPES = {
    "image/png": ".png",
    "image/jpeg": ".jpg",
    "image/webp": ".webp",
    "image/tiff": ".tif",
    "image/bmp": ".bmp",
    "image/gif": ".gif",
    "image/avif": ".avif",
    "image/heic": ".heic",
    "image/heif": ".heif",
}
THUMBNAIL = 320  # pixels of the longer side
_ID = re.compile(r"[0-9a-f]{16}")
DECODING = threading.Semaphore(1)  # pictures are large
#: The type that the bytes of a picture have, whatever its sender said.
_FORMATS = {
    "PNG": "image/png",
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",
    "WEBP": "image/webp",
    "TIFF": "image/tiff",
    "BMP": "image/bmp",
    "DIB": "image/bmp",
    "GIF": "image/gif",
    "AVIF": "image/avif",
}


class Uploads:
    """The uploads of a server.

    Attributes:
        room: for them and the pictures of the graph editor.
    """

    def __init__(self, settings: Settings, records: Records) -> None:
        self._settings, self._records = settings, records
        self.room = Room(settings, records)

    def tidy(self) -> None:
        """Delete what was being sent when an earlier server ended."""
        with suppress(OSError):
            for folder in self._settings.uploads.iterdir():
                if folder.name.endswith(".part"):
                    shutil.rmtree(folder, ignore_errors=True)

    def begin(self, media: str, name: str | None) -> "Upload":
        """A new upload; its bytes are written to it next.

        Raises:
            WorkflowError: not a type of picture that is taken.
            OSError: nothing can be written.
        """
        kind = media.partition(";")[0].strip().lower()
        if kind not in TYPES:
            raise WorkflowError.of(
                "Content-Type",
                found=clean(kind)[:80] or "nothing",
                expected=" or ".join(TYPES),
                fix="send the bytes of a picture with its type",
            )
        return Upload(self._settings, safe_name(name or "", TYPES[kind]), kind)

    def finish(self, upload: "Upload") -> Json:
        """Decode what was sent, and note it.

        Raises:
            WorkflowError: it is no picture that can be read, or there is no room for it.
            OSError: nothing can be written.
        """
        upload.file.close()
        try:
            with DECODING:
                width, height, mode = PACK.small_picture(upload.path, upload.folder / "thumbnail.jpg", THUMBNAIL)
        except BadInput as error:
            raise WorkflowError([error.at(None)]) from None
        upload.tell_type()
        self.room.make(upload.size)
        facts: Json = {
            "id": upload.id,
            "name": upload.path.name,
            "media": upload.media,
            "bytes": upload.path.stat().st_size,
            "width": width,
            "height": height,
            "mode": mode,
        }
        os.rename(upload.folder, self._settings.uploads / upload.id)
        self._records.add_upload(upload.id, facts)
        return facts

    def facts(self, upload: str) -> Json | None:
        """What is known of an upload; None if there is none of that id."""
        return self._records.upload(upload) if _ID.fullmatch(upload) else None

    def mask(self, upload: str) -> tuple[bytes, Sequence[str]] | None:
        """The mask in it as a PNG file, and doubts about it; None if there is no such upload.

        Raises:
            WorkflowError: no mask can be read.
        """
        found = self.file(upload)
        if found is None or not found[0].is_file():
            return None
        try:
            with DECODING:
                return PACK.mask_file(found[0])
        except BadInput as error:
            raise WorkflowError([error.at(None)]) from None

    def path(self, upload: str) -> str | None:
        """Its path below the folder of the uploads; None if there is none."""
        found = self.file(upload)
        if found is None:
            return None
        note_use(found[0])
        return f"{upload}/{found[0].name}"

    def file(self, upload: str) -> tuple[Path, Json] | None:
        """Its file and its facts; None if there is none."""
        facts = self.facts(upload)
        return None if facts is None else (self._settings.uploads / upload / facts["name"], facts)

    def thumbnail(self, upload: str) -> Path | None:
        """A small JPEG of it; None if there is none."""
        return None if self.facts(upload) is None else self._settings.uploads / upload / "thumbnail.jpg"

    def remove(self, upload: str) -> bool:
        """Delete an upload; false if there is none of that id."""
        if not _ID.fullmatch(upload) or not self._records.remove_upload(upload):
            return False
        shutil.rmtree(self._settings.uploads / upload, ignore_errors=True)
        return True


class Upload:
    """A file that is being sent.

    Attributes:
        id: names it, once it counts.
        folder: where it is, until then.
        path: its file.
        file: the same, open for writing.
    """

    def __init__(self, settings: Settings, name: str, media: str) -> None:
        self.id, self.media = new_id(), media
        self.folder = settings.uploads / f"{self.id}.part"
        make_folder(settings.uploads)
        self.folder.mkdir(mode=0o700)
        self.path = self.folder / name
        self.file: BinaryIO = open(self.path, "xb")  # noqa: SIM115 - closed by `finish` or `discard`
        self.size = 0
        self._most = settings.limits.upload_bytes

    def write(self, part: bytes) -> None:
        """Add some bytes.

        Raises:
            WorkflowError: it is too large.
            OSError: nothing can be written.
        """
        self.size += len(part)
        if self.size > self._most:
            raise too_large(self._most)
        self.file.write(part)

    def tell_type(self) -> None:
        """Take the type that its bytes have, and the end of a name that goes with it, once it was decoded."""
        from PIL import Image

        try:
            with Image.open(self.path) as opened:
                media = _FORMATS.get(opened.format or "", self.media)
        except (OSError, ValueError, SyntaxError):  # of what else is in it, such as a text of 200 MB
            return
        if media != self.media:
            self.media, self.path = media, self.path.rename(self.path.with_suffix(TYPES[media]))

    def discard(self) -> None:
        """Delete it, unless it counts by now."""
        with suppress(OSError):
            self.file.close()
        shutil.rmtree(self.folder, ignore_errors=True)


def too_large(most: int) -> WorkflowError:
    """What is said about a file that is too large."""
    return WorkflowError.of(
        "body",
        found=f"more than {most:,} bytes",
        expected=f"at most {most:,} bytes",
        fix="send a smaller file, or start the server with a larger --max-upload",
    )


def safe_name(name: str, suffix: str) -> str:
    """A client's name for a file as one that is safe everywhere, with the suffix of its type."""
    stem = Path(clean(name).replace("\\", "/")).stem if "\0" not in name else ""
    stem = re.sub(r"[^\w .()-]", "_", stem).strip(" .")[:80]
    good = bool(stem) and stem != "thumbnail" and safe_prefix(stem, windows=True)
    return (stem if good else "picture") + suffix
