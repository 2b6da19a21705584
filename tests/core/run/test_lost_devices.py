"""A device that disappears in the middle of a run: it is named, the others go on, and give the same bytes."""

from collections import Counter
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple

import pytest
import torch
from inlay.graph_runtime import Context, NodeError, Port, Registry, node
from inlay.graph_runtime.core.events import NodeFinished, NodeStarted, Warned
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.graph_runtime.core.memory.device_lost import lost_device
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.core.run.crew import Crew
from inlay.graph_runtime.core.run.execute import execute
from inlay.graph_runtime.core.run.plan import make_plan
from inlay.graph_runtime.core.workflow import build

Numbers = Annotated[Any, Port("NUMBERS", "numbers")]
Toy = Annotated[Any, Port("TOY", "a model")]
#: As CUDA, its libraries, the driver and torch word it.
SAID = [
    "CUDA error: device-side assert triggered\nCUDA kernel errors might be asynchronously reported at some other API",
    "CUDA error: unknown error\nCompile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.",
    "CUDA error: unspecified launch failure",
    "CUDA error: an illegal memory access was encountered",
    "CUDA error: uncorrectable ECC error encountered",
    "CUDA error: the launch timed out and was terminated",
    "the device is lost",
    "Unable to determine the device handle for GPU0000:01:00.0: GPU is lost.  Reboot the system to recover this GPU",
    "Found no NVIDIA driver on your system. Please check that you have an NVIDIA GPU and installed a driver",
    "No CUDA GPUs are available: CUDA error: no CUDA-capable device is detected",
    "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasSgemm(handle, opa, opb, m, n, k)`",
    "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED",
]
GONE: dict[str, str] = {}  # by device that is gone: what every call of it says
AFTER: Counter[str] = Counter()  # calls of a device until it is gone
ACCELERATOR_ERROR = getattr(torch, "AcceleratorError", RuntimeError)


@dataclass(frozen=True)
class Scale(ModelDescription):
    """Weights: one number."""

    weight: float

    @property
    def label(self):
        return f"scale {self.weight}"

    @property
    def fingerprint(self):
        return f"{self.weight}"

    def base(self):
        return self

    def nbytes(self):
        return 40

    def load(self, device):
        return torch.tensor(self.weight)


class One(NamedTuple):
    x: Numbers


class Made(NamedTuple):
    model: Toy


@node("l.model", static=True)
def model(weight: float = 1.0) -> Made:
    """A description."""
    return Made(Scale(weight))


@node("l.noise")
def noise(seed: int = 0) -> One:
    """Numbers from a seed."""
    return One(torch.randn(4, generator=torch.Generator().manual_seed(seed)))


def _used(device):
    if device in GONE:
        AFTER[device] -= 1
        if AFTER[device] < 0:
            raise ACCELERATOR_ERROR(GONE[device])


@node("l.apply")
def apply(x: Numbers, model: Toy, ctx: Context) -> One:
    """Leases a model."""
    with ctx.lease(model) as weight:
        ctx.warn("computes")
        _used(ctx.device)
        return One((x * weight).sin())


@node("l.late")
def late(x: Numbers, ctx: Context) -> One:
    """Asks for a device in the middle, and fails with an error that another one has caused."""
    device = ctx.device
    try:
        _used(device)
    except RuntimeError as error:
        raise ValueError("this step failed") from error
    return One(x + 1)


REGISTRY = Registry(one.spec for one in (model, noise, apply, late))
FLOW = {
    "format": 1,
    "nodes": {
        "m0": {"type": "l.model", "params": {"weight": 1.5}},
        "m1": {"type": "l.model", "params": {"weight": 0.7}},
    }
    | {
        f"{kind}{row}": entry
        for row in range(4)
        for kind, entry in {
            "noise": {"type": "l.noise", "params": {"seed": row}},
            "one": {"type": "l.apply", "inputs": {"x": f"noise{row}.x", "model": f"m{row % 2}.model"}},
            "two": {"type": "l.apply", "inputs": {"x": f"one{row}.x", "model": "m0.model"}},
            "end": {"type": "l.late", "inputs": {"x": f"two{row}.x"}},
        }.items()
    },
    "outputs": {f"o{row}": f"end{row}.x" for row in range(4)},
}


@pytest.fixture(autouse=True)
def _all_there():
    GONE.clear()
    AFTER.clear()


def crew_of(count):
    return Crew([ModelManager((f"cpu:{number}",)) for number in range(count)], 2)


def run(crew):
    """The outputs of the workflow, and the events of the run."""
    events = []
    ctx = Context(crew.managers[0], listeners=(events.append,))
    return execute(make_plan(build(FLOW), REGISTRY), ctx, None, crew), events


def same(found, expected):
    return found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("said", SAID)
@pytest.mark.parametrize("after", [0, 3])
def test_when_one_of_several_devices_is_gone_the_others_give_the_same_bytes(said, after):
    expected, _ = run(crew_of(2))
    GONE["cpu:1"], AFTER["cpu:1"] = said, after
    crew = crew_of(3)
    found, events = run(crew)
    assert same(found, expected)
    for kind in (NodeStarted, NodeFinished):  # each step is told once
        told = Counter(event.node for event in events if isinstance(event, kind))
        assert set(told.values()) == {1}, kind
    warned = Counter(event.message for event in events if isinstance(event, Warned) and event.node is None)
    if crew.lost:
        ((message, times),) = warned.items()
        assert times == 1
        assert "cpu:1 does not answer any more" in message
        assert said.splitlines()[0] in message
        assert run(crew)[0].keys() == expected.keys()  # the next run does without it
    assert Counter(e.node for e in events if isinstance(e, Warned) and e.message == "computes") == {
        f"{kind}{row}": 1 for row in range(4) for kind in ("one", "two")
    }


def test_a_device_that_is_gone_is_never_used_again_and_its_weights_are_let_go_untouched():
    GONE["cpu:0"] = SAID[0]
    crew = crew_of(2)
    run(crew)
    assert list(crew.lost) == [0]
    left = AFTER["cpu:0"]
    _, events = run(crew)
    assert AFTER["cpu:0"] == left
    assert sum(isinstance(event, Warned) and "cpu:0 does not answer" in event.message for event in events) == 1
    assert not crew.managers[0].holds(Scale(1.5))


@pytest.mark.parametrize("count", [1, 2, 3])
def test_when_all_devices_are_gone_the_error_names_node_device_and_what_to_do(count):
    for number in range(count):
        GONE[f"cpu:{number}"] = SAID[1]
    crew = crew_of(count)
    with pytest.raises(NodeError) as caught:
        run(crew)
    problem = caught.value.problem
    assert problem.node
    assert "does not answer any more: CUDA error: unknown error" in problem.found
    assert problem.found.startswith("cpu:")
    assert "nvidia-smi" in problem.fix
    assert "--device cpu" in problem.fix
    with pytest.raises(NodeError, match="does not answer"):  # and it does not hang
        run(crew)


@pytest.mark.parametrize("said", SAID)
def test_an_error_of_a_lost_device_is_found_behind_others(said):
    assert lost_device(ACCELERATOR_ERROR(said)) == said.splitlines()[0][:200]
    after = KeyError("x")  # raised by a library that cleans up
    after.__context__ = RuntimeError(said)
    assert lost_device(after) == said.splitlines()[0][:200]
    assert lost_device(RuntimeError("mat1 and mat2 shapes cannot be multiplied")) is None
    assert lost_device(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")) is None
