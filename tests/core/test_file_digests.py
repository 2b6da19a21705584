"""A large file is known by every byte of it, and read once, not at each start."""

import hashlib
import os
import subprocess
import sys

import pytest
from inlay.graph_runtime.core import digest_store, file_digests
from inlay.graph_runtime.core.file_digests import digest, file_sha256, holds
from inlay.graph_runtime.core.reading import file_state
from inlay.graph_runtime.core.reading.places import place_of

SIZE = 65 * 2**20
PROCESS = """
import sys
from pathlib import Path
from inlay.graph_runtime.core import file_digests
from inlay.graph_runtime.core.reading import file_state
file_state.SETTLED_NS = -1
if sys.argv[2] == "blind":
    def blind(*args): raise AssertionError("the content was read again")
    file_digests.hashlib.file_digest = blind
print(file_digests.digest(Path(sys.argv[1]), weights=True))
"""


def large(path, last=b"\0"):
    """A sparse file of 65 MiB whose last byte is `last`."""
    with path.open("wb") as file:
        file.truncate(SIZE)
        file.seek(SIZE - 1)
        file.write(last)
    return path


@pytest.fixture
def settled(monkeypatch):
    """Files count as old enough to be known, and this process knows none yet."""
    monkeypatch.setattr(file_state, "SETTLED_NS", -1)
    monkeypatch.setattr(file_digests, "_known", {})


def test_one_late_byte_of_a_large_file_counts(tmp_path, settled):
    one, other = (large(tmp_path / f"{byte}.safetensors", bytes([byte])) for byte in (1, 2))
    found = [digest(path, weights=True) for path in (one, other)]
    assert found == [hashlib.sha256(path.read_bytes()).hexdigest() for path in (one, other)]
    assert found[0] != found[1]


def test_a_second_process_does_not_read_the_content_again(tmp_path, settled):
    path = large(tmp_path / "model.safetensors")
    found = [
        subprocess.run(
            [sys.executable, "-c", PROCESS, str(path), how],
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "INLAY_HOME": str(tmp_path / "home")},
        ).stdout
        for how in ("", "blind")
    ]
    assert found[0] == found[1] == digest(path) + "\n"


@pytest.mark.parametrize("change", ["byte", "replaced", "touched"])
def test_a_changed_file_is_read_again(tmp_path, settled, monkeypatch, change):
    path = large(tmp_path / "model.safetensors")
    before, times = file_sha256(path), path.stat()
    monkeypatch.setattr(file_digests, "_known", {})
    if change == "byte":
        with path.open("r+b") as file:
            file.seek(SIZE // 2)
            file.write(b"\1")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))  # its content is not as old as it says
    elif change == "replaced":
        os.replace(large(tmp_path / "new", b"\1"), path)
    else:
        os.utime(path)
    assert (file_sha256(path) == before) == (change == "touched")
    assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_cannot_be_kept_is_read_again(tmp_path, settled, monkeypatch):
    path, home = large(tmp_path / "model.safetensors"), tmp_path / "home"
    for broken in ("a file", "damaged"):
        monkeypatch.setattr(file_digests, "_known", {})
        monkeypatch.setenv("INLAY_HOME", str(home / broken))
        if broken == "damaged":
            home.unlink()
            (home / broken).mkdir(parents=True)
            (home / broken / "digests.sqlite").write_bytes(b"no database" * 100)
        else:
            home.write_bytes(b"")
        assert file_sha256(path) == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_that_has_just_changed_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(file_digests, "keep", lambda *state: pytest.fail("kept too early"))
    file_sha256(large(tmp_path / "model.safetensors"))


def test_the_oldest_digests_make_room(monkeypatch):
    monkeypatch.setattr(digest_store, "ROWS", 3)
    for number in range(5):
        digest_store.keep((number,) * 5, str(number))
    assert [digest_store.recall((number,) * 5) for number in range(5)] == [None, None, "2", "3", "4"]


def test_records_made_before_are_understood(tmp_path, settled):
    path = large(tmp_path / "model.safetensors")
    old = "head:" + hashlib.sha256(f"{SIZE}\0".encode() + bytes(2**20)).hexdigest()
    assert holds(place_of(path), old, weights=True)
    assert holds(place_of(path), digest(path, weights=True), weights=True)
    assert not holds(place_of(path), old)
    assert not holds(place_of(large(tmp_path / "a", b"\1")), digest(path), weights=True)
