"""INLAY_MEMORY inside ComfyUI holds what nodes make too: refused in the node before it runs, and held while it runs."""

import re
import sys
import types
from typing import Annotated, NamedTuple

import pytest
import torch
from inlay.graph_runtime import Context, Needed, NodeError, Port, node
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.graph_runtime.front.comfy.host import memory
from inlay.graph_runtime.front.comfy.node_classes import node_class

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20}
WEIGHTS, ROWS = 4 * 2**20, 16  # bytes of the model; rows of 1 MiB that a node makes beside it
runs: list[int] = []


class Net(ModelDescription):
    label = fingerprint = "net of the test"

    def load(self, device):
        return torch.nn.Linear(WEIGHTS // 4, 1, bias=False)

    def nbytes(self):
        return WEIGHTS


class Out(NamedTuple):
    total: Annotated[float, Port("FLOAT")]


def _work(ctx, net, rows):
    runs.append(rows)
    with ctx.models.lease(net) as module:
        made = torch.ones(rows, 2**18)
        return Out(float(made.sum()) + module.in_features)


@node("toy.makes", version=1)
def makes(ctx: Context, net: Annotated[ModelDescription, Port("TOY_NET")], rows: int = ROWS) -> Out:
    """A node that makes rows beside its model."""
    return _work(ctx, net, rows)


def _says(known, params, device):
    return Needed(params["rows"] * 2**20)


@node("toy.says", version=1, needs=_says)
def says(ctx: Context, net: Annotated[ModelDescription, Port("TOY_NET")], rows: int = ROWS) -> Out:
    """A node that says what it makes."""
    return _work(ctx, net, rows)


@pytest.fixture(autouse=True)
def host(monkeypatch, tmp_path):
    """A host that computes on the CPU and leaves memory alone, and no measurements."""
    management = types.ModuleType("comfy.model_management")
    management.get_torch_device = lambda: torch.device("cpu")
    for module in (types.ModuleType("comfy"), management):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "home"))
    runs.clear()
    yield
    memory.model_manager.cache_clear()


def ran(monkeypatch, toy, budget, rows=ROWS):
    """What the node gives in the host within a budget; everything from anew but measurements."""
    memory.model_manager.cache_clear()
    monkeypatch.setenv("INLAY_MEMORY", str(budget))
    return node_class(toy.spec)().execute(net=Net(), rows=rows)


def least_of(message):
    number, unit = re.search(r"at least (\d+) (\w+)", message).groups()
    return int(number) * UNITS[unit]


def test_what_nobody_foresaw_ends_with_who_holds_what_and_once_measured_it_does_not_begin(monkeypatch):
    with pytest.raises(NodeError) as caught:
        ran(monkeypatch, makes, WEIGHTS + 2**20)
    for word in ("out of memory", "who holds what", "net of the test", "all on cpu", "INLAY_MEMORY"):
        assert word in str(caught.value)
    assert runs == [ROWS, ROWS]  # once more after idle weights left
    right = ran(monkeypatch, makes, WEIGHTS + 3 * ROWS * 2**20)
    runs.clear()
    with pytest.raises(NodeError) as caught:
        ran(monkeypatch, makes, WEIGHTS + 2**20)
    assert runs == []
    for word in ("who holds what", "all on cpu", "INLAY_MEMORY="):
        assert word in str(caught.value)
    assert WEIGHTS + ROWS * 2**20 <= least_of(str(caught.value)) < WEIGHTS + (ROWS + 2) * 2**20
    assert ran(monkeypatch, makes, least_of(str(caught.value))) == right


def test_what_a_node_declares_is_refused_before_its_first_run(monkeypatch):
    with pytest.raises(NodeError, match="who holds what") as caught:
        ran(monkeypatch, says, WEIGHTS + 2**20)
    assert runs == []
    assert ran(monkeypatch, says, least_of(str(caught.value)) + 2**20)["result"][0] > 0


def test_after_a_refusal_nothing_is_kept_and_a_smaller_one_runs(monkeypatch):
    with pytest.raises(NodeError):
        ran(monkeypatch, makes, WEIGHTS + 4 * 2**20)
    manager = memory.model_manager()
    manager.evict_idle()
    assert manager.in_use("cpu") == 0
    assert node_class(makes.spec)().execute(net=Net(), rows=2)["result"] == (2.0 * 2**18 + WEIGHTS // 4,)
    assert manager.in_use("cpu") <= WEIGHTS
