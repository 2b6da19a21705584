"""`profile=` of `inlay.run` and `inlay.check`."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ...core.errors import WorkflowError, shorten
from ..python.load_workflow import LoadedWorkflow
from .place import ProfilePlace, profiling, require_place
from .profile import Profile


def place_of(profile: object, out: object, folder: Path | None) -> ProfilePlace | None:
    """The folder of the profile that a call asks for; None if it asks for none.

    Args:
        profile: True, False, or a folder.
        out: the output folder as it was given; None: no file is written.
        folder: the output folder; None: it is asked for of a job.

    Raises:
        WorkflowError: it is neither, nothing can be written there, or it is a job.
    """
    if profile is False or profile is None:
        return None
    wish = os.fspath(profile) if isinstance(profile, (str, os.PathLike)) else ""
    if profile is not True and not (isinstance(wish, str) and wish):
        raise WorkflowError.of(
            "profile", found=shorten(profile), expected="True, False or a folder", fix='give profile=True or "folder"'
        )
    if profile is True and out is None:
        raise WorkflowError.of(
            "profile",
            found="profile=True with out=None",
            expected="a folder for the profile",
            fix='name one: profile="folder"',
        )
    return require_place(str(wish), folder)


@contextmanager
def profiled(place: ProfilePlace | None, loaded: LoadedWorkflow) -> Iterator[Profile | None]:
    """The profile of the run in the block, which is written at its end; None if nobody asks for one.

    Raises:
        ProfileError: the run is done, and the profile cannot be written.
    """
    if place is None:
        yield None
        return
    profile = Profile(loaded.workflow.title)
    with profiling(profile, place, lambda line: None):
        yield profile
