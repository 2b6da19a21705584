"""The manager under a budget, on the CPU and on a GPU: what is evicted, where to, and how it comes back.

The half on a GPU runs on a simulated one of a declared size, and under `make gpu` on a real one.
"""

import gc
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
import torch
from gpus.sized_gpu import SizedGpu
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.graph_runtime.core.errors import ModelError
from inlay.graph_runtime.core.memory.decisions import decisions_reported_to, table
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.graph_runtime.core.memory.device_memory import Free, free_bytes, total_bytes
from inlay.graph_runtime.core.memory.manager import ModelManager
from simulated_gpu import SimulatedGpu

KIB = 1024
GPU = "cuda:0"


@pytest.fixture(autouse=True, scope="module")
def _quick_collections():
    """What was there before is not looked through at each eviction."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class RealGpu:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.cuda)])
def gpu(request):
    with SizedGpu(memory=2**20) if request.param == "simulated" else RealGpu() as card:
        yield card


class Net(torch.nn.Module):
    """4 KiB of weights, some of them under two names, and a buffer."""

    def __init__(self, seed):
        super().__init__()
        torch.manual_seed(seed)
        self.first = torch.nn.Linear(31, 31, bias=False)
        self.tied = torch.nn.Linear(31, 31, bias=False)
        self.tied.weight = self.first.weight
        self.register_buffer("shift", torch.randn(63))

    def forward(self, x):
        return self.tied(self.first(x)).tanh() + self.shift.sum()


@dataclass(frozen=True)
class Toy(ModelDescription):
    name: str
    seed: int = 0
    reads: list = field(default_factory=list, compare=False)

    @property
    def label(self):
        return self.name

    @property
    def fingerprint(self):
        return f"{self.name}{self.seed}"

    def nbytes(self):
        return 4 * KIB

    def load(self, device):
        self.reads.append(device)
        with torch.inference_mode(False), torch.random.fork_rng(devices=[]):
            return Net(self.seed).to(device).eval().requires_grad_(False)


class Streamed(Toy):
    """A quarter of it must be on the device."""

    def least_resident(self, device):
        return KIB

    def load_beside(self, device):
        return self.load("cpu")

    @contextmanager
    def streamed(self, module, device, resident_bytes):
        assert all(parameter.device.type == "cpu" for parameter in module.parameters())
        module.given = resident_bytes
        yield module


def answer(manager, toy, device):
    with torch.inference_mode(), manager.lease(toy) as module:
        return module(torch.linspace(-1, 1, 31, device=device)).cpu()


def test_weights_that_leave_a_gpu_wait_in_cpu_memory_and_come_back_without_reading_a_file(gpu):
    manager, toys = ModelManager((GPU,), budget=9 * KIB), [Toy(name, seed) for seed, name in enumerate("abc")]
    first = [answer(manager, toy, GPU) for toy in toys]
    for _ in range(3):
        assert all(torch.equal(answer(manager, toy, GPU), was) for toy, was in zip(toys, first, strict=True))
        assert manager.resident_bytes(GPU) <= 9 * KIB
    assert [toy.reads for toy in toys] == [[GPU]] * 3
    assert manager.moved.reads == 3
    assert len(manager.resident()) == 2
    assert len(manager.set_aside()) == 1


def test_a_gpu_that_evicts_has_its_memory_back_and_cpu_memory_is_page_locked(gpu):
    if isinstance(gpu, RealGpu):
        torch.cuda.empty_cache()
    before = torch.cuda.memory_allocated()
    manager = ModelManager((GPU,))
    with manager.lease(Toy("a")) as module:
        assert torch.cuda.memory_allocated() - before >= 4 * KIB - 64
    manager.evict_idle()
    assert torch.cuda.memory_allocated() == before
    assert module.first.weight is module.tied.weight
    assert not any(tensor.is_cuda for tensor in [*module.parameters(), *module.buffers()])
    if isinstance(gpu, RealGpu):
        assert all(tensor.is_pinned() for tensor in [*module.parameters(), *module.buffers()])


def test_on_the_cpu_to_evict_is_to_let_go():
    manager, toy = ModelManager(("cpu",)), Toy("a")
    answer(manager, toy, "cpu")
    manager.evict_idle()
    assert (manager.resident(), manager.set_aside()) == ([], [])
    answer(manager, toy, "cpu")
    assert toy.reads == ["cpu", "cpu"]


def test_cpu_memory_for_evicted_weights_has_a_budget_of_its_own(gpu):
    manager, toys = ModelManager((GPU,), budget=5 * KIB, beside=9 * KIB), [Toy(name) for name in "abcd"]
    for toy in toys:
        answer(manager, toy, GPU)
    assert manager.set_aside() == ["b", "c"]  # the oldest went
    nothing, toy = ModelManager((GPU,), beside=0), Toy("a")
    answer(nothing, toy, GPU)
    nothing.evict_idle()
    assert nothing.set_aside() == []
    answer(nothing, toy, GPU)
    assert toy.reads == [GPU, GPU]


def test_after_a_file_changed_nothing_of_it_is_kept_anywhere(gpu):
    manager = ModelManager((GPU,))
    answer(manager, Toy("a"), GPU)
    manager.evict_idle()
    assert manager.set_aside() == ["a"]
    manager.evict_idle("a file changed", keep=False)
    assert manager.set_aside() == []


def test_room_that_is_kept_for_activations_counts_beside_weights(gpu):
    manager, toys = ModelManager((GPU,), budget=10 * KIB), [Toy("a"), Toy("b", 1)]
    for toy in toys:
        answer(manager, toy, GPU)
    said = []
    with decisions_reported_to(said.append), manager.hold("a step", 5 * KIB, weights=toys[1:]):
        assert manager.resident() == ["b"]  # the model that it needs stayed, although it is idle
        assert manager.in_use(GPU) <= 10 * KIB
        with manager.lease(toys[1]):
            pass
        with pytest.raises(ModelError, match="in use together") as caught:
            manager.lease(toys[0]).__enter__()
    assert "--memory 13" in caught.value.fix or "--memory 12" in caught.value.fix
    assert [(one.action, one.what) for one in said] == [("set aside", "a")]
    assert manager.in_use(GPU) == manager.resident_bytes(GPU)
    with pytest.raises(ModelError, match="at least 11 KiB"), manager.hold("too much", 11 * KIB):
        pass


def test_two_threads_that_keep_room_take_turns_within_the_budget():
    manager, most = ModelManager(budget=10 * KIB), []

    def use(toy):
        for _ in range(10):
            with manager.hold(toy.name, 3 * KIB, weights=[toy]), manager.lease(toy):
                most.append(manager.in_use("cpu"))

    threads = [threading.Thread(target=use, args=(Toy(name),)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(most) == 30
    assert max(most) <= 10 * KIB


def test_what_does_not_fit_whole_is_streamed_where_it_can_be(gpu):
    manager, said = ModelManager((GPU,), budget=3 * KIB), []
    with decisions_reported_to(said.append), manager.lease(Streamed("big")) as module:
        assert KIB <= module.given <= 3 * KIB
        assert manager.in_use(GPU) <= 3 * KIB
    assert said[0].action == "stream"
    with manager.hold("activations", KIB, weights=[Streamed("big")]), manager.lease(Streamed("big")) as module:
        assert KIB <= module.given <= 2 * KIB
    with pytest.raises(ModelError, match="at least"), ModelManager((GPU,), budget=KIB - 1).lease(Streamed("big")):
        pass
    with ModelManager((GPU,), budget=5 * KIB).lease(Streamed("big")) as module:
        assert not hasattr(module, "given")  # it fits


def test_weights_that_cannot_come_back_wait_on_and_the_error_says_what_is_missing(gpu):
    manager, toy = ModelManager((GPU,)), Toy("a")
    answer(manager, toy, GPU)
    manager.evict_idle()
    with pytest.MonkeyPatch.context() as patch:
        real = torch.Tensor.to

        def full(tensor, *given, **named):
            if given and str(given[0]).startswith("cuda"):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return real(tensor, *given, **named)

        patch.setattr(torch.Tensor, "to", full)
        with pytest.raises(ModelError, match="not enough memory for a"):
            manager.lease(toy).__enter__()
    assert manager.set_aside() == ["a"]
    answer(manager, toy, GPU)
    assert toy.reads == [GPU]


def test_a_full_device_gives_room_for_the_next_model():
    """The declared size runs out, not a budget: what is idle leaves, and the second try succeeds."""
    with SizedGpu(memory=9 * KIB):
        manager, toys = ModelManager((GPU,)), [Toy(name, seed) for seed, name in enumerate("abc")]
        for toy in toys:
            answer(manager, toy, GPU)
        assert manager.resident() == ["c"]
        assert manager.set_aside() == ["a", "b"]


def test_without_a_budget_what_is_free_is_the_budget():
    with SizedGpu(memory=10 * KIB) as gpu:
        manager, toys = ModelManager((GPU,), budget=Free()), [Toy(name, seed) for seed, name in enumerate("abc")]
        other = torch.zeros(KIB // 4, device=GPU)  # of another program, 1 KiB
        for toy in toys:
            answer(manager, toy, GPU)
            assert gpu.live <= 10 * KIB - 10 * KIB // 20
        assert manager.resident() == ["b", "c"]
        del other
    assert 0 < free_bytes("cpu") <= total_bytes("cpu")


def test_each_device_has_the_budget_for_itself():
    with SimulatedGpu(count=2):
        manager = ModelManager(("cuda:0", "cuda:1"), budget=5 * KIB)
        for device in manager.devices:
            with manager.lease(Toy("a"), device):
                pass
        assert manager.resident() == ["a", "a"]


def test_decisions_are_a_table_that_a_person_can_read(gpu):
    manager, said = ModelManager((GPU,), budget=5 * KIB), []
    with decisions_reported_to(lambda one: said.append(("node", one))):
        for name in "aba":
            answer(manager, Toy(name), GPU)
    lines = table(said)
    assert [line.split()[2] for line in lines[1:]] == ["load", "set", "load", "set", "return"]
    assert "the budget of" in lines[2]
    assert "4 KiB of 5 KiB" in lines[1]
    assert len({line.find("node") for line in lines}) == 1
    assert "holder" in manager.holders(GPU)[0]
    assert any("a" in line and "idle" in line for line in manager.holders(GPU))
    assert any("b" in line and "CPU memory" in line for line in manager.holders(GPU))


STEPS = st.lists(st.tuples(st.sampled_from(range(4)), st.sampled_from(["use", "use", "evict", "drop"])), max_size=14)


@settings(max_examples=40)
@given(budget=st.integers(4 * KIB, 20 * KIB), beside=st.sampled_from([0, 5 * KIB, None]), steps=STEPS)
@pytest.mark.parametrize("device", ["cpu", GPU])
def test_any_budget_and_any_order_of_evictions_give_the_same_bits(device, budget, beside, steps):
    toys = [Toy(f"toy {seed}", seed) for seed in range(4)]
    alone = [answer(ModelManager(), toy, "cpu") for toy in toys]
    with SizedGpu(memory=2**20):
        manager = ModelManager((device,), budget=budget, beside=beside)
        for number, what in steps:
            if what == "use":
                assert torch.equal(answer(manager, toys[number], device), alone[number])
            else:
                manager.evict_idle(keep=what == "evict")
            assert manager.in_use(device) <= budget
