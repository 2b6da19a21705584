"""Where a profile is written: `profile.json`, `trace.json` and `flame.svg` in a folder beside the results."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from ...core.disk_errors import explain
from ...core.errors import InlayError, WorkflowError, clean, shorten
from ...core.files import make_folder, write_text
from ...core.paths import why_unwritable
from ...core.user_paths import expand, is_possible
from .flame import flame_of
from .profile import Profile
from .report import data_of, table_of
from .spans import spans_of
from .trace import trace_of

NAMES = ("profile.json", "trace.json", "flame.svg")


class ProfileError(InlayError):
    """The run is done, and its profile could not be written; status 1."""


class ProfilePlace:
    """The folder of a profile.

    Args:
        wish: a folder; empty: `profile_00001` and so on below the output folder.
        out: the output folder.

    Attributes:
        folder: where the profile is, once it is written.

    Raises:
        WorkflowError: nothing can be written there, or the profile of another run is there.
    """

    def __init__(self, wish: str, out: Path) -> None:
        self._out = out
        self.folder: Path | None = None
        self._named = expand(wish) if wish and is_possible(wish) else None
        if wish and self._named is None:
            raise _refused(shorten(wish), "the name of a folder")
        place = self._named or out
        if place.exists() and not place.is_dir():
            raise _refused(f"{str(place)!r}, which is a file", "a folder")
        if self._named is not None and (there := [name for name in NAMES if os.path.lexists(place / name)]):
            raise _refused(f"{str(place)!r}, where {there[0]} is already", "a folder without a profile")
        if why := why_unwritable(place):
            raise _refused(f"{str(place)!r}: {why}", "a folder that can be written to, with room in it")

    def write(self, profile: Profile) -> Path:
        """Write the files; returns their folder.

        Raises:
            OSError: the folder takes no files any more.
        """
        whole = spans_of(profile)
        contents = (json.dumps(data_of(profile), indent=1), json.dumps(trace_of(whole)), flame_of(whole))
        folder = self.folder = self._folder()
        for name, text in zip(NAMES, contents, strict=True):
            write_text(folder / name, text + "\n" * (not text.endswith("\n")))
        return folder

    def _folder(self) -> Path:
        if self._named is not None:
            make_folder(self._named)
            return self._named
        make_folder(self._out)
        for number in count(1):
            folder = self._out / f"profile_{number:05}"
            try:
                folder.mkdir()
            except FileExistsError:
                continue
            return folder
        raise AssertionError("count ends never")


def require_place(wish: str, out: Path | None) -> ProfilePlace:
    """The folder of a profile; see `ProfilePlace`.

    Args:
        wish: a folder, or empty.
        out: the output folder; None: it is asked for of a job.

    Raises:
        WorkflowError: nothing can be written there, or it is a job.
    """
    if out is not None:
        return ProfilePlace(wish, out)
    raise WorkflowError.of(
        "--profile",
        found="a folder, a pattern or a list of pictures, which is a run for each",
        expected="one run",
        fix="name one picture; the table of a job has the seconds of each",
    )


@contextmanager
def profiling(profile: Profile, place: ProfilePlace, say: Callable[[str], None]) -> Iterator[None]:
    """Write the profile of the run in the block, also if it fails or is stopped; `say` gets the table, line by line.

    Raises:
        ProfileError: the run is done, and the profile cannot be written.
    """
    try:
        yield
    except BaseException:
        if profile.run_began is not None:
            try:
                _tell(profile, place, say)
            except OSError as error:  # the failure of the run counts more
                say(f"warning: the profile could not be written: {explain(error)[0]}")
        raise
    try:
        _tell(profile, place, say)
    except OSError as error:
        found, _, fix = explain(error)
        raise ProfileError(f"the run is done, and its profile could not be written: {found}. Fix: {fix}") from error


def _tell(profile: Profile, place: ProfilePlace, say: Callable[[str], None]) -> None:
    for line in table_of(profile):
        say(clean(line))
    say(clean(f"profile: {place.write(profile)}"))


def _refused(found: str, expected: str) -> WorkflowError:
    return WorkflowError.of(
        "--profile",
        found=found,
        expected=expected,
        fix="name another folder (--profile=FOLDER), or leave it out: then it is profile_00001, … beside the results",
    )
