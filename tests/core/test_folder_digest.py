"""The digest of a folder changes with every picture in it, so that a result of the old ones is never served."""

import os

from inlay.graph_runtime.core import file_digests
from inlay.graph_runtime.core.file_digests import digest
from inlay.graph_runtime.core.reading import file_state


def test_a_large_picture_replaced_by_one_of_the_same_size(tmp_path):
    picture = tmp_path / "a.bmp"
    picture.write_bytes(b"\0" * 3_000_000)
    before = digest(tmp_path), digest(tmp_path / "*.bmp"), digest(picture)
    picture.write_bytes(b"\0" * 2_999_999 + b"\1")
    after = digest(tmp_path), digest(tmp_path / "*.bmp"), digest(picture)
    assert all(old != new for old, new in zip(before, after, strict=True))


def test_a_glob_may_match_a_folder(tmp_path):
    (tmp_path / "a.png").write_bytes(b"1")
    before = digest(tmp_path / "*")
    (tmp_path / "folder").mkdir()
    assert digest(tmp_path / "*") == before


def test_a_settled_file_is_read_once_and_again_when_it_changes(tmp_path, monkeypatch):
    picture, reads = tmp_path / "a.png", []
    real = file_digests.hashlib.file_digest
    monkeypatch.setattr(file_digests.hashlib, "file_digest", lambda *args: reads.append(1) or real(*args))
    monkeypatch.setattr(file_state, "SETTLED_NS", -1)
    picture.write_bytes(b"1")
    assert digest(picture) == digest(picture)
    assert len(reads) == 1
    before, size = digest(picture), picture.stat()
    picture.write_bytes(b"2")
    os.utime(picture, ns=(size.st_atime_ns, size.st_mtime_ns + 1))
    assert digest(picture) != before
    assert len(reads) == 2


def test_a_file_that_has_just_changed_is_always_read(tmp_path, monkeypatch):
    picture = tmp_path / "a.png"
    monkeypatch.setattr(file_state, "SETTLED_NS", 10**18)
    picture.write_bytes(b"1")
    before = digest(picture)
    picture.write_bytes(b"2")
    assert digest(picture) != before


def test_of_a_model_folder_only_what_models_are_made_of_counts(tmp_path):
    (tmp_path / "unet").mkdir()
    (tmp_path / "unet/config.json").write_text("{}")
    before = digest(tmp_path, weights=True)
    os.close(os.open(os.fsencode(tmp_path) + b"/bad-\xff-name.txt", os.O_CREAT))  # a name that is no Unicode
    named = digest(tmp_path, weights=True)
    assert named != before
    (tmp_path / "holiday.mp4").write_bytes(b"x")
    deep = tmp_path / "a/b/c"
    deep.mkdir(parents=True)
    (deep / "model.safetensors").write_bytes(b"x")
    assert digest(tmp_path, weights=True) == named
    (tmp_path / "unet/diffusion_pytorch_model.safetensors").write_bytes(b"x")
    assert digest(tmp_path, weights=True) != named
