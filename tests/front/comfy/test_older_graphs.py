"""Graphs of older versions run: widgets that were renamed; and the pack loads quickly."""

import json
import subprocess
import sys

import torch
from inlay.graph_runtime.front.comfy.former_names import by_current_name, former_names
from inlay.graph_runtime.front.comfy.node_classes import node_class
from inlay.graph_runtime.front.installed import installed_nodes

SPECS = [spec for spec in installed_nodes().values() if former_names(spec)]
MEASURE = """
import sys, time
import numpy, PIL.Image, pydantic
began = time.process_time()
import inlay
classes = inlay.NODE_CLASS_MAPPINGS
inlay.NODE_DISPLAY_NAME_MAPPINGS
for made in classes.values():
    made.INPUT_TYPES()
print(time.process_time() - began, len(classes))
print(*[name for name in ("torch", "diffusers", "transformers", "scipy") if name in sys.modules])
"""


def as_the_host_passes(cls, given):
    """What ComfyUI's executor hands on of a prompt: the inputs that it finds in INPUT_TYPES."""
    groups = cls.INPUT_TYPES()
    return {
        name: value
        for name, value in given.items()
        if any(group in groups and name in groups[group] for group in ("required", "optional"))
    }


def test_there_are_renamed_widgets():
    assert {spec.id: former_names(spec) for spec in SPECS} == {
        "mask.brush": {"amount": "mask_jitter"},
        "train.exemplar": {"extend_mask": "mask_jitter"},
    }


def test_a_widget_under_its_former_name_still_counts():
    cls = node_class(installed_nodes()["mask.brush"])
    mask = torch.zeros(1, 64, 64)
    mask[:, 20:40, 20:40] = 1

    def drawn(**given):
        return cls().execute(**as_the_host_passes(cls, {"mask": mask, "seed": 3, **given}))[0]

    assert torch.equal(drawn(amount=0.9), drawn(mask_jitter=0.9))
    assert not torch.equal(drawn(amount=0.9), drawn(mask_jitter=0.0))
    assert torch.equal(drawn(amount=0.9, mask_jitter=0.0), drawn(mask_jitter=0.0))


def test_former_names_are_shown_nowhere():
    for spec in SPECS:
        groups = node_class(spec).INPUT_TYPES()
        assert not set(former_names(spec)) & set(groups["optional"])
        assert not set(former_names(spec)) & set(json.loads(json.dumps(groups["optional"])))
        assert "something else" not in groups["optional"]
        assert by_current_name(spec, {"x": 1}) == {"x": 1}


def test_the_pack_loads_in_half_a_second_of_its_own_and_without_heavy_libraries(tmp_path):
    runs = [
        subprocess.run(
            [sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True, cwd=tmp_path
        ).stdout.splitlines()
        for _ in range(2)
    ]
    seconds = min(float(lines[0].split()[0]) for lines in runs)
    assert runs[0][1] == ""
    assert seconds <= 0.5, seconds
