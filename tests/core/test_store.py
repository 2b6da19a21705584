"""Results on disk: the same bits and layout come back, or nothing; trouble of any kind is a slower run."""

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.graph_runtime import Port, Registry, node
from inlay.graph_runtime.core.store import disk as disk_module
from inlay.graph_runtime.core.store.disk import DiskStore
from inlay.graph_runtime.core.store.encoding import decode, described, encode
from inlay.graph_runtime.core.store.types import NotStorable, StorableTypes
from inlay.graph_runtime.core.store.worth import FIXED, RATE, why_not_worth

LONG = 1000.0  # seconds: worth any place
BIG = torch.arange(20_000, dtype=torch.float32)  # larger than what lies in the index itself


@dataclass(frozen=True, eq=False)
class Base:
    """A value of a toy pack."""

    numbers: torch.Tensor


@dataclass(frozen=True, eq=False)
class Derived(Base):
    """A kind of it."""

    name: str = ""
    places: tuple[int, ...] = ()


class Box(NamedTuple):
    """Four numbers."""

    left: float
    right: float


@dataclass(frozen=True)
class Stranger:
    """No socket declares it."""

    number: int


@dataclass
class Changeable:
    """It may change after it was stored."""

    number: int


class Made(NamedTuple):
    """What the toy node gives."""

    base: Annotated[Base, Port("BASE")]
    boxes: Annotated[list[list[Box]], Port("BOXES")]
    odd: Annotated[Changeable, Port("ODD")]


@node("toy.make")
def make() -> Made:
    """Make values."""
    raise NotImplementedError


TYPES = StorableTypes(lambda: Registry([make.spec]))


def through(value, types=TYPES):
    """A value through the text of its structure, as a file holds it."""
    encoded = encode(value, types)
    return decode(json.loads(json.dumps(encoded.structure)), encoded.tensors.__getitem__, types)


def store_in(folder, **more):
    return DiskStore(folder, "here", types=TYPES, **more)


@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.uint8, torch.bool]
)
@pytest.mark.parametrize("count", [6, 60_000])
def test_disk_gives_back_the_same_bits(tmp_path, dtype, count):
    value = torch.randn(2, count // 2).mul(100).to(dtype)
    store = store_in(tmp_path / "c")
    assert store.get(b"k") is None
    assert store.put(b"k", (value,), LONG) == ""
    (found,) = store_in(tmp_path / "c").get(b"k")
    assert found.dtype == dtype
    assert torch.equal(found.view(torch.uint8), value.view(torch.uint8))
    assert DiskStore(tmp_path / "c", "elsewhere").get(b"k") is None
    assert not list(tmp_path.rglob("*.part"))


@st.composite
def tensors(draw):
    """Tensors laid out in many ways: permuted, cut out, with steps, expanded, empty, of no axis."""
    sizes = draw(st.lists(st.integers(0, 5), max_size=4))
    value = torch.randn(sizes, dtype=torch.float64)
    if draw(st.booleans()):
        value = value.permute(draw(st.permutations(range(value.dim()))))
    for axis in range(value.dim()):
        length = value.shape[axis]
        if length > 1 and draw(st.booleans()):
            first = draw(st.integers(0, length - 1))
            value = value.narrow(axis, first, draw(st.integers(1, length - first)))
        if draw(st.integers(0, 9)) == 0:
            value = value.unsqueeze(0).expand(3, *value.shape)
    return value


@settings(max_examples=300, deadline=None)
@given(tensors())
def test_a_tensor_comes_back_laid_out_as_it_was(value):
    """Strides and alignment decide which kernel computes with it."""
    found = through(value)
    assert torch.equal(found, value)
    assert (found.shape, found.stride(), found.dtype) == (value.shape, value.stride(), value.dtype)
    if value.numel():
        assert found.data_ptr() % 64 == value.data_ptr() % 64


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary()
    | st.builds(Box, st.floats(allow_nan=False), st.integers()),
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def same(one, other):
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return type(one) is type(other) and repr(one) == repr(other)


@settings(max_examples=100, deadline=None)
@given(PLAIN)
def test_any_plain_value_comes_back(value):
    assert same(through(value), value)


def test_values_of_declared_types_come_back_field_by_field():
    half = torch.randn(4, 3)
    found = through((Derived(half[1:], "a", (1, 2)), [[Box(float("inf"), 2.0)], []], Base(half)))
    assert [type(part) for part in found] == [Derived, list, Base]
    assert (found[0].name, found[0].places, found[1]) == ("a", (1, 2), [[Box(float("inf"), 2.0)], []])
    assert torch.equal(found[0].numbers, half[1:])
    assert torch.equal(found[2].numbers, half)


@pytest.mark.parametrize(
    "value",
    [
        object(),
        Stranger(1),
        Changeable(1),
        print,
        torch.zeros(1, requires_grad=True),
        torch.zeros(1, device="meta"),
        torch.zeros(4).unfold(0, 2, 1),
        torch.zeros(1, dtype=torch.complex64),
        {1: 2},
        {"set"},
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_not_on_the_list_is_not_kept(tmp_path, value):
    assert "cannot be stored" in store_in(tmp_path).put(b"k", (value,), LONG)
    assert store_in(tmp_path).get(b"k") is None
    with pytest.raises(NotStorable):
        encode([value], TYPES)


@pytest.mark.parametrize(
    "structure",
    [
        ["object", f"{__name__}:Stranger", ["number", 1]],
        ["object", "os:system", ["command", "true"]],
        ["object", "builtins:eval", ["source", "1"]],
        ["tensor", "0", "float32", [2], [[3], [1], [0]]],
        ["tensor", "0", "float32", [2], [[2], [-1], [0]]],
        ["no such kind", 1],
        [],
        ["dict", "x"],
    ],
    ids=str,
)
def test_no_structure_makes_what_is_not_on_the_list(structure):
    with pytest.raises(ValueError, match=r"structure|layout"):
        decode(structure, lambda name: torch.zeros(2), TYPES)


def test_a_structure_describes_its_value_without_making_it():
    value = {"a": 1}
    encoded = encode([torch.zeros(2, 3), Box(1.5, float("nan")), Derived(BIG), value, b"x", "t", 2**60], TYPES)
    assert described(encoded.structure) == [
        {"dtype": "float32", "shape": [2, 3]},
        [1.5, "nan"],
        {"type": "Derived"},
        {"type": "dict"},
        {"type": "bytes"},
        "t",
        2**60,
    ]


def test_a_result_is_kept_if_making_it_again_takes_longer_than_keeping_it():
    assert "making it again takes 0.010 s" in why_not_worth(0.01, 0)
    for size in (1, 10**6, 10**9):
        assert why_not_worth(FIXED + size / RATE - 0.001, size)
        assert not why_not_worth(FIXED + size / RATE + 0.001, size)


def test_what_is_quicker_to_make_again_is_not_written(tmp_path):
    assert "less than keeping its 76.3 MiB" in store_in(tmp_path).put(b"k", (torch.zeros(20_000_000),), 1.0)
    assert not list(tmp_path.glob("*.safetensors"))


def test_of_two_swapped_files_neither_is_used(tmp_path):
    """A result is bound to its key: by the seal in the index, and by the key's name inside the file."""
    store = store_in(tmp_path)
    store.put(b"one", (BIG,), LONG)
    store.put(b"two", (BIG + 1,), LONG)
    one, two = sorted(tmp_path.glob("*.safetensors"))
    other = tmp_path / "aside"
    one.rename(other), two.rename(one), other.rename(two)
    assert store_in(tmp_path).get(b"one") is None
    assert store_in(tmp_path).get(b"two") is None


@pytest.mark.parametrize("value", [BIG, BIG[:4]], ids=["in files", "in the index"])
def test_of_two_swapped_rows_neither_is_used(tmp_path, value):
    store = store_in(tmp_path)
    store.put(b"one", (value,), LONG)
    store.put(b"two", (value + 1,), LONG)
    with sqlite3.connect(tmp_path / "index.sqlite") as rows:
        one, two = (store.place(key) for key in (b"one", b"two"))
        for before, after in ((one, b"aside"), (two, one), (b"aside", two)):
            rows.execute("UPDATE kept SET place = ? WHERE place = ?", (after, before))
    rows.close()
    assert store_in(tmp_path).get(b"one") is None
    assert store_in(tmp_path).get(b"two") is None


@pytest.mark.parametrize("part", range(6))
def test_a_damaged_file_is_a_miss_and_goes(tmp_path, part):
    store = store_in(tmp_path)
    store.put(b"k", (BIG,), LONG)
    (file,) = tmp_path.glob("*.safetensors")
    contents = bytearray(file.read_bytes())
    place = [0, 9, 60, len(contents) // 2, len(contents) - 1, len(contents)][part]
    if part == 5:
        contents = contents[:-3]
    else:
        contents[place] ^= 1
    file.write_bytes(contents)
    assert store.get(b"k") is None
    assert not file.exists()
    assert store.why_gone(b"k") == "it was damaged"
    assert store.put(b"k", (BIG,), LONG) == ""
    assert torch.equal(store.get(b"k")[0], BIG)


def replace_with_pipe(path):
    os.mkfifo(path)


def replace_with_folder(path):
    path.mkdir()


def replace_with_rubbish(path):
    path.write_bytes(b"rubbish" * 5000)


def replace_with_device(path):
    path.symlink_to("/dev/zero")


def replace_with_nothing(path):
    pass


WAYS = [replace_with_pipe, replace_with_folder, replace_with_rubbish, replace_with_device, replace_with_nothing]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("what", ["file", "index", "folder"])
def test_whatever_stands_in_the_place_of_a_file_is_a_miss_and_no_hang(tmp_path, way, what):
    folder = tmp_path / "cache"
    store = store_in(folder)
    store.put(b"k", (BIG,), LONG)
    disk_module.Index.__init__.__globals__["_database"].cache_clear()  # as a new process begins
    (file,) = folder.glob("*.safetensors")
    path = {"file": file, "index": folder / "index.sqlite", "folder": folder}[what]
    if what == "folder":
        folder.rename(tmp_path / "away")
    else:
        path.unlink()
    way(path)
    began = time.monotonic()
    store = store_in(folder)
    found = store.get(b"k")  # SQLite's log may restore the index
    assert found is None or torch.equal(found[0], BIG)
    store.put(b"k", (BIG,), LONG)
    store.flush()
    store.clear()
    assert time.monotonic() - began < 5


def test_a_read_only_folder_keeps_nothing_and_says_so(tmp_path):
    (tmp_path / "file").write_text("")
    store = store_in(tmp_path / "file" / "below")
    assert store.get(b"k") is None
    assert store.put(b"k", (BIG,), LONG) == store.trouble != ""


def test_a_full_disk_keeps_nothing_and_leaves_nothing(tmp_path, monkeypatch):
    def full(path, contents, **_):
        path.with_name("x.part")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(disk_module, "write_bytes", full)
    store = store_in(tmp_path)
    assert "No space left" in store.put(b"k", (BIG,), LONG)
    assert not list(tmp_path.glob("*.safetensors"))
    assert store.put(b"small", (1,), LONG)  # after trouble, nothing more is tried
    assert store.get(b"small") is None


def test_the_disk_is_bounded_and_the_last_used_stay(tmp_path):
    store = store_in(tmp_path, limit=300_000)
    for number in range(3):
        store.put(bytes([number]), (BIG,), LONG)
    assert store.get(b"\0") is not None
    store.flush()
    for number in range(3, 5):
        store.put(bytes([number]), (BIG,), LONG)
    left = {number for number in range(5) if store.get(bytes([number])) is not None}
    assert left == {0, 3, 4}
    assert sum(file.stat().st_size for file in tmp_path.glob("*.safetensors")) <= 300_000
    assert "limit of the cache" in store.why_gone(b"\1")
    assert "larger than the limit" in store.put(b"big", (torch.zeros(200_000),), LONG)
    assert DiskStore(tmp_path, "here", limit=0).put(b"x", (1,), LONG) == "the cache is switched off"


def test_files_that_belong_to_nothing_are_swept_and_no_others(tmp_path):
    ours = [f"{'ab' * 20}-0123abcd.safetensors", f"{'ab' * 20}.safetensors", f".{'ab' * 20}.png.77-0123abcd.part"]
    others = ["notes.txt", "model.safetensors", ".hidden.part"]
    for name in ours + others:
        (tmp_path / name).write_bytes(b"x")
        os.utime(tmp_path / name, (1, 1))
    (tmp_path / f"{'cd' * 20}-0123abcd.safetensors").write_bytes(b"a process is about to add its row")
    store_in(tmp_path).put(b"k", (BIG,), LONG)
    left = {file.name for file in tmp_path.iterdir() if not file.name.startswith("index.sqlite")}
    assert set(others) <= left
    assert not left & set(ours)
    assert f"{'cd' * 20}-0123abcd.safetensors" in left
    store = store_in(tmp_path)
    assert store.clear() > BIG.nbytes
    assert {file.name for file in tmp_path.iterdir() if not file.name.startswith("index.sqlite")} == set(others)
    assert store.size() == (0, 0)


WRITER = """
import sys
from pathlib import Path
from inlay.graph_runtime.core.store.disk import DiskStore
store = DiskStore(Path(sys.argv[1]), "here", limit=2_000_000)
print("ready", flush=True)
number = int(sys.argv[2])
while True:
    key = bytes([number % 40])
    store.put(key, (bytes([number % 40]) * 60_000,), 1000.0)
    print(number % 40, flush=True)
    number += 1
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9")
def test_writers_killed_at_any_instant_lose_nothing_that_was_announced(tmp_path):
    announced = set()
    for round_ in range(5):
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(tmp_path), str(7 * round_ + 3 * one)], stdout=subprocess.PIPE
            )
            for one in range(2)
        ]
        for writer in writers:
            assert writer.stdout.readline() == b"ready\n"
        time.sleep(0.05 + 0.07 * round_)
        for writer in writers:
            writer.kill()
        for writer in writers:
            lines = writer.stdout.read().split(b"\n")[:-1]
            writer.wait()
            announced |= {int(line) for line in lines}
    store = store_in(tmp_path)
    entries = {entry.place for entry in store.entries()}
    assert announced
    for number in range(40):
        found = store.get(bytes([number]))
        assert found is None or found[0] == bytes([number]) * 60_000
        assert (found is not None) == (store.place(bytes([number])) in entries)
        if number in announced and found is None:
            assert "limit" in store.why_gone(bytes([number]))
    assert store.size()[1] <= 2_000_000
    assert not store.trouble
