"""Bridges between ComfyUI's sockets and ours, with stand-ins that hold weights as the host's own objects do.

The oracle is the same model from its folder: its weights are renamed to the original layout, which the host uses, by a
table of their own in the helpers. Runs in the real host are in docs/results/comfyui-bridges.md.
"""

import gc
import shutil
import sys
import types
import weakref

import pytest
import torch
from inlay.graph_runtime import Context, NodeError
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.front.comfy import bridges
from inlay.nodes.condition import text as condition_text
from inlay.nodes.latent import decode, encode
from inlay.nodes.model import stable_diffusion
from inlay.nodes.noise import gaussian
from inlay.nodes.sample import denoise
from inlay.nodes.schedule import ddim
from safetensors.torch import load_file, save_file
from single_files import original_unet, original_vae
from tiny_models import Tiny

CLASSES, NAMES = bridges.bridge_mappings()


class Weights(torch.nn.Module):
    """A module of the host, as far as a bridge looks: its tensors by name, some of them made in inference mode."""

    def __init__(self, state, dtype=None):
        super().__init__()
        with torch.inference_mode():
            self.tensors = {name: value.clone().to(dtype or value.dtype) for name, value in state.items()}

    def state_dict(self):
        return dict(self.tensors)


class Model:
    """The host's handle of a UNet."""

    def __init__(self, state, width=768, prediction="EPS", **config):
        sampling = types.SimpleNamespace(zsnr=False)
        unet = {"context_dim": width, "model_channels": 320, "adm_in_channels": None}
        kind = type("SD15", (), {"unet_config": {**unet, **config}, "sampling_settings": {}})
        self.model = types.SimpleNamespace(
            model_config=kind(),
            model_type=types.SimpleNamespace(name=prediction),
            diffusion_model=Weights(state),
            model_sampling=sampling,
        )
        self.model_options = {"transformer_options": {}}
        self.patches, self.object_patches, self.hook_patches, self.injections = {}, {}, {}, {}
        self.wrappers, self.callbacks = {"apply_model": {}}, {"on_load": {}}


class Patcher:
    """The host's handle of a VAE or CLIP."""

    def __init__(self):
        self.patches, self.object_patches = {}, {"manual_cast_dtype": torch.float32}


@pytest.fixture(scope="module", params=["one", "two"])
def family(request, tmp_path_factory):
    """A tiny model as a folder, and the host's objects with the same weights: 1.x, or 2.x with v-prediction."""
    second = request.param == "two"
    unet = {
        "block_out_channels": (64, 64) if second else (32, 64),
        "norm_num_groups": 32,
        "cross_attention_dim": 64,
        "attention_head_dim": (1, 1) if second else 8,
        "use_linear_projection": second,
    }
    folder = Tiny(tmp_path_factory.mktemp(request.param)).stable_diffusion(
        unet=unet,
        vae={"levels": 3, "block_out_channels": (32, 32, 64), "norm_num_groups": 32, "scaling_factor": 0.18215},
        text={"hidden_size": 64, "num_attention_heads": 1, "hidden_act": "gelu" if second else "quick_gelu"},
        scheduler={"prediction_type": "v_prediction" if second else "epsilon"},
    )
    kept = {}
    for part, file in (("unet", "diffusion_pytorch_model"), ("vae", "diffusion_pytorch_model")):
        kept[part] = load_file(folder / part / f"{file}.safetensors")
    first = {
        k.removeprefix("model.diffusion_model."): v for k, v in original_unet(kept["unet"], 1, (True, False)).items()
    }
    autoencoder = {k.removeprefix("first_stage_model."): v for k, v in original_vae(kept["vae"], 3).items()}
    text = load_file(folder / "text_encoder" / "model.safetensors")
    text = {f"text_model.{key.removeprefix('text_model.')}": value for key, value in text.items()}
    if second:  # a last layer that Stable Diffusion 2 never reads
        text |= {k.replace("layers.0", "layers.2"): v + 1 for k, v in text.items() if ".layers.0." in k}
        text["text_projection.weight"] = torch.eye(64)
    clip = types.SimpleNamespace(layer_idx=None, patcher=Patcher())
    stage = types.SimpleNamespace(transformer=Weights(text))
    clip.cond_stage_model = types.SimpleNamespace(**{"clip_h" if second else "clip_l": stage})
    vae = types.SimpleNamespace(first_stage_model=Weights(autoencoder), patcher=Patcher(), latent_dim=2)
    model = Model(first, 1024 if second else 768, "V_PREDICTION" if second else "EPS")
    return types.SimpleNamespace(folder=folder, model=model, vae=vae, clip=clip, second=second)


@pytest.fixture
def host(family, tmp_path, monkeypatch):
    """What bridges ask of the host: to load a model, and where its vocabulary is."""
    asked = []
    management = types.ModuleType("comfy.model_management")
    management.load_models_gpu = asked.extend
    clip = types.ModuleType("comfy.sd1_clip")
    clip.__file__ = str(tmp_path / "sd1_clip.py")
    shutil.copytree(family.folder / "tokenizer", tmp_path / "sd1_tokenizer")
    for module in (types.ModuleType("comfy"), management, clip):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return asked


def bridge(name, **inputs):
    with torch.inference_mode():
        return CLASSES[name]().execute(**inputs)


def test_a_model_over_the_bridge_computes_what_its_folder_computes(family, host, tmp_path):
    ctx, whole = Context(out=tmp_path), stable_diffusion(str(family.folder))
    denoiser, scheduler = bridge("InlayBridgeModel", model=family.model)
    (vae,), (encoder,) = bridge("InlayBridgeVae", vae=family.vae), bridge("InlayBridgeClip", clip=family.clip)
    assert scheduler.prediction_type == whole.scheduler.prediction_type
    assert (vae.factor, vae.scaling_factor) == (whole.vae.factor, whole.vae.scaling_factor)
    picture = torch.rand(1, 20, 24, 3, generator=torch.Generator().manual_seed(0))
    results = []
    for parts in (
        (denoiser, scheduler, vae, encoder),
        (whole.denoiser, whole.scheduler, whole.vae, whole.text_encoder),
    ):
        latent = encode(picture, parts[2], ctx).latent
        told = condition_text(parts[3], ctx, prompt="" if family.second else "abc").conditioning
        noise = gaussian(latent).noise
        end = denoise(parts[0], ddim(parts[1], steps=3).schedule, noise, ctx, told, guidance_scale=1).latent
        results.append((latent, told.cond, end, decode(latent, parts[2], ctx).image))
    for number, (ours, theirs) in enumerate(zip(*results, strict=True)):
        if family.second and number in (1, 2):
            assert ours.shape == theirs.shape  # OpenCLIP pads with another token than this folder's tokenizer
        else:
            assert torch.equal(ours, theirs)
    assert family.model in host  # the host was asked to have the weights as they were loaded


def test_weights_go_over_without_a_copy_and_are_let_go_of(family, host):
    denoiser, _ = bridge("InlayBridgeModel", model=family.model)
    places = {value.data_ptr() for value in family.model.model.diffusion_model.tensors.values()}
    manager = ModelManager(budget=1000)
    with manager.lease(denoiser) as module:
        aligned = [one.data_ptr() for one in module.parameters()]
        assert sum(place in places for place in aligned) > 0.9 * len(aligned)
        assert not any(one.is_inference() for one in module.parameters())
        assert manager.resident_bytes() == 0
        seen = weakref.ref(module)
    del module
    gc.collect()
    assert (manager.resident(), seen()) == ([], None)
    own = denoiser.load("cpu")
    assert not places & {one.data_ptr() for one in own.parameters()}  # training changes what it loads


def test_each_lease_takes_the_weights_that_the_host_has_then(family, host):
    """Where a LoRA was on a clone of the model meanwhile, the host puts other tensors in place."""
    denoiser, _ = bridge("InlayBridgeModel", model=family.model)
    held, manager = family.model.model.diffusion_model, ModelManager()
    with manager.lease(denoiser) as module:
        before = module.conv_in.weight.clone()
    try:
        kept = held.tensors["input_blocks.0.0.weight"]
        held.tensors["input_blocks.0.0.weight"] = kept + 1
        with manager.lease(denoiser) as module:
            assert torch.equal(module.conv_in.weight, before + 1)
    finally:
        held.tensors["input_blocks.0.0.weight"] = kept


def test_gradients_flow_through_the_hosts_weights(family, host):
    denoiser, _ = bridge("InlayBridgeModel", model=family.model)
    with ModelManager().lease(denoiser) as module, torch.enable_grad():
        embedding = torch.ones(1, 4, 64, requires_grad=True)
        module(torch.ones(1, 4, 8, 8), 1, embedding).sample.sum().backward()
    assert embedding.grad.abs().sum() > 0


def test_the_fingerprint_is_that_of_the_numbers(family, host):
    state = family.model.model.diffusion_model.tensors
    one, other = (
        bridge("InlayBridgeModel", model=Model(state, family.model.model.model_config.unet_config["context_dim"]))[0]
        for _ in "ab"
    )
    assert one.fingerprint == other.fingerprint
    name = next(iter(state))
    changed, _ = bridge("InlayBridgeModel", model=Model({**state, name: state[name] + 1e-3}))
    assert changed.fingerprint != one.fingerprint


def test_what_came_from_the_host_goes_back_as_it_came(family, host):
    denoiser, _ = bridge("InlayBridgeModel", model=family.model)
    (vae,), (encoder,) = bridge("InlayBridgeVae", vae=family.vae), bridge("InlayBridgeClip", clip=family.clip)
    assert bridge("InlayBridgeToModel", denoiser=denoiser) == (family.model,)
    assert bridge("InlayBridgeToVae", vae=vae) == (family.vae,)
    assert bridge("InlayBridgeToClip", text_encoder=encoder) == (family.clip,)


def test_a_lora_goes_onto_a_model_of_the_host(family, host, tmp_path):
    from inlay.nodes.model_lora import lora

    layer = "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    width = 64 if family.second else 32
    pair = {f"{layer}.lora_A.weight": torch.ones(2, width), f"{layer}.lora_B.weight": torch.ones(width, 2)}
    save_file(pair, str(tmp_path / "style.safetensors"))
    denoiser, _ = bridge("InlayBridgeModel", model=family.model)
    adapted = lora(denoiser, source=str(tmp_path / "style.safetensors")).denoiser
    whole = lora(stable_diffusion(str(family.folder)).denoiser, source=str(tmp_path / "style.safetensors")).denoiser
    results = []
    for described in (adapted, whole):
        with ModelManager().lease(described) as module:
            results.append(module(torch.ones(1, 4, 8, 8), 1, torch.ones(1, 4, 64)).sample)
    assert torch.equal(*results)


def changed(model, **attributes):
    found = Model(model.model.diffusion_model.tensors)
    for name, value in attributes.items():
        setattr(found, name, value)
    return found


@pytest.mark.parametrize("family", ["one"], indirect=True)
@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        ({"patches": {"diffusion_model.out.2.weight": [(1.0, "lora")]}}, "a LoRA or other patches"),
        ({"object_patches": {"model_sampling": object()}}, "model_sampling"),
        ({"model_options": {"transformer_options": {"patches": {"attn2_patch": [1]}}}}, "patches"),
        ({"model_options": {"sampler_cfg_function": print}}, "sampler_cfg_function"),
        ({"injections": {"bypass_lora": [1]}}, "injections"),
        ({"wrappers": {"apply_model": {None: [print]}}}, "wrappers"),
    ],
)
def test_a_model_that_another_node_has_changed_is_refused(family, host, attributes, said):
    with pytest.raises(NodeError) as caught:
        bridge("InlayBridgeModel", model=changed(family.model, **attributes))
    assert "MODEL to denoiser (inlay).model" in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize("family", ["one"], indirect=True)
def test_another_family_is_refused_by_its_name(family, host):
    state = family.model.model.diffusion_model.tensors
    flux = types.SimpleNamespace(model=types.SimpleNamespace(model_config=type("Flux", (), {"unet_config": {}})()))
    for odd, said in (
        (Model(state, 2048, adm_in_channels=2816), "found     SD15"),
        (flux, "found     Flux"),
        (Model(state, prediction="FLOW"), "noise levels"),
        (Model({name: value.to(torch.float8_e4m3fn) for name, value in state.items()}), "quantised"),
    ):
        with pytest.raises(NodeError, match=said) as caught:
            bridge("InlayBridgeModel", model=odd)
        assert "(inlay).model" in str(caught.value)
    tiny = types.SimpleNamespace(
        first_stage_model=Weights({"taesd_encoder.0.weight": torch.ones(1)}), patcher=Patcher()
    )
    with pytest.raises(NodeError, match=r"VAE to VAE \(inlay\)\.vae"):
        bridge("InlayBridgeVae", vae=tiny)
    two = types.SimpleNamespace(clip_l=1, clip_g=1)
    for clip, said in (
        (types.SimpleNamespace(cond_stage_model=two, patcher=Patcher(), layer_idx=None), "found     SimpleNamespace"),
        (types.SimpleNamespace(**{**vars(family.clip), "layer_idx": -2}), "layer -2"),
    ):
        with pytest.raises(NodeError, match=said) as caught:
            bridge("InlayBridgeClip", clip=clip)
        assert "(inlay).clip" in str(caught.value)


@pytest.mark.parametrize("family", ["one"], indirect=True)
def test_latents_change_their_space_and_come_back(family, host, tmp_path):
    vae = stable_diffusion(str(family.folder)).vae
    samples = torch.randn(2, 4, 5, 6)
    mask = torch.zeros(2, 1, 20, 24)
    mask[:, :, 4:8] = 1
    latent, hole = bridge("InlayBridgeLatent", latent={"samples": samples, "noise_mask": mask}, vae=vae)
    assert torch.equal(latent, samples * 0.18215)
    assert torch.equal(hole, mask[:, 0])
    (back,) = bridge("InlayBridgeToLatent", latent=latent, vae=vae, mask=hole)
    assert torch.allclose(back["samples"], samples, rtol=1e-6)
    assert torch.equal(back["noise_mask"], mask)
    _, hole = bridge("InlayBridgeLatent", latent={"samples": samples, "noise_mask": torch.eye(5, 6)[None]}, vae=vae)
    assert torch.equal(hole[0, ::4, ::4], torch.eye(5, 6))
    assert hole.shape == (1, 20, 24)
    _, hole = bridge("InlayBridgeLatent", latent={"samples": samples}, vae=vae)
    assert torch.equal(hole, torch.ones(2, 20, 24))  # without a mask the host paints everything
    for odd in (torch.zeros(1, 16, 5, 6), torch.zeros(1, 4, 3, 5, 6)):
        with pytest.raises(NodeError, match=r"LATENT to latent \(inlay\)\.latent"):
            bridge("InlayBridgeLatent", latent={"samples": odd}, vae=vae)


@pytest.mark.parametrize("family", ["one"], indirect=True)
def test_a_conditioning_goes_over_or_says_what_it_carries(family, host):
    wanted, unwanted = torch.randn(1, 6, 8), torch.randn(1, 4, 8)
    pooled = {"pooled_output": torch.ones(1, 8)}
    (found,) = bridge("InlayBridgeConditioning", positive=[[wanted, pooled]], negative=[[unwanted, {}]])
    assert torch.equal(found.cond, wanted.repeat(1, 2, 1))
    assert torch.equal(found.uncond, unwanted.repeat(1, 3, 1))  # as the host makes them equally long
    plain = [[wanted, {}]]
    for odd, said in (
        ([*plain, *plain], "2 conditionings"),
        ([[wanted, {"area": (8, 8, 0, 0)}]], "area"),
        ([[wanted, {"control": object()}]], "control"),
        ([[wanted, {"concat_latent_image": wanted}]], "Condition for inpainting models"),
        ([[torch.ones(1, 6, 9), {}]], "width 9"),
    ):
        with pytest.raises(NodeError, match=said) as caught:
            bridge("InlayBridgeConditioning", positive=plain, negative=odd)
        assert "(inlay).negative" in str(caught.value)


@pytest.mark.parametrize("family", ["one"], indirect=True)
def test_a_layout_that_the_host_does_not_know_is_an_error_of_the_bridge(family, host, monkeypatch):
    sd = types.ModuleType("comfy.sd")
    sd.load_diffusion_model_state_dict = lambda state: None
    monkeypatch.setitem(sys.modules, "comfy.sd", sd)
    parts = stable_diffusion(str(family.folder))
    for name, inputs in (
        ("InlayBridgeToModel", {"denoiser": parts.denoiser}),
        ("InlayBridgeToVae", {"vae": parts.vae}),
        ("InlayBridgeToClip", {"text_encoder": parts.text_encoder}),
    ):
        with pytest.raises(NodeError, match="a layout that ComfyUI does not know") as caught:
            bridge(name, **inputs)
        assert f"(inlay).{next(iter(inputs))}" in str(caught.value)


def test_every_bridge_is_a_node_of_the_host():
    for name, cls in CLASSES.items():
        assert name.startswith("InlayBridge")
        assert NAMES[name].endswith("(inlay)")
        assert len(cls.RETURN_TYPES) == len(cls.RETURN_NAMES)
        assert cls.INPUT_TYPES()["required"]
        assert cls.CATEGORY == "inlay/bridge"
