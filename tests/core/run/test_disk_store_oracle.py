"""What a disk store gives for a key is what naive recursion gives: cold, half-warm, warm, beside another process."""

import json
import os
import random
import subprocess
import sys

import pytest
from executor.step_graphs import REGISTRY, crew_of, graphs, naive, naive_values, outcome, same
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from inlay.graph_runtime.core.events import NodeFinished
from inlay.graph_runtime.core.run.plan import make_plan
from inlay.graph_runtime.core.store import disk as disk_module
from inlay.graph_runtime.core.store.disk import DiskStore
from inlay.graph_runtime.core.store.kept import Kept
from inlay.graph_runtime.core.store.memory import MemoryCache
from inlay.graph_runtime.core.workflow import build

ROOM = 10**8  # bytes of a store that removes nothing
BY_KEY: dict[bytes, list] = {}  # over all graphs: what naive recursion gives for a key


@pytest.fixture(autouse=True)
def _keep_all(monkeypatch):
    monkeypatch.setattr("inlay.graph_runtime.core.store.worth.FIXED", -1000.0)


@pytest.fixture(scope="module")
def common(tmp_path_factory):
    """The folder of a store that all graphs share."""
    return tmp_path_factory.mktemp("common")


def plain(outputs, warnings):
    """Bits and words, to compare with ==."""
    return [[one.dtype, list(one.shape), one.numpy().tobytes()] for one in outputs] + [list(warnings)]


def look(store, plan, expected):
    """Everything that a store has for the keys of a plan is what naive recursion gives; how many keys it has."""
    found = 0
    for key, step in zip(plan.keys, plan.steps, strict=True):
        values = store.get(key) if key is not None else None
        if values is not None:
            outputs = len(step.spec.outputs)
            assert plain(values[:outputs], values[outputs:]) == plain(*expected[step.name]), step.name
            found += 1
    return found


def spoil(store, plan, draws):
    """Remove or damage a random part of what is kept."""
    store.drop([key for key in plan.keys if key is not None and draws.random() < 0.4])
    for path in sorted(store.folder.glob("*.safetensors")):
        match draws.randrange(6):
            case 0:
                path.unlink()
            case 1:
                body = bytearray(path.read_bytes())
                body[draws.randrange(len(body))] ^= 1 << draws.randrange(8)
                path.write_bytes(body)
            case 2:
                path.write_bytes(path.read_bytes()[: draws.randrange(200)])
            case 3:
                path.write_bytes(draws.choice(sorted(store.folder.glob("*.safetensors"))).read_bytes())


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    raw=graphs(),
    draws=st.randoms(use_true_random=False),
    inside=st.sampled_from([0, 16 * 1024]),
    limit=st.sampled_from([ROOM, ROOM, 1500]),
)
def test_a_disk_store_cold_half_warm_and_warm_gives_the_bits_of_naive_recursion_by_key_and_by_run(
    tmp_path_factory, common, raw, draws, inside, limit
):
    expected, warnings, files, failed = naive(raw)
    by_node, folder = naive_values(raw), tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(disk_module, "_INSIDE", inside)

        def run(where, room):
            memory = MemoryCache(draws.choice([0, 40, 10_000])) if draws.random() < 0.5 else None
            store = DiskStore(where, "here", room)
            crew = crew_of(draws.randint(1, 3), draws.randint(1, 2), draws.choice([None, 40, 80]))
            found = outcome(raw, tmp_path_factory.mktemp("out"), crew, Kept(memory, store))
            assert (found[2], found[3]) == (files, failed)
            if failed is None:
                reached = {event.node for event in found[4] if isinstance(event, NodeFinished)}
                assert found[1] == [one for one in dict.fromkeys(warnings) if one[0] in reached]
                same(found[0], expected)
            assert not store.trouble
            return store, found

        store, found = run(folder, limit)  # cold
        plan = found[5]
        kept = look(store, plan, by_node)
        spoil(store, plan, draws)
        run(folder, limit)  # half-warm
        _, warm = run(folder, limit)
        assert look(DiskStore(folder, "here", limit), plan, by_node) or not kept
        if failed is None and limit == ROOM:
            again = {event.node for event in warm[4] if isinstance(event, NodeFinished) and not event.cached}
            assert all(raw["nodes"][name]["type"] == "s.save" for name in again), again
        _, shared = run(common, ROOM)  # what other graphs have left there is this one's too
        look(DiskStore(common, "here", ROOM), shared[5], by_node)
    for key, step in zip(plan.keys, plan.steps, strict=True):
        if key is not None and step.name in by_node and step.known is None:
            value = plain(*by_node[step.name])
            assert BY_KEY.setdefault(key, value) == value  # equal keys, equal values


WORKER = """
import json, sys
from pathlib import Path
from inlay.graph_runtime.core.store import disk, worth
from inlay.graph_runtime.core.store.kept import Kept
from executor.step_graphs import crew_of, outcome
worth.FIXED, disk._INSIDE = -1000.0, int(sys.argv[3])
made = json.loads(Path(sys.argv[1]).read_text())
store = disk.DiskStore(Path(sys.argv[1]).parent / "cache", "here", int(sys.argv[4]))
print("ready", flush=True)
sys.stdin.readline()
for number, raw in enumerate(made):
    out = Path(sys.argv[2]) / str(number)
    out.mkdir(parents=True)
    found = outcome(raw, out, crew_of(1 + number % 3), Kept(None, store))
    cached = sum(event.cached for event in found[4] if type(event).__name__ == "NodeFinished")
    print(json.dumps([{name: value.tolist() for name, value in found[0].items()}, cached, store.trouble]), flush=True)
"""


def random_graph(draws):
    """A few numbers, mixed with each other; many graphs have parts in common."""
    nodes = {f"a{seed}": {"type": "s.noise", "params": {"seed": seed}} for seed in range(3)}
    links = [f"{name}.x" for name in nodes]
    for number in range(8):
        inputs = {"a": draws.choice(links[:4]), "b": draws.choice(links)}
        nodes[f"m{number}"] = {"type": "s.mix", "params": {"by": 0.5}, "inputs": inputs}
        links += [f"m{number}.low", f"m{number}.high"]
    return {"format": 1, "nodes": nodes, "outputs": {f"o{number}": link for number, link in enumerate(links[-3:])}}


@pytest.mark.parametrize(("inside", "limit"), [(0, 3000), (16 * 1024, ROOM)])
def test_two_processes_that_share_a_disk_store_give_the_bits_of_naive_recursion(tmp_path, inside, limit):
    draws = random.Random(f"{inside} {limit}")
    made = [random_graph(draws) for _ in range(20)]
    (tmp_path / "graphs.json").write_text(json.dumps(made))
    words = [sys.executable, "-c", WORKER, str(tmp_path / "graphs.json")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    processes = [
        subprocess.Popen(
            [*words, str(tmp_path / f"out{number}"), str(inside), str(limit)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        for number in range(2)
    ]
    for one in processes:
        assert one.stdout.readline() == "ready\n"
    for one in processes:
        one.stdin.write("go\n")
        one.stdin.flush()
    told = [[json.loads(line) for line in one.communicate(timeout=600)[0].splitlines()] for one in processes]
    assert [one.returncode for one in processes] == [0, 0]
    for answers in told:
        assert len(answers) == len(made)
        for raw, (outputs, _, trouble) in zip(made, answers, strict=True):
            expected = naive(raw)[0]
            assert not trouble
            assert outputs == {name: value.tolist() for name, value in expected.items()}
    if limit == ROOM:
        assert sum(cached for answers in told for _, cached, _ in answers)  # they do find what is there
    store = DiskStore(tmp_path / "cache", "here", limit)
    for raw in made:
        look(store, make_plan(build(raw), REGISTRY), naive_values(raw))
    known = {entry.file for entry in store.entries() if entry.file}
    assert {path.name for path in store.folder.glob("*.safetensors")} == known
    assert not list(store.folder.glob(".*"))
