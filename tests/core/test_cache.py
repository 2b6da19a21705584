"""Caches: keys follow everything a result depends on; a damaged or full cache is only a slower run."""

import pytest
import torch
from inlay.graph_runtime.core.run.cache import DiskCache, MemoryCache
from inlay.graph_runtime.core.run.plan import make_plan
from inlay.graph_runtime.core.workflow import build


def keys(raw, registry, **more):
    plan = make_plan(build(raw), registry, **more)
    return {step.name: key for step, key in zip(plan.steps, plan.keys, strict=True)}


def test_a_key_follows_settings_wires_and_what_is_above(toys, graph):
    nodes = {
        "c": ("toy.constant", {"value": 1}),
        "s": ("toy.split", {}, {"a": "c.value"}),
        "a": ("toy.add", {"plus": 1}, {"a": "s.low"}),
    }
    first = keys(graph(nodes, {"o": "a.value"}), toys.registry)
    assert first == keys(graph(dict(reversed(nodes.items())), {"o": "a.value"}), toys.registry)
    renamed = {"x": nodes["c"], "s": ("toy.split", {}, {"a": "x.value"}), "a": nodes["a"]}
    assert keys(graph(renamed, {"o": "a.value"}), toys.registry)["a"] == first["a"]
    for change in (
        {"c": ("toy.constant", {"value": 2})},
        {"a": ("toy.add", {"plus": 2}, {"a": "s.low"})},
        {"a": ("toy.add", {"plus": 1}, {"a": "s.high"})},
        {"a": ("toy.add", {"plus": 1}, {"a": "s.low", "b": "s.low"})},
    ):
        assert keys(graph({**nodes, **change}, {"o": "a.value"}), toys.registry)["a"] != first["a"]


def test_a_key_follows_a_file_by_content_not_by_name(toys, graph, tmp_path):
    def key(name):
        raw = graph({"r": ("toy.read", {"path": name})}, {"o": "r.word"})
        return keys(raw, toys.registry, roots=[tmp_path])["r"]

    (tmp_path / "a.txt").write_text("one")
    (tmp_path / "b.txt").write_text("one")
    (tmp_path / "c.txt").write_text("two")
    assert key("a.txt") == key("b.txt") != key("c.txt")
    before = key("a.txt")
    (tmp_path / "a.txt").write_text("uno")  # same length
    assert key("a.txt") != before


def test_memory_is_bounded_and_forgets_the_oldest():
    cache = MemoryCache(limit=1000)
    for i in range(5):
        cache.put(bytes([i]), (torch.zeros(75),))  # 300 bytes each
    assert cache.bytes <= 1000
    assert cache.get(b"\0") is None
    assert cache.get(bytes([4])) is not None
    cache.put(b"big", (torch.zeros(1000),))
    assert cache.get(b"big") is None
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.uint8])
def test_disk_gives_back_the_same_bits(tmp_path, dtype):
    cache = DiskCache(tmp_path / "c", "here")
    value = torch.randn(2, 3).mul(100).to(dtype)
    assert cache.get(b"k", ["latent"]) is None
    cache.put(b"k", ["latent"], (value,))
    (found,) = cache.get(b"k", ["latent"])
    assert found.dtype == dtype
    assert torch.equal(found, value)
    assert DiskCache(tmp_path / "c", "elsewhere").get(b"k", ["latent"]) is None
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("how", [lambda data: data[:-3], lambda data: data[:-30] + b"x" + data[-29:], lambda data: b""])
def test_a_damaged_file_is_a_miss_and_goes(tmp_path, how):
    cache = DiskCache(tmp_path, "here")
    cache.put(b"k", ["latent"], (torch.zeros(3),))
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(how(file.read_bytes()))
    assert cache.get(b"k", ["latent"]) is None
    assert not file.exists()


def test_the_disk_is_bounded(tmp_path):
    cache = DiskCache(tmp_path, "here", limit=5000)
    for i in range(10):
        cache.put(bytes([i]), ["x"], (torch.zeros(250),))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 5000
    assert cache.get(bytes([9]), ["x"]) is not None


def test_what_is_no_tensor_is_not_kept(tmp_path):
    DiskCache(tmp_path, "here").put(b"k", ["x"], (object(),))
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    DiskCache(tmp_path / "file" / "below", "here").put(b"k", ["x"], (torch.zeros(1),))
