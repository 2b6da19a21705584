"""What must hold on a GPU: the same checks on a real one (marked `cuda`) and on the simulated one.

`make gpu` runs the real half; nothing else in the tests needs a GPU.
"""

import json
import warnings
from itertools import pairwise

import inlay
import pytest
import torch
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.front.installed import shipped_workflows
from inlay.training.processes import Workers
from inlay.training.trainer import Trainer, TrainerOptions
from simulated_gpu import SimulatedGpu, where
from trainer_toys import Line, line_loss

WORKFLOWS = shipped_workflows()
TRAININGS = {
    "train_exemplar": {"steps": 3, "batch_size": 1},
    "subject_lora_train": {"epochs": 1, "batch_size": 200, "variations": 1, "size": 64},
}
SAMPLINGS = sorted(name for name in WORKFLOWS if name not in TRAININGS)


class RealGpu:
    """A GPU that is there; torch itself says where the host waits for it."""

    mixes = ()  # a mix raises

    def __init__(self):
        self._catcher = warnings.catch_warnings(record=True)

    @property
    def syncs(self):
        """Warnings of torch about waits so far."""
        return [str(one.message) for one in self.caught if "synchronizing" in str(one.message)]

    def __enter__(self):
        self.caught = self._catcher.__enter__()
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        return self

    def __exit__(self, *error):
        torch.cuda.set_sync_debug_mode("default")
        self._catcher.__exit__(*error)


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.cuda)])
def gpu(request):
    with SimulatedGpu() if request.param == "simulated" else RealGpu() as card:
        yield card


def set_dtype(name, dtype):
    flow = json.loads(WORKFLOWS[name].read_text())
    return {
        f"{node}.dtype": dtype
        for node, value in flow["nodes"].items()
        if value["type"] in ("model.stable_diffusion", "model.paint_by_example")
    }


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["auto", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", TRAININGS)
def test_a_shipped_training_with_sheets_runs_and_goes_on(gpu, name, dtype, tmp_path, monkeypatch):
    from inlay.training import sample_sheets, subject_settings

    monkeypatch.setattr(sample_sheets, "SHEET_STEPS", 2)
    monkeypatch.setattr(sample_sheets, "SHOWN", 1)
    monkeypatch.setattr(subject_settings, "VIEWS", 1)
    runs = []

    def listen(event):
        if getattr(event, "note", "").startswith("loss"):
            runs[-1].append((event.step, len(gpu.syncs), event.preview is not None))

    first = TRAININGS[name] | ({"batch_size": 1} if "epochs" in TRAININGS[name] else {})
    more = {"steps": 6} if "steps" in first else {"epochs": 2}
    settings = {**set_dtype(name, dtype), "train.precision": dtype, "train.sample_every": 2}
    if "decay" in json.loads(WORKFLOWS[name].read_text())["nodes"]["train"]["params"]:
        settings["train.decay"] = 0.0
    for values in (first, first | more):
        runs.append([])
        result = inlay.run(name, out=tmp_path, device="cuda", set=settings, listeners=[listen], **values)
        assert "nan" not in result["report"].lower()
    assert not gpu.mixes, where(list(gpu.mixes))
    steps = [step for run in runs for step, _, _ in run]
    assert steps == list(range(1, len(steps) + 1))  # it went on, it did not begin again
    waits = [after[1] - before[1] for run in runs for before, after in pairwise(run) if not after[2]]
    assert waits
    assert max(waits) <= 1, where(list(gpu.syncs))
    assert any(sheet for run in runs for _, _, sheet in run)


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", ["auto", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", SAMPLINGS)
def test_every_shipped_workflow_on_a_real_gpu(name, dtype, tmp_path):
    """The simulated half of this check is a test of its own; here CUDA itself refuses what it cannot do."""
    flow = json.loads(WORKFLOWS[name].read_text())
    values = {"steps": 6} if "steps" in flow["inputs"] else {}
    result = inlay.run(name, out=tmp_path, device="cuda", cache=False, set=set_dtype(name, dtype), **values)
    assert result.paths


def line(folder, steps):
    net = Line().to("cuda:0")
    recipe = TrainerOptions(steps=steps, batch_size=8, learning_rate=1e-2, save_every=2, ema=0.9)
    return Trainer(folder, "k", net, ["line.weight", "line.bias"], recipe, Workers("cuda:0"))


def test_fused_adamw_goes_on_after_a_stop(gpu, tmp_path):
    line(tmp_path, 3).fit(line_loss, lambda now: None, print)
    again = line(tmp_path, 6)
    assert again.resume()
    again.fit(line_loss, lambda now: None, print)
    assert again.step == 6
    assert {value.device for state in again.state.optimizer.state.values() for value in state.values()} == {
        torch.device("cuda:0")
    }


def test_a_batch_that_does_not_fit_is_split(gpu, tmp_path):
    """The allocation fails for real: 256 TiB are asked for."""

    def hungry(module, step, rows):
        if len(rows) > 2:
            torch.empty(2**46, device=module.fixed.device)
        return line_loss(module, step, rows)

    messages = []
    trainer = line(tmp_path, 2)
    trainer.fit(hungry, lambda now: None, messages.append)
    assert trainer.micro == 2
    assert len(messages) == 2


@pytest.mark.cuda
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("name", ["baret_edit", "null_text_edit"])
def test_inversions_reconstruct_in_half_as_in_float32(name, dtype, tmp_path):
    found = {
        kind: inlay.run(name, out=tmp_path, device="cuda", cache=False, steps=20, set=set_dtype(name, kind))[
            "reconstruction_psnr"
        ]
        for kind in ("float32", dtype)
    }
    assert found[dtype] > found["float32"] - (0.5 if dtype == "float16" else 1.0)


def test_a_model_comes_back_after_memory_ran_out(gpu):
    """What is idle is evicted, and the second try succeeds."""
    from inlay.nodes import model

    messages, parts = [], model.stable_diffusion("dollhouse", dtype="float32")
    manager = ModelManager(("cuda:0",), log=messages.append)
    ctx = Context(manager)
    with ctx.lease(parts.vae):
        pass
    tries = []
    load = type(parts.denoiser).load

    def hungry(self, device):
        tries.append(device)
        if len(tries) == 1:
            torch.empty(2**46, device=device)
        return load(self, device)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(parts.denoiser), "load", hungry)
        with ctx.lease(parts.denoiser) as unet:
            assert next(unet.parameters()).device == torch.device("cuda:0")
    assert tries == ["cuda:0", "cuda:0"]
    assert any("evicted" in line for line in messages)
