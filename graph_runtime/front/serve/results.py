"""The files that runs made: found by run and number, with small copies of the pictures."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path

from ....nodes.pack import PACK
from ...core.errors import BadInput
from ...core.files import make_folder
from ...core.reading.places import place_inside
from .dispatch import folder_of
from .json_data import Json
from .records import Records, Run
from .settings import Settings, new_id
from .uploads import DECODING, THUMBNAIL

_NAME = re.compile(r"([0-9A-Za-z_-]{1,64})/([1-9][0-9]{0,5})")


class Results:
    """The results of a server's runs."""

    def __init__(self, settings: Settings, records: Records) -> None:
        self._settings, self._records = settings, records

    def facts(self, run_id: str, number: int) -> Json | None:
        """The facts of a result; None if there is none."""
        run = self._records.run(run_id)
        if run is None or not 1 <= number <= len(run.results):
            return None
        return run.results[number - 1]

    def path(self, name: str) -> str | None:
        """The path of `RUN/NUMBER` below the output folder; None if there is no such result."""
        match = _NAME.fullmatch(name)
        facts = self.facts(match[1], int(match[2])) if match else None
        return None if facts is None else str(facts["file"])

    def file(self, run_id: str, number: int) -> tuple[Path, Json] | None:
        """The file of a result and its facts; None if it is not there any more, or a folder."""
        facts = self.facts(run_id, number)
        if facts is None or facts["kind"] == "folder":
            return None
        place = place_inside(str(facts["file"]), [self._settings.out])
        if place is None or place.pattern or not place.base.is_file():
            return None
        return place.base, facts

    def made_thumbnail(self, run_id: str, number: int) -> Path | None:
        """The small JPEG of a picture, if it was made before."""
        kept = self._thumbnails(run_id) / f"{number}.jpg"
        return kept if self.file(run_id, number) is not None and kept.is_file() else None

    def thumbnail(self, run_id: str, number: int) -> Path | None:
        """A small JPEG of a picture; made when it is first asked for."""
        found = self.file(run_id, number)
        if found is None or found[1]["kind"] != "image":
            return None
        kept = self._thumbnails(run_id) / f"{number}.jpg"
        if not kept.is_file():
            make_folder(kept.parent)
            written = kept.with_name(f"{new_id()}.part")
            try:
                with DECODING:
                    PACK.small_picture(found[0], written, THUMBNAIL)
                os.replace(written, kept)
            except BadInput:
                return None
            finally:
                with suppress(OSError):
                    written.unlink()
        return kept

    def remove(self, run: Run) -> None:
        """Delete the files of a run."""
        shutil.rmtree(self._settings.out / folder_of(run), ignore_errors=True)
        shutil.rmtree(self._thumbnails(run.id), ignore_errors=True)

    def _thumbnails(self, run_id: str) -> Path:
        return self._settings.folder / "thumbnails" / run_id
