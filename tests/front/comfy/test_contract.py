"""What a real ComfyUI asked of the pack and was answered, replayed without one (scripts/comfy_contract.py records it).

The host's part is transcribed here: how it describes a node, which inputs it refuses, its loader and its text node.
"""

import importlib.util
import inspect
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hosts import folder_paths
from inlay.graph_runtime import NodeError
from inlay.graph_runtime.front.comfy import pack_classes
from PIL import Image

ROOT = Path(__file__).resolve().parents[3]
CONTRACT = json.loads(Path(__file__).with_name("contract.json").read_text("utf-8"))
CLASSES = pack_classes.NODE_CLASS_MAPPINGS
_spec = importlib.util.spec_from_file_location("comfy_contract", ROOT / "scripts" / "comfy_contract.py")
record = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(record)
PROMPTS = record.prompts()


class LoadImage:
    """As the host's: colours, and 1 − alpha or 64×64 zeros."""

    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("STRING", {})}}

    def load(self, image):
        folder = Path(sys.modules["folder_paths"].get_input_directory())
        with Image.open(folder / image) as picture:
            values = np.asarray(picture.convert("RGB"), np.float32) / 255
            alpha = np.asarray(picture.getchannel("A"), np.float32) / 255 if "A" in picture.getbands() else None
        mask = torch.zeros(1, 64, 64) if alpha is None else 1 - torch.from_numpy(alpha)[None]
        return torch.from_numpy(values)[None], mask


class PrimitiveString:
    """As the host's."""

    RETURN_TYPES = ("STRING",)
    FUNCTION = "give"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("STRING", {})}}

    def give(self, value):
        return (value,)


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Folders of a host, with the pictures that were uploaded to the real one."""
    module = folder_paths(tmp_path, "input", "output", "temp")
    module.get_folder_paths = lambda kind: [str(tmp_path / "models" / kind)]
    module.get_filename_list = lambda kind: []
    monkeypatch.setitem(sys.modules, "folder_paths", module)
    for name, contents in record.pictures().items():
        (tmp_path / "input" / name).write_bytes(contents)
    return tmp_path


def refused(node, cls, prompt, known):
    """The errors of a node, as the host finds them: type and details."""
    groups, errors = cls.INPUT_TYPES(), []
    checked = inspect.getfullargspec(cls.VALIDATE_INPUTS).args if hasattr(cls, "VALIDATE_INPUTS") else []
    for name, (kind, *_) in {**groups["required"], **groups.get("optional", {})}.items():
        if name not in node["inputs"]:
            errors += [["required_input_missing", name]] if name in groups["required"] else []
            continue
        value = node["inputs"][name]
        if isinstance(value, list):
            given = known[prompt[value[0]]["class_type"]].RETURN_TYPES[value[1]]
            if given != kind and not (isinstance(kind, str) and set(given.split(",")) & set(kind.split(","))):
                errors.append(["return_type_mismatch", f"{name}, received_type({given}) mismatch input_type({kind})"])
        elif isinstance(kind, list) and name not in checked and value not in kind:
            errors.append(["value_not_in_list", f"{name}: {value!r} not in {kind}"])
    paths = {name: node["inputs"][name] for name in checked if isinstance(node["inputs"].get(name), str)}
    if paths and (found := cls.VALIDATE_INPUTS(**paths)) is not True:
        errors += [["custom_validation_failed", f"{name} - {found}"] for name in paths]
    return [record.said({"type": kind, "details": details}) for kind, details in errors]


def replay(prompt, folder):
    """What comes of a prompt, in the words of the record."""
    known = {**CLASSES, "LoadImage": LoadImage, "PrimitiveString": PrimitiveString}
    errors = {key: refused(node, known[node["class_type"]], prompt, known) for key, node in prompt.items()}
    if found := {key: one for key, one in errors.items() if one}:
        return {"status": 400, "errors": found}
    made, pictures = {}, {}
    for key in sorted(prompt, key=lambda key: (key in "23", key)):  # in these prompts 2 and 3 come last
        node = prompt[key]
        cls = known[node["class_type"]]
        inputs = {
            name: made[value[0]][value[1]] if isinstance(value, list) else value
            for name, value in node["inputs"].items()
        }
        try:
            with torch.inference_mode():
                answer = getattr(cls(), cls.FUNCTION)(**inputs)
        except NodeError as error:
            return {"status": 200, "failed": key, "message": str(error)}
        if isinstance(answer, dict):
            images = answer.get("ui", {}).get("images", [])
            if images:
                files = [folder / one["type"] / one["subfolder"] / one["filename"] for one in images]
                pictures[key] = [record.digest(file.read_bytes()) for file in files]
            answer = answer["result"]
        made[key] = answer
    return {"status": 200, "pictures": pictures}


def answers(release):
    """What a host said; 0.3.64 says what is wrong with a path a second time, under the name of its check of types."""
    found = json.loads(json.dumps(CONTRACT["hosts"][release]["answers"]))
    for one in found.values():
        for key, errors in one.get("errors", {}).items():
            one["errors"][key] = [error for error in errors if not error[1].startswith("input_types - ")]
    return found


def test_two_releases_of_the_host_were_asked():
    assert {"0.3.64", "0.33.0"} <= set(CONTRACT["hosts"])
    for about in CONTRACT["hosts"].values():
        assert set(about["answers"]) == set(PROMPTS)


@pytest.mark.parametrize("release", CONTRACT["hosts"])
@pytest.mark.parametrize("about", PROMPTS)
def test_the_host_answers_the_same(host, release, about):
    assert replay(PROMPTS[about], host) == answers(release)[about]


def test_hosts_agree_on_every_answer():
    first, *others = CONTRACT["hosts"]
    assert all(answers(other) == answers(first) for other in others)


def test_nodes_are_described_as_the_host_described_them(host):
    """Types, options, order and outputs, on which saved graphs rely; nodes, inputs and outputs may come, at the end."""
    for name, recorded in CONTRACT["nodes"].items():
        cls = CLASSES[name]
        answer = {
            "input": json.loads(json.dumps(cls.INPUT_TYPES())),
            "output": list(cls.RETURN_TYPES),
            "output_name": list(cls.RETURN_NAMES),
            "output_node": bool(getattr(cls, "OUTPUT_NODE", False)),
        }
        found = record.about_node(answer)
        assert found["outputs"][: len(recorded["outputs"])] == recorded["outputs"], name
        assert found["saves"] == recorded["saves"], name
        for group, inputs in recorded["inputs"].items():
            assert {key: found["inputs"][group].get(key) for key in inputs} == inputs, name
            assert [key for key in found["inputs"][group] if key in inputs] == list(inputs), name


def test_the_host_lists_our_templates_and_no_native_file():
    shipped = sorted(path.stem for path in (ROOT / "example_workflows").glob("*.json"))
    for about in CONTRACT["hosts"].values():
        assert set(about["templates"]) <= set(shipped)
