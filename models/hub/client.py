"""A hub repository's contents and its files on this machine; without a hub, one clear message within seconds.

The hub's own client retries for minutes and cannot be stopped. Here the first request is made once, with a deadline;
files are downloaded in a separate process (`worker.py`), which shows progress and ends when the user cancels.
"""

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from ...graph_runtime import ModelError
from ...graph_runtime.core.current_run import log_message, report_progress
from ...graph_runtime.core.leftovers import OLD_AGE
from ...graph_runtime.core.opening import read_also
from .kept import keep, staging, stored_below

ANSWER = 4.0  # seconds to wait for the hub's answer
AGAIN = 30.0  # seconds before a hub that did not answer is asked again
LOOK = 0.2  # seconds between two looks at a download
MIB = 2**20
_silent: dict[str, tuple[float, str]] = {}  # endpoint -> when it did not answer, and how
OFFLINE = ("INLAY_OFFLINE", "HF_HUB_OFFLINE")


class Listing(NamedTuple):
    """The contents of a repository: names of its files, and their sizes in bytes if the hub gives them."""

    names: tuple[str, ...]
    sizes: Mapping[str, int]


class Failure(NamedTuple):
    """An error of the hub's client: its class, the names of that class and its bases, and its message."""

    kind: str = ""
    kinds: tuple[str, ...] = ()
    text: str = ""

    @property
    def brief(self) -> str:
        """Class and first line."""
        return ": ".join(filter(None, [self.kind, (self.text.strip().splitlines() or [""])[0][:160]]))


class Request(NamedTuple):
    """A request to the hub: a repository, a revision, its purpose, and a local name that may have been meant."""

    repository: str
    revision: str | None
    what: str = "model"
    near: str = ""

    @property
    def name(self) -> str:
        """The repository, with its revision if one was given."""
        return self.repository + (f"@{self.revision}" if self.revision else "")


def offline() -> bool:
    """True if the user has turned network access off."""
    return any(os.environ.get(name, "").lower() in ("1", "true", "yes", "on") for name in OFFLINE)


def listing(wanted: Request) -> Listing:
    """The files of a repository: one request, answered within seconds.

    Raises:
        ModelError: the network is off or does not answer, or there is no such repository or revision.
        Cancelled: the user asked to stop.
    """
    from huggingface_hub import constants

    if offline():
        raise ModelError(
            "source",
            found=f"{wanted.name}, which is not in {_cache()}, and network access is off "
            f"({' or '.join(OFFLINE)} is set)",
            expected=f"a {wanted.what} that is on this machine",
            fix=f"{_did_you_mean(wanted)}unset the variable for this run, or give the {wanted.what}'s file or folder",
        )
    since, how = _silent.get(constants.ENDPOINT, (0.0, ""))
    if how and time.monotonic() - since < AGAIN:
        raise _unreachable(wanted, how)
    answer = _ask(wanted)
    if answer is None:
        answer = Failure("TimeoutError", ("TimeoutError",), f"no answer within {ANSWER:g} seconds")
    if isinstance(answer, Listing):
        return answer
    error = _explain(wanted, answer)
    if error is None:
        _silent[constants.ENDPOINT] = (time.monotonic(), answer.brief)
        raise _unreachable(wanted, answer.brief)
    raise error


def _ask(wanted: Request) -> Listing | Failure | None:
    """The hub's answer, or None after the deadline. (Host name resolution ignores the client's own timeout.)"""
    answers: list[Listing | Failure] = []

    def ask() -> None:
        from huggingface_hub import HfApi

        try:
            info = HfApi().model_info(wanted.repository, revision=wanted.revision, timeout=ANSWER, files_metadata=True)
            files = info.siblings or []
            answers.append(
                Listing(
                    tuple(file.rfilename for file in files),
                    {file.rfilename: int(file.size) for file in files if file.size},
                )
            )
        except Exception as error:  # noqa: BLE001 - the client raises its own and those of two libraries
            kinds = tuple(kind.__name__ for kind in type(error).__mro__)
            answers.append(Failure(type(error).__name__, kinds, str(error)))

    thread = threading.Thread(target=ask, daemon=True, name="inlay-hub")
    thread.start()
    end = time.monotonic() + ANSWER
    while thread.is_alive() and time.monotonic() < end:
        report_progress()
        thread.join(LOOK / 2)
    return answers[0] if answers else None


def download(wanted: Request, names: Sequence[str], sizes: Mapping[str, int]) -> Path:
    """Download files of a repository to the hub's cache, or to a host's folder for models (see `kept`).

    Shows progress, and stops when the user cancels.

    Returns:
        The folder of the snapshot.

    Raises:
        ModelError: the download failed; the finished part is kept, and the next try continues from there.
        Cancelled: the user asked to stop.
    """
    total = sum(sizes.get(name, 0) for name in names)
    size = f", {total / MIB:.1f} MiB" if total else ""
    to = staging(wanted.repository, wanted.revision)  # None: the cache
    stored = partial(stored_below, to) if to is not None else partial(_stored, wanted.repository)
    log_message(f"downloading {wanted.name} ({len(names)} files{size}) to {_cache() if to is None else to.parents[1]}")
    began, before, unfinished = time.monotonic(), stored(), _unfinished(wanted.repository)
    environment = {
        **os.environ,
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "HF_HUB_CACHE": _cache(),
        "HF_ENDPOINT": _endpoint(),
    }
    try:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("worker.py"))],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError as error:  # a host whose Python is no program of its own
        raise ModelError(
            "source",
            found=f"{wanted.name} cannot be downloaded from within this program ({error})",
            expected="a Python that can be started",
            fix=f"fetch it yourself: hf download {wanted.repository}",
        ) from error
    assert process.stdin is not None
    try:
        process.stdin.write(
            json.dumps(
                {
                    "repository": wanted.repository,
                    "revision": wanted.revision,
                    "names": [_literal(name) for name in names],
                    "folder": None if to is None else str(to),
                }
            )
            + "\n"
        )
        process.stdin.flush()  # and not closed: the process ends with this one
        while process.poll() is None:
            done = min(max(stored() - before, 0), total)
            report_progress(done // 1024, max(total // 1024, 1), f"KiB of {wanted.name}")
            time.sleep(LOOK)
        assert process.stdout is not None
        answer = json.loads(process.stdout.read() or "{}")
    finally:
        _end(process)
    if "root" not in answer:
        failure = Failure(answer.get("kind", ""), tuple(answer.get("kinds", ())), answer.get("text", ""))
        raise _explain(wanted, failure) or ModelError(
            "source",
            found=f"the download of {wanted.name} stopped ({failure.brief or 'its process ended'})",
            expected="all of its files",
            fix="run again: it continues where it stopped",
        )
    log_message(f"downloaded {wanted.name} in {time.monotonic() - began:.0f} s")
    if to is not None:
        return keep(to, wanted.repository, wanted.revision)
    _sweep(wanted.repository, unfinished)
    read_also(_cache())
    return Path(answer["root"])


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for stream in (process.stdin, process.stdout):
        if stream is not None:
            stream.close()


def _blobs(repository: str) -> Path:
    """The folder of a repository's files in the hub's cache."""
    return Path(_cache()) / f"models--{repository.replace('/', '--')}" / "blobs"


def _unfinished(repository: str) -> dict[Path, tuple[int, int]]:
    """Unfinished files of a repository, with their sizes and the time of their last change."""
    found = {}
    with contextlib.suppress(OSError):
        for file in _blobs(repository).glob("*.incomplete"):
            state = file.stat()
            found[file] = (state.st_size, state.st_mtime_ns)
    return found


def _sweep(repository: str, before: Mapping[Path, tuple[int, int]]) -> None:
    """Remove unfinished files that killed downloads left, after a whole download during which nothing wrote to them.

    The hub's client never continues those with a random part in their name. The others, it may: they stay for a day.
    """
    from filelock import FileLock, Timeout

    now = _unfinished(repository)
    for file in [file for file, state in before.items() if now.get(file) == state]:
        resumable = file.name.count(".") < 2
        if resumable and time.time_ns() - now[file][1] < OLD_AGE * 10**9:
            continue
        lock = Path(_cache()) / ".locks" / file.parents[1].name / f"{file.name.partition('.')[0]}.lock"
        with contextlib.suppress(OSError, Timeout, NotImplementedError):  # another process downloads it
            if lock.parent.is_dir():
                with FileLock(lock, timeout=0):
                    file.unlink()


def _stored(repository: str) -> int:
    """Bytes of a repository in the cache, unfinished files included."""
    try:
        return sum(entry.stat().st_size for entry in os.scandir(_blobs(repository)))
    except OSError:
        return 0


def _literal(name: str) -> str:
    """A name as a pattern that matches only itself."""
    return "".join(f"[{letter}]" if letter in "*?[" else letter for letter in name)


def _cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _did_you_mean(wanted: Request) -> str:
    return f"did you mean {wanted.near!r}? Otherwise " if wanted.near else ""


def _unreachable(wanted: Request, how: str) -> ModelError:
    return ModelError(
        "source",
        found=f"{wanted.name}, which is not on this machine (looked in {_cache()}), and "
        f"{_endpoint()} cannot be reached ({how})",
        expected=f"a {wanted.what} that is on this machine, or a network connection",
        fix=f"{_did_you_mean(wanted)}run again with a network, or fetch it where there is one: hf download "
        f"{wanted.repository}" + (f" --revision {wanted.revision}" if wanted.revision else ""),
    )


def _explain(wanted: Request, failure: Failure) -> ModelError | None:
    """The message about a refusal of the hub; None if it did not answer at all."""
    kinds = set(failure.kinds)
    page = f"{_endpoint()}/{wanted.repository}"
    if "GatedRepoError" in kinds:
        return ModelError(
            "source",
            found=f"{wanted.name}, which is gated: its owners ask you to accept a licence",
            expected="a repository that you may read",
            fix=f"accept the licence on {page}, then `hf auth login`",
        )
    if "RevisionNotFoundError" in kinds:
        return ModelError(
            "revision",
            found=f"no revision {wanted.revision!r} of {wanted.repository}",
            expected="a branch, a tag or a commit of it",
            fix=f"see {page}/tree/main, or set revision to null for the default branch",
        )
    if "RepositoryNotFoundError" in kinds or "HFValidationError" in kinds:
        return ModelError(
            "source",
            found=f"{wanted.repository}, which is not on the hub (or is private), nor in {_cache()}, nor a folder here",
            expected=f"a {wanted.what}: a hub id, a folder or a file",
            fix=f"{_did_you_mean(wanted)}check the spelling; a private one needs `hf auth login`",
        )
    if kinds & {"EntryNotFoundError", "RemoteEntryNotFoundError"} and "LocalEntryNotFoundError" not in kinds:
        return ModelError(
            "source",
            found=f"{wanted.name}: {failure.brief}",
            expected="a repository with all its files",
            fix="use another model, or another revision of it",
        )
    if kinds & {"HfHubHTTPError", "HTTPStatusError"} and "LocalEntryNotFoundError" not in kinds:
        return ModelError(
            "source",
            found=f"{wanted.name}: the hub answered {failure.brief}",
            expected="a repository that can be read",
            fix="try again later; see https://status.huggingface.co",
        )
    return None
