"""Streamed weights: the bits of the whole module, within the bytes that are allowed, and nothing left behind."""

import copy
import threading

import pytest
import torch
from inlay.graph_runtime import ModelError
from inlay.graph_runtime.core.memory.counted import counted
from inlay.graph_runtime.core.memory.streaming import KEPT, least_bytes, release, streamed
from inlay.graph_runtime.core.memory.without_values import without_values
from simulated_gpu import SimulatedGpu
from tiny_models import Tiny
from torch import nn
from torch.utils.checkpoint import checkpoint


def weights(module):
    return sum(value.nbytes for value in module.parameters())


def least(module, first="conv_in"):
    return least_bytes({name: value.nbytes for name, value in module.named_parameters()}, first)


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    return Tiny(tmp_path_factory.mktemp("unet")).unet().requires_grad_(False)


def inputs(device="cpu"):
    draws = torch.Generator().manual_seed(4)
    return [torch.randn(shape, generator=draws).to(device) for shape in ((2, 4, 8, 8), (2, 5, 24))]


def evaluated(module, z, words):
    return module(z, torch.tensor(300), encoder_hidden_states=words, return_dict=False)[0]


def tuned(module, z, words):
    """The gradient that reaches the words, as an inversion computes it."""
    words = words.detach().clone().requires_grad_()
    evaluated(module, z, words).square().mean().backward()
    return words.grad


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.999, 2.0])
def test_streamed_weights_give_the_bits_of_the_whole_module_forward_and_backward(unet, share):
    z, words = inputs()
    with torch.no_grad():
        wanted = evaluated(unet, z, words)
    slope = tuned(unet, z, words)
    room = max(least(unet), int(share * weights(unet)))
    with streamed(unet, "cpu", room) as module:
        for guard in (torch.no_grad, torch.inference_mode, torch.enable_grad, torch.no_grad):
            with guard():
                assert torch.equal(evaluated(module, z, words), wanted)
        assert torch.equal(tuned(module, z, words), slope)
    release(unet)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_the_device_never_holds_more_weights_than_it_may_and_gets_only_those_that_do_not_stay(unet, share):
    """Counted without values: what is on the device beside weights is what the whole module has there too."""
    room = max(least(unet), int(share * weights(unet)))
    z, words = inputs("meta")
    with counted(device="meta") as whole, torch.no_grad():
        there = copy.deepcopy(unet).to("meta")
        evaluated(there, z, words)
        beside = whole.peak - weights(unet)
        del there
    with without_values() as memory, torch.no_grad():
        with streamed(unet, "meta", room) as module:
            assert memory.live <= room + 4
            with memory.step("first"):
                evaluated(module, z, words)
            with memory.step("second") as second:
                evaluated(module, z, words)
            streams = unet.__dict__[KEPT].streamed_bytes
        assert memory.peak <= room + 1.1 * beside + 4  # 4: the NaN
        assert second.moved <= streams + 8 <= weights(unet)  # 8: the timestep
        assert streams <= weights(unet) - room + 3 * least(unet)  # two buffers, and less than a layer unused
        del module
        release(unet)
        assert memory.live == 0, "nothing stays on the device"


def test_gradients_hold_no_weights_between_the_passes(unet):
    """What autograd keeps of weights would be all of them."""
    z, words = inputs("meta")
    words = words.clone().requires_grad_()
    with without_values() as memory:
        with streamed(unet, "meta", least(unet)) as module:
            before = memory.live
            result = evaluated(module, z, words)
            kept = memory.live - before
            result.square().mean().backward()
        with counted(device="meta") as whole:
            there = copy.deepcopy(unet).to("meta")
            result = evaluated(there, z, words)
            assert kept <= 1.1 * (whole.live - weights(unet))
        del module, result
        release(unet)


def test_a_recomputed_block_has_the_same_gradient(unet):
    """Checkpointing saves what it recomputes by hooks of its own: no buffer may be overwritten beneath them."""
    z, words = inputs()
    slope = tuned(unet, z, words)
    with streamed(unet, "cpu", least(unet)) as module:
        words = words.clone().requires_grad_()
        checkpoint(evaluated, module, z, words, use_reentrant=False).square().mean().backward()
        assert torch.equal(words.grad, slope)
    release(unet)


def test_the_module_itself_its_bits_and_its_processors_stay_as_they_were(unet):
    before = {name: value.clone() for name, value in unet.state_dict().items()}
    processors, shown = dict(unet.attn_processors), repr(unet)
    with streamed(unet, "cpu", least(unet)) as module:
        assert module is not unet
        assert all(name.startswith("conv_in") or value.isnan().all() for name, value in module.named_parameters())
        with torch.no_grad():
            evaluated(module, *inputs())
    release(unet)
    assert repr(unet) == shown
    assert all(torch.equal(value, before[name]) for name, value in unet.state_dict().items())
    assert {name: id(one) for name, one in unet.attn_processors.items()} == {n: id(p) for n, p in processors.items()}
    assert KEPT not in unet.__dict__
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in unet.modules())


def test_a_layer_that_fails_lets_go_of_its_weights_and_the_next_evaluation_is_right(unet):
    z, words = inputs()
    with torch.no_grad():
        wanted = evaluated(unet, z, words)
        with streamed(unet, "cpu", least(unet)) as module:
            with pytest.raises(RuntimeError):
                evaluated(module, z, words[..., :7])
            assert all(value.isnan().all() for name, value in module.named_parameters() if "conv_in" not in name)
            assert all(buffer.users == 0 for buffer in unet.__dict__[KEPT]._buffers)
            assert torch.equal(evaluated(module, z, words), wanted)
    release(unet)


def test_what_stays_is_kept_for_the_next_lease_and_another_size_or_a_release_ends_it(unet):
    with streamed(unet, "cpu", least(unet)) as one:
        pass
    with streamed(unet, "cpu", least(unet)) as again:
        assert again is one
    with streamed(unet, "cpu", 2 * least(unet)) as other:
        assert other is not one
    release(unet)


def test_training_is_refused_by_name(unet):
    with streamed(unet, "cpu", least(unet)) as module:
        module.requires_grad_(True)
        with pytest.raises(ModelError, match="training of a model whose weights are streamed"):
            evaluated(module, *inputs())
    release(unet)


def test_less_than_the_largest_layer_is_refused_with_the_least_that_works(unet):
    with pytest.raises(ModelError, match=r"expected at least \d+ KiB") as caught, streamed(unet, "cpu", 100):
        pass
    assert "larger --memory" in caught.value.fix


def test_shared_weights_buffers_and_odd_layouts_come_along():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.one, self.two = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8, bias=False)
            self.two.weight = self.one.weight
            self.convolution = nn.Conv2d(8, 8, 3).to(memory_format=torch.channels_last)
            self.turned = nn.Linear(8, 8)
            self.turned.weight = nn.Parameter(torch.randn(8, 8).t(), requires_grad=False)
            self.large = nn.Linear(8, 64)
            self.norm = nn.BatchNorm2d(8)
            self.register_buffer("table", torch.arange(8.0))

        def forward(self, x):
            x = self.turned(self.two(self.one(self.first(x)))) + self.table
            return self.large(self.norm(self.convolution(x.expand(2, 8, 4, 8).transpose(1, 3))).mean((2, 3)))

    torch.manual_seed(0)
    odd, x = Odd().eval().requires_grad_(False), torch.randn(8)
    with torch.no_grad():
        wanted = odd(x)
        for room in range(4100, 6900, 400):
            with streamed(odd, "cpu", room) as module:
                assert torch.equal(module(x), wanted)
                assert torch.equal(module(x), wanted)
                assert odd.__dict__[KEPT].streamed_bytes > 0
    release(odd)


def test_a_second_thread_waits_for_the_first(unet):
    z, words = inputs()
    with torch.no_grad():
        wanted = evaluated(unet, z, words)
    found = []

    def work():
        with torch.no_grad(), streamed(unet, "cpu", least(unet)) as module:
            found.extend(torch.equal(evaluated(module, z, words), wanted) for _ in range(5))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 15
    release(unet)


def test_on_a_gpu_the_next_layer_arrives_in_another_buffer_without_a_wait_of_the_host(unet):
    z, words = inputs()
    with torch.no_grad():
        wanted = evaluated(unet, z, words)
    with SimulatedGpu() as gpu, torch.no_grad():
        pinned = copy.deepcopy(unet)
        for value in pinned.parameters():
            value.data = value.data.pin_memory()
        there = [value.cuda() for value in (z, words, torch.tensor(300))]
        with streamed(pinned, "cuda:0", 4 * least(pinned)) as module:
            assert next(module.parameters()).device == torch.device("cuda:0")
            module(there[0], there[2], encoder_hidden_states=there[1])
            with gpu.counted() as counts:
                result = module(there[0], there[2], encoder_hidden_states=there[1], return_dict=False)[0]
            assert not counts.mixes
            assert not [where for where in counts.syncs if "streaming" in where]
            assert [where for where in counts.copies if "streaming" in where]
            assert torch.equal(result.cpu(), wanted)
        release(pinned)


@pytest.mark.cuda
def test_on_a_real_gpu_streamed_weights_give_the_bits_of_the_whole_module_within_their_bytes(unet):
    whole = copy.deepcopy(unet).cuda()
    z, words = inputs("cuda")
    with torch.no_grad():
        wanted = evaluated(whole, z, words)
        slope = torch.enable_grad()(tuned)(whole, z, words)
        del whole
        pinned = copy.deepcopy(unet)
        for value in pinned.parameters():
            value.data = value.data.pin_memory()
        for room in (least(pinned), 3 * least(pinned), weights(pinned) // 2):
            with streamed(pinned, "cuda:0", room) as module:
                assert torch.cuda.memory_allocated() < room * 1.5 + 2**20
                for _ in range(5):
                    assert torch.equal(evaluated(module, z, words), wanted)
                assert torch.equal(torch.enable_grad()(tuned)(module, z, words), slope)
            release(pinned)
