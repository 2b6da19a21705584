"""One training in several processes, as `accelerate launch` starts them: what they learn, and one that is lost."""

import os
import signal
import subprocess
import sys

import pytest
import torch
from serving import free_port
from trainer_toys import fit, make

pytestmark = pytest.mark.slow
TRAIN = f"""
import os, signal, sys
from pathlib import Path
import torch
sys.path[:0] = {sys.path!r}
from trainer_toys import fit, make
from inlay.graph_runtime import BadInput
folder, ends = Path(sys.argv[1]), int(sys.argv[2])
model, trainer = make(folder, dtype=torch.float64)
def on_step(now):
    if now.step == ends and trainer.workers.rank == 1:
        os.kill(os.getpid(), signal.SIGKILL)
trainer.resume()
try:
    fit(trainer, on_step)
except BadInput as error:
    sys.exit(str(error))
if trainer.workers.main:
    print("processes:", trainer.workers.count)
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "train.py"
    path.write_text(TRAIN)
    return path


def environment(**more):
    found = {name: value for name, value in os.environ.items() if name not in ("WORLD_SIZE", "RANK", "LOCAL_RANK")}
    return found | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""} | more


def launched(script, folder):
    """As `accelerate launch` does on GPUs; on processors it starts one process alone, unless there is MPI."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    return subprocess.run(
        [sys.executable, *launcher, str(script), str(folder), "0"],
        capture_output=True,
        text=True,
        timeout=240,
        env=environment(),
        check=False,
    )


def values(folder):
    _, trainer = make(folder, dtype=torch.float64)
    assert trainer.resume()
    assert trainer.step == 6
    return trainer.values


def assert_same(found, wanted):
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=1e-12)


def test_two_processes_learn_what_one_does_that_adds_gradients_up(script, tmp_path):
    done = launched(script, tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("processes: 2") == 1
    _, one = make(tmp_path / "one", dtype=torch.float64, micro_batch=2)
    fit(one)
    assert_same(values(tmp_path / "two"), one.values)


def test_a_lost_process_ends_the_training_with_a_clear_error_and_one_alone_goes_on(script, tmp_path):
    port = str(free_port())
    both = [
        subprocess.Popen(
            [sys.executable, str(script), str(tmp_path / "two"), "3"],
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment(
                RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2", MASTER_ADDR="127.0.0.1", MASTER_PORT=port
            ),
        )
        for rank in range(2)
    ]
    _, error = both[0].communicate(timeout=240)
    assert both[1].wait(240) == -signal.SIGKILL
    assert both[0].returncode == 1
    assert "another of the 2 processes of this training, which has ended" in error
    assert "goes on after step 3" in error
    assert "Traceback" not in error
    alone = subprocess.run(
        [sys.executable, str(script), str(tmp_path / "two"), "0"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert alone.returncode == 0, alone.stderr
    _, one = make(tmp_path / "one", dtype=torch.float64)
    fit(one)
    assert_same(values(tmp_path / "two"), one.values)
