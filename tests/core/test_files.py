"""Files are there whole or not at all, with the permissions of any new file."""

import os
import stat

import pytest
from inlay.graph_runtime.core import files


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def half_written(writing):
    with writing as path:
        (path / "half" if path.is_dir() else path).write_text("half")
        raise KeyboardInterrupt


def fail(*args, **options):
    raise OSError(28, "No space left on device")


def test_bytes_and_text_take_the_place_of_what_was_there(tmp_path):
    path = tmp_path / "a" / "b.txt"
    files.write_bytes(path, b"old", parents=True)
    assert path.read_bytes() == b"old"
    files.write_text(path, "größer\n", flush=True)
    assert path.read_text(encoding="utf-8") == "größer\n"
    assert os.listdir(path.parent) == ["b.txt"]


def test_no_folder_is_made_unless_asked(tmp_path):
    with pytest.raises(FileNotFoundError):
        files.write_text(tmp_path / "a" / "b.txt", "")
    assert os.listdir(tmp_path) == []


def test_after_an_error_the_former_file_is_still_there_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        half_written(files.replacing(path))
    monkeypatch.setattr(files.os, "replace", fail)
    with pytest.raises(OSError, match="No space"):
        files.write_text(path, "new")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a"]


def test_what_must_survive_a_power_failure_is_flushed_before_the_rename(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(files.os, "fsync", lambda descriptor: calls.append("flush"))
    replace = os.replace
    monkeypatch.setattr(files.os, "replace", lambda *paths: calls.append("rename") or replace(*paths))
    files.write_text(tmp_path / "a", "")
    assert calls == ["rename"]
    files.write_text(tmp_path / "a", "", flush=True)
    assert calls == ["rename", "flush", "rename", "flush"]  # the contents, then the name in its folder


def test_a_library_that_shuts_others_out_does_not_decide(tmp_path):
    (tmp_path / "any").touch()
    with files.replacing(tmp_path / "one") as path:
        path.chmod(0o600)
    with files.numbered(tmp_path, "two", ".txt", lambda path: None) as path:
        path.chmod(0o600)
    with files.replacing_folder(tmp_path / "three") as folder:
        (folder / "inside").mkdir()
        (folder / "inside" / "file").touch()
        (folder / "inside" / "file").chmod(0o600)
    for name in ("one", "two_00001.txt", "three/inside/file"):
        assert mode(tmp_path / name) == mode(tmp_path / "any"), name


@pytest.mark.parametrize("links", [True, False])
def test_the_first_free_number_is_taken_and_nothing_is_overwritten(tmp_path, monkeypatch, links):
    if not links:
        monkeypatch.setattr(files.os, "link", fail)
    (tmp_path / "a_00002.txt").write_text("before")
    published = []
    for text in ("one", "three"):
        with files.numbered(tmp_path, "a", ".txt", published.append) as path:
            path.write_text(text)
    assert published == [tmp_path / "a_00001.txt", tmp_path / "a_00003.txt"]
    assert [path.read_text() for path in sorted(tmp_path.iterdir())] == ["one", "before", "three"]


def test_a_folder_that_does_not_show_its_files_takes_them(tmp_path, monkeypatch):
    def hide(folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files.os, "scandir", hide)
    published = []
    for text in ("one", "two"):
        with files.numbered(tmp_path, "a", ".txt", published.append) as path:
            path.write_text(text)
    assert [path.read_text() for path in published] == ["one", "two"]
    assert published[1].name == "a_00002.txt"


def test_a_folder_is_swapped_whole(tmp_path):
    folder = tmp_path / "model"
    for text in ("one", "two"):
        with files.replacing_folder(folder) as new:
            (new / text).write_text(text)
    assert os.listdir(folder) == ["two"]
    with pytest.raises(KeyboardInterrupt):
        half_written(files.replacing_folder(folder))
    assert os.listdir(folder) == ["two"]
    assert os.listdir(tmp_path) == ["model"]
