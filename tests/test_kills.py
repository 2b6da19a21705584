"""Twenty kills at random instants; `make kills N=200` makes more. A finding is printed with its seed, and as a test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

KILLS = Path(__file__).parent / "helpers" / "kills.py"

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork, and no SIGKILL")


def test_nothing_announced_is_lost_and_nothing_half_written_is_seen_after_twenty_kills():
    done = subprocess.run(
        [sys.executable, str(KILLS), "--count", "20", "--seconds", "30"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-4000:]
    assert " 0 findings" in done.stdout


@pytest.mark.slow
def test_the_harness_finds_a_writer_that_is_not_atomic(tmp_path):
    """Pictures that are written under their final names are seen half-written: the harness must notice."""
    broken = """
import os, sys
sys.path.insert(0, sys.argv[1])
import kill_scenarios, kills
kill_scenarios.SAVED = 1  # picture a process
from inlay.graph_runtime.core import files
from contextlib import contextmanager
@contextmanager
def numbered(folder, name, suffix, published):
    number = len(list(folder.iterdir())) + 1
    path = folder / f"{name}_{number:05d}{suffix}"
    path.touch()
    for _ in range(500):  # most instants are of this kind, so that few kills are enough
        os.utime(path)
    yield path
    published(path)
from inlay.graph_runtime.core import context
context.numbered = numbered
sys.exit(kills.main(["--scenario", "save", "--count", "200", "--seed", "3", "--first"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", broken, str(KILLS.parent)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FOUND in 'save'" in done.stdout
    assert "def test_a_kill_that_was_found_in_save(tmp_path):" in done.stdout
