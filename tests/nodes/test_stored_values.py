"""Values of this pack's sockets come back from the store as they were; descriptions of models are never stored."""

import dataclasses
import json
import time
import types
from typing import NamedTuple

import inlay
import pytest
import torch
from inlay.graph_runtime import node
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.graph_runtime.core.store.encoding import decode, encode
from inlay.graph_runtime.core.store.types import NotStorable, StorableTypes
from inlay.graph_runtime.front import kept_between_runs
from inlay.methods.conditioning import Conditioning
from inlay.methods.inversion.ddim import Trajectory
from inlay.methods.inversion.tuning import Tuned
from inlay.models.detr.detections import Detection
from inlay.nodes import load_pack, model
from inlay.nodes.image.files import load
from inlay.nodes.ports import Value
from PIL import Image
from recording import RecordingContext

TYPES = StorableTypes(load_pack)


def examples(tmp_path):
    Image.new("RGBA", (5, 4), (1, 2, 3, 100)).save(tmp_path / "a.png", dpi=(300, 300))
    loaded = load(str(tmp_path / "a.png"), RecordingContext(out=tmp_path))
    one = torch.randn(1, 3, 4)
    return [
        loaded.profile,
        Conditioning(one, one[:, :2], None, name="words", tokens=(1, 2)),
        Trajectory(torch.randn(3, 1, 4, 2, 2), (801, 401), "key", "hash"),
        Tuned(one, "cond", one.permute(2, 0, 1), (0.5, float("inf")), (3, 4), (801, 401)),
        [[Detection(1, 2, 3, 4, "sofa", 0.5, 0.25)], []],
        "a caption",
        0.25,
    ]


def same(one, other):
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other) and one.stride() == other.stride() and one.dtype == other.dtype
    if dataclasses.is_dataclass(one):
        return type(one) is type(other) and all(
            same(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one)
        )
    if isinstance(one, (list, tuple)):
        return type(one) is type(other) and len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and one == other


@pytest.mark.parametrize("number", range(7))
def test_a_value_of_the_pack_comes_back_field_by_field(tmp_path, number):
    value = examples(tmp_path)[number]
    encoded = encode(value, TYPES)
    assert same(decode(json.loads(json.dumps(encoded.structure)), encoded.tensors.__getitem__, TYPES), value)


def test_the_list_holds_what_sockets_declare_and_no_description_of_a_model():
    assert {Conditioning, Trajectory, Tuned, Detection} <= set(TYPES.names)
    assert not any(issubclass(kind, ModelDescription) for kind in TYPES.names)
    with pytest.raises(NotStorable):
        encode(model.stable_diffusion("dollhouse").vae, TYPES)


class One(NamedTuple):
    """One number."""

    value: Value


def test_after_a_crash_only_what_is_missing_runs(tmp_path, monkeypatch):
    """What was finished before the failure is on disk, and a new process finds it there."""
    calls, broken = [], [True]
    module = types.ModuleType("crashing")

    @node("toy.slow")
    def slow() -> One:
        """Takes a while."""
        calls.append("slow")
        time.sleep(0.1)
        return One(1.0)

    @node("toy.next")
    def next_(a: Value) -> One:
        """Fails at first."""
        calls.append("next")
        if broken:
            raise RuntimeError("the power is gone")
        return One(a + 1)

    module.slow, module.next = slow, next_
    nodes = {"s": {"type": "toy.slow"}, "n": {"type": "toy.next", "inputs": {"a": "s.value"}}}
    flow = {"format": 1, "nodes": nodes, "outputs": {"x": "n.value"}}
    with pytest.raises(inlay.NodeError):
        inlay.run(flow, nodes=[module], out=tmp_path)
    broken.clear()
    monkeypatch.setattr(kept_between_runs, "_kept", {})  # nothing is in memory after a restart
    assert inlay.run(flow, nodes=[module], out=tmp_path)["x"] == 2.0
    assert calls == ["slow", "next", "next"]
