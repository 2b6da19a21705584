"""Keys follow everything a result depends on; results in memory are bounded, and lost when somebody changes them."""

import torch
from inlay.graph_runtime.core.run.plan import make_plan
from inlay.graph_runtime.core.store.memory import MemoryCache, Result
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


def test_a_view_counts_as_all_the_memory_that_it_holds():
    import torch

    cache = MemoryCache(limit=100_000)
    cache.put(b"corner", Result((torch.zeros(200, 200)[:2, :2],)))
    assert b"corner" not in cache
    whole = torch.zeros(100, 100)
    cache.put(b"twice", Result((whole, whole[:5], torch.zeros(1).expand(10**9))))
    assert cache.bytes == whole.nbytes + 4


def test_memory_is_bounded_and_forgets_the_oldest():
    cache = MemoryCache(limit=1000)
    for i in range(5):
        cache.put(bytes([i]), Result((torch.zeros(75),)))  # 300 bytes each
    assert cache.bytes <= 1000
    assert cache.get(b"\0") is None
    assert cache.get(bytes([4])) is not None
    cache.put(b"big", Result((torch.zeros(1000),)))
    assert cache.get(b"big") is None
    cache.clear()
    assert (len(cache), cache.bytes) == (0, 0)
