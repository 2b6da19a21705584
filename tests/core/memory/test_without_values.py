"""A device without values against the same work with values."""

import pytest
import torch
from inlay.graph_runtime.core.memory.counted import counted
from inlay.graph_runtime.core.memory.without_values import without_values
from torch import nn
from torch.nn import functional as F


def _work(device):
    """Convolution, normalisation, attention and a gradient; what lives afterwards is returned."""
    with torch.device(device):
        layer, norm = nn.Conv2d(4, 8, 3, padding=1), nn.GroupNorm(2, 8)
        x = torch.zeros(1, 4, 8, 8, requires_grad=True)
    tokens = F.silu(norm(layer(x))).flatten(2).transpose(1, 2).contiguous().unflatten(2, (2, 4)).transpose(1, 2)
    mixed = F.scaled_dot_product_attention(tokens, tokens, tokens)
    mixed.square().mean().backward()
    return layer, norm, x


def test_a_device_without_values_takes_what_the_same_work_takes_with_them():
    with counted() as real:
        held = _work("cpu")
        live = real.live
    with without_values() as empty:
        alike = _work("meta")
        assert empty.live == live
        assert 0.9 < empty.peak / real.peak < 1.1  # attention's own extras differ from device to device
    del held, alike


def test_attention_takes_no_map_of_queries_and_keys():
    with without_values() as memory:
        tokens = torch.empty(1, 8, 65_536, 40, dtype=torch.float16, device="meta")
        F.scaled_dot_product_attention(tokens, tokens, tokens)
        assert memory.peak < 3 * tokens.nbytes  # a map would take 64 GiB


def test_values_that_are_asked_for_are_0_on_the_cpu_and_1_as_a_number():
    with without_values() as memory:
        there = torch.ones(2, 3).to("meta")
        back = there.cpu()
        assert (back == 0).all()
        assert back.shape == (2, 3)
        host = torch.full((2, 3), 5.0)
        assert (host.copy_(there) == 5).all()
        assert float(there.sum()) == 1.0
        assert bool(torch.isfinite(there).all())
        assert there.to("cpu", torch.float64).dtype == torch.float64
        assert (memory.moved, memory.moved_out) == (24, 24 + 24 + 48)


def test_a_device_without_values_runs_out_at_its_size():
    with without_values(limit=2**30), pytest.raises(torch.OutOfMemoryError):
        torch.empty(2**29, device="meta")


def test_gradients_go_through_a_copy_to_the_cpu():
    with without_values():
        x = torch.empty(4, device="meta", requires_grad=True)
        x.cpu().sum().backward()
        assert x.grad.is_meta
        assert x.grad.shape == (4,)
