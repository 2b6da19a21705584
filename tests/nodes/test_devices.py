"""Pictures that a host keeps on a GPU, parts with precisions of their own, and half precision's small gradients."""

import inspect

import pytest
import torch
from inlay.graph_runtime import BadInput, Context, ModelError
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.front.comfy.node_classes import node_class
from inlay.graph_runtime.front.installed import installed_nodes, shipped_samples
from inlay.methods.inversion.ddim import invert_ddim
from inlay.methods.inversion.tuning import TuningRecipe, tune
from inlay.methods.latents import remedy
from inlay.methods.sampling.unet import UNetModel
from inlay.models.precision import torch_dtype
from inlay.nodes import condition, latent, model
from inlay.nodes.image.crop import crop_to_mask
from inlay.nodes.image.files import load
from inlay.nodes.image.fit import fit
from schedules import ddim_from_config
from simulated_gpu import SimulatedGpu
from torch import Tensor

TAKERS = sorted(
    name
    for name, spec in installed_nodes().items()
    if any(socket.port.socket in ("IMAGE", "MASK") for socket in spec.sockets.values())
)
SAMPLES = shipped_samples()
LEFT_OUT = ("caption.blip", "metric.lpips")  # no captioner is embedded; a package of its own
MODELS = ("INLAY_VAE", "INLAY_EXEMPLAR_ENCODER", "INLAY_CLIP", "INLAY_DINO", "INLAY_DETECTOR")
SETTINGS = {
    "image.augment": {"seed": 1},
    "metric.clip_score": {"text": "a dog"},
    "mask.shape": {"kind": "center"},
    "image.fit": {"multiple": 8},
    "mask.brush": {"seed": 3},
    "image.pad": {"left": 8},
    "mask.colour": {"colour": "#808080", "tolerance": 60},
    "mask.load": {"path": str(SAMPLES["room-mask.png"]), "channel": "drawn"},
    "mask.strokes": {"strokes": "4,4 20,20", "width": 5},
}

SCALED_LINEAR = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def _wired(spec, ctx, place):
    """Something for every socket of a node, its pictures and masks each placed by `place(number)`."""
    size, numbers = 32, iter(range(100))
    picture = torch.rand(1, size, size, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, size, size)
    mask[:, 8:24, 8:24] = 1
    values = {}
    for name, socket in spec.sockets.items():
        kind = socket.port.socket
        if kind in ("IMAGE", "MASK"):
            if name[-1].isdigit() and int(name.rpartition("_")[2]) > 2:
                continue
            value = (picture if kind == "IMAGE" else mask).clone()
            device = place(next(numbers))
            values[name] = value if device == "cpu" else value.to(device)
        elif kind == "INLAY_VAE":
            values[name] = model.stable_diffusion(dtype="float32").vae
        elif kind == "INLAY_EXEMPLAR_ENCODER":
            values[name] = model.paint_by_example(dtype="float32").exemplar_encoder
        elif kind in ("INLAY_CLIP", "INLAY_DINO", "INLAY_DETECTOR"):
            values[name] = _seeing(kind)
        elif kind == "INLAY_CONDITIONING":
            values[name] = condition.text(model.stable_diffusion(dtype="float32").text_encoder, ctx)[0]
        elif kind == "INLAY_PROFILE":
            values[name] = load(str(SAMPLES["dog.png"]), ctx).profile
        elif kind == "INLAY_FIT":
            values[name] = fit(picture, mask, multiple=8).fit
        elif kind == "INLAY_CROP":
            values[name] = crop_to_mask(picture, mask, size=size).crop
        elif not socket.optional:
            pytest.fail(f"no {kind} for {spec.id}: say here how to make one")
    return values


def _seeing(kind):
    from inlay.nodes import model_vision

    if kind == "INLAY_DETECTOR":
        return model_vision.detector()[0]
    return model_vision.clip()[0]


def _same(first, second):
    if isinstance(first, Tensor):
        return torch.equal(first, second)
    return type(first) is type(second) and (not isinstance(first, (int, float, str)) or first == second)


@pytest.mark.parametrize("name", [name for name in TAKERS if name not in LEFT_OUT])
def test_pictures_of_a_host_on_the_gpu_give_what_they_give_on_the_cpu(name, tmp_path):
    """Every node that takes pictures or masks, with each of them on the GPU in turn, and all."""
    spec = installed_nodes()[name]
    places = [
        lambda n: "cpu",
        lambda n: "cuda:0" if n else "cpu",
        lambda n: "cpu" if n else "cuda:0",
        lambda n: "cuda:0",
    ]
    costly = any(socket.port.socket in MODELS for socket in spec.sockets.values())
    with SimulatedGpu() as gpu:
        ctx = Context(ModelManager(("cuda:0",)), out=tmp_path)
        results = []
        for place in places[:2] if costly else places:
            wired = _wired(spec, ctx, place) | ({spec.context: ctx} if spec.context else {})
            outputs = spec.run(**wired, **_defaults(spec))
            assert all(not value.is_cuda for value in outputs if isinstance(value, Tensor))
            results.append(outputs)
            if not spec.repeats and not costly:
                direct = spec_function(name)(**wired, **_defaults(spec))
                assert all(map(_same, direct, outputs)) or spec.effects
        assert not gpu.mixes
    if not spec.effects:
        assert all(_same(value, other) for each in results[1:] for value, other in zip(results[0], each, strict=True))


@pytest.mark.parametrize("name", ["metric.psnr", "metric.ssim", "image.paste_back", "image.grid", "mask.grow"])
def test_the_hosts_own_classes_take_pictures_from_the_gpu(name, tmp_path):
    spec = installed_nodes()[name]
    with SimulatedGpu() as gpu:
        wired = [_wired(spec, None, lambda n, gpu=gpu: "cuda:0" if gpu and n else "cpu") for gpu in (False, True)]
        plain, mixed = (node_class(spec)().execute(**values) for values in wired)
    assert not gpu.mixes
    assert all(map(_same, plain, mixed))


def _defaults(spec):
    given = SETTINGS.get(spec.id, {})
    return spec.params(**{key: value for key, value in given.items() if key in spec.params.model_fields}).__dict__


def spec_function(name):
    """The function as Python calls it: `inlay.nodes.metric.ssim`."""
    function = installed_nodes()[name].function
    return getattr(inspect.getmodule(function), function.__name__)


def test_auto_is_half_for_the_unet_and_float32_for_a_vae_that_half_overflows():
    parts = model.stable_diffusion(dtype="auto")
    assert parts.denoiser.precision("cuda:0") == torch.float16
    assert parts.text_encoder.precision("cuda:0") == torch.float16
    assert parts.vae.precision("cuda:0") == torch.float32
    assert {part.precision("cpu") for part in parts[:3]} == {torch.float32}
    assert model.stable_diffusion(dtype="float16").vae.precision("cuda:0") == torch.float16

    parts = model.paint_by_example(dtype="float16", vae_dtype="float32", encoder_dtype="bfloat16")
    assert parts.denoiser.precision("cpu") == torch.float16
    assert parts.vae.precision("cpu") == torch.float32
    assert parts.exemplar_encoder.precision("cpu") == torch.bfloat16


def test_float64_on_an_apple_gpu_is_refused_by_name():
    with pytest.raises(ModelError) as caught:
        torch_dtype("float64", "mps")
    assert "mps" in caught.value.found
    assert "float32" in caught.value.fix


# half precision


class Toy(torch.nn.Module):
    """A UNet of one product, with gains inside: out = (told · w)·gain/gain, so that gradients grow on their way."""

    def __init__(self, dtype, gain=1.0, blow=1.0):
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.w = torch.nn.Parameter(torch.randn(8, 4, generator=generator).to(dtype), requires_grad=False)
        self.gain, self.blow = gain, blow

    def forward(self, z, t, return_dict, encoder_hidden_states):
        told = (encoder_hidden_states.mean(1) * self.gain) @ self.w
        return (z * 0.5 + (told / self.gain)[:, :, None, None] * self.blow,)


def _gradients(dtype, size):
    unet = UNetModel(Toy(dtype), 4)
    told = torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(1)).requires_grad_(True)
    output = unet(torch.zeros(2, 4, 8, 8), torch.tensor(1), told)
    (output * torch.tensor([1.0, 1e-3])[:, None, None, None]).sum().mul(size).backward()
    return told.grad


def test_gradients_of_a_hundred_millionth_survive_float16_in_every_row():
    for size in (1e-3, 1e-6, 1e-9):
        exact, half = _gradients(torch.float32, size), _gradients(torch.float16, size)
        assert (half - exact).abs().amax((1, 2)).div(exact.abs().amax((1, 2))).max() < 2e-3
    assert (torch.tensor(1e-9) / 64).half() == 0  # which plain half loses


def test_in_float32_nothing_is_scaled():
    told = torch.randn(2, 3, 8).requires_grad_(True)
    toy = Toy(torch.float32)
    UNetModel(toy, 4)(torch.zeros(2, 4, 8, 8), torch.tensor(1), told).square().sum().backward()
    plain = told.detach().clone().requires_grad_(True)
    toy(torch.zeros(2, 4, 8, 8), 1, False, plain)[0].square().sum().backward()
    assert torch.equal(told.grad, plain.grad)


def _parts(toy):
    schedule = ddim_from_config(SCALED_LINEAR, steps=3, eta=0.0)
    generator = torch.Generator().manual_seed(2)
    z = torch.randn(2, 4, 8, 8, generator=generator)
    cond, uncond = torch.randn(2, 2, 3, 8, generator=generator) * 0.1
    unet = UNetModel(toy, 4)
    with torch.no_grad():
        return unet, schedule, invert_ddim(unet, schedule, z, cond), cond, uncond


def _tuned(toy, rate=1e-2, half="cond"):
    unet, schedule, trajectory, cond, uncond = _parts(toy)
    recipe = TuningRecipe(3.0, 4, lambda step: rate, lambda step: 0.0, half=half)
    return unet, tune(unet, schedule, trajectory, cond, uncond, recipe)


@pytest.mark.parametrize("half", ["cond", "uncond"])
@pytest.mark.parametrize(("dtype", "near"), [(torch.float16, 0.02), (torch.bfloat16, 0.1)])
def test_an_inversion_in_half_ends_where_that_in_float32_does(dtype, near, half):
    (_, exact), (_, found) = _tuned(Toy(torch.float32), half=half), _tuned(Toy(dtype), half=half)
    assert found.embeddings.dtype == torch.float32
    assert (found.achieved[-1] - exact.achieved[-1]).abs().max() < near * exact.achieved[-1].abs().max()
    assert found.losses[-1] == pytest.approx(exact.losses[-1], rel=0.3)
    assert found.updates == exact.updates


def test_a_gradient_that_overflows_half_is_taken_again_from_a_smaller_one():
    unet, found = _tuned(Toy(torch.float16, gain=2.0**-10))
    (_, exact) = _tuned(Toy(torch.float32))
    assert unet.peak < UNetModel(Toy(torch.float16), 4).peak
    assert found.updates == exact.updates
    assert (found.achieved[-1] - exact.achieved[-1]).abs().max() < 0.05 * exact.achieved[-1].abs().max()


def test_an_error_tells_a_precision_that_overflows_from_a_rate_that_diverges():
    with pytest.raises(BadInput) as caught:
        _tuned(Toy(torch.float16, gain=1e6))  # its inner values exceed 65504
    assert caught.value.port == "denoiser"
    assert "float16" in caught.value.found
    assert "float32" in caught.value.fix
    for dtype in (torch.float32, torch.float16):
        with pytest.raises(BadInput) as caught:
            _tuned(Toy(dtype, blow=30.0), rate=10.0)
        assert (caught.value.port, "diverges" in caught.value.expected) == ("learning_rate", True)
        assert "step 1 of 3" in caught.value.found


def test_nan_from_a_vae_is_blamed_on_half_only_where_it_computes_in_half():
    assert "vae_dtype to float32" in remedy(torch.nn.Linear(1, 1).half())
    assert "vae_dtype" not in remedy(torch.nn.Linear(1, 1))


def test_a_wait_of_the_host_in_an_iteration_and_none_in_a_step_of_inversion():
    with SimulatedGpu() as gpu:
        toy = Toy(torch.float16).to("cuda")
        unet = UNetModel(toy, 4)
        schedule = ddim_from_config(SCALED_LINEAR, steps=6, eta=0.0)
        z, told = torch.randn(2, 4, 8, 8).cuda(), torch.randn(2, 3, 8).cuda() * 0.1
        with gpu.counted() as counts:
            trajectory = invert_ddim(unet, schedule, z, told)
        assert len(counts.syncs) <= 1  # the timesteps go there once
        with gpu.counted() as counts:
            tuned = tune(
                unet, schedule, trajectory, told, told * 0.5, TuningRecipe(3.0, 4, lambda step: 1e-3, lambda step: 0.0)
            )
        assert len(counts.syncs) <= sum(tuned.updates) + 1, counts.syncs
        assert not gpu.mixes


@pytest.mark.slow
@pytest.mark.parametrize("which", ["target_text", "null_text"])
def test_reconstructions_in_half_are_as_near_the_picture_as_in_float32(which, tmp_path):
    """Within 0.5 dB in float16, 1 dB in bfloat16, on the embedded model and its dog."""
    from inlay.nodes import invert, metric, schedule

    found = {}
    photo = load(str(SAMPLES["dog.png"]), Context(out=tmp_path))[0]
    for dtype in ("float32", "float16", "bfloat16"):
        ctx = Context(ModelManager(("cpu",)), out=tmp_path)
        parts = model.stable_diffusion(dtype=dtype)
        told = condition.text(parts.text_encoder, ctx, prompt="a blue dog standing in a green room")[0]
        steps = schedule.ddim(parts.scheduler, steps=5, eta=0.0)[0]
        start = latent.encode(photo, parts.vae, ctx)[0]
        trajectory = invert.ddim(parts.denoiser, told, steps, start, ctx)[0]
        made = getattr(invert, which)(parts.denoiser, told, steps, trajectory, ctx, iterations=4)
        found[dtype] = metric.psnr(latent.decode(made.latent, parts.vae, ctx)[0], photo)[0]
    assert found["float16"] > found["float32"] - 0.5
    assert found["bfloat16"] > found["float32"] - 1.0
