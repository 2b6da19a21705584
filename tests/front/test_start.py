"""What a command imports before it answers: nothing that takes long and that it does not need."""

import json
import subprocess
import sys

import pytest
from inlay.graph_runtime.front.installed import shipped_samples, shipped_workflows
from PIL import Image

HEAVY = {
    "torch",
    "numpy",
    "scipy",
    "PIL",
    "jaxtyping",
    "diffusers",
    "transformers",
    "peft",
    "accelerate",
    "safetensors",
}
LIGHT = {
    "the list of nodes": ["nodes"],
    "the list as JSON": ["nodes", "--json"],
    "a node": ["nodes", "train.exemplar"],
    "a node as JSON": ["nodes", "mask.load", "--json"],
    "a node that is not there": ["nodes", "mask.lode"],
    "the schema of a node": ["schema", "image.save"],
    "the schema of workflows": ["schema"],
    "the inputs of a workflow": ["run", "zero_shot_inpaint", "--help"],
    "the inputs of another": ["check", "train_exemplar", "--help"],
    "a drawing": ["draw", "paint_by_example", "-o", "graph.svg"],
}


def imported_by(arguments, folder):
    """The modules that a command has imported at its end, its exit status, and what it wrote."""
    code = (
        "import json, sys\n"
        "from inlay.graph_runtime.front.cli.main import main\n"
        f"status = main({arguments!r})\n"
        "sys.stdout.flush()\n"
        "print('\\nMODULES', json.dumps([status, sorted(sys.modules)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr
    said, _, found = done.stdout.rpartition("\nMODULES ")
    status, modules = json.loads(found)
    return set(modules), status, said + done.stderr


@pytest.mark.parametrize("case", LIGHT)
def test_what_only_shows_definitions_imports_no_library(case, tmp_path):
    modules, status, said = imported_by(LIGHT[case], tmp_path)
    assert status == (2 if case == "a node that is not there" else 0), said
    assert said
    assert not modules & HEAVY
    assert not {"inlay.nodes.image.fill", "inlay.nodes.ports", "inlay.training.subject_settings"} & modules


SOLVERS = {"paint_by_example", "subject_lora_inpaint"}  # their schedule asks a solver of diffusers


@pytest.mark.parametrize("name", sorted(set(shipped_workflows()) - SOLVERS))
def test_a_check_imports_no_torch(name, tmp_path):
    modules, status, said = imported_by(["check", name], tmp_path)
    assert status == 0, said
    assert "no problems" in said
    assert not modules & {"torch", "jaxtyping", "diffusers", "transformers", "peft", "accelerate"}


PROBLEMS = {
    "a setting": ["--set", "steps.steps=0"],
    "more steps than timesteps": ["--set", "steps.steps=5000"],
    "an empty mask": ["--mask", "black.png"],
    "a mask of another size": ["--mask", "small.png"],
    "another number of channels": ["--set", "photo.path=small.png"],
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_what_is_wrong_is_found_without_torch(case, tmp_path):
    with Image.open(shipped_samples()["hole.png"]) as hole:
        Image.new("L", hole.size).save(tmp_path / "black.png")
    Image.new("L", (24, 24), 255).save(tmp_path / "small.png")
    modules, status, said = imported_by(["check", "zero_shot_inpaint", *PROBLEMS[case]], tmp_path)
    assert status == 2, said
    assert "fix   " in said
    assert "torch" not in modules


def test_patches_run_without_the_libraries_of_models(tmp_path):
    Image.effect_noise((64, 48), 60).convert("RGB").save(tmp_path / "photo.png")
    hole = Image.new("L", (64, 48))
    hole.paste(255, (24, 16, 36, 28))
    hole.save(tmp_path / "hole.png")
    words = ["run", "inpaint", "--image", "photo.png", "--mask", "hole.png", "--method", "patches", "--no-cache"]
    modules, status, said = imported_by(words, tmp_path)
    assert status == 0, said
    assert list((tmp_path / "inlay-out").glob("*.png"))
    assert not modules & {"diffusers", "transformers", "peft", "accelerate", "huggingface_hub"}
