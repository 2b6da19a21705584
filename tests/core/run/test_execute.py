"""The executor: only what is needed, freed at the last reader, cancellable, the same answer however it is cached."""

import gc
import weakref
from typing import Annotated, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.graph_runtime import BadInput, Cancelled, Context, NodeError, Port, Registry, node
from inlay.graph_runtime.core.events import NodeFinished, NodeProgress, NodeStarted, RunFinished, RunStarted
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.core.run.execute import execute
from inlay.graph_runtime.core.run.plan import make_plan
from inlay.graph_runtime.core.store.kept import Kept
from inlay.graph_runtime.core.store.memory import MemoryCache
from inlay.graph_runtime.core.workflow import build

Thing = Annotated[Any, Port("THING", "a thing")]


class Held(NamedTuple):
    thing: Thing


class Box:
    """Something a weak reference can point to."""

    def __init__(self, value):
        self.value = value


def run(raw, registry, ctx=None, **more):
    return execute(make_plan(build(raw), registry), ctx or Context(), **more)


def test_only_what_is_needed_runs(toys, graph):
    raw = graph(
        {
            "c": ("toy.constant", {"value": 2}),
            "unused": ("toy.constant", {"value": 9}),
            "a": ("toy.add", {"plus": 1}, {"a": "c.value"}),
            "idle": ("toy.add", {}, {"a": "unused.value"}),
        },
        {"o": "a.value"},
    )
    assert run(raw, toys.registry) == {"o": 3}
    assert toys.calls == ["constant 2", "add"]


def test_a_shared_node_runs_once(toys, graph):
    raw = graph(
        {
            "c": ("toy.constant", {"value": 2}),
            "s": ("toy.split", {}, {"a": "c.value"}),
            "a": ("toy.add", {}, {"a": "s.low", "b": "s.high"}),
        },
        {"o": "a.value", "again": "c.value"},
    )
    assert run(raw, toys.registry) == {"o": 5, "again": 2}
    assert toys.calls.count("constant 2") == 1


def test_values_are_freed_at_their_last_reader(graph):
    alive: dict[str, list[bool]] = {}
    references: dict[str, weakref.ref] = {}

    def note(name):
        gc.collect()
        alive[name] = sorted(key for key, ref in references.items() if ref() is not None)

    @node("t.make")
    def make(name: str) -> Held:
        box = Box(name)
        references[name] = weakref.ref(box)
        return Held(box)

    @node("t.use")
    def use(a: Thing, name: str, b: Thing | None = None) -> Held:
        box = Box(name)
        references[name] = weakref.ref(box)
        return Held(box)

    @node("t.look")
    def look(a: Thing, name: str) -> Held:
        del a
        note(name)
        return Held(Box(name))

    registry = Registry([make.spec, use.spec, look.spec])
    raw = graph(
        {
            "big": ("t.make", {"name": "big"}),
            "first": ("t.use", {"name": "first"}, {"a": "big.thing"}),
            "look1": ("t.look", {"name": "look1"}, {"a": "first.thing"}),
            "second": ("t.use", {"name": "second"}, {"a": "look1.thing", "b": "big.thing"}),
            "look2": ("t.look", {"name": "look2"}, {"a": "second.thing"}),
        },
        {"o": "look2.thing"},
    )
    result = run(raw, registry)
    assert "big" in alive["look1"]  # still has a reader
    assert "big" not in alive["look2"]  # its last reader is done
    assert "first" not in alive["look2"]
    assert result["o"].value == "look2"
    del result
    note("after")
    assert alive["after"] == []


def test_an_output_nobody_reads_is_dropped_at_once(graph):
    references = []

    class Pair(NamedTuple):
        thing: Thing
        other: Thing

    @node("t.pair")
    def pair() -> Pair:
        boxes = Box(1), Box(2)
        references.extend(weakref.ref(box) for box in boxes)
        return Pair(*boxes)

    @node("t.look")
    def look(a: Thing) -> Held:
        gc.collect()
        return Held([reference() is not None for reference in references])

    raw = graph({"p": ("t.pair",), "l": ("t.look", {}, {"a": "p.thing"})}, {"o": "l.thing"})
    assert run(raw, Registry([pair.spec, look.spec]))["o"] == [True, False]


def test_a_failing_node_is_named_with_its_inputs(toys, graph):
    raw = graph({"c": ("toy.constant", {"value": 7}), "bad": ("toy.refuse", {}, {"a": "c.value"})}, {"o": "bad.value"})
    with pytest.raises(NodeError) as caught:
        run(raw, toys.registry)
    assert caught.value.problem.where == "bad.a"
    assert isinstance(caught.value.__cause__, BadInput)
    raw["nodes"]["bad"]["type"] = "toy.crash"
    with pytest.raises(NodeError, match="RuntimeError: a bug") as caught:
        run(raw, toys.registry)
    assert "a=7" in caught.value.problem.found


def test_a_node_that_returns_the_wrong_thing_is_named(graph):
    @node("t.odd")
    def odd() -> Held:
        return 3

    with pytest.raises(NodeError, match="a tuple of 1: thing"):
        run(graph({"x": ("t.odd",)}, {"o": "x.thing"}), Registry([odd.spec]))


def test_cancel_between_and_inside_nodes(toys, graph):
    raw = graph(
        {
            "c": ("toy.constant", {"value": 1}),
            "s": ("toy.slow", {"steps": 5}, {"a": "c.value"}),
            "a": ("toy.add", {}, {"a": "s.value"}),
        },
        {"o": "a.value"},
    )
    ctx = Context()
    ctx.cancel.cancel()
    with pytest.raises(Cancelled):
        run(raw, toys.registry, ctx)
    assert toys.calls == []
    ctx = Context()

    def stop(event):
        if isinstance(event, NodeProgress) and event.step == 2:
            ctx.cancel.cancel()

    ctx.listeners = (stop,)
    with pytest.raises(Cancelled, match="in node s"):
        run(raw, toys.registry, ctx)
    assert toys.calls == ["constant 1"]


def test_events_tell_the_story(toys, graph):
    seen = []
    raw = graph({"c": ("toy.constant",), "s": ("toy.slow", {"steps": 2}, {"a": "c.value"})}, {"o": "s.value"})
    run(raw, toys.registry, Context(listeners=(seen.append,)))
    assert [type(event) for event in seen] == [
        RunStarted,
        NodeStarted,
        NodeFinished,
        NodeStarted,
        NodeProgress,
        NodeProgress,
        NodeFinished,
        RunFinished,
    ]
    assert (seen[4].node, seen[4].step, seen[4].total) == ("s", 1, 2)


def test_out_of_memory_evicts_and_retries_once(graph):
    class Manager(ModelManager):
        evicted = 0

        def evict_idle(self, reason=""):
            self.evicted += 1
            return 1

    tries = []

    @node("t.hungry")
    def hungry() -> Held:
        tries.append(1)
        if len(tries) < 2:
            raise MemoryError
        return Held("fed")

    manager = Manager()
    raw = graph({"h": ("t.hungry",)}, {"o": "h.thing"})
    assert run(raw, Registry([hungry.spec]), Context(manager)) == {"o": "fed"}
    assert manager.evicted == 1
    tries.clear()
    tries.append(-10)

    @node("t.hungry")
    def starving() -> Held:
        tries.append(1)
        raise MemoryError

    with pytest.raises(NodeError, match="out of memory"):
        run(raw, Registry([starving.spec]), Context(Manager()))
    assert len(tries) == 3


@pytest.mark.parametrize("shape", ["chain", "wide"])
def test_ten_thousand_nodes(toys, graph, shape):
    count = 10_000
    nodes = {"n0": ("toy.constant", {"value": 1})}
    for i in range(1, count):
        nodes[f"n{i}"] = ("toy.add", {"plus": 1}, {"a": f"n{i - 1 if shape == 'chain' else (i - 1) // 2}.value"})
    raw = graph(nodes, {"o": f"n{count - 1}.value"})
    depth = count - 1 if shape == "chain" else (count - 1 + 1).bit_length() - 1
    assert run(raw, toys.registry) == {"o": 1 + depth}


@st.composite
def graphs(draw):
    """A random acyclic graph of sums, its answer worked out directly, and a random order of the file's keys."""
    count = draw(st.integers(2, 12))
    nodes: dict[str, tuple] = {"n0": ("toy.constant", {"value": draw(st.integers(-5, 5))})}
    truth = {"n0": nodes["n0"][1]["value"]}
    for i in range(1, count):
        a, b = draw(st.integers(0, i - 1)), draw(st.integers(0, i - 1))
        plus = draw(st.integers(0, 9))
        nodes[f"n{i}"] = ("toy.add", {"plus": plus}, {"a": f"n{a}.value", "b": f"n{b}.value"})
        truth[f"n{i}"] = truth[f"n{a}"] + truth[f"n{b}"] + plus
    order = draw(st.permutations(sorted(nodes)))
    wanted = draw(st.lists(st.sampled_from(sorted(nodes)), min_size=1, max_size=3, unique=True))
    forget = draw(st.sets(st.sampled_from(sorted(nodes))))
    return {name: nodes[name] for name in order}, truth, wanted, forget


@settings(max_examples=150, deadline=None)
@given(graphs())
def test_any_cached_subset_and_any_order_give_the_same_answer(case):
    from graph_toys import graph, make_toys

    nodes, truth, wanted, forget = case
    toys = make_toys()
    raw = graph(nodes, {name: f"{name}.value" for name in wanted})
    expected = {name: truth[name] for name in wanted}
    plan = make_plan(build(raw), toys.registry)
    memory = MemoryCache()
    assert execute(plan, Context(), Kept(memory)) == expected
    kept = MemoryCache()
    for step, key in zip(plan.steps, plan.keys, strict=True):
        if step.name not in forget and (outputs := memory.get(key)) is not None:
            kept.put(key, outputs)
    toys.calls.clear()
    assert execute(plan, Context(), Kept(kept)) == expected
    assert len(toys.calls) <= len([step for step in plan.steps if step.name in forget])
    toys.calls.clear()
    assert execute(plan, Context(), Kept(memory)) == expected
    assert toys.calls == []
