"""Running out of memory: every form is known, and a second try begins with nothing of the first left."""

import gc
import platform
import subprocess
import sys
import weakref

import inlay
import pytest
import torch
from inlay.graph_runtime import Context, node
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.core.out_of_memory import is_out_of_memory, retried
from inlay.graph_runtime.front.comfy.node_classes import node_class


class OutOfMemoryError(RuntimeError):
    """As torch.cuda names it."""


SAID = [
    MemoryError(),
    MemoryError("Unable to allocate 3.2 GiB for an array"),
    OutOfMemoryError("CUDA out of memory."),
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"),
    RuntimeError(
        "[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: you tried "
        "to allocate 40 bytes. Error code 12 (Cannot allocate memory)"
    ),
    RuntimeError("[enforce fail at alloc_cpu.cpp:80] data. DefaultCPUAllocator: not enough memory: you tried"),
    RuntimeError("CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported"),
    RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB, other allocations: 1 GB, max allowed: 18.1 GB)."),
    RuntimeError("Invalid buffer size: 24.00 GB"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
    RuntimeError("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"),
    RuntimeError("GET was unable to find an engine to execute this computation"),
    RuntimeError("HIP out of memory. Tried to allocate 2.00 MiB"),
    OSError(12, "Cannot allocate memory"),
]


@pytest.mark.parametrize("error", SAID, ids=lambda error: str(error)[:30] or type(error).__name__)
def test_every_form_is_known_also_as_a_cause(error):
    assert is_out_of_memory(error)
    wrapped = ValueError("cannot be loaded")
    wrapped.__cause__ = error
    assert is_out_of_memory(wrapped)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Expected all tensors to be on the same device"),
        ValueError("out of memory"),
        KeyError("memory"),
        RuntimeError("CUDA error: device-side assert triggered"),
        OSError(2, "No such file"),
    ],
)
def test_other_errors_are_not_taken_for_it(error):
    assert not is_out_of_memory(error)


class Trier:
    """Holds a tensor in several frames, fails, and looks on the second try what is left of it."""

    def __init__(self, error=None):
        self.held: list[weakref.ref] = []
        self.left: list[int] = []
        self.error = error or torch.cuda.OutOfMemoryError("CUDA out of memory.")

    def __call__(self):
        self.left.append(sum(held() is not None for held in self.held))
        big = torch.ones(10)
        self.held.append(weakref.ref(big))
        if len(self.left) == 1:
            self._deeper(big * 2)
        return len(self.left)

    def _deeper(self, more):
        self.held.append(weakref.ref(more))
        try:
            cycle = [more]
            cycle.append(cycle)
            raise self.error
        except Exception as error:
            raise RuntimeError("CUDA out of memory, said again") from error


def test_nothing_of_the_failed_try_is_left_when_room_is_made_and_when_the_next_begins():
    trier, seen = Trier(), []
    assert retried(trier, lambda: seen.append(sum(held() is not None for held in trier.held)) or True) == 2
    assert seen == [0]
    assert trier.left == [0, 0]


def test_without_room_the_first_error_is_raised_and_what_is_no_lack_of_memory_is_not_tried_again():
    trier = Trier()
    with pytest.raises(RuntimeError, match="said again"):
        retried(trier, lambda: 0)
    assert len(trier.left) == 1
    assert not any(held() is not None for held in trier.held)

    calls = []
    with pytest.raises(RuntimeError, match="other"):
        retried(lambda: calls.append(1) or _raise(RuntimeError("other")), lambda: True)
    assert calls == [1]
    calls.clear()
    with pytest.raises(MemoryError):
        retried(lambda: calls.append(1) or _raise(MemoryError()), lambda: True)
    assert calls == [1, 1]


def _raise(error):
    raise error


class Idle(ModelDescription):
    label = fingerprint = "idle"

    def load(self, device):
        return torch.nn.Linear(2, 2)

    def nbytes(self):
        return 24


class Heavy(Idle):
    label = fingerprint = "heavy"
    trier: Trier

    def load(self, device):
        self.trier()
        return torch.nn.Linear(2, 2)


def _managers():
    manager = ModelManager(("cpu",))
    with manager.lease(Idle()):
        pass
    return manager


def test_a_model_is_loaded_again_with_nothing_of_the_first_try_left():
    manager, heavy = _managers(), Heavy()
    heavy.trier = Trier()
    with manager.lease(heavy) as module:
        assert module.in_features == 2
    assert heavy.trier.left == [0, 0]
    assert manager.resident() == ["heavy"]


def test_a_node_runs_again_in_a_graph_and_in_a_host(tmp_path, monkeypatch):
    from inlay.graph_runtime.front import kept_between_runs
    from inlay.graph_runtime.front.comfy import node_run

    trier = Trier()
    holder = type("Pack", (), {})()
    holder.try_it = _node_of(trier)
    manager = _managers()
    monkeypatch.setattr(kept_between_runs, "kept_between_runs", lambda device, budget: (manager, None))
    monkeypatch.setattr(
        "inlay.graph_runtime.front.python.run_loaded.kept_between_runs", lambda device, budget: (manager, None)
    )
    graph = {"format": 1, "nodes": {"a": {"type": "toy.heavy", "version": 1}}, "outputs": {"value": "a.value"}}
    assert inlay.run(graph, nodes=[holder], out=tmp_path, cache=False)["value"] == 2.0
    assert trier.left == [0, 0]

    trier.left.clear()
    trier.held.clear()
    with manager.lease(Idle()):
        pass
    monkeypatch.setattr(node_run, "model_manager", lambda: manager)
    assert node_class(holder.try_it.spec)().execute()["result"] == (2.0,)
    assert trier.left == [0, 0]
    gc.collect()


def _node_of(trier):
    from typing import Annotated, NamedTuple

    from inlay.graph_runtime import Port

    class Out(NamedTuple):
        value: Annotated[float, Port("FLOAT")]

    @node("toy.heavy", version=1)
    def heavy(ctx: Context) -> Out:
        """A node that runs out of memory once."""
        return Out(float(trier()))

    return heavy


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries give freed memory back by themselves")
def test_freed_memory_goes_back_to_the_system():
    """Small pieces, freed between others that stay: glibc keeps their pages otherwise."""
    program = """
from inlay.graph_runtime.core.out_of_memory import release_device_memory
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
pieces = [bytearray(60_000) for _ in range(3_000)]
pieces = pieces[::50]
before = resident()
release_device_memory()
print(before - resident())
"""
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert int(found.stdout) > 100e6
