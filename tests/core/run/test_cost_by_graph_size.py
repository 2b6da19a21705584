"""What a graph costs per node is the same for small graphs and large ones: counted, not timed."""

import gc
import sys
from typing import Annotated, Any, NamedTuple

import pytest
from inlay.graph_runtime import Context, Port, Registry, node
from inlay.graph_runtime.core.run.execute import execute
from inlay.graph_runtime.core.run.plan import make_plan
from inlay.graph_runtime.core.store.kept import Kept
from inlay.graph_runtime.core.store.memory import MemoryCache
from inlay.graph_runtime.core.workflow import build

Thing = Annotated[Any, Port("THING", "anything")]


class Out(NamedTuple):
    thing: Thing


@node("toy.nothing")
def nothing(a: Thing | None = None, b: Thing | None = None, number: int = 0) -> Out:
    """Do nothing."""
    return Out(number)


REGISTRY = Registry([nothing.spec])


def chain(count):
    return {f"n{i}": {"a": f"n{i - 1}.thing"} if i else {} for i in range(count)}


def star(count):
    """All read one node."""
    return {f"n{i}": {"a": "n0.thing"} if i else {} for i in range(count)}


def ladder(count):
    """Rows of ten; every node reads its left and its upper neighbour."""
    return {
        f"n{i}": ({"a": f"n{i - 1}.thing"} if i % 10 else {}) | ({"b": f"n{i - 10}.thing"} if i >= 10 else {})
        for i in range(count)
    }


SHAPES = [chain, star, ladder]


def workflow(links):
    nodes = {
        name: {"type": "toy.nothing", "params": {"number": number}, "inputs": inputs}
        for number, (name, inputs) in enumerate(links.items())
    }
    return build({"format": 1, "nodes": nodes, "outputs": {"last": f"n{len(links) - 1}.thing"}})


def work(function):
    """Lines of Python that run, and calls of what is written in C."""
    seen = [0]

    def on_line(frame, event, arg):
        seen[0] += event == "line"
        return on_line

    def on_call(frame, event, arg):
        seen[0] += event == "c_call"

    before = sys.gettrace(), sys.getprofile()
    sys.settrace(on_line)
    sys.setprofile(on_call)
    try:
        function()
    finally:
        sys.settrace(before[0])
        sys.setprofile(before[1])
    return seen[0]


def cost(shape, count, job):
    parsed = workflow(shape(count))
    if job == "plan":
        return work(lambda: make_plan(parsed, REGISTRY)) / count
    plan = make_plan(parsed, REGISTRY)
    kept = Kept(MemoryCache(), environment="here")
    if job == "cached":
        execute(plan, Context(), kept)
    return work(lambda: execute(plan, Context(), kept)) / count


@pytest.mark.parametrize("job", ["plan", "cold", "cached"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_per_node_does_not_grow_with_the_graph(shape, job):
    cost(shape, 10, job)  # imports
    small, large = cost(shape, 400, job), cost(shape, 1600, job)
    assert large <= small * 1.02


def looked_through(count):
    """How many more objects the garbage collector looks through after a run than before, per node."""
    plan = make_plan(workflow(chain(count)), REGISTRY)
    kept = Kept(MemoryCache(), environment="here")
    gc.collect()
    before = len(gc.get_objects())
    execute(plan, Context(), kept)
    gc.collect()
    assert len(kept.memory) == count
    return (len(gc.get_objects()) - before) / count


def test_the_garbage_collector_looks_through_no_kept_result_of_plain_values():
    looked_through(10)
    assert looked_through(5000) < 0.01


def test_a_plan_has_one_object_a_node_that_the_garbage_collector_looks_through():
    parsed = workflow(chain(5000))
    make_plan(parsed, REGISTRY)
    gc.collect()
    before = len(gc.get_objects())
    plan = make_plan(parsed, REGISTRY)
    gc.collect()
    gc.collect()  # a tuple of tuples is left out once these are
    grown = len(gc.get_objects()) - before
    assert grown / len(plan.steps) < 1.01  # the step


def test_planning_many_nodes_starts_no_collection_for_each_few_of_them():
    parsed = workflow(chain(5000))
    gc.collect()
    before = sum(one["collections"] for one in gc.get_stats())
    make_plan(parsed, REGISTRY)
    assert sum(one["collections"] for one in gc.get_stats()) - before <= 5
