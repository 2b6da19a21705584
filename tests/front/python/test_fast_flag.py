"""`--fast` and `fast=`: a part of the workflow from there on, whoever makes the picture."""

import json

import inlay
import pytest
import torch
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.core.workflow import build
from inlay.graph_runtime.front.cli import main
from inlay.graph_runtime.front.fast import make_fast, read_fast
from inlay.graph_runtime.front.installed import shipped_samples
from inlay.graph_runtime.front.python.load_workflow import load
from inlay.models.fast import component as fast_models
from PIL import Image

SMALL = {"steps": 1, "size": 64, "device": "cpu"}
SAMPLES = shipped_samples()


def recorded(path):
    with Image.open(path) as picture:
        return json.loads(picture.text["inlay"])["workflow"]["nodes"]


def fast_of(nodes):
    return [node["params"] for node in nodes.values() if node["type"] == "model.fast"]


def test_a_picture_records_what_made_it_fast_and_recall_repeats_it(tmp_path):
    words = ["run", "zero_shot_inpaint", "--steps", "1", "--size", "64", "--quiet"]
    assert main.main([*words, "--fast", "channels-last,step-cache", "--out", str(tmp_path / "a")]) == 0
    (path,) = (tmp_path / "a").glob("*.png")
    assert fast_of(recorded(path)) == [{"channels_last": True, "step_cache": 2}]
    assert main.main(["run", str(path), "--quiet", "--out", str(tmp_path / "b")]) == 0
    (again,) = (tmp_path / "b").glob("*.png")
    assert again.read_bytes() == path.read_bytes()
    made = inlay.run("zero_shot_inpaint", out=tmp_path / "c", fast=["step-cache", "channels-last"], **SMALL)
    assert made.paths[0].read_bytes() == path.read_bytes()
    plain = inlay.run("zero_shot_inpaint", out=tmp_path / "d", **SMALL)
    assert not fast_of(recorded(plain.paths[0])), "nothing of it is kept for the plain run"


def test_over_http_and_in_settings_it_is_a_setting(tmp_path):
    loaded = load("zero_shot_inpaint", out=tmp_path)
    loaded.set_values({}, {"fast": "channels-last"})
    assert fast_of(loaded.workflow.model_dump()["nodes"]) == [{"channels_last": True}]


def test_sweeps_and_jobs_pass_it_on(tmp_path):
    found = inlay.sweep("zero_shot_inpaint", grid={"seed": [1]}, out=tmp_path / "s", fast="channels-last", **SMALL)
    assert [fast_of(recorded(row.path)) for row in found] == [[{"channels_last": True}]]
    (tmp_path / "in").mkdir()
    picture = tmp_path / "in" / "room.png"
    picture.write_bytes(SAMPLES["room.png"].read_bytes())
    job = inlay.run(
        "zero_shot_inpaint",
        out=tmp_path / "j",
        image=str(tmp_path / "in"),
        mask=str(SAMPLES["room-mask.png"]),
        fast="channels-last",
        **SMALL,
    )
    assert [fast_of(recorded(one.paths[0])) for one in job.results] == [[{"channels_last": True}]]


def test_options_make_a_workflow_first_and_then_it_is_made_fast():
    picture = {"image": str(SAMPLES["room.png"]), "mask": str(SAMPLES["room-mask.png"])}
    loaded = load("inpaint")
    loaded.set_values({**picture, "source": "dollhouse"}, {"fast": "step-cache", "fast.step_cache": 3})
    assert fast_of(loaded.workflow.model_dump()["nodes"]) == [{"step_cache": 3}], "its settings can be set"
    loaded.plan()
    (problem,) = inlay.check("inpaint", fast="compile", **picture)
    assert problem.found == "compile, and no node that evaluates a model"


def test_what_cannot_work_here_is_refused_before_anything_runs(monkeypatch, tmp_path):
    monkeypatch.setattr(fast_models, "why_not", lambda mode, device: ("no C++ compiler 'g++'", "install g++"))
    (problem,) = inlay.check("zero_shot_inpaint", fast="compile", device="cpu")
    assert (problem.node, problem.port, problem.found, problem.fix) == (
        "fast",
        "compile",
        "no C++ compiler 'g++'",
        "install g++",
    )
    with pytest.raises(WorkflowError, match=r"no C\+\+ compiler"):
        inlay.run("zero_shot_inpaint", fast="compile", out=tmp_path / "o", **SMALL)
    assert not (tmp_path / "o").exists()


def test_a_profile_counts_the_calls_of_compiled_code_and_shows_the_compiling(monkeypatch, tmp_path):
    monkeypatch.setattr(fast_models, "why_not", lambda mode, device: None)
    monkeypatch.setattr(torch, "compile", lambda module, **how: module)
    made = inlay.run("zero_shot_inpaint", fast="compile", out=tmp_path, profile=True, steps=3, size=64, device="cpu")
    profile = json.loads((made.profile / "profile.json").read_text("utf-8"))
    (calls,) = [
        one
        for node in profile["nodes"]
        if node["type"] == "sample.denoise"
        for one in node["models"]
        if one["model"].startswith("unet")
    ]
    assert calls["parts"] == {"compile": 1, "forward": 3}


def workflow(**more):
    nodes = {
        "model": {"type": "model.stable_diffusion"},
        "lora": {"type": "model.lora", "inputs": {"denoiser": "model.denoiser"}},
        "one": {"type": "sample.denoise", "inputs": {"denoiser": "lora.denoiser"}},
        "two": {"type": "sample.denoise", "inputs": {"denoiser": "lora.denoiser"}},
        "three": {"type": "invert.ddim", "inputs": {"denoiser": "model.denoiser"}},
        "crop": {"type": "image.crop_to_mask", "inputs": {"denoiser": "model.denoiser"}},
    }
    return build({"format": 1, "nodes": nodes | more, "outputs": {"x": "one.latent"}})


def test_one_node_stands_before_all_that_evaluate_the_same_denoiser():
    made = workflow(fast={"type": "image.load"})
    make_fast(made, ("channels-last",))
    links = {name: node.inputs.get("denoiser") for name, node in made.nodes.items() if node.inputs}
    assert links == {
        "lora": "model.denoiser",
        "one": "fast_2.denoiser",
        "two": "fast_2.denoiser",
        "three": "fast_3.denoiser",
        "crop": "model.denoiser",
        "fast_2": "lora.denoiser",
        "fast_3": "model.denoiser",
    }
    make_fast(made, ("step-cache",))
    assert [node.params for node in made.nodes.values() if node.type == "model.fast"] == [
        {"channels_last": True, "step_cache": 2}
    ] * 2, "a node that is there is set"


@pytest.mark.parametrize("asked", ["", "compil", "compile,", ["compile", 3], 3, None])
def test_other_names_are_refused(asked):
    with pytest.raises(WorkflowError, match="--fast"):
        read_fast(asked)


def test_names_that_contradict_each_other_are_refused():
    with pytest.raises(WorkflowError, match="compile,cuda-graphs"):
        make_fast(workflow(), ("compile", "cuda-graphs"))
