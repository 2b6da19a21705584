"""Quantised weights: the numbers of a plain transcription, diffusers' own bits, true sizes, and what refuses them."""

import json
from dataclasses import replace

import inlay
import pytest
import torch
from inlay.graph_runtime import Context, WorkflowError
from inlay.graph_runtime.core.errors import InlayError
from inlay.graph_runtime.core.memory.counted import counted
from inlay.graph_runtime.core.memory.inner_tensors import inner_tensors
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.front.cli.main import main
from inlay.models import precision
from inlay.models.lora.file import Pair, stored_names
from inlay.nodes import model
from inlay.nodes.model_lora import lora
from inlay.training.checkpoint import write_tensors
from PIL import Image
from safetensors.torch import load_file

quantised = pytest.mark.quantised
KINDS = ("int8", "float8")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def given(unet):
    draws = torch.Generator().manual_seed(0)
    kind = next(unet.parameters()).dtype
    return torch.randn(2, 4, 8, 8, generator=draws).to(kind), 10, torch.randn(2, 5, 24, generator=draws).to(kind)


@torch.no_grad()
def denoised(unet):
    return unet(*given(unet)).sample


def by_hand(weight, how):
    """A matrix in 8 bits, a scale for each row, and back."""
    most = weight.abs().amax(1, keepdim=True)
    if how == "int8":
        scale = most / 127.5
        return (weight * (1 / scale)).round().clamp(-128, 127) * scale  # the largest of a row is half way: W/s = 127.5
    scale = most / 448
    return (weight / scale).clamp(-448, 448).to(torch.float8_e4m3fn).float() * scale


@quantised
@pytest.mark.parametrize("how", KINDS)
def test_quantised_weights_compute_what_a_plain_transcription_does(shared_sd, how):
    plain = model.stable_diffusion(str(shared_sd)).denoiser.load("cpu")
    whole = denoised(plain)
    with torch.no_grad():
        for layer in plain.modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.copy_(by_hand(layer.weight, how))
    wanted = denoised(plain)
    found = denoised(model.stable_diffusion(str(shared_sd), quantize=how).denoiser.load("cpu"))
    off = (wanted - whole).abs().max()
    assert off > 1e-4, "they differ from the whole weights"
    assert (found - wanted).abs().max() < off / 50


@quantised
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("how", KINDS)
def test_quantised_weights_have_the_bits_of_diffusers_own_loader(shared_sd, how, dtype):
    from diffusers import TorchAoConfig, UNet2DConditionModel
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig

    config = TorchAoConfig({"int8": Int8WeightOnlyConfig, "float8": Float8WeightOnlyConfig}[how]())
    theirs = UNet2DConditionModel.from_pretrained(
        shared_sd / "unet", quantization_config=config, torch_dtype=DTYPES[dtype]
    )
    ours = model.stable_diffusion(str(shared_sd), dtype=dtype, quantize=how).denoiser
    wanted = denoised(theirs.eval())
    assert torch.equal(denoised(ours.load("cpu")), wanted)
    assert torch.equal(denoised(ours.load("cpu")), wanted), "and again"


@quantised
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("how", KINDS)
def test_the_bytes_of_quantised_weights_are_counted_as_they_are_held(shared_sd, how, dtype):
    stored = load_file(shared_sd / "unet" / "diffusion_pytorch_model.safetensors")
    item = DTYPES[dtype].itemsize
    wanted = sum(
        value.numel() + value.shape[0] * (5 if how == "int8" else 4) if value.ndim == 2 else value.numel() * item
        for value in stored.values()
    )
    part = model.stable_diffusion(str(shared_sd), dtype=dtype, quantize=how).denoiser
    assert part.nbytes_on("cpu") == wanted < sum(value.numel() for value in stored.values()) * item
    manager = ModelManager(budget=wanted)
    with manager.lease(part) as unet, counted() as memory:
        memory.include(unet)
        assert manager.resident_bytes() == wanted == memory.live
    least = part.least_resident("cpu")
    assert least < wanted
    with part.streamed(part.load("cpu"), "cpu", least) as there:
        assert torch.equal(denoised(there), denoised(part.load("cpu")))


@quantised
@pytest.mark.parametrize("device", ["cpu:0", pytest.param("cuda:0", marks=pytest.mark.cuda)])  # any but `cpu`
@pytest.mark.parametrize("how", KINDS)
def test_quantised_weights_leave_a_device_and_come_back_with_the_same_bits(shared_sd, how, device):
    part = model.stable_diffusion(str(shared_sd), dtype="float32", quantize=how).denoiser
    wanted = part.load("cpu")
    shapes = [tuple(value.shape) for value in wanted.parameters()]
    assert len(shapes) > len(set(shapes)), "several of one shape, which must not be taken for one"
    manager = ModelManager((device,), beside=2**26)
    with manager.lease(part):
        pass
    manager.evict_idle()
    assert manager.set_aside() == [part.label]
    with manager.lease(part) as back:
        found = {name: value.data for name, value in back.named_parameters()}
    assert (manager.moved.reads, manager.moved.out) == (1, part.nbytes_on(device))
    for name, value in wanted.named_parameters():
        for other, own in zip(inner_tensors(found[name]), inner_tensors(value), strict=True):
            assert other.device.type == torch.device(device).type
            assert torch.equal(other.cpu().view(torch.uint8), own.detach().view(torch.uint8)), name


@pytest.fixture
def some_lora(shared_sd, tmp_path):
    """A LoRA on some attention layers."""
    with Context().lease(model.stable_diffusion(str(shared_sd)).denoiser) as unet:
        sizes = {n: m.weight.shape for n, m in unet.named_modules() if n.endswith(("to_q", "to_v", "to_out.0"))}
    draws = torch.Generator().manual_seed(1)
    pairs = {
        name: Pair(torch.randn(2, size[1], generator=draws), torch.randn(size[0], 2, generator=draws), 2.0)
        for name, size in sizes.items()
    }
    write_tensors(stored_names(pairs, "diffusers"), tmp_path / "some.safetensors", None)
    return str(tmp_path / "some.safetensors"), pairs


@quantised
@pytest.mark.parametrize("how", KINDS)
def test_a_lora_lies_beside_quantised_weights_and_does_not_change_them(shared_sd, some_lora, how, recwarn):
    path, pairs = some_lora
    plain = model.stable_diffusion(str(shared_sd)).denoiser.load("cpu")
    with torch.no_grad():
        for name, layer in plain.named_modules():
            if isinstance(layer, torch.nn.Linear):
                layer.weight.copy_(by_hand(layer.weight, how))
                if name in pairs:
                    layer.weight += 0.3 * pairs[name].up @ pairs[name].down
    base = model.stable_diffusion(str(shared_sd), quantize=how).denoiser
    ctx = Context()
    with ctx.lease(base) as unet:
        before = denoised(unet)
    with ctx.lease(lora(base, source=path, weight=0.3).denoiser) as adapted:
        assert (denoised(adapted) - denoised(plain)).abs().max() < 2e-5 < (before - denoised(plain)).abs().max()
        held = {id(value) for value in unet.parameters()}
        assert sum(id(value) in held for value in adapted.parameters()) == len(held), "every weight is shared"
    with ctx.lease(base) as unet:
        assert torch.equal(denoised(unet), before)
    assert not [one for one in recwarn if "torchao" in str(one.message).lower()]


@pytest.fixture(scope="module")
def flow(shared_sd, tmp_path_factory):
    """A workflow by the quantisation of its model."""
    photo = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.radial_gradient("L").resize((64, 64)).convert("RGB").save(photo)
    return lambda how: {
        "format": 1,
        "nodes": {
            "model": {
                "type": "model.stable_diffusion",
                "params": {"source": str(shared_sd), "quantize": how, "dtype": "float32"},
            },
            "words": {
                "type": "condition.text",
                "version": 2,
                "params": {"prompt": "a"},
                "inputs": {"text_encoder": "model.text_encoder"},
            },
            "plan": {"type": "schedule.ddim", "params": {"steps": 2}, "inputs": {"scheduler": "model.scheduler"}},
            "photo": {"type": "image.load", "params": {"path": str(photo)}},
            "start": {"type": "latent.encode", "inputs": {"image": "photo.image", "vae": "model.vae"}},
            "noise": {"type": "noise.gaussian", "inputs": {"latent": "start.latent"}},
            "sample": {
                "type": "sample.denoise",
                "inputs": {
                    "denoiser": "model.denoiser",
                    "schedule": "plan.schedule",
                    "noise": "noise.noise",
                    "conditioning": "words.conditioning",
                },
            },
        },
        "outputs": {"latent": "sample.latent"},
    }


def test_a_missing_package_is_found_by_check_with_the_command_that_installs_it(flow, tmp_path, monkeypatch, capsys):
    there = precision.importlib.util.find_spec
    monkeypatch.setattr(precision.importlib.util, "find_spec", lambda name: None if name == "torchao" else there(name))
    file = tmp_path / "flow.json"
    file.write_text(json.dumps(flow("int8")))
    assert main(["check", str(file), "--inputs", "/"]) != 0
    said = capsys.readouterr()
    said = said.out + said.err
    for part in ("model", "quantize", "int8, and no package torchao", "pip install 'torchao>=0.18'", "`quantized`"):
        assert part in said
    assert not list(tmp_path.glob("inlay-out*"))


def test_a_package_that_is_too_old_is_named(shared_sd, monkeypatch):
    monkeypatch.setattr(precision.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(precision, "version", lambda name: "0.17.0" if name == "torchao" else "9")
    with pytest.raises(InlayError, match=r"torchao 0\.17\.0; expected torchao 0\.18 or newer.*pip install -U"):
        model.stable_diffusion(str(shared_sd), quantize="int8")


def test_double_precision_has_no_quantised_weights(shared_sd):
    with pytest.raises(InlayError, match=r"int8 with dtype float64.*set quantize to none, or dtype to float32"):
        model.stable_diffusion(str(shared_sd), dtype="float64", quantize="int8")


def test_an_apple_gpu_has_no_float8_and_this_is_known_before_a_weight_is_read(shared_sd):
    part = replace(model.stable_diffusion(str(shared_sd)).denoiser, quantize="float8")
    with pytest.raises(InlayError, match=r"float8 on mps.*set quantize to int8"):
        part.nbytes_on("mps")


def test_without_quantisation_keys_are_as_they_were(shared_sd):
    part = model.stable_diffusion(str(shared_sd)).denoiser
    assert part.label == f"unet of {part.origin.name}"
    kind = f"DenoiserPart|{part.stamp}|auto"
    assert part.fingerprint == inlay.graph_runtime.core.digests.sha256(kind)


@quantised
def test_another_quantisation_is_another_result_which_is_remembered_by_it(flow):
    seen = {}
    for how in ("none", *KINDS):
        first = inlay.run(flow(how))
        again = inlay.run(flow(how), cache=False)
        seen[how] = first.outputs["latent"]
        assert torch.equal(again.outputs["latent"], seen[how]), "the same recipe, the same bytes"
    assert not torch.equal(seen["none"], seen["int8"])
    assert not torch.equal(seen["float8"], seen["int8"])


@quantised
def test_a_dry_run_and_a_budget_know_what_quantised_weights_take(shared_sd, flow, tmp_path, capsys):
    sizes = {}
    for how in ("int8", "none"):
        part = model.stable_diffusion(str(shared_sd), dtype="float32", quantize=how).denoiser
        sizes[how] = part.nbytes_on("cpu")
        file = tmp_path / f"{how}.json"
        file.write_text(json.dumps(flow(how)))
        assert main(["run", str(file), "--inputs", "/", "--dry-run", "--json"]) == 0
        (line,) = [one for one in json.loads(capsys.readouterr().out)["nodes"] if one["node"] == "sample"]
        assert (line["weights"], line["source"]) == (sizes[how], "rehearsed")
    with pytest.raises(WorkflowError, match="with --memory"):
        inlay.run(flow("none"), memory=sizes["int8"], cache=False)
    kept = inlay.run(flow("int8"), memory=2 * sizes["none"], cache=False).outputs["latent"]
    assert torch.equal(kept, inlay.run(flow("int8"), cache=False).outputs["latent"])


@quantised
@pytest.mark.parametrize("name", ["train_exemplar", "subject_lora_train"])
def test_training_of_quantised_weights_is_refused_by_check(name, capsys):
    assert main(["check", name, "--set", "model.quantize=int8"]) != 0
    said = capsys.readouterr()
    assert "quantised weights, which cannot be trained" in said.out + said.err
    assert "set quantize to none in the model node" in said.out + said.err
