"""A cluster of several processes on this machine (`make ray`): kills, cancel, and one that runs already."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from clusters.ray_cluster import NOT_NICE, is_alive, is_open, started
from PIL import Image as Pil

pytestmark = pytest.mark.ray

NODES = '''
"""A node that takes its time, and says where it ran."""

import os
import time
from pathlib import Path
from typing import NamedTuple

from inlay.graph_runtime import node
from inlay.nodes.ports import Image


class Slow(NamedTuple):
    image: Image


@node("slow.wait")
def wait(image: Image, number: int = 0, seconds: float = 0.0) -> Slow:
    """The picture, later."""
    with Path(os.environ["RAN"]).open("a") as file:
        file.write(f"{os.getpid()} {number}\\n")
    time.sleep(seconds)
    return Slow((image * (1 - number / 100)).clamp(0, 1))
'''
FLOW = {
    "format": 1,
    "inputs": {"number": "slow.number"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "photo.png"}},
        "slow": {"type": "slow.wait", "params": {"seconds": 0.7}, "inputs": {"image": "photo.image"}},
    },
    "outputs": {"image": "slow.image"},
}
SCRIPT = """
import json, sys
import inlay
import slow_nodes
engine, out, count = sys.argv[1:]
done = inlay.sweep("flow.json", grid={"number": range(int(count))}, engine=engine, jobs=2 if engine == "ray" else 1,
                   nodes=[slow_nodes], out=out, cache=False, progress=False)
print(json.dumps([done.tally.done, done.tally.known, [one.message for one in done.warnings]]))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "slow_nodes.py").write_text(NODES.replace("\\\\\\\\n", "\\\\n"))
    (tmp_path / "sweep.py").write_text(SCRIPT)
    (tmp_path / "flow.json").write_text(json.dumps(FLOW))
    Pil.linear_gradient("L").resize((24, 16)).convert("RGB").save(tmp_path / "photo.png")
    monkeypatch.setenv("RAN", str(tmp_path / "ran.txt"))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    for name, value in NOT_NICE.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def start(*words):
    return subprocess.Popen(
        [sys.executable, "sweep.py", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ran():
    path = Path(os.environ["RAN"])
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def wait_for(condition, seconds=180.0):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
    return found


def sha256s(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in Path(folder).glob("*.png")}


def test_a_killed_worker_loses_no_run_and_makes_none_twice_and_the_bytes_are_the_same(here):
    count = 14
    done = start("local", "local", str(count))
    assert done.wait(300) == 0, done.stderr.read()
    Path(os.environ["RAN"]).unlink()
    sweep = start("ray", "away", str(count))
    victim = wait_for(lambda: ran()[3][0] if len(ran()) > 3 else None)
    os.kill(int(victim), signal.SIGKILL)
    out, errors = sweep.communicate(timeout=300)
    assert sweep.returncode == 0, errors
    made, known, warnings = json.loads(out)
    assert (made, known) == (count, 0)
    assert any(message.startswith("1 worker was lost; 1 run was made again") for message in warnings), warnings
    numbers = [number for _, number in ran()]
    assert len(numbers) == count + 1, "only the run of the lost worker was begun twice"
    assert set(numbers) == set(map(str, range(count)))
    assert len({pid for pid, _ in ran()}) == 3, "two workers, and one in place of the lost one"
    assert sha256s("away") == sha256s("local")
    assert not list(Path("away").glob(".*.part"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_whoever_ends_the_sweep_ends_all_workers_and_what_is_done_is_known(here, how):
    sweep = start("ray", "away", "40")
    wait_for(lambda: len(ran()) > 3)
    sweep.send_signal(how)
    sweep.communicate(timeout=60)
    assert sweep.returncode != 0
    wait_for(lambda: not any(is_alive(pid) for pid, _ in ran()), 60)
    made = len(sha256s("away"))
    assert 0 < made < 40
    again = start("local", "away", str(made))
    out, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert json.loads(out)[1] >= made - 3, "all but those that were under way"
    assert not list(Path("away").glob(".*.part"))


def test_a_cluster_that_runs_already_is_used_and_left_running(here):
    with started(cpus=2) as (address, cluster):
        command = [sys.executable, "-m", "inlay", "sweep", "flow.json", "--engine", "ray", "--out", "away"]
        flow = json.loads(Path("flow.json").read_text())
        flow["nodes"]["slow"] = {"type": "image.fill", "inputs": {"image": "photo.image", "mask": "hole.mask"}}
        flow["nodes"]["hole"] = {"type": "mask.shape", "inputs": {"image": "photo.image"}}
        flow["inputs"] = {"seed": "slow.seed"}
        Path("flow.json").write_text(json.dumps(flow))
        command += ["--grid", "seed=0..2", "--ray-address", address, "--quiet"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        assert "3 done of 3" in done.stderr
        assert cluster.poll() is None
        assert is_open(int(address.rpartition(":")[2]))


def test_a_cluster_that_goes_away_ends_the_sweep_with_an_error_and_it_goes_on_here(here, monkeypatch):
    with started(cpus=2, RAN=os.environ["RAN"], PYTHONPATH=str(here)) as (address, cluster):
        monkeypatch.setenv("RAY_ADDRESS", address)
        sweep = start("ray", "away", "60")
        wait_for(lambda: len(sha256s("away")) > 2)
        os.killpg(cluster.pid, signal.SIGKILL)
        _, errors = sweep.communicate(timeout=60)
        assert sweep.returncode == 1
        assert f"the Ray cluster at {address} does not answer any more" in errors
        made = len(sha256s("away"))
    again = start("local", "away", str(made))
    out, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert json.loads(out)[1] >= made - 3, "all but those that were under way"
