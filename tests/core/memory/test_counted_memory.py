"""The counted device against closed forms, and against torch's own allocator where there is a GPU."""

import gc
import threading

import pytest
import torch
from inlay.graph_runtime.core.memory.counted import counted
from inlay.graph_runtime.core.out_of_memory import is_out_of_memory, retried
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F


def test_a_storage_counts_once_however_many_views_share_it_and_until_the_last_of_them_goes():
    with counted() as memory:
        whole = torch.zeros(1000)
        part = whole[10:].view(-1, 2)
        other, flipped = whole.reshape(10, 100).t(), part.detach().requires_grad_()
        chunks = whole.split(100)
        assert memory.live == 4000
        del whole, part, other, chunks
        assert memory.live == 4000
        del flipped
        assert (memory.live, memory.peak) == (0, 4000)


def test_what_is_written_in_place_or_to_out_takes_nothing_and_an_out_that_grows_counts_what_it_has_then():
    with counted() as memory:
        x = torch.zeros(1000)
        x.add_(1).mul_(2).copy_(torch.zeros(1000))
        assert (memory.live, memory.peak) == (4000, 8000)
        out = torch.empty(0)
        torch.add(x, 1, out=out)
        assert memory.live == 8000
        torch.add(x, 1, out=out)
        assert (memory.live, memory.peak) == (8000, 8000)
        out.resize_(2000)
        assert memory.live == 12_000


def test_what_autograd_saves_counts_until_the_graph_is_gone():
    with counted() as memory:
        x = torch.zeros(100, requires_grad=True)
        total = (x * 2).exp().sum()  # exp saves its result; the product is saved nowhere
        assert memory.live == 400 + 400 + 4
        total.backward()
        assert memory.live == 400 + 4 + 400  # the gradient in place of what was saved
        del total
        x.grad = None
        assert memory.live == 400


def test_the_peak_of_a_chain_of_layers_is_the_closed_form_with_and_without_gradients():
    width, rows, depth = 64, 32, 5
    one = rows * width * 4
    layers = [torch.nn.Linear(width, width, bias=False) for _ in range(depth)]
    with counted() as memory:
        x = torch.zeros(rows, width)
        with memory.step("forward") as forward, torch.no_grad():
            y = x
            for layer in layers:
                y = layer(y)
        assert (forward.before, forward.peak) == (one, 3 * one)  # x, and the inner values before and behind a layer
        del y
        with memory.step("kept"):
            y = x
            for layer in layers:
                y = layer(y).relu()
        assert memory.live == (1 + depth) * one  # a product is freed once its relu is there
    assert [step.name for step in memory.steps] == ["forward", "kept"]
    assert memory.steps[1].peak == (2 + depth) * one


def test_what_was_there_before_counts_only_when_it_is_included_and_its_views_do_not_either():
    before = torch.zeros(1000)
    layer = torch.nn.Linear(10, 10)
    with counted() as memory:
        view = before[5:]
        assert memory.live == 0
        memory.include(layer, {"a": [before, view]})
        assert memory.live == 440 + 4000
        memory.exclude(layer)
        assert memory.live == 4000
        del before, view
        assert memory.live == 0


def test_fresh_tensors_of_python_numbers_count():
    with counted() as memory:
        kept = torch.tensor([1.0, 2.0]), torch.arange(3), torch.as_tensor([True])
        assert memory.live == 8 + 24 + 1
    del kept
    assert memory.live == 0


@pytest.mark.parametrize("guard", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_attention_is_counted_by_its_parts_in_every_mode_of_autograd(guard):
    with counted() as memory, guard():
        query = torch.zeros(1, 2, 64, 8)
        mixed = F.scaled_dot_product_attention(query, query, query)
        assert memory.live >= 2 * query.nbytes
        assert memory.peak < 64 * 64 * 2 * 4 + 2 * query.nbytes, "no map of queries × keys"
        del mixed
        assert memory.live == query.nbytes


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_tensors_without_values_count_like_others(device):
    """A terabyte, on a machine that has none."""
    with FakeTensorMode(), counted() as memory:
        big = torch.empty(2**38, device=device)
        assert memory.live == 2**40
        half = big.to(torch.float16)
        assert memory.live == memory.peak == 2**40 + 2**39
        del big, half
        gc.collect()
        assert memory.live == 0


def test_real_values_and_shapes_alone_give_the_same_counts():
    def work(device):
        layer = torch.nn.Conv2d(4, 8, 3, padding=1, device=device)
        x = torch.zeros(2, 4, 16, 16, device=device, requires_grad=True)
        F.silu(F.group_norm(layer(x), 2)).square().mean().backward()
        return layer, x

    peaks = []
    for device in ("cpu", "meta"):
        with counted() as memory:
            held = work(device)
            peaks.append((memory.live, memory.peak))
        del held
    assert peaks[0] == peaks[1]


def test_a_declared_size_runs_out_as_a_device_does_and_what_failed_is_freed():
    with counted(limit=1000) as memory:
        held = torch.zeros(200)
        with pytest.raises(torch.OutOfMemoryError, match="400 more bytes beside 800") as caught:
            torch.zeros(100)
        assert is_out_of_memory(caught.value)
        del caught
        assert memory.live == 800
        torch.zeros(50)
        held.resize_(250)
        assert memory.live == 1000
        with pytest.raises(torch.OutOfMemoryError):
            memory.include(torch.nn.Linear(1, 1))


def test_the_answer_to_running_out_runs_on_a_declared_size():
    held = []
    with counted(limit=1000):
        held.append(torch.zeros(200))
        made = retried(lambda: torch.zeros(150), lambda: held.clear() or True)
    assert made.shape == (150,)


def test_only_the_device_that_is_asked_for_counts_and_what_crosses_to_it_and_back_is_moved():
    with counted(device="meta") as memory:
        host = torch.zeros(100)
        there = host.to("meta")
        assert (memory.live, memory.moved, memory.moved_out) == (400, 400, 0)
        half = host.to("meta", torch.float16)
        assert (memory.live, memory.moved) == (600, 600)
        with memory.step("again") as again:
            there.copy_(host)
            half.copy_(there)  # within the device
        assert (again.moved, again.peak) == (400, 600)
        assert memory.moved == 1000


def test_operations_of_other_threads_count_where_they_join():
    def work(memory, joins):
        if joins:
            with memory.joined():
                held.append(torch.zeros(100))
        else:
            held.append(torch.zeros(100))

    held: list[torch.Tensor] = []
    with counted() as memory:
        for joins in (False, True):
            thread = threading.Thread(target=work, args=(memory, joins))
            thread.start()
            thread.join()
            assert memory.live == 400 * joins
    gone = threading.Thread(target=held.clear)  # freed by a thread that nobody counts
    gone.start()
    gone.join()
    assert memory.live == 0


def test_counts_may_lie_in_each_other():
    with counted() as outer:
        first = torch.zeros(10)
        with counted(limit=100) as inner:
            second = torch.zeros(20)
        assert (outer.live, inner.live) == (120, 80)
    del first, second
    assert (outer.live, inner.live) == (0, 0)


def test_sparse_tensors_count_as_their_parts():
    with counted() as memory:
        sparse = torch.eye(10).to_sparse()
        assert memory.live == 10 * 4 + 2 * 10 * 8
        del sparse
        assert memory.live == 0


def test_a_thousand_tensors_in_any_order_leave_nothing():
    with counted() as memory:
        draws = torch.Generator().manual_seed(0)
        held: dict[int, torch.Tensor] = {}
        most = live = 0
        for _ in range(1000):
            slot, size = torch.randint(0, 20, (2,), generator=draws).tolist()
            held.pop(slot, None)
            held[slot] = torch.empty(size + 1)
        live = sum(tensor.nbytes for tensor in held.values())
        del draws
        assert memory.live == live
        most = memory.peak
        held.clear()
        assert (memory.live, memory.peak) == (0, most)


@pytest.mark.cuda
def test_the_counts_are_those_of_cudas_own_allocator():
    """Sizes are multiples of 512 bytes, which is what CUDA's allocator hands out."""
    with counted(device="cuda") as memory:
        torch.cuda.synchronize()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        x = torch.zeros(256, 1024, device="cuda", requires_grad=True)
        y = x.view(1024, 256)[256:].contiguous()
        total = (y * 2).exp().relu().sum(0, keepdim=True).expand(512, 256).contiguous()
        assert memory.live == torch.cuda.memory_allocated() - before
        assert memory.peak == torch.cuda.max_memory_allocated() - before
        host = torch.zeros(1024)
        there = host.to("cuda")
        assert memory.moved == 4096
        there.cpu()
        assert memory.moved_out == 4096
        del x, y, total, there
        assert memory.live == torch.cuda.memory_allocated() - before == 0
