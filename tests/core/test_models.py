"""Leases: loaded once, evicted within a budget, never while in use, let go when nobody holds them."""

import gc
import threading
import time
import weakref
from dataclasses import dataclass

import pytest
import torch
from inlay.graph_runtime.core.errors import ModelError
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.graph_runtime.core.memory.manager import ModelManager

LOADED: list[str] = []


@dataclass(frozen=True)
class Toy(ModelDescription):
    name: str
    features: int = 10

    @property
    def label(self):
        return self.name

    @property
    def fingerprint(self):
        return self.name

    def nbytes(self):
        return 4 * self.features

    def load(self, device):
        LOADED.append(self.name)
        return torch.nn.Linear(self.features, 1, bias=False)


@pytest.fixture(autouse=True)
def _reset():
    LOADED.clear()


def test_equal_descriptions_share_their_weights():
    manager = ModelManager()
    with manager.lease(Toy("a")) as first, manager.lease(Toy("a")) as second:
        assert first is second
    assert LOADED == ["a"]
    assert manager.resident() == ["a"]
    assert manager.resident_bytes() == 40


def test_the_budget_evicts_the_least_recently_used_that_is_idle():
    said = []
    manager = ModelManager(budget=100, log=said.append)
    for name in ("a", "b", "a"):
        with manager.lease(Toy(name)):
            pass
    with manager.lease(Toy("c")):
        assert manager.resident() == ["a", "c"]
        with manager.lease(Toy("d")):
            assert manager.resident() == ["c", "d"]
    assert any("evicted b" in line for line in said)


def test_what_does_not_fit_beside_what_is_in_use_is_refused_with_the_smallest_budget_that_works():
    manager = ModelManager(budget=100)
    with manager.lease(Toy("c")), manager.lease(Toy("d")), pytest.raises(ModelError) as caught:
        manager.lease(Toy("e")).__enter__()
    assert "c (40 B) and d (40 B) and e (40 B), in use together" in caught.value.found
    assert "--memory 120B" in caught.value.fix
    assert LOADED == ["c", "d"]
    manager = ModelManager(budget=120)
    with manager.lease(Toy("c")), manager.lease(Toy("d")), manager.lease(Toy("e")):
        assert manager.resident_bytes() == 120


def test_what_is_larger_than_the_budget_is_refused_before_it_is_read():
    manager = ModelManager(budget=39)
    with pytest.raises(ModelError, match="at least 40 B"), manager.lease(Toy("a")):
        pass
    assert LOADED == []
    with ModelManager(budget=40).lease(Toy("a")):
        assert LOADED == ["a"]


def test_two_threads_take_turns_within_the_budget():
    manager = ModelManager(budget=60)
    most = []

    def use(name):
        for _ in range(5):
            with manager.lease(Toy(name)):
                most.append(manager.resident_bytes())
                time.sleep(0.002)

    threads = [threading.Thread(target=use, args=(name,)) for name in "abc"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(most) == 15
    assert max(most) <= 60


def test_evicted_means_freed():
    manager = ModelManager()
    with manager.lease(Toy("a")) as module:
        reference = weakref.ref(module)
        assert manager.evict_idle() == 0
    del module
    assert manager.evict_idle() == 40
    gc.collect()
    assert reference() is None


def test_a_lease_ends_also_when_the_block_fails():
    manager = ModelManager()
    with pytest.raises(RuntimeError), manager.lease(Toy("a")):
        raise RuntimeError
    assert manager.evict_idle() == 40


def test_out_of_memory_while_loading_evicts_and_tries_once_more():
    @dataclass(frozen=True)
    class Large(Toy):
        def load(self, device):
            LOADED.append("try")
            if LOADED.count("try") < 2 or self.features > 50:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().load(device)

    manager = ModelManager()
    with manager.lease(Toy("idle")):
        pass
    with manager.lease(Large("large")):
        assert manager.resident() == ["large"]
    with pytest.raises(ModelError, match="not enough memory for huge"), manager.lease(Large("huge", 100)):
        pass


def test_the_host_places_what_it_manages():
    placed = []
    manager = ModelManager(("cuda:1", "cpu"), place=lambda module, device: placed.append(device))
    with manager.lease(Toy("a")), manager.lease(Toy("b"), device="cpu"):
        pass
    assert placed == ["cuda:1", "cpu"]
