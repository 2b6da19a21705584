"""Memory inside ComfyUI: what the host unloads goes, what a node uses stays, and a budget holds.

The fake host keeps its list of loaded models, and unloads from it, as the real one's `model_management` does.
"""

import gc
import sys
import types
import weakref
from dataclasses import dataclass

import pytest
import torch
from inlay.graph_runtime import ModelError, WorkflowError
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.graph_runtime.front.comfy.host import memory


class ModelPatcher:
    """As the host's: moves a model between two devices."""

    def __init__(self, model, load_device, offload_device, size=0):
        self.model, self.load_device, self.offload_device = model, load_device, offload_device
        model.device = offload_device

    def model_size(self):
        return sum(tensor.nbytes for tensor in self.model.parameters())

    def partially_unload(self, device_to, memory_to_free=0):
        raise AssertionError("a plain layer cannot run half on the CPU")

    def detach(self, unpatch_all=True):
        raise AssertionError("a second copy on the CPU")


class FakeHost:
    """`model_management`: the loaded models, by weak references."""

    def __init__(self):
        self.loaded = []
        self.free = 10**12

    def load_models_gpu(self, models, force_full_load=False):
        for patcher in models:
            for one in [one for one in self.loaded if one() is patcher]:
                self.loaded.remove(one)
                patcher.detach(unpatch_all=False)
            self.loaded.insert(0, weakref.ref(patcher))

    def free_memory(self, required, device):
        for one in list(self.loaded):
            patcher = one()
            if patcher is None:
                self.loaded.remove(one)
            elif (to_free := required - self.free) > 0:
                if to_free < patcher.model_size() and patcher.partially_unload("cpu", to_free) >= to_free:
                    continue
                patcher.detach(True)
                assert one().model.__class__.__name__  # the real host's log reads it
                self.loaded.remove(one)

    def unload_all_models(self):
        self.free_memory(1e30, torch.device("cpu"))


@pytest.fixture
def host(monkeypatch):
    """A fake host in `sys.modules`, and a manager of its own."""
    fake = FakeHost()
    management = types.ModuleType("comfy.model_management")
    for name in ("load_models_gpu", "free_memory", "unload_all_models"):
        setattr(management, name, getattr(fake, name))
    management.get_torch_device = lambda: torch.device("cpu")
    patching = types.ModuleType("comfy.model_patcher")
    patching.ModelPatcher = ModelPatcher
    for module in (types.ModuleType("comfy"), management, patching):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    memory.model_manager.cache_clear()
    yield fake
    memory.model_manager.cache_clear()


@dataclass(frozen=True)
class Net(ModelDescription):
    """A linear layer of 4 kB."""

    name: str

    @property
    def label(self):
        return self.name

    @property
    def fingerprint(self):
        return self.name

    def load(self, device):
        return torch.nn.Linear(1024, 1, bias=False)

    def nbytes(self):
        return 4096


def test_unloading_models_in_the_host_frees_ours(host):
    manager = memory.model_manager()
    with manager.lease(Net("a")) as module:
        weights = weakref.ref(module.weight)
    with manager.lease(Net("b")):
        pass
    del module
    assert (manager.resident(), len(host.loaded)) == (["a", "b"], 2)
    host.unload_all_models()
    gc.collect()
    assert (manager.resident(), host.loaded, weights()) == ([], [], None)
    with manager.lease(Net("a")) as module:
        assert module.weight.shape == (1, 1024)


def test_a_model_that_a_node_uses_stays_where_it_is(host):
    manager = memory.model_manager()
    with manager.lease(Net("a")) as module:
        host.free = 0
        with manager.lease(Net("b")):
            pass
        host.unload_all_models()
        assert manager.resident() == ["a"]
        assert module.weight.device.type == "cpu"
        assert module(torch.ones(1, 1024)).shape == (1, 1)
    host.unload_all_models()
    with manager.lease(Net("a")):
        pass
    host.unload_all_models()
    assert manager.resident() == []


def test_when_the_host_is_short_of_memory_idle_models_go_first(host):
    manager = memory.model_manager()
    for name in ("a", "b"):
        with manager.lease(Net(name)):
            pass
    host.free = 0
    with manager.lease(Net("c")):
        assert manager.resident() == ["c"]


def test_a_handle_of_a_model_that_left_before_unloads_nothing_else(host):
    manager = memory.model_manager()
    with manager.lease(Net("a")):
        pass
    old = next(iter(manager._patchers.values())).patcher
    manager.evict_idle()
    with manager.lease(Net("b")):
        pass
    old.detach()
    assert manager.resident() == ["b"]


def test_a_budget_holds_under_the_host(host, monkeypatch):
    monkeypatch.setenv("INLAY_MEMORY", "9kb")
    manager = memory.model_manager()
    for name in ("a", "b", "c"):
        with manager.lease(Net(name)):
            assert manager.resident_bytes() <= 9000
    assert manager.resident() == ["b", "c"]
    with (
        manager.lease(Net("a")),
        manager.lease(Net("b")),
        pytest.raises(ModelError, match="INLAY_MEMORY"),
        manager.lease(Net("c")),
    ):
        pass
    memory.model_manager.cache_clear()
    monkeypatch.setenv("INLAY_MEMORY", "much")
    with pytest.raises(WorkflowError, match="INLAY_MEMORY"):
        memory.model_manager()
