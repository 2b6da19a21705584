"""A budget for weights that is too small is refused before anything runs, with the smallest that works."""

import json
import re

import inlay
import pytest
import torch
from gpus.sized_gpu import SizedGpu
from inlay.graph_runtime import WorkflowError
from inlay.graph_runtime.core.errors import NodeError
from inlay.graph_runtime.core.events import ModelMoved, NodeMemory
from inlay.graph_runtime.core.memory.account import account
from inlay.graph_runtime.front import kept_between_runs
from inlay.graph_runtime.front.cli import main
from inlay.graph_runtime.front.python import preparation
from inlay.graph_runtime.front.python.forecast import forecast_loaded
from inlay.graph_runtime.front.python.load_workflow import load
from inlay.graph_runtime.front.python.preparation import require_memory
from inlay.graph_runtime.front.python.run_loaded import run_loaded
from inlay.graph_runtime.front.serve.relay import Relay
from PIL import Image
from safetensors import safe_open

ROOM = 16 * 2**20  # bytes: more than any node of these workflows makes beside weights
UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20}


@pytest.fixture
def flow(shared_sd, tmp_path):
    Image.radial_gradient("L").resize((32, 32)).convert("RGB").save(tmp_path / "photo.png")
    return {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": str(tmp_path / "photo.png")}},
            "model": {"type": "model.stable_diffusion", "params": {"source": str(shared_sd), "dtype": "float32"}},
            "latent": {"type": "latent.encode", "inputs": {"image": "photo.image", "vae": "model.vae"}},
            "shape": {"type": "mask.shape", "inputs": {"image": "photo.image"}},
            "hole": {"type": "mask.to_latent", "inputs": {"mask": "shape.mask", "vae": "model.vae"}},
            "words": {
                "type": "condition.text",
                "version": 2,
                "params": {"prompt": "a"},
                "inputs": {"text_encoder": "model.text_encoder"},
            },
        },
        "outputs": {"latent": "latent.latent"},
    }


def bytes_of(folder, component):
    """Bytes of a component's weights in float32, counted by the safetensors library."""
    total = 0
    for path in (folder / component).glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                shape = file.get_slice(name).get_shape()
                count = 1
                for side in shape:
                    count *= side
                total += 4 * count
    return total


def test_a_budget_below_the_largest_part_is_refused_by_check_and_by_run(flow, shared_sd, tmp_path):
    size = bytes_of(shared_sd, "vae")
    [problem] = inlay.check(flow, memory=size - 1, out=tmp_path, device="cpu")
    assert problem.where == "latent.vae"
    number, unit = re.search(r"at least (\d+) (\w+)", problem.expected).groups()
    least = int(number) * UNITS[unit]
    assert size <= least < size + UNITS[unit]
    with pytest.raises(WorkflowError, match=r"latent\.vae"):
        inlay.run(flow, memory=size - 1, out=tmp_path, device="cpu", cache=False)
    for budget in (size, f"{number}{unit}"):
        assert inlay.check(flow, memory=budget, out=tmp_path, device="cpu") == []
    assert inlay.run(flow, memory=size + ROOM, out=tmp_path, device="cpu", cache=False)["latent"].ndim == 4


def test_only_models_whose_weights_are_used_count(flow, tmp_path):
    flow["outputs"] = {"mask": "hole.latent_mask"}
    assert inlay.check(flow, memory=1, out=tmp_path) == []
    assert inlay.run(flow, memory=ROOM, out=tmp_path, cache=False)["mask"].ndim == 4


def test_every_node_whose_model_is_too_large_is_named(flow, shared_sd, tmp_path):
    flow["outputs"]["words"] = "words.conditioning"
    report = inlay.check(flow, memory=10, out=tmp_path, device="cpu")
    assert {problem.where for problem in report} == {"latent.vae", "words.text_encoder"}
    assert len({problem.expected for problem in report}) == 1


def test_half_precision_needs_half_the_budget(flow, shared_sd, tmp_path):
    flow["nodes"]["model"]["params"]["dtype"] = "float16"
    assert inlay.check(flow, memory=bytes_of(shared_sd, "vae") // 2, out=tmp_path, device="cpu") == []
    assert inlay.check(flow, memory=bytes_of(shared_sd, "vae") // 2 - 1, out=tmp_path, device="cpu")


def test_models_that_a_run_needs_at_once_count_together(flow, shared_sd, tmp_path, monkeypatch):
    """constraint.pixel_space decodes and encodes between the steps: the VAE is in memory beside the UNet."""
    both = bytes_of(shared_sd, "vae") + bytes_of(shared_sd, "unet")
    flow["nodes"] |= {
        "steps": {"type": "schedule.ddim", "params": {"steps": 2}, "inputs": {"scheduler": "model.scheduler"}},
        "noise": {"type": "noise.gaussian", "inputs": {"latent": "latent.latent"}},
        "pixels": {
            "type": "constraint.pixel_space",
            "inputs": {"image": "photo.image", "mask": "shape.mask", "vae": "model.vae"},
        },
        "keep": {
            "type": "constraint.null_space",
            "inputs": {"latent": "latent.latent", "latent_mask": "hole.latent_mask", "then": "pixels.constraint"},
        },
        "sample": {
            "type": "sample.denoise",
            "inputs": {
                "denoiser": "model.denoiser",
                "schedule": "steps.schedule",
                "noise": "noise.noise",
                "conditioning": "words.conditioning",
                "constraint": "keep.constraint",
            },
        },
    }
    flow["outputs"] = {"latent": "sample.latent"}
    [problem] = inlay.check(flow, memory=both - 1, out=tmp_path, device="cpu")
    assert (problem.where, "together" in problem.found) == ("sample.denoiser", True)
    with pytest.raises(WorkflowError, match=r"sample\.denoiser"):
        inlay.run(flow, memory=both - 1, out=tmp_path, device="cpu", cache=False)
    assert inlay.check(flow, memory=both, out=tmp_path, device="cpu") == []
    assert inlay.run(flow, memory=both + ROOM, out=tmp_path, device="cpu", cache=False)["latent"].ndim == 4
    flow["nodes"]["keep"]["inputs"].pop("then")
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "home"))  # where nothing was measured
    assert inlay.check(flow, memory=both - 1, out=tmp_path, device="cpu") == []


def test_activations_count_and_what_was_measured_is_refused_before_anything_runs(
    flow, shared_sd, tmp_path, monkeypatch
):
    """What nobody foresaw fails when memory runs out, with a table; once measured or rehearsed, it does not begin."""
    size = bytes_of(shared_sd, "vae")
    assert inlay.check(flow, memory=size, out=tmp_path, device="cpu") == []
    with pytest.raises(WorkflowError, match=r"makes beside \(rehearsed\)"):
        inlay.run(flow, memory=size + 100, out=tmp_path, device="cpu", cache=False)
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "rehearsed", lambda *_: None)
        with pytest.raises(NodeError, match="node latent") as caught:
            inlay.run(flow, memory=size + 100, out=tmp_path, device="cpu", cache=False)
    for word in ("out of memory", "who holds what", "vae of", "all on cpu"):
        assert word in str(caught.value)
    result = inlay.run(flow, memory=size + ROOM, out=tmp_path, device="cpu", cache=False)
    [made] = [event.activations for event in result.events if isinstance(event, NodeMemory) and event.node == "latent"]
    assert 0 < made < ROOM
    with pytest.raises(WorkflowError, match=r"makes beside \(measured\)") as caught:
        inlay.run(flow, memory=size + made - 1, out=tmp_path, device="cpu", cache=False)
    number, unit = re.search(r"at least (\d+) (\w+)", caught.value.problems[0].expected).groups()
    assert size + made <= int(number) * UNITS[unit] < size + made + UNITS[unit]
    again = inlay.run(flow, memory=f"{number}{unit}", out=tmp_path, device="cpu", cache=False)
    assert torch.equal(again["latent"], result["latent"])


def test_a_budget_changes_no_bit(flow, shared_sd, tmp_path):
    """What is free, a tight budget, and measuring: three ways to the same bytes."""
    free = inlay.run(flow, out=tmp_path, device="cpu", cache=False)["latent"]
    tight = inlay.run(flow, memory=bytes_of(shared_sd, "vae") + ROOM, out=tmp_path, device="cpu", cache=False)["latent"]
    assert torch.equal(free, tight)


def test_a_hundred_runs_move_the_weights_once(flow, tmp_path, monkeypatch):
    flow["inputs"] = {"prompt": "words.prompt"}
    flow["outputs"] = {"words": "words.conditioning", "latent": "latent.latent"}
    for number in range(100):
        inlay.run(flow, prompt=f"word {number}", out=tmp_path, device="cpu", cache=number > 0)
    [(manager, _)] = kept_between_runs._kept.values()
    assert manager.moved.reads == 2
    assert manager.moved.read == manager.resident_bytes()


def test_a_refusal_names_the_settings_that_need_less_with_the_budget_that_works_then(flow, tmp_path):
    Image.radial_gradient("L").resize((512, 512)).convert("RGB").save(tmp_path / "photo.png")

    def refused(tiling, budget):
        flow["nodes"]["latent"]["params"] = {"tiling": tiling}
        try:
            require_memory(load(flow, inputs=tmp_path.anchor).plan(), budget, "cpu", rehearse=True)
        except WorkflowError as error:
            return str(error)
        return ""

    said = refused("off", 2**20)
    found = re.search(r"or set tiling to on in latent, [^;]* for which (\d+) (\w+) are enough", said)
    least = int(found[1]) * UNITS[found[2]]
    assert "tiling" in refused("off", least)
    assert not refused("on", least)
    assert "tiling to on" not in refused("on", 2**20)


@pytest.mark.parametrize(
    "text", ["0", "-1GB", "6 apples", "", "GB", "1e9", "6GB6", "٣GB", 0, -5, 1.5, True, "9" * 5000]
)
def test_what_is_no_budget_is_refused_by_name(flow, text, tmp_path):
    for problems in (inlay.check(flow, memory=text, out=tmp_path), _refused(flow, text, tmp_path)):
        assert any("memory" in (one.port or "") and "6GB" in one.fix for one in problems), problems


def _refused(flow, text, tmp_path):
    with pytest.raises(WorkflowError) as caught:
        inlay.run(flow, memory=text, out=tmp_path)
    return caught.value.problems


def test_what_a_run_decided_about_memory_stays_in_its_history(flow, shared_sd, tmp_path, capsys):
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(flow))
    words = [str(file), "--out", str(tmp_path / "out"), "--device", "cpu"]
    words += [part for place in typed(flow).items() for part in ("--set", "=".join(place))]
    relay = Relay(lambda events: None, tmp_path)
    loaded = load(flow, out=tmp_path)
    loaded.set_values({}, typed(flow))
    run_loaded(loaded, device="cpu", memory="900MB", cache=False, listeners=[relay])
    kept = json.loads(json.dumps(account(relay.memory)))  # as a server keeps it
    size = bytes_of(shared_sd, "vae")
    [one] = kept["decisions"]
    assert (one["node"], one["action"], one["nbytes"], kept["budget"]) == ("latent", "load", size, 900 * 10**6)
    assert kept["peak"] > size
    assert {one["node"] for one in kept["taken"]} >= {"latent"}
    kept_between_runs.forget(results=True)
    assert main.main(["run", *words, "--memory", "900MB"]) == 0
    capsys.readouterr()
    assert main.main(["cache", "why", str(file), "latent", *words[1:]]) == 0
    told = capsys.readouterr().out
    for word in ("for it, load vae of", "of weights and", "with a budget of 859 MiB"):
        assert word in told


def test_a_budget_over_the_memory_of_the_machine_is_warned_of(flow, tmp_path):
    flow["outputs"] = {"mask": "shape.mask"}
    with pytest.warns(inlay.InlayWarning, match="more than cpu has"):
        inlay.run(flow, memory="900TB", out=tmp_path, device="cpu", cache=False)


def typed(flow):
    """The paths of a workflow as settings, which a person may point anywhere."""
    return {
        "photo.path": flow["nodes"]["photo"]["params"]["path"],
        "model.source": flow["nodes"]["model"]["params"]["source"],
    }


def test_a_dry_run_forecasts_each_node_and_runs_nothing(flow, tmp_path, capsys):
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(flow))
    words = ["run", str(file), "--out", str(tmp_path / "out"), "--device", "cpu"]
    words += [part for place in typed(flow).items() for part in ("--set", "=".join(place))]
    assert main.main([*words, "--dry-run", "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert (first["status"], first["device"]) == ("forecast", "cpu")
    assert {one["node"]: one["source"] for one in first["nodes"]} == {"photo": "at least", "latent": "rehearsed"}
    [guess] = [one["activations"] for one in first["nodes"] if one["node"] == "latent"]
    assert main.main([*words, "--explain-memory", "--json"]) == 0
    told = capsys.readouterr()
    ran = json.loads(told.out)
    assert [(one["action"], one["node"]) for one in ran["memory"]] == [("load", "latent")]
    assert "made beside them" in told.err
    assert main.main([*words, "--dry-run", "--json"]) == 0
    second = json.loads(capsys.readouterr().out)
    took = {one["node"]: one["activations"] for one in ran["taken"]}
    assert {one["node"]: one["activations"] for one in second["nodes"]} == took
    assert {one["source"] for one in second["nodes"]} == {"measured"}
    assert guess == pytest.approx(took["latent"], rel=0.1)
    assert main.main([*words, "--dry-run"]) == 0
    assert "measured" in capsys.readouterr().out
    assert main.main([*words, "--dry-run", "--memory", "100B"]) == 2
    assert "at least" in capsys.readouterr().err


def test_what_a_loop_does_in_its_last_steps_alone_is_forecast_too(tmp_path, capsys):
    """The projection in pixels begins at the fifth of eight steps, and decodes."""
    words = ["run", "zero_shot_inpaint", "--set", "steps.steps=8", "--out", str(tmp_path / "out"), "--device", "cpu"]
    assert main.main([*words, "--dry-run", "--json"]) == 0
    [guess] = [one for one in json.loads(capsys.readouterr().out)["nodes"] if one["node"] == "sample"]
    assert main.main([*words, "--explain-memory", "--json", "--no-cache"]) == 0
    [took] = [one for one in json.loads(capsys.readouterr().out)["taken"] if one["node"] == "sample"]
    assert guess["source"] == "rehearsed"
    assert guess["activations"] == pytest.approx(took["activations"], rel=0.1)


def test_another_size_is_forecast_from_measured_ones(flow, tmp_path):
    def sized(side):
        Image.radial_gradient("L").resize((side, side)).convert("RGB").save(tmp_path / "photo.png")
        loaded = load(flow, out=tmp_path)
        loaded.set_values({}, typed(flow))
        found = forecast_loaded(loaded, device="cpu")
        took = run_loaded(loaded, device="cpu", cache=False, measure=True).events
        [line] = [line for line in found.lines if line.node == "latent"]
        [made] = [event.activations for event in took if isinstance(event, NodeMemory) and event.node == "latent"]
        return line.source, line.activations, made

    for side in (32, 64, 96):
        sized(side)
    for side in (48, 80, 128):
        source, told, made = sized(side)
        assert source == "scaled"
        assert told == pytest.approx(made, rel=0.1)


def test_a_device_that_disappears_is_named_and_the_next_run_begins_anew(flow, tmp_path, monkeypatch):
    with SizedGpu() as gpu:
        before = inlay.run(flow, out=tmp_path, device="cuda:0", cache=False)["latent"]
        gpu.lost = True
        with pytest.raises(NodeError, match="does not answer any more") as caught:
            inlay.run(flow, out=tmp_path, device="cuda:0", cache=False)
        assert caught.value.status == 1
        assert "nvidia-smi" in caught.value.problem.fix
        gpu.lost = False
        assert torch.equal(inlay.run(flow, out=tmp_path, device="cuda:0", cache=False)["latent"], before)


def test_on_a_gpu_weights_and_activations_stay_within_the_budget(flow, shared_sd, tmp_path):
    """The device itself counts: what was in use at once never passed what was asked for."""
    flow["outputs"] = {"words": "words.conditioning", "latent": "latent.latent"}
    with SizedGpu(memory=2**30) as gpu:
        free = inlay.run(flow, out=tmp_path, device="cuda:0", cache=False)
        made = [event for event in free.events if isinstance(event, NodeMemory)]
        most = max(one.weights + one.activations for one in made)
        assert gpu.peak > most  # both models were there
    kept_between_runs._kept.clear()
    with SizedGpu(memory=2**30) as gpu:
        for _ in range(3):
            tight = inlay.run(flow, memory=most + 1024, out=tmp_path, device="cuda:0", cache=False)
            assert torch.equal(tight["latent"], free["latent"])
        assert gpu.peak <= most + 1024
        [(manager, _)] = kept_between_runs._kept.values()
        assert manager.moved.reads == 2
        assert manager.moved.out > 0
    kept_between_runs._kept.clear()
    with SizedGpu(memory=2**30):
        streamed = inlay.run(flow, memory=most - 2048, out=tmp_path, device="cuda:0", cache=False)
        assert torch.equal(streamed["latent"], free["latent"])
        actions = [event.decision.action for event in streamed.events if isinstance(event, ModelMoved)]
        assert "stream" in actions
        with pytest.raises(WorkflowError, match="block by block"):
            inlay.run(flow, memory=20_000, out=tmp_path, device="cuda:0", cache=False)


@pytest.mark.parametrize("name", ["train_exemplar", "subject_lora_train", "compare_editors"])
def test_the_need_of_a_training_and_of_every_editor_is_forecast(name, tmp_path, monkeypatch):
    """A scheduler, which takes no memory, stands at a socket of both trainings."""
    from inlay.graph_runtime.core.memory import forecast

    monkeypatch.setattr(forecast, "rehearsed", lambda *_: None)
    loaded = load(name, out=tmp_path)
    found = forecast_loaded(loaded, device="cpu", memory="900MB")
    assert any(line.weights > 2**20 for line in found.lines)
    assert require_memory(loaded.plan(), 900 * 2**20, "cpu") is not None
    with pytest.raises(WorkflowError, match="at least"):
        require_memory(loaded.plan(), 2**20, "cpu")


def test_a_budget_without_its_unit_is_asked_for_the_unit(flow, tmp_path):
    report = inlay.check(flow, memory=6, out=tmp_path, device="cpu")
    assert report
    for problem in report:
        assert problem.expected.startswith("a budget of at least ")
        assert problem.fix.startswith("give the unit, as in --memory 6GB; or --memory ")
    assert not any("unit" in problem.fix for problem in inlay.check(flow, memory=1000, out=tmp_path, device="cpu"))
