"""Runs in several threads of one process: each hears of itself alone, and gives what it gives alone."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import inlay
import pytest
import torch
from inlay.graph_runtime import Context, Port, node
from inlay.graph_runtime.core.events import ModelMoved, NodeProgress, NodeStarted, Saved, Warned
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.graph_runtime.core.store.disk import DiskStore
from inlay.graph_runtime.core.store.memory import MemoryCache, Result
from inlay.graph_runtime.front.kept_between_runs import kept_between_runs

Word = Annotated[str, Port("WORD", "a word")]


class Spelt(NamedTuple):
    word: Word


@dataclass(frozen=True)
class Slow(ModelDescription):
    """Takes its time to load, so that runs meet."""

    name: str

    @property
    def label(self):
        return f"model {self.name}"

    @property
    def fingerprint(self):
        return self.name

    def nbytes(self):
        return 40

    def load(self, device):
        time.sleep(0.002)
        return torch.nn.Linear(10, 1, bias=False)


@node("side.work", effects=True)
def work(ctx: Context, name: str = "", rounds: int = 5) -> Spelt:
    """Leases, warns, reports and saves, each time under its own name."""
    for step in range(rounds):
        with ctx.lease(Slow(f"{name}{step}")):
            ctx.progress(step + 1, rounds, note=name)
        ctx.warn(f"{name} {step}")
        with ctx.new_file(f"{name}", ".txt") as path:
            path.write_text(name)
    ctx.models.evict_idle(f"{name} made room")
    return Spelt(name)


class Pack:
    """What `nodes=` takes."""

    work = work


def _graph(name):
    return {
        "format": 1,
        "nodes": {f"node_{name}": {"type": "side.work", "params": {"name": name}}},
        "outputs": {"word": f"node_{name}.word"},
    }


def _together(*jobs):
    results: list[Any] = [None] * len(jobs)
    gate = threading.Barrier(len(jobs))

    def run(index, job):
        gate.wait()
        try:
            results[index] = job()
        except Exception as error:  # noqa: BLE001 - the test compares it
            results[index] = error

    threads = [threading.Thread(target=run, args=item) for item in enumerate(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for result in results:
        if isinstance(result, Exception):
            raise result
    return results


def test_events_warnings_files_and_progress_are_not_crossed(tmp_path):
    names = ("anna", "ben", "carl")
    heard = {name: [] for name in names}
    results = _together(
        *(
            lambda name=name: inlay.run(
                _graph(name), nodes=[Pack], out=tmp_path / name, device="cpu", listeners=[heard[name].append]
            )
            for name in names
        )
    )
    for name, result in zip(names, results, strict=True):
        assert heard[name] == result.events
        assert {
            event.node for event in result.events if isinstance(event, (NodeStarted, NodeProgress, Warned, Saved))
        } == {f"node_{name}"}
        assert [event.message for event in result.events if isinstance(event, Warned)] == [
            f"{name} {step}" for step in range(5)
        ]
        loaded = [
            event.message.split(" on ")[0]
            for event in result.events
            if isinstance(event, ModelMoved) and event.message.startswith("loaded")
        ]
        assert loaded == [f"loaded model {name}{step}" for step in range(5)]
        evicted = [
            event.message
            for event in result.events
            if isinstance(event, ModelMoved) and event.message.startswith("evicted")
        ]
        assert all(message.endswith(f": {name} made room") for message in evicted)
        assert [path.parent.name for path in result.paths] == [name] * 5
        assert all(path.read_text() == name for path in result.paths)
        assert result["word"] == name


def test_a_run_inside_a_run_is_heard_by_itself_and_the_outer_goes_on(tmp_path):
    inner = []

    @node("side.nested", effects=True)
    def nested(ctx: Context) -> Spelt:
        """Runs another workflow."""
        with ctx.lease(Slow("before")):
            pass
        inner.extend(inlay.run(_graph("inner"), nodes=[Pack], out=tmp_path, device="cpu").events)
        with ctx.lease(Slow("after")):
            pass
        return Spelt("")

    class More:
        node = nested

    outer = inlay.run(
        {"format": 1, "nodes": {"n": {"type": "side.nested"}}, "outputs": {"word": "n.word"}},
        nodes=[More],
        out=tmp_path,
        device="cpu",
    )

    def loaded(events):
        return [
            event.message.split(" on ")[0].removeprefix("loaded model ")
            for event in events
            if isinstance(event, ModelMoved) and event.message.startswith("loaded")
        ]

    assert loaded(outer.events) == ["before", "after"]
    assert loaded(inner) == [f"inner{step}" for step in range(5)]


def test_runs_that_begin_at_once_share_their_models():
    assert len({id(found[0]) for found in _together(*[lambda: kept_between_runs("cpu", 12345)] * 8)}) == 1


def test_results_in_memory_survive_many_threads():
    cache = MemoryCache(limit=2000)

    def hammer(number):
        for step in range(400):
            key = bytes([(step * number) % 23])
            cache.put(key, Result((torch.zeros(100),)))
            found = cache.get(key)
            assert found is None or found.outputs[0].shape == (100,)
            if step % 7 == 0 and found is not None:
                found.outputs[0].add_(1)  # whoever writes into a result loses it
            len(cache)

    _together(*[lambda number=number: hammer(number) for number in range(1, 9)])
    assert 0 <= cache.bytes <= 2000
    assert cache.bytes == 400 * len(cache)


def test_results_on_disk_survive_many_threads(tmp_path):
    cache = DiskStore(tmp_path, "here", limit=150_000)

    def hammer(number):
        for step in range(40):
            key = bytes([(step * number) % 7])
            cache.put(key, (torch.full((9000,), float(key[0])),), 1.0)
            found = cache.get(key)
            assert found is None or (found[0] == key[0]).all()

    _together(*[lambda number=number: hammer(number) for number in range(1, 7)])
    assert not list(tmp_path.glob(".*.part"))
    assert cache.size()[1] <= 150_000
    assert not cache.trouble


def test_files_of_runs_at_once_are_all_found_again(tmp_path, monkeypatch):
    from inlay.graph_runtime.front.recipe.find_inputs import remember
    from inlay.graph_runtime.front.recipe.known_inputs import recall

    class Plan:
        def __init__(self, number):
            self.files = {("n", "path"): {"digest": f"d{number}", "path": f"/p{number}"}}

    _together(*[lambda number=number: remember(Plan(number)) for number in range(12)])
    assert [recall(f"d{number}") for number in range(12)] == [Path(f"/p{number}") for number in range(12)]


@pytest.mark.parametrize("rounds", [8])
def test_who_is_resident_can_be_asked_while_others_load(rounds):
    from inlay.graph_runtime.core.memory.manager import ModelManager

    manager = ModelManager(budget=400)

    def lease():
        for step in range(rounds):
            with manager.lease(Slow(f"{threading.get_ident()}-{step}")):
                pass

    def ask():
        for _ in range(rounds * 20):
            assert manager.resident_bytes() >= 0
            assert isinstance(manager.resident(), list)

    _together(lease, lease, ask, ask)
