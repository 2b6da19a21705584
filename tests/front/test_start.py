"""What a command imports before it answers: nothing that takes long and that it does not need."""

import json
import subprocess
import sys

import pytest

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
