"""The simulated GPU against CUDA's own rules: which expressions raise, what waits, where results are."""

import copy
import threading

import numpy as np
import pytest
import torch
from inlay.methods.sampling.unet import to_device
from simulated_gpu import SimulatedGpu, where
from torch.nn import functional as F

MIX = "same device"

#: expression -> None: it works; else what the error says. `c` is a CPU matrix, `c0` a 0-dim CPU tensor, `ci` and `cm` a
#: CPU index and mask; `g`, `g0`, `gi`, `gm` the same on cuda:0; `h` a matrix on cuda:1.
RULES = {
    "g + g": None,
    "g + 1.5": None,
    "g + c0": None,
    "c0 + g": None,
    "c0 * g0": None,
    "2 - g": None,
    "g + c": MIX,
    "c + g": MIX,
    "c + g0": MIX,
    "g0 + c": MIX,
    "g + h": MIX,
    "g * h[0, 0]": MIX,
    "g.add_(c0)": None,
    "c.add_(g)": MIX,
    "c0.clone().add_(g0)": MIX,
    "g.add_(c)": MIX,
    "torch.maximum(g, c0)": None,
    "g ** c0": None,
    "g > c0": None,
    "g == c": MIX,
    "torch.where(gm, g, c0)": None,
    "torch.where(gm, g, 0.0)": None,
    "torch.where(cm, g, g)": MIX,
    "torch.where(gm, g, c)": MIX,
    "g.masked_fill(gm, 0)": None,
    "g.masked_fill(cm, 0)": MIX,
    "torch.addcmul(g, g, g)": None,
    "torch.addcmul(g, g, c)": MIX,
    "torch.lerp(g, g, 0.5)": None,
    "g @ g": None,
    "g @ c": MIX,
    "F.linear(g, c)": MIX,
    "F.linear(g, g)": None,
    "torch.einsum('ij,jk', g, c)": MIX,
    "torch.cat([g, g])": None,
    "torch.cat([g, c])": MIX,
    "torch.stack([g0, c0])": MIX,
    "F.conv2d(g[None, None], c[None, None])": MIX,
    "F.conv2d(g[None, None], g[None, None])": None,
    "F.embedding(ci, g)": MIX,
    "F.embedding(gi, g)": None,
    "g.index_select(0, ci)": MIX,
    "g.gather(0, gi[None])": None,
    "F.layer_norm(g, (3,), c[0], c[0])": MIX,
    "F.scaled_dot_product_attention(g, g, c)": MIX,
    "F.grid_sample(g[None, None], c[None, :, :2, None].expand(1, 3, 2, 2))": MIX,
    "F.mse_loss(g, c)": MIX,
    "g[ci]": None,
    "g[cm]": None,
    "g[gi]": None,
    "g[0, 1]": None,
    "g[[0, 1]]": None,
    "c[gi]": "indices should be",
    "c[gm]": "indices should be",
    "put(g, 0, c[0])": None,
    "put(g, slice(0, 2), c[:2])": None,
    "put(c, 0, g[0])": None,
    "put(g, gm, c0)": None,
    "put(g, gm, 1.0)": None,
    "put(g, gi, c[:2])": MIX,
    "put(g, cm, g[cm])": None,
    "put(c, gm, 0.0)": "indices should be",
    "g.copy_(c)": None,
    "c.copy_(g)": None,
    "g.expand_as(c)": None,
    "g.view_as(c)": None,
    "g.type_as(c)": None,
    "torch.equal(g, c)": MIX,
    "torch.allclose(g, c)": MIX,
    "torch.equal(g, g)": None,
    "g.numpy()": "can't convert cuda:0",
    "np.asarray(g)": "can't convert cuda:0",
    "g.cpu().numpy()": None,
    "np.asarray(g.detach().cpu())": None,
    "g.tolist()": None,
    "float(g0)": None,
    "torch.randn(2, device='cuda', generator=torch.Generator('cpu'))": "generator",
    "torch.randn(2, device='cuda', generator=torch.Generator('cuda'))": None,
    "torch.randn(2, generator=torch.Generator('cuda'))": "generator",
    "torch.randn(2, generator=torch.Generator())": None,
    "g.normal_(generator=torch.Generator())": "generator",
    "torch.randperm(3, device='cuda', generator=torch.Generator())": "generator",
    "torch.bernoulli(g.abs().clamp(0, 1), generator=torch.Generator('cuda'))": None,
    "torch.zeros(2, device='cuda:7')": "invalid device ordinal",
    "torch.zeros(2, device='mps')": "not compiled",
    "torch.tensor([1.0], device='cuda') + g": None,
    "torch.as_tensor(np.ones(3), device='cuda') + g": None,
    "torch.zeros_like(g) + g": None,
    "g.new_zeros(3) + g": None,
    "torch.zeros_like(g, device='cpu') + c": None,
    "torch.arange(3) + g": MIX,
    "torch.arange(3, device=g.device) + g": None,
    "torch.full((3,), 2.0) * g": MIX,
    "F.interpolate(g[None, None], scale_factor=2) + g0": None,
    "g.T.contiguous().view(-1)[1:] + c[0, 0]": None,
    "torch.utils.checkpoint.checkpoint(lambda x: x @ g, g, use_reentrant=False)": None,
    "torch.clamp(g, c0, g0)": None,
    "torch.clamp(g, c, g)": MIX,
    "torch.outer(g[0], c[0])": MIX,
    "F.cross_entropy(g, gi[[0, 0, 1]])": None,
    "F.cross_entropy(g, ci[[0, 0, 1]])": MIX,
    "torch._foreach_add([g, g], 1)": None,
    "torch._foreach_add([g, g], [g, c])": MIX,
    "torch.searchsorted(c[0], g[0])": MIX,
    "torch.broadcast_tensors(g, c)[1] + c": None,
}


def _names():
    gpu = {
        "g": torch.randn(3, 3).to("cuda:0"),
        "g0": torch.tensor(2.0).cuda(),
        "gi": torch.tensor([0, 1]).cuda(),
        "gm": torch.ones(3, 3, dtype=torch.bool).to("cuda"),
        "h": torch.ones(3, 3, device="cuda:1"),
    }
    cpu = {
        "c": torch.randn(3, 3),
        "c0": torch.tensor(2.0),
        "ci": torch.tensor([0, 1]),
        "cm": torch.ones(3, 3, dtype=torch.bool),
    }
    return gpu | cpu | {"torch": torch, "F": F, "np": np, "put": lambda x, index, value: x.__setitem__(index, value)}


@pytest.mark.parametrize("expression", RULES)
def test_an_expression_does_what_cuda_does(expression):
    with SimulatedGpu(count=2) as gpu:
        names = _names()
        if RULES[expression] is None:
            eval(expression, names)
            assert not gpu.mixes
        else:
            with pytest.raises((RuntimeError, TypeError, AssertionError), match=RULES[expression]):
                eval(expression, names)


@pytest.mark.parametrize(
    ("expression", "waits"),
    [
        ("g + 1", 0),
        ("g.sum()", 0),
        ("float(g.sum())", 1),
        ("g0.item()", 1),
        ("bool(g0 > 1)", 1),
        ("g.tolist()", 1),
        ("g.cpu()", 1),
        ("g.to('cpu', non_blocking=True)", 0),
        ("c.to('cuda')", 1),
        ("c.to('cuda', non_blocking=True)", 0),
        ("c.pin_memory().to(g, non_blocking=True)", 0),
        ("g.nonzero()", 1),
        ("g[gm]", 1),
        ("g[gi]", 0),
        ("g[ci]", 1),
        ("g[0, 1:]", 0),
        ("torch.tensor([1.0], device='cuda')", 1),
        ("torch.equal(g, g)", 1),
        ("f'{g0}'", 1),
        ("torch.where(gm)", 1),
        ("torch.where(gm, g, 0.0)", 0),
        ("torch.cuda.synchronize()", 1),
        ("c.sum().item()", 0),
        ("torch.zeros(3, device='cuda')", 0),
        ("torch.isfinite(g).all()", 0),
        ("g.copy_(c)", 1),
        ("g.half()", 0),
        ("g.to(torch.float16)", 0),
        ("g.unique()", 1),
        ("g.masked_select(gm)", 1),
        ("put(g, gm, 0.0)", 0),
    ],
)
def test_waits_of_the_host_are_counted(expression, waits):
    with SimulatedGpu(count=2) as gpu:
        names = _names()
        with gpu.counted() as counts:
            eval(expression, names)
    assert len(counts.syncs) == waits, where(counts.syncs)


def test_gradients_optimisers_and_state_follow_the_module():
    with SimulatedGpu() as gpu:
        net = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 1)).to("cuda")
        assert {parameter.device for parameter in net.parameters()} == {torch.device("cuda:0")}
        keyed = torch.nn.Linear(1, 1).to(device="cuda", dtype=torch.float16).weight
        assert (keyed.is_cuda, keyed.dtype) == (True, torch.float16)
        with pytest.raises(RuntimeError, match=MIX):
            net(torch.ones(2, 3))
        adam = torch.optim.AdamW(net.parameters(), fused=True)
        net(torch.ones(2, 3, device="cuda")).sum().backward()
        assert net[0].weight.grad.is_cuda
        adam.step()
        state = adam.state_dict()
        assert all(value.is_cuda for each in state["state"].values() for value in each.values())
        twin = copy.deepcopy(net)
        assert twin[0].weight.is_cuda
        assert all(value.is_cuda for value in net.state_dict().values())
        for each in adam.state.values():  # as a resumed training brings it back
            each["step"] = each["step"].cpu()
        with pytest.raises(RuntimeError, match=MIX):
            adam.step()
        (grad,) = torch.autograd.grad((net[0].weight * 2).sum(), net[0].weight)
        assert grad.is_cuda
        assert not net.to("cpu")[0].weight.is_cuda
        assert len(gpu.mixes) == 2


def test_plain_adam_keeps_its_step_on_the_host():
    with SimulatedGpu() as gpu:
        x = torch.ones(3, device="cuda", requires_grad=True)
        adam = torch.optim.Adam([x])
        x.sum().backward()
        with gpu.counted() as counts:
            adam.step()
        assert adam.state[x]["exp_avg"].is_cuda
        assert not adam.state[x]["step"].is_cuda
        assert not counts.syncs


def test_files_keep_or_leave_the_device(tmp_path):
    from safetensors.torch import load_file, save_file

    with SimulatedGpu():
        x = torch.arange(3.0, device="cuda")
        torch.save({"x": x}, tmp_path / "x.pt")
        assert torch.load(tmp_path / "x.pt")["x"].is_cuda
        assert not torch.load(tmp_path / "x.pt", map_location="cpu")["x"].is_cuda
        torch.save({"x": x.cpu()}, tmp_path / "y.pt")
        assert torch.load(tmp_path / "y.pt", map_location="cuda:0")["x"].is_cuda
        save_file({"x": x}, tmp_path / "x.safetensors")
        assert not load_file(tmp_path / "x.safetensors")["x"].is_cuda
        assert load_file(tmp_path / "x.safetensors", device="cuda:0")["x"].tolist() == [0, 1, 2]


def test_half_precision_is_real_and_nothing_is_computed_in_float32_instead():
    with SimulatedGpu():
        x = torch.full((2,), 60000.0, device="cuda", dtype=torch.float16)
        assert torch.isinf(x + x).all()
        assert (x * 1).dtype == torch.float16
        assert float(torch.tensor(1e-8, device="cuda").half()) == 0


def test_numbers_are_the_cpus_own_and_chance_is_the_devices():
    torch.manual_seed(0)
    x = torch.randn(4, 4)
    expected, drawn = x @ x, torch.randn(3)
    with SimulatedGpu():
        assert torch.equal((x.cuda() @ x.cuda()).cpu(), expected)
        torch.manual_seed(0)
        torch.randn(4, 4)
        on_gpu = torch.randn(3, device="cuda")
        assert not torch.equal(on_gpu.cpu(), drawn)  # of another generator
        assert torch.equal(torch.randn(3), drawn)  # which left the host's as it was


def test_everything_is_as_before_afterwards():
    before = {name: getattr(torch.cuda, name) for name in ("is_available", "device_count", "synchronize", "Stream")}
    registry = list(torch.serialization._package_registry)
    with SimulatedGpu(count=2):
        assert torch.cuda.is_available()
        assert torch.cuda.device_count() == 2
        assert torch.cuda.get_device_name(1) == "Simulated GPU"
        with torch.cuda.device(1):
            assert torch.zeros(1, device="cuda").get_device() == 1
        seen = []
        thread = threading.Thread(target=lambda: seen.append(torch.zeros(1, device="cuda").device))
        thread.start()
        thread.join()
        assert seen == [torch.device("cuda:0")]
        with torch.device("cuda"):
            assert torch.zeros(1).is_cuda
        assert isinstance(torch.Generator("cpu"), torch.Generator)
        assert torch.Generator("cuda").device == torch.device("cuda:0")
    assert before == {name: getattr(torch.cuda, name) for name in before}
    assert registry == torch.serialization._package_registry
    assert isinstance(torch.Generator("cpu"), torch.Generator)
    with pytest.raises((RuntimeError, AssertionError)):
        torch.zeros(1, device="cuda")


def test_apples_gpus_have_no_float64():
    with SimulatedGpu(kind="mps"):
        x = torch.ones(2, device="mps")
        assert x.device == torch.device("mps:0")
        for expression in (
            lambda: x.double(),
            lambda: x.to(torch.float64),
            lambda: torch.zeros(1, device="mps", dtype=torch.float64),
        ):
            with pytest.raises(TypeError, match="float64"):
                expression()
        assert x.cpu().double().dtype == torch.float64
        with pytest.raises(TypeError, match="float64"):
            torch.ones(1, dtype=torch.float64).to("mps")


def test_a_copy_to_an_apple_gpu_waits():
    with SimulatedGpu(kind="mps") as gpu:
        for copy in (
            lambda: torch.ones(2).to("mps", non_blocking=True),
            lambda: torch.ones(2, device="mps").copy_(torch.zeros(2), non_blocking=True),
        ):
            with pytest.raises(AssertionError, match="may be gone"):
                copy()
        assert to_device(torch.ones(2), torch.device("mps")).is_mps  # what loops do with the noise of each step
        assert gpu.syncs


@pytest.mark.parametrize("wait", [torch.Tensor.tolist, lambda x: torch.cuda.synchronize(), torch.Tensor.cpu])
def test_a_copy_to_the_host_that_nobody_waits_for_is_not_there_yet(wait):
    with SimulatedGpu() as gpu:
        x, host = torch.ones(2, device="cuda"), torch.zeros(2, dtype=torch.long)
        early = x.to("cpu", non_blocking=True)
        host.copy_(x, non_blocking=True)
        assert not gpu.syncs
        assert early.isnan().all()
        assert (host != 1).all()
        wait(x)
        assert early.tolist() == host.tolist() == [1, 1]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_autocast_of_the_device_casts(dtype):
    with SimulatedGpu(), torch.autocast("cuda", dtype):
        x = torch.ones(2, 2, device="cuda")
        assert ((x @ x).dtype, (x @ x).is_cuda, (x + x).dtype) == (dtype, True, torch.float32)
        with torch.autocast("cuda", enabled=False):
            assert (x @ x).dtype == torch.float32


def test_emulated_bfloat16_is_told_apart():
    with SimulatedGpu(bfloat16=False):
        assert torch.cuda.is_bf16_supported()
        assert not torch.cuda.is_bf16_supported(including_emulation=False)
