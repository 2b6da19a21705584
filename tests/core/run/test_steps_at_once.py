"""Several devices at once: the same results, warnings, files and errors as one step after the other."""

import threading
import time
from typing import Any

import pytest
import torch
from executor.step_graphs import (
    BUSY,
    LOADS,
    MEET,
    REGISTRY,
    WAIT,
    WORST,
    Numbers,
    One,
    crew_of,
    graphs,
    naive,
    outcome,
    same,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inlay.graph_runtime import Cancelled, Context, Registry, node
from inlay.graph_runtime.core.events import CancelToken, NodeFinished, NodeProgress, NodeStarted, RunFinished
from inlay.graph_runtime.core.run.execute import execute
from inlay.graph_runtime.core.run.plan import make_plan
from inlay.graph_runtime.core.store.disk import DiskStore
from inlay.graph_runtime.core.store.kept import Kept
from inlay.graph_runtime.core.store.memory import MemoryCache
from inlay.graph_runtime.core.workflow import build


@pytest.fixture(autouse=True)
def _fresh():
    for counted in (LOADS, BUSY, WORST, MEET):
        counted.clear()


KNOWN: dict[bytes, list] = {}  # by key, over all graphs


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    raw=graphs(),
    devices=st.integers(1, 4),
    threads=st.integers(1, 3),
    budget=st.sampled_from([None, 40, 80]),
    limit=st.sampled_from([0, 40, 10_000]),
)
def test_any_graph_on_any_number_of_devices_threads_and_budget_gives_the_bits_of_naive_recursion(
    tmp_path_factory, raw, devices, threads, budget, limit
):
    expected, warnings, files, failed = naive(raw)
    memory = MemoryCache(limit)
    crew = crew_of(devices, threads, budget)
    found = outcome(raw, tmp_path_factory.mktemp("first"), crew, Kept(memory))
    assert found[3] == failed
    assert found[1] == list(dict.fromkeys(warnings))
    assert found[2] == files
    if failed is None:
        same(found[0], expected)
    for key in found[5].keys:
        result = memory.get(key)
        if result is not None:
            values = [one.tolist() if isinstance(one, torch.Tensor) else repr(one) for one in result.outputs]
            assert KNOWN.setdefault(key, values) == values  # equal keys, equal values
    again = outcome(raw, tmp_path_factory.mktemp("again"), crew_of(devices, threads, budget), Kept(memory))
    assert (again[2], again[3]) == (files, failed)
    if failed is None:
        same(again[0], expected)
    assert all(count == 1 for count in WORST.values()), "two steps had one device"
    BUSY.clear()


def test_what_the_disk_kept_of_several_devices_is_found_by_one(tmp_path, monkeypatch):
    monkeypatch.setattr("inlay.graph_runtime.core.store.worth.FIXED", -1.0)
    raw = _rows(3)
    first = outcome(raw, tmp_path, crew_of(3), Kept(None, DiskStore(tmp_path / "cache", "here")))
    second = outcome(raw, tmp_path, None, Kept(None, DiskStore(tmp_path / "cache", "here")))
    same(second[0], first[0])
    assert all(event.cached for event in second[4] if isinstance(event, NodeFinished))


def _rows(count, **params):
    """Branches side by side, each with a model of its own."""
    nodes = {}
    for row in range(count):
        nodes[f"m{row}"] = {"type": "s.model", "params": {"weight": 1.0 + row, "size": params.get("size", 40)}}
        nodes[f"a{row}"] = {"type": "s.noise", "params": {"seed": row}}
        for number in range(params.get("length", 1)):
            nodes[f"b{row}_{number}"] = {
                "type": "s.apply",
                "params": {"meet": params.get("meet", "")},
                "inputs": {"x": f"b{row}_{number - 1}.x" if number else f"a{row}.x", "model": f"m{row}.model"},
            }
    last = params.get("length", 1) - 1
    return {"format": 1, "nodes": nodes, "outputs": {f"o{row}": f"b{row}_{last}.x" for row in range(count)}}


def test_branches_run_at_once_one_on_each_device(tmp_path):
    MEET["all"] = threading.Barrier(3)
    outcome(_rows(3, meet="all"), tmp_path, crew_of(3), None)  # they wait for each other
    assert {device for _, device in LOADS} == {"cpu:0", "cpu:1", "cpu:2"}


def test_runs_that_share_devices_run_at_once(tmp_path):
    MEET["all"] = threading.Barrier(2)
    crew, failed = crew_of(2), []

    def one(number):
        try:
            raw = _rows(1, meet="all")
            raw["nodes"]["a0"]["params"]["seed"] = number
            same(outcome(raw, tmp_path / str(number), crew)[0], naive(raw)[0])
        except BaseException as error:  # noqa: BLE001 - raised below
            failed.append(error)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT)
    assert not failed
    assert max(WORST.values()) == 1


def test_work_without_a_model_runs_beside_the_devices(tmp_path):
    MEET["all"] = threading.Barrier(3)
    raw = _rows(2, meet="all")
    raw["nodes"]["c"] = {"type": "s.step", "params": {"meet": "all"}, "inputs": {"x": "a0.x"}}
    raw["outputs"]["c"] = "c.x"
    outcome(raw, tmp_path, crew_of(2))


def test_a_step_goes_where_its_model_is_and_each_is_loaded_once(tmp_path):
    raw = _rows(4, length=6, size=10**12)
    same(outcome(raw, tmp_path, crew_of(2))[0], naive(raw)[0])
    assert len(LOADS) == 4, LOADS


def test_switching_adapters_moves_no_weights(tmp_path):
    nodes: dict[str, Any] = {"a": {"type": "s.noise", "params": {"seed": 1}}}
    for number in range(6):
        nodes[f"m{number}"] = {"type": "s.model", "params": {"adapter": f"lora {number}", "size": 10**12}}
        nodes[f"b{number}"] = {"type": "s.apply", "inputs": {"x": "a.x", "model": f"m{number}.model"}}
    raw = {"format": 1, "nodes": nodes, "outputs": {f"o{number}": f"b{number}.x" for number in range(6)}}
    outcome(raw, tmp_path, crew_of(3))
    assert len(LOADS) == 1


def test_a_node_that_asks_for_a_device_without_a_model_has_it_alone(tmp_path):
    nodes: dict[str, Any] = {"a": {"type": "s.noise"}}
    nodes |= {f"w{number}": {"type": "s.where", "inputs": {"x": "a.x"}} for number in range(8)}
    raw = {"format": 1, "nodes": nodes, "outputs": {f"o{number}": f"w{number}.x" for number in range(8)}}
    outcome(raw, tmp_path, crew_of(2, threads=4))
    assert set(WORST.values()) == {1}


def test_of_several_errors_the_first_in_the_planned_order_is_told_and_the_others_are_cancelled(tmp_path):
    MEET["all"] = threading.Barrier(3)
    row = {"inputs": {"x": "a.x"}, "type": "s.step"}
    raw = {
        "format": 1,
        "nodes": {
            "a": {"type": "s.noise"},
            "first": row | {"params": {"meet": "all", "fails": True, "steps": 2000}},
            "quick": row | {"params": {"meet": "all", "fails": True}},
            "endless": row | {"params": {"meet": "all", "late": True}},
        },
        "outputs": {"o1": "first.x", "o2": "quick.x", "o3": "endless.x"},
    }
    began = time.monotonic()
    found = outcome(raw, tmp_path, crew_of(2, threads=3))
    assert found[3] == "first"
    assert time.monotonic() - began < WAIT  # the endless one was stopped


@pytest.mark.parametrize("by", ["listener", "another thread"])
def test_a_cancelled_run_stops_all_steps(tmp_path, by):
    cancel = CancelToken()
    row = {"inputs": {"x": "a.x"}, "type": "s.step", "params": {"late": True}}
    raw = {
        "format": 1,
        "nodes": {"a": {"type": "s.noise"}, "b": row, "c": row},
        "outputs": {"b": "b.x", "c": "c.x"},
    }

    def hear(event):
        if by == "listener" and isinstance(event, NodeProgress):
            cancel.cancel()

    if by == "another thread":
        threading.Timer(0.1, cancel.cancel).start()
    crew = crew_of(2)
    began = time.monotonic()
    with pytest.raises(Cancelled):
        execute(
            make_plan(build(raw), REGISTRY),
            Context(crew.managers[0], out=tmp_path, cancel=cancel, listeners=(hear,)),
            None,
            crew,
        )
    assert time.monotonic() - began < WAIT
    assert not any(crew.busy)


def test_events_of_each_node_are_in_order_and_come_in_the_thread_of_the_run(tmp_path):
    raw = _rows(3, length=2)
    raw["nodes"] |= {f"s{n}": {"type": "s.step", "inputs": {"x": f"b{n}_1.x"}} for n in range(3)}
    raw["outputs"] = {f"o{n}": f"s{n}.x" for n in range(3)}
    threads = set()
    heard: list[Any] = []
    crew = crew_of(3)
    plan = make_plan(build(raw), REGISTRY)
    ctx = Context(
        crew.managers[0], out=tmp_path, listeners=(heard.append, lambda _: threads.add(threading.get_ident()))
    )
    execute(plan, ctx, None, crew)
    assert threads == {threading.get_ident()}
    assert isinstance(heard[-1], RunFinished)
    for step in plan.steps:
        own = [event for event in heard if getattr(event, "node", None) == step.name]
        assert isinstance(own[0], NodeStarted)
        assert isinstance(own[-1], NodeFinished)
        assert [event.step for event in own if isinstance(event, NodeProgress)] == sorted(
            event.step for event in own if isinstance(event, NodeProgress)
        )
    assert sum(isinstance(event, NodeFinished) for event in heard) == heard[0].nodes


def test_gradients_are_kept_or_not_as_in_the_thread_of_the_run(tmp_path):
    seen = []

    @node("s.grad")
    def grad(x: Numbers) -> One:
        """Looks."""
        seen.append(torch.is_grad_enabled())
        return One(x)

    registry = Registry([*REGISTRY.values(), grad.spec])
    raw = {
        "format": 1,
        "nodes": {"a": {"type": "s.noise"}, "g": {"type": "s.grad", "inputs": {"x": "a.x"}}},
        "outputs": {"o": "g.x"},
    }
    with torch.no_grad():
        execute(make_plan(build(raw), registry), Context(out=tmp_path), None, crew_of(2))
    execute(make_plan(build(raw), registry), Context(out=tmp_path), None, crew_of(2))
    assert seen == [False, True]
