"""A cache folder on a disk without locks, and one that two releases of inlay share: runs go on, results are right."""

import sqlite3
from contextlib import closing

import inlay
import pytest
from graph_toys import PADDED
from inlay.graph_runtime.core.store import index as index_module
from inlay.graph_runtime.core.store.disk import DiskStore
from inlay.graph_runtime.front.kept_between_runs import forget
from PIL import Image


@pytest.fixture
def photo(tmp_path, monkeypatch):
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("inlay.graph_runtime.core.store.worth.FIXED", -1000.0)
    Image.radial_gradient("L").resize((30, 20)).save(tmp_path / "x.png")
    forget(results=True)
    return str(tmp_path / "x.png")


class WithoutLocks(sqlite3.Connection):
    """SQLite where the system answers ENOLCK to every lock, as on a network disk without a lock daemon."""

    def execute(self, statement, *values):
        if statement.startswith(("BEGIN", "PRAGMA journal_mode", "PRAGMA user_version")):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_LOCK
            raise error
        return super().execute(statement, *values)


def test_on_a_disk_without_locks_a_run_gives_its_picture_and_one_warning_names_the_folder(photo, tmp_path, monkeypatch):
    inlay.run(PADDED, image=photo, out=tmp_path / "expected", cache=False, metadata=False)
    connect = sqlite3.connect

    def without(path, **options):
        return connect(path, **options) if path == ":memory:" else connect(path, factory=WithoutLocks, **options)

    monkeypatch.setattr(sqlite3, "connect", without)
    with pytest.warns(inlay.InlayWarning) as said:
        inlay.run(PADDED, image=photo, out=tmp_path / "out", metadata=False)
    (only,) = {str(one.message) for one in said if one.category is inlay.InlayWarning}
    assert str(tmp_path / "home") in only
    assert "disk I/O error" in only
    made, expected = (next((tmp_path / name).glob("*.png")) for name in ("out", "expected"))
    assert made.read_bytes() == expected.read_bytes()
    assert not list((tmp_path / "home").rglob("*.safetensors"))


def test_an_index_of_a_newer_release_is_left_alone_and_the_run_says_so(photo, tmp_path):
    folder = tmp_path / "home/cache"
    newer = index_module.Database(
        index_module.NAME, (*index_module._STEPS, "CREATE TABLE more (x)"), folder=lambda: folder
    )
    with newer.writing() as rows:
        rows.execute("INSERT INTO more VALUES ('precious')")
    newer.close()
    before = (folder / index_module.NAME).read_bytes()
    with pytest.warns(inlay.InlayWarning, match="a newer release of inlay wrote it") as said:
        inlay.run(PADDED, image=photo, out=tmp_path / "out")
    assert len([one for one in said if one.category is inlay.InlayWarning]) == 1
    assert len(list((tmp_path / "out").glob("*.png"))) == 1
    assert (folder / index_module.NAME).read_bytes() == before


def test_an_index_of_an_older_release_is_brought_up_to_date_with_what_it_holds(tmp_path):
    older = index_module.Database(index_module.NAME, index_module._STEPS[:3], folder=lambda: tmp_path)
    with older.writing() as rows:
        values = (b"p" * 20, "result", "x", "", 1, b"s", 1.0, 1, 1, b"b")
        rows.execute(
            "INSERT INTO kept (place, kind, label, file, size, seal, seconds, made, used, body)"
            " VALUES (?,?,?,?,?,?,?,?,?,?)",
            values,
        )
    older.close()
    store = DiskStore(tmp_path, "here")
    assert [entry.place for entry in store.entries()] == [b"p" * 20]
    assert not store.trouble
    with closing(sqlite3.connect(tmp_path / index_module.NAME)) as rows:
        assert rows.execute("PRAGMA user_version").fetchone() == (len(index_module._STEPS),)
