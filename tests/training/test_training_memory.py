"""What a training needs of memory is known before its first step, and a budget that holds it changes no bit."""

import re

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import Needed, WorkflowError
from inlay.graph_runtime.core.events import NodeMemory, Warned
from inlay.graph_runtime.core.memory import forecast as forecasts
from inlay.graph_runtime.front import kept_between_runs
from inlay.graph_runtime.front.python.forecast import forecast_loaded
from inlay.graph_runtime.front.python.load_workflow import load
from inlay.graph_runtime.front.python.run_loaded import run_loaded
from inlay.nodes.train import subject_lora
from PIL import Image
from safetensors.torch import load_file

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20}
COMMON = {"batch_size": 6, "size": 64, "learning_rate": 1e-3, "variations": 1}


@pytest.fixture
def flow(tmp_path, shared_pbe, monkeypatch):
    """A training on two photos of noise, by the trainer's id and settings; of an embedded model, or of a tiny one."""
    from inlay.training import sample_sheets, subject_settings

    monkeypatch.setattr(sample_sheets, "SHEET_STEPS", 1)
    monkeypatch.setattr(subject_settings, "VIEWS", 3)
    photos = tmp_path / "photos"
    photos.mkdir()
    draws = np.random.default_rng(0)
    for number in range(2):
        Image.fromarray(draws.integers(0, 256, (32, 40, 3), dtype=np.uint8)).save(photos / f"{number}.png")

    def made(trainer, source=str(shared_pbe), **settings):
        sockets = {
            "denoiser": "denoiser",
            "vae": "vae",
            "scheduler": "scheduler",
            "exemplar_encoder": "exemplar_encoder",
        }
        return {
            "format": 1,
            "nodes": {
                "photos": {"type": "subject.photos", "params": {"path": str(photos)}},
                "model": {"type": "model.paint_by_example", "params": {"source": source}},
                "train": {
                    "type": trainer,
                    "version": 2 if trainer == "train.exemplar" else 1,
                    "params": COMMON | settings,
                    "inputs": {"photos": "photos.photos", **{name: f"model.{one}" for name, one in sockets.items()}},
                },
            },
            "outputs": {"report": "train.report"},
        }

    return made


def loaded_flow(file, out):
    """As a person loads it, who may point anywhere."""
    loaded = load(file, out=out)
    typed = {"photos.path": file["nodes"]["photos"]["params"]["path"]}
    loaded.set_values({}, typed | {"model.source": file["nodes"]["model"]["params"]["source"]})
    return loaded


def learned(out):
    """What the checkpoint below a folder holds."""
    [file] = out.glob("*/checkpoint.safetensors")
    return load_file(file)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("trainer", "settings"),
    [
        ("train.subject_lora", {"source": "dollhouse-exemplar", "epochs": 1, "sample_every": 0}),
        ("train.exemplar", {"steps": 2, "sample_every": 0, "variations": 0}),
    ],
)
def test_the_memory_of_a_training_is_forecast_within_a_tenth_before_its_first_run(flow, trainer, settings, tmp_path):
    loaded = loaded_flow(flow(trainer, **settings), tmp_path / "out")
    [line] = [line for line in forecast_loaded(loaded, device="cpu").lines if line.node == "train"]
    assert line.source == "declared"
    assert not (tmp_path / "out").exists()
    events = run_loaded(loaded, device="cpu", cache=False, measure=True).events
    [took] = [event for event in events if isinstance(event, NodeMemory) and event.node == "train"]
    assert line.weights == took.weights
    assert line.activations == pytest.approx(took.activations, rel=0.1)
    [line] = [line for line in forecast_loaded(loaded, device="cpu").lines if line.node == "train"]
    assert (line.source, line.activations) == ("measured", took.activations)


def test_a_training_that_does_not_fit_is_refused_with_the_smallest_budget_which_works_to_the_same_bytes(flow, tmp_path):
    file = flow("train.subject_lora", "dollhouse-exemplar", epochs=1, sample_every=0)
    large = inlay.run(file, memory="900MB", out=tmp_path / "large", device="cpu", cache=False)
    most = next(event for event in large.events if isinstance(event, NodeMemory) and event.node == "train")
    kept_between_runs.forget(results=True)
    with pytest.raises(WorkflowError, match="makes beside") as caught:
        inlay.run(file, memory="40MB", out=tmp_path / "small", device="cpu", cache=False)
    assert not (tmp_path / "small").exists() or not list((tmp_path / "small").iterdir())
    number, unit = re.search(r"at least (\d+) (\w+)", caught.value.problems[0].expected).groups()
    assert int(number) * UNITS[unit] < 0.9 * (most.weights + most.activations)  # activations can be recomputed
    tight = inlay.run(file, memory=f"{number}{unit}", out=tmp_path / "tight", device="cpu", cache=False)
    assert same(learned(tmp_path / "tight"), learned(tmp_path / "large"))
    said = [event.message for event in tight.events if isinstance(event, Warned)]
    assert any("to the same result" in one for one in said)
    assert not any("examples at a time" in one for one in said)


@pytest.mark.parametrize("trainer", ["train.subject_lora", "train.exemplar"])
def test_recomputing_activations_changes_no_bit_of_a_training(flow, trainer, tmp_path):
    length = {"steps": 2} if trainer == "train.exemplar" else {"epochs": 1}
    for folder, checkpointing in (("plain", False), ("less", True)):
        file = flow(trainer, sample_every=0, batch_size=2, checkpointing=checkpointing, **length)
        inlay.run(file, out=tmp_path / folder, device="cpu", cache=False)
    assert same(learned(tmp_path / "plain"), learned(tmp_path / "less"))


def test_a_trainer_on_a_gpu_without_values_is_asked_too(flow, tmp_path):
    """Nothing of it needs the device: what a GPU needs is known on a machine that has none."""
    plan = loaded_flow(flow("train.subject_lora", epochs=1), tmp_path).plan()
    [step] = [step for step in plan.steps if step.name == "train"]
    given = plan.seen["train"][0]
    said = subject_lora.spec.needs(given, step.settings, "cuda:0")
    assert isinstance(said, Needed)
    assert said.usual > 2**16


def test_a_node_that_fails_to_say_what_it_needs_is_run_all_the_same(flow, tmp_path, monkeypatch, caplog):
    plan = loaded_flow(flow("train.subject_lora", epochs=1), tmp_path).plan()
    [step] = [step for step in plan.steps if step.name == "train"]

    def wrong(known, params, device):
        return 12

    monkeypatch.setitem(step.spec.__dict__, "needs", wrong)
    assert forecasts.declared(plan, step, "cpu") is None
    assert "cannot say what it needs" in caplog.text
