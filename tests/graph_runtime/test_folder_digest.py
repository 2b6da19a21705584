"""The digest of a folder changes with every picture in it, so that a result of the old ones is never served."""

from inlay.graph_runtime.paths import digest


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
