"""Repositories in the hub's cache on this machine: looked up without the network, and never outside the cache."""

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path

from ...graph_runtime import ModelError
from ...graph_runtime.core.errors import shorten
from ...graph_runtime.core.file_digests import digest
from ...graph_runtime.core.opening import read_also
from .kept import kept_folder

#: Branches, tags and commits: parts of letters, digits, `_`, `-` and `.`, none of which begins with a dot.
REVISION = re.compile(r"(?=.{1,200}\Z)[\w-][\w.-]*(/[\w-][\w.-]*)*", re.ASCII)


def require_revision(revision: str | None) -> None:
    """Refuse a revision that cannot be one: the hub's client takes it for the name of a file in its cache.

    Raises:
        ModelError: it is no branch, tag or commit.
    """
    if revision is not None and not REVISION.fullmatch(revision):
        raise ModelError(
            "revision",
            found=shorten(revision),
            expected="a branch, a tag or a commit: letters, digits, _ - . and /",
            fix="set revision to null for the default branch",
        )


def cached_snapshot(repository: str, revision: str | None = None, *, only: list[str] | None = None) -> Path:
    """The folder of a repository in the cache; a run may read below the cache.

    Args:
        repository: `owner/name`.
        revision: branch, tag or commit; None for the default branch.
        only: patterns of the files that are needed; None: all.

    Raises:
        OSError, ValueError: it is not there, or incomplete.
        ModelError: the revision cannot be one.
    """
    from huggingface_hub import constants, snapshot_download

    require_revision(revision)
    root = Path(snapshot_download(repository, revision=revision, allow_patterns=only, local_files_only=True))
    read_also(constants.HF_HUB_CACHE)
    note_revision(root)
    return root


def snapshots(repository: str, revision: str | None = None, *, only: list[str] | None = None) -> list[Path]:
    """The folders on this machine that hold files of a repository: in the cache, and in a host's folders.

    Raises:
        ModelError: the revision cannot be one.
    """
    found = []
    with contextlib.suppress(OSError, ValueError):
        found.append(cached_snapshot(repository, revision, only=only))
    kept = kept_folder(repository, revision)
    return found if kept is None else [*found, kept]


def downloaded() -> Iterator[tuple[str, Path]]:
    """Repositories in the cache, without their revisions, and the folder of each one's last snapshot."""
    from huggingface_hub import constants

    with contextlib.suppress(OSError):
        for folder in sorted(Path(constants.HF_HUB_CACHE).glob("models--*--*")):
            owner, _, name = folder.name.removeprefix("models--").partition("--")
            found = max(folder.glob("snapshots/*"), key=lambda path: path.stat().st_mtime, default=None)
            if found is not None:
                yield f"{owner}/{name}", found


def note_revision(snapshot: Path) -> None:
    """Count what branches and tags mean among what a run reads: a run that is kept as a whole ends when they change."""
    names = snapshot.parents[1] / "refs"  # of the cache; a host's folders have none
    if names.is_dir():
        with contextlib.suppress(OSError):
            digest(names)
