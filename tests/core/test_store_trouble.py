"""The store with an index that somebody has written into, a clock that was set back, and files that come and go."""

import errno
import sqlite3
import time
from dataclasses import dataclass

import pytest
import torch
from inlay.graph_runtime.core.store import disk as disk_module
from inlay.graph_runtime.core.store import index as index_module
from inlay.graph_runtime.core.store.disk import DiskStore
from inlay.graph_runtime.core.store.kept import Kept
from inlay.graph_runtime.core.store.memory import MemoryCache, Result
from inlay.graph_runtime.core.store.parts import copied, tensors_in

BIG = torch.arange(20_000.0)
LONG = 1000.0  # seconds: worth keeping


def store_in(folder, limit=10**9):
    return DiskStore(folder, "here", limit)


def change_rows(folder, statement, *values):
    with sqlite3.connect(folder / "index.sqlite") as rows:
        rows.execute(statement, values)
    rows.close()


@pytest.mark.parametrize("how", ["clear", "damaged", "evicted"])
@pytest.mark.parametrize("form", ["relative", "absolute", "inside"])
def test_an_index_that_names_other_files_removes_and_reads_none(tmp_path, how, form):
    mine = (tmp_path / "cache" if form == "inside" else tmp_path) / "thesis.txt"
    store = store_in(tmp_path / "cache", limit=200_000)
    store.put(b"k", (BIG,), LONG)
    mine.write_bytes(b"x" * 80_000)
    name = {"relative": "../thesis.txt", "absolute": str(mine), "inside": "thesis.txt"}[form]
    change_rows(tmp_path / "cache", "UPDATE kept SET file = ?", name)
    if how == "evicted":
        for number in range(4):
            store.put(bytes([number]), (BIG + number,), LONG)
    elif how == "damaged":
        assert store.get(b"k") is None
        store.put(b"k", (BIG,), LONG)
        assert torch.equal(store.get(b"k")[0], BIG)  # the row does not stand in the way of a new one
    else:
        store.clear()
    assert mine.read_bytes() == b"x" * 80_000


@pytest.mark.parametrize("column", ["kind", "label", "file", "body", "size", "seal", "seconds", "made", "used"])
@pytest.mark.parametrize("value", ["abc", b"\xff", -5, 2**63 - 1, 1e300])
def test_a_row_of_any_content_is_a_miss_or_the_same_result(tmp_path, column, value):
    store = store_in(tmp_path)
    store.put(b"k", (BIG,), LONG)
    change_rows(tmp_path, f"UPDATE kept SET {column} = ?", value)
    for entry in store.entries():
        assert isinstance(entry.seconds, float)
        time.localtime(entry.used / 1e9)
    store.size()
    found = store.get(b"k")
    assert found is None or torch.equal(found[0], BIG)
    store.put(b"k", (BIG,), LONG)
    store.flush()
    store.clear()
    assert store_in(tmp_path).entries() == []


def test_a_clock_that_was_set_back_does_not_make_the_new_the_oldest(tmp_path, monkeypatch):
    store = store_in(tmp_path, limit=250_000)
    for number in range(3):
        store.put(bytes([number]), (BIG + number,), LONG)
    for text in "abcdefgh":
        store.note_run("flow", text.encode())
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() - 10**18)
    store.put(b"new", (BIG,), LONG)
    assert store.get(b"new") is not None
    assert store.get(b"\0") is None
    assert store.get(b"\1") is not None
    store.flush()
    store.put(b"newer", (BIG,), LONG)
    assert store.get(b"\1") is not None  # used last, though the clock says otherwise
    assert store.get(b"\2") is None
    store.note_run("flow", b"last")
    assert [packed for _, packed in store.runs("flow")] == [text.encode() for text in ["last", *"hgfedcb"]]


def test_what_took_the_place_of_a_missing_file_is_not_removed_with_it(tmp_path, monkeypatch):
    """One process finds a row; before it opens the file, others evict it and keep the result again."""
    one, other = store_in(tmp_path), store_in(tmp_path)
    one.put(b"k", (BIG,), LONG)
    real = disk_module._read_ordinary

    def late(path, size):
        monkeypatch.undo()
        other._unlink(other._index.remove([other.place(b"k")], "room"))
        assert other.put(b"k", (BIG,), LONG) == ""
        return real(path, size)

    monkeypatch.setattr(disk_module, "_read_ordinary", late)
    assert one.get(b"k") is None
    assert torch.equal(one.get(b"k")[0], BIG)


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EIO, errno.ESTALE, errno.ENOMEM])
def test_an_error_that_passes_removes_nothing(tmp_path, monkeypatch, code):
    store = store_in(tmp_path)
    store.put(b"k", (BIG,), LONG)

    def fail(*_):
        raise OSError(code, "for now")

    monkeypatch.setattr(disk_module, "_read_ordinary", fail)
    assert store.get(b"k") is None
    monkeypatch.undo()
    assert torch.equal(store.get(b"k")[0], BIG)


def test_a_missing_file_is_not_called_damaged(tmp_path):
    store = store_in(tmp_path)
    store.put(b"k", (BIG,), LONG)
    next(tmp_path.glob("*.safetensors")).unlink()
    assert store.get(b"k") is None
    assert store.why_gone(b"k") == "its file was gone"


def test_what_is_kept_again_counts_as_used(tmp_path):
    store = store_in(tmp_path, limit=250_000)
    for number in range(3):
        store.put(bytes([number]), (BIG + number,), LONG)
    store.put(b"\0", (BIG,), LONG)
    store.put(b"\3", (BIG,), LONG)
    assert store.get(b"\0") is not None
    assert store.get(b"\1") is None
    assert len(list(tmp_path.glob("*.safetensors"))) == 3


def test_memory_belongs_to_the_environment_in_which_it_was_made():
    memory = MemoryCache()
    Kept(memory, environment="1 thread").remember(b"k", Result((1,)))
    assert Kept(memory, environment="2 threads").get(b"k", 1) is None
    assert Kept(memory, environment="1 thread").get(b"k", 1) == Result((1,))


@dataclass(frozen=True, eq=False)
class Pair:
    one: torch.Tensor
    many: tuple[torch.Tensor, ...]


def pair():
    one = torch.ones(4)
    return Pair(one, (one, torch.zeros(3)))


def test_a_tensor_inside_a_kept_value_that_was_written_to_is_seen_and_counted():
    memory = MemoryCache(limit=100)
    value = pair()
    memory.put(b"k", Result((value,)))
    assert memory.bytes == 16 + 12  # the one that stands in two places counts once
    value.many[1].add_(1)
    assert memory.get(b"k") is None
    assert memory.bytes == 0


def test_a_copy_shares_no_tensor_and_keeps_what_is_shared_inside():
    value = {"pairs": [pair()], "name": "x", "number": 1}
    twin = copied(value)
    assert {id(one) for one in tensors_in(twin)}.isdisjoint(id(one) for one in tensors_in(value))
    assert twin["pairs"][0].one is twin["pairs"][0].many[0]
    assert torch.equal(twin["pairs"][0].many[1], value["pairs"][0].many[1])
    assert type(twin["pairs"][0]) is Pair
    nothing = ["text", (1, 2)]
    assert copied(nothing) is nothing


def test_only_names_of_the_store_are_ours():
    assert index_module.is_ours("ab" * 20 + "-0123abcd.safetensors")
    for name in ("", "../" + "ab" * 20, "ab" * 20 + ".png/..", "ab" * 20 + ".png\n", "/etc/passwd", "index.sqlite"):
        assert not index_module.is_ours(name)
