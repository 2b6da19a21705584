"""A cache folder that is read-only, full, without room for names, or gone in the middle of a run: real ones.

The system makes them, on mounts that only the process of the test sees (`bad_folders.py`). What does not
need a mount is faked, for machines that allow none.
"""

import contextlib
import errno
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Annotated, NamedTuple

import inlay
import pytest
from graph_toys import PADDED
from inlay.graph_runtime import BadInput, Port, node
from inlay.graph_runtime.core.store import disk as disk_module
from PIL import Image

HELPER = Path(__file__).with_name("bad_folders.py")
NAMESPACE = ["unshare", "-rm"]  # mounts of its own, also for a user without rights
SILENT = {"good", "removed in the middle", "unmounted in the middle"}  # where results are kept all the same


def _may_mount() -> bool:
    try:
        words = [*NAMESPACE, "mount", "-t", "tmpfs", "none", "/mnt"]
        return subprocess.run(words, capture_output=True, check=False, timeout=20).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """What became of each kind of work in each bad folder."""
    if not _may_mount():
        pytest.skip("no mounts of one's own here")
    done = subprocess.run(
        [*NAMESPACE, sys.executable, str(HELPER), str(tmp_path_factory.mktemp("bad"))],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def test_a_run_in_a_bad_cache_folder_gives_its_pictures_and_so_does_the_next_one(tried):
    good = {one["kind"]: one for one in tried if one["case"] == "good"}
    assert len(good) == 4
    assert len({one["case"] for one in tried}) == 10
    for one in tried:
        for found in (one, one["again"]):
            assert found["pictures"] == good[one["kind"]]["pictures"], one
            assert found["error"] == good[one["kind"]]["error"], one


def test_one_warning_names_the_bad_cache_folder_and_the_reason(tried):
    reasons = ("No space left", "Read-only file system", "Not a directory", "disk is full")
    for one in tried:
        assert len(one["warnings"]) == (one["case"] not in SILENT), one
        assert all(one["folder"] in said or os.path.dirname(one["folder"]) in said for said in one["warnings"]), one
        assert all(any(reason in said for reason in reasons) for said in one["warnings"]), one


def test_nothing_half_written_is_left_in_a_bad_cache_folder_and_a_mended_one_is_used_again(tried):
    for one in tried:
        assert one["left"] == [], one
        assert one["again"]["warnings"] == [], one
        assert one["again"]["begun"] <= one["begun"], one


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "home"))
    for number in range(3):
        Image.new("RGB", (30 + number, 20)).save(tmp_path / f"{number}.png")
    return [str(tmp_path / f"{number}.png") for number in range(3)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_job_of_any_number_of_processes_says_once_that_it_cannot_note_what_is_done(photos, tmp_path, jobs):
    (tmp_path / "home/jobs.sqlite").mkdir(parents=True)
    with pytest.warns(inlay.InlayWarning) as said:
        job = inlay.run(PADDED, image=photos, out=tmp_path / "out", jobs=jobs)
    assert not job.failed
    (only,) = (str(one.message) for one in said if one.category is inlay.InlayWarning)
    assert "what is done could not be noted, so the next start does it again" in only
    assert str(tmp_path / "home/jobs.sqlite") in only


class Made(NamedTuple):
    text: Annotated[str, Port("TEXT", "a text")]


@node("bad.node", effects=True)
def fails() -> Made:
    """It fails."""
    raise BadInput("", found="x", expected="y", fix="z")


def failing_module():
    module = types.ModuleType("failing")
    module.fails = fails
    return module


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.ESTALE])
@pytest.mark.parametrize("kind", ["run", "failing", "job"])
def test_a_disk_that_takes_no_result_is_one_warning(photos, tmp_path, monkeypatch, code, kind):
    """Without a mount: every write of a result fails."""

    def fails(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(disk_module, "write_bytes", fails)
    monkeypatch.setattr(disk_module, "_INSIDE", 0)
    monkeypatch.setattr("inlay.graph_runtime.core.store.worth.FIXED", -1000.0)
    flow, nodes = PADDED, []
    if kind == "failing":
        flow, nodes = PADDED | {"nodes": PADDED["nodes"] | {"bad": {"type": "bad.node"}}}, [failing_module()]
    with pytest.warns(inlay.InlayWarning) as said, contextlib.suppress(inlay.NodeError):
        inlay.run(flow, image=photos if kind == "job" else photos[0], out=tmp_path / "out", nodes=nodes)
    assert len(list((tmp_path / "out").glob("*.png"))) == (3 if kind == "job" else 1)
    (only,) = (str(one.message) for one in said if one.category is inlay.InlayWarning)
    assert only == f"results are not kept on disk: {tmp_path / 'home/cache'}: {os.strerror(code)}"
