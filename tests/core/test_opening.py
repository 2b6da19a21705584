"""Files are opened by descriptor: ordinary ones only, no others than permitted, and whatever takes a name's place."""

import os
import socket
import subprocess
import sys
import threading

import pytest
from inlay.graph_runtime.core import opening
from inlay.graph_runtime.core.opening import Gate, may_read, name_of, open_file, reading

LINKS = pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")


@pytest.fixture(params=["dir_fd", "no dir_fd"])
def platform(request, monkeypatch):
    """What this platform offers, and a platform on which folders cannot be opened."""
    if request.param == "no dir_fd":
        monkeypatch.setattr(opening, "_BY_DESCRIPTOR", False)
        monkeypatch.setattr(opening, "_NO_LINK_ANYWHERE", 0)
        monkeypatch.setattr(opening, "_FILE", os.O_RDONLY)
    return request.param


@pytest.fixture
def rooms(tmp_path):
    """A folder that may be read, with a file and a folder in it, and one that may not."""
    for name, text in (("in/a.txt", "mine"), ("in/sub/b.txt", "mine too"), ("out/a.txt", "secret")):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path.resolve()


def gate(rooms, **more):
    return reading(Gate(frozenset([str(rooms / "in")]), **more))


def text_of(path):
    with open_file(path) as file:
        return file.read().decode()


def descriptors():
    return len(os.listdir("/proc/self/fd")) if sys.platform == "linux" else 0


def test_an_ordinary_file_is_read(platform, rooms, monkeypatch):
    before = descriptors()
    assert text_of(rooms / "in/a.txt") == "mine"
    monkeypatch.chdir(rooms / "in")
    assert text_of("sub/../a.txt") == "mine"
    with gate(rooms):
        assert text_of(rooms / "in/sub/b.txt") == "mine too"
    assert descriptors() == before


def test_the_name_of_an_open_file_leads_to_it_whatever_has_its_name_by_now(platform, rooms):
    with open_file(rooms / "in/a.txt") as file:
        os.replace(rooms / "out/a.txt", rooms / "in/a.txt")
        with open(name_of(file)) as again:
            assert again.read() == ("mine" if sys.platform in ("linux", "darwin") else "secret")


@pytest.mark.parametrize("elsewhere", ["win32", "sunos5"])
def test_without_such_names_it_is_the_path(rooms, monkeypatch, elsewhere):
    with open_file(rooms / "in/a.txt") as file:
        monkeypatch.setattr(sys, "platform", elsewhere)
        assert name_of(file) == str(rooms / "in/a.txt")


@pytest.mark.skipif(sys.platform == "win32", reason="no such files there")
@pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "zero", "terminal", "missing", "loop", "below a file"])
def test_what_is_no_ordinary_file_is_refused_at_once(platform, rooms, kind, monkeypatch):
    path = rooms / "in" / "thing"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        bound = socket.socket(socket.AF_UNIX)
        monkeypatch.chdir(path.parent)  # the name of a socket is short
        bound.bind(path.name)
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "below a file":
        path = rooms / "in/a.txt/b"
    elif kind != "missing":
        path.symlink_to({"zero": "/dev/zero", "terminal": "/dev/tty"}[kind])
    before, found = descriptors(), []

    def attempt():
        try:
            open_file(path)
        except OSError as error:
            found.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(5)
    assert len(found) == 1, "it hangs"
    assert isinstance(found[0], FileNotFoundError) == (kind == "missing")
    assert descriptors() == before
    if kind in ("pipe", "socket", "zero", "terminal"):
        assert "not an ordinary file" in str(found[0])


def test_text_that_cannot_be_a_path_is_refused(platform):
    with pytest.raises(ValueError, match="null"):
        open_file("a\0b")
    with pytest.raises((ValueError, OSError)):
        open_file("\ud800")
    with pytest.raises(OSError, match="name"):
        open_file("x" * 5000)


@LINKS
def test_a_link_that_leads_out_is_refused_in_a_run(platform, rooms):
    (rooms / "in/link.txt").symlink_to(rooms / "out/a.txt")
    (rooms / "in/folder").symlink_to(rooms / "out")
    (rooms / "in/beside.txt").symlink_to("sub/b.txt")
    assert text_of(rooms / "in/link.txt") == "secret"  # a direct call: the caller's own path
    with gate(rooms):
        for path in ("in/link.txt", "in/folder/a.txt", "in/sub/../folder/a.txt"):
            with pytest.raises(PermissionError, match="leads out"):
                open_file(rooms / path)
        assert text_of(rooms / "in/beside.txt") == "mine too"


@LINKS
def test_a_refusal_does_not_tell_what_exists_outside(rooms):
    (rooms / "in/there").symlink_to(rooms / "out/a.txt")
    (rooms / "in/gone").symlink_to(rooms / "out/nothing")
    (rooms / "in/dir").symlink_to(rooms / "out")
    said = set()
    with gate(rooms):
        for name in ("there", "gone", "dir", "dir/nothing"):
            with pytest.raises(PermissionError) as caught:
                open_file(rooms / "in" / name)
            said.add(caught.value.strerror)
            assert not may_read(rooms / "in" / name)
        assert may_read(rooms / "in/nothing")
    assert len(said) == 1
    assert may_read(rooms / "in/there")


@LINKS
def test_a_link_below_what_the_user_named_may_lead_anywhere(rooms):
    (rooms / "in/sub/link.txt").symlink_to(rooms / "out/a.txt")
    with gate(rooms, trusted=frozenset([str(rooms / "in/sub")])):
        assert text_of(rooms / "in/sub/link.txt") == "secret"


@LINKS
def test_a_found_file_that_became_a_link_is_refused_even_when_it_stays_inside(platform, rooms):
    found = rooms / "in/a.txt"
    with gate(rooms, found=frozenset([str(found)])):
        assert text_of(found) == "mine"
        found.unlink()
        found.symlink_to(rooms / "in/sub/b.txt")
        with pytest.raises(OSError, match="a link took its place"):
            open_file(found)


@LINKS
@pytest.mark.parametrize("what", ["folder", "file"])
def test_a_swap_between_check_and_use_does_not_escape(platform, rooms, monkeypatch, what):
    """The path is resolved and permitted; then its folder or the file is replaced by a link, before it is opened."""
    real = os.path.realpath

    def resolve_then_swap(path, **how):
        found = real(path, **how)
        monkeypatch.setattr(os.path, "realpath", real)
        if what == "folder":
            (rooms / "in/sub").rename(rooms / "in/old")
            (rooms / "in/sub").symlink_to(rooms / "out")
        else:
            (rooms / "in/sub/a.txt").unlink()
            (rooms / "in/sub/a.txt").symlink_to(rooms / "out/a.txt")
        return found

    (rooms / "in/sub/a.txt").write_text("mine")
    before = descriptors()
    monkeypatch.setattr(os.path, "realpath", resolve_then_swap)
    with (
        gate(rooms),
        pytest.raises(OSError, match=r"a link took its place|symbolic links|Not a directory|no such file"),
    ):
        open_file(rooms / "in/sub/a.txt")
    assert descriptors() == before


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with names there")
def test_a_process_that_reads_a_pipe_without_a_writer_ends(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    code = f"from inlay.graph_runtime.core.opening import open_file; open_file({str(tmp_path / 'pipe')!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert "not an ordinary file" in done.stderr
