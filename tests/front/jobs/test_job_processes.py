"""A job in several processes: the same bytes, and no process takes the job with it."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import inlay
import pytest
from inlay.graph_runtime.core.errors import Cancelled, WorkflowError
from inlay.graph_runtime.core.events import CancelToken, ItemFinished
from inlay.graph_runtime.front.jobs import pool
from inlay.graph_runtime.front.jobs.pool import share
from PIL import Image

NODES = '''
"""Nodes of a file of their own."""

import os
import signal
from pathlib import Path
from typing import Annotated, Any, NamedTuple

from inlay.graph_runtime import Context, Port, ReadEach, node

Text = Annotated[Any, Port("TEXT", "some text")]


class One(NamedTuple):
    text: Text


@node("own.read")
def read(path: ReadEach) -> One:
    """Reads a file."""
    return One(Path(path).read_bytes()[-1:].hex())


@node("own.work", effects=True)
def work(text: Text, ctx: Context, seed: int = 0, prefix: str = "image") -> One:
    """Writes what it was given, and the number of threads; some pictures are deadly."""
    import torch

    once = Path(ctx.out) / "died"
    if text == "ff" or (text == "ee" and not once.exists()):
        once.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if text == "dd":
        raise RuntimeError("a bug")
    print("printed by a node")
    with ctx.new_file(prefix, ".txt") as path:
        path.write_text(f"{text} {seed} {torch.get_num_threads()}")
    return One(text)
'''
FLOW = {
    "format": 1,
    "inputs": {"image": "read.path", "seed": "work.seed"},
    "nodes": {"read": {"type": "own.read"}, "work": {"type": "own.work", "inputs": {"text": "read.text"}}},
    "outputs": {"text": "work.text"},
}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A module of nodes that other processes can import."""
    (tmp_path / "own_job_nodes.py").write_text(NODES)
    monkeypatch.syspath_prepend(str(tmp_path))
    import own_job_nodes

    yield own_job_nodes
    sys.modules.pop("own_job_nodes", None)


def album(folder, ends):
    """Files that end with these bytes."""
    (folder / "in").mkdir(exist_ok=True)
    for number, end in enumerate(ends):
        (folder / f"in/{number}.png").write_bytes(bytes([0x89, end]))
    return folder / "in"


def texts(folder):
    return {path.name: path.read_text() for path in folder.glob("*.txt")}


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="no SIGKILL")
def test_processes_give_the_same_bytes_and_a_killed_one_takes_nothing_with_it(own, tmp_path):
    import torch

    given = album(tmp_path, [1, 0xEE, 2, 0xDD, 0xFF, 3, 4])
    (tmp_path / "many").mkdir()
    many = inlay.run(FLOW, image=given, seed=7, nodes=[own], out=tmp_path / "many", jobs=2)
    assert [one.status for one in many.outcomes] == ["done", "done", "done", "failed", "failed", "done", "done"]
    bug, killed = many.failed
    assert "RuntimeError: a bug" in bug.problems[0].found
    assert bug.type == "own.work"
    assert "killed by signal 9" in killed.problems[0].found
    assert "--jobs" in killed.problems[0].fix
    assert texts(tmp_path / "many")["0.txt"] == f"01 7 {torch.get_num_threads()}"
    assert [one["text"] for one in many.results if isinstance(one, inlay.Result)] == ["01", "ee", "02", "03", "04"]
    for number in (3, 4):
        (given / f"{number}.png").unlink()
    one = inlay.run(FLOW, image=given, seed=7, nodes=[own], out=tmp_path / "many")
    assert one.tally.known == 5  # how many processes there are makes no other job of it
    (tmp_path / "one").mkdir()
    (tmp_path / "one/died").touch()
    inlay.run(FLOW, image=given, seed=7, nodes=[own], out=tmp_path / "one")
    assert texts(tmp_path / "one") == texts(tmp_path / "many")


def test_nodes_that_no_process_can_import_are_refused(toys, tmp_path):
    given = album(tmp_path, [1, 2])
    flow = {"format": 1, "inputs": {"image": "photo.path"},
            "nodes": {"photo": {"type": "image.load"}, "s": {"type": "toy.constant"}},
            "outputs": {"image": "photo.image", "n": "s.value"}}  # fmt: skip
    for number in (0, 1):
        Image.new("RGB", (4, 4)).save(given / f"{number}.png")
    with pytest.raises(WorkflowError, match="cannot import"):
        inlay.run(flow, image=given, nodes=[toys.module], out=tmp_path / "out", jobs=2)


@pytest.mark.parametrize("jobs", [0, -1, 1.5, "2", True, None, 1001])
def test_jobs_is_a_number_of_processes(own, tmp_path, jobs):
    with pytest.raises(WorkflowError, match="--jobs"):
        inlay.run(FLOW, image=album(tmp_path, [1]), nodes=[own], out=tmp_path / "out", jobs=jobs)


def test_a_graphics_card_has_one_process(own, tmp_path, monkeypatch):
    monkeypatch.setattr("inlay.graph_runtime.front.jobs.run_job.resolve_devices", lambda device: ("cuda:0",))
    monkeypatch.setattr(pool, "_Worker", None)
    with pytest.warns(inlay.InlayWarning, match="one process computes on each of cuda:0"):
        result = inlay.run(FLOW, image=album(tmp_path, [1, 2]), nodes=[own], out=tmp_path / "out", jobs=2)
    assert result.tally.done == 2


def test_each_of_several_devices_has_a_process_and_files_are_the_same(own, tmp_path, monkeypatch):
    started = []
    begin = pool._Worker.__init__
    monkeypatch.setattr(
        pool._Worker, "__init__", lambda self, slot, told, *rest: started.append(told) or begin(self, slot, told, *rest)
    )
    given, found = album(tmp_path, [1, 2, 3]), []
    for number, device in enumerate(("cpu", "cpu:0,cpu:1")):
        result = inlay.run(FLOW, image=given, nodes=[own], out=tmp_path / str(number), device=device, cache=False)
        found.append([(path.name, path.read_bytes()) for path in result.paths])
    assert found[0] == found[1]
    assert [json.loads(told)["how"]["device"] for told in started] == ["cpu:0", "cpu:1"]


@pytest.mark.parametrize(
    ("cores", "jobs", "shares"),
    [
        (4, 2, [[0, 1], [2, 3]]),
        (5, 2, [[0, 1], [2, 3, 4]]),
        (2, 2, [[0], [1]]),
        (2, 3, [[0], [1], [0]]),
        (0, 2, [[], []]),
    ],
)
def test_cores_are_shared(cores, jobs, shares):
    assert [share(list(range(cores)), slot, jobs) for slot in range(jobs)] == shares


def test_processes_that_do_not_start_end_the_job(own, tmp_path, monkeypatch):
    monkeypatch.setattr(pool.process, "_MAIN", "raise SystemExit(3)")
    with pytest.raises(WorkflowError, match="status 3"):
        inlay.run(FLOW, image=album(tmp_path, [1, 2, 3]), nodes=[own], out=tmp_path / "out", jobs=2)


@pytest.mark.slow
def test_cancelling_ends_the_processes(own, tmp_path):
    token = CancelToken()

    def stop(event):
        if isinstance(event, ItemFinished):
            token.cancel()

    with pytest.raises(Cancelled, match="goes on from there"):
        inlay.run(FLOW, image=album(tmp_path, range(1, 100)), nodes=[own], out=tmp_path / "out", jobs=2,
                  listeners=[stop], cancel=token)  # fmt: skip
    made = len(texts(tmp_path / "out"))
    assert 0 < made < 99
    assert inlay.run(FLOW, image=tmp_path / "in", nodes=[own], out=tmp_path / "out").tally.known >= made - 2


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_processes_end_with_their_parent(own, tmp_path):
    given = album(tmp_path, range(1, 200))
    program = textwrap.dedent(f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        import inlay, own_job_nodes
        inlay.run({FLOW!r}, image={str(given)!r}, nodes=[own_job_nodes], out={str(tmp_path / "out")!r}, jobs=2)
    """)
    parent = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not (tmp_path / "out/0.txt").exists() and time.monotonic() < end:
        time.sleep(0.02)
    children = [int(child) for child in Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()]
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert len(children) == 2
    while any(running(child) for child in children) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(running, children))


def running(process):
    try:
        return " Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
