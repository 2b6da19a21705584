"""Weights reach a module as diffusers' own loader puts them there, bit for bit, and without its loader."""

import ast
import json
import threading
from pathlib import Path

import pytest
import torch
from inlay.graph_runtime import ModelError
from inlay.models.source import locate
from inlay.models.stable_diffusion import DenoiserComponent, VaeComponent
from inlay.models.weights import fill, list_stored, require_fit, without_weights
from safetensors.torch import load_file, save_file
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
WEIGHTS = "diffusion_pytorch_model.safetensors"
SIMPLE = {
    "down_block_types": ("SimpleCrossAttnDownBlock2D", "ResnetDownsampleBlock2D"),
    "up_block_types": ("ResnetUpsampleBlock2D", "SimpleCrossAttnUpBlock2D"),
    "mid_block_type": "UNetMidBlock2DSimpleCrossAttn",
    "attention_head_dim": 8,
    "cross_attention_norm": "layer_norm",
    "only_cross_attention": True,
}
K_BLOCKS = {
    "down_block_types": ("KCrossAttnDownBlock2D", "KDownBlock2D"),
    "up_block_types": ("KUpBlock2D", "KCrossAttnUpBlock2D"),
    "mid_block_type": None,
    "block_out_channels": (32, 32),
    "time_embedding_type": "fourier",
    "time_embedding_dim": 32,
    "timestep_post_act": "silu",
    "conv_in_kernel": 1,
    "conv_out_kernel": 1,
    "attention_head_dim": 16,
    "act_fn": "gelu",
}
SKIP = {
    "block_out_channels": (32, 32),
    "down_block_types": ("SkipDownBlock2D", "AttnSkipDownBlock2D"),
    "up_block_types": ("AttnSkipUpBlock2D", "SkipUpBlock2D"),
    "time_embedding_type": "fourier",
}
#: name -> (class of diffusers, settings of a tiny one).
FAMILIES = {
    "unet": ("unet", {}),
    "linear": ("unet", {"use_linear_projection": True, "attention_head_dim": (2, 4), "upcast_attention": True}),
    "inpaint": ("unet", {"in_channels": 9, "layers_per_block": (1, 2), "transformer_layers_per_block": (2, 1)}),
    "scale_shift": ("unet", {"resnet_time_scale_shift": "scale_shift", "act_fn": "mish", "time_cond_proj_dim": 8}),
    "groups": ("unet", {"norm_num_groups": 4, "resnet_skip_time_act": True}),
    "gated": ("unet", {"attention_type": "gated"}),
    "simple": ("unet", SIMPLE),
    "k_blocks": ("unet", K_BLOCKS),
    "no_mid": ("unet", {"mid_block_type": None}),
    "plain_mid": ("unet", {"mid_block_type": "UNetMidBlock2D", "time_embedding_act_fn": "gelu"}),
    "pixel": ("pixel", {}),
    "pixel_resnet": ("pixel", {"downsample_type": "resnet", "upsample_type": "resnet", "downsample_padding": 0}),
    "pixel_learned": ("pixel", {"time_embedding_type": "learned", "num_train_timesteps": 50}),
    "pixel_skip": ("pixel", SKIP),
    "pixel_no_attention": ("pixel", {"add_attention": False, "attn_norm_num_groups": 4}),
    "vae": ("vae", {}),
    "vae_bare": ("vae", {"use_quant_conv": False, "use_post_quant_conv": False, "mid_block_add_attention": False}),
    "vae_attention": (
        "vae",
        {
            "levels": 2,
            "down_block_types": ("AttnDownEncoderBlock2D", "DownEncoderBlock2D"),
            "up_block_types": ("UpDecoderBlock2D", "AttnUpDecoderBlock2D"),
            "sample_size": (64, 32),
            "layers_per_block": 2,
        },
    ),
}


ROOMS = ("graph_runtime", "nodes", "models", "methods", "pictures", "training")
LOADERS = {
    "from_pretrained",
    "from_single_file",
    "load_config",
    "load_attn_procs",
    "load_lora_adapter",
    "load_lora_weights",
    "load_ip_adapter",
    "load_checkpoint_and_dispatch",
    "load_checkpoint_in_model",
    "load_state_dict_from_url",
    "get_class_from_dynamic_module",
}


def test_from_pretrained_is_not_called():
    """No loader of a library gets a folder, and no class is chosen by a file: by a scan of the source."""
    for path in (path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        names = {
            name
            for item in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for name in (getattr(item, "attr", None), getattr(item, "id", None), getattr(item, "name", None))
            if isinstance(name, str)
        }
        assert not names & LOADERS, path
        assert not {name for name in names if name.startswith("Auto") and name[4:5].isupper()}, path


def made(tiny, family):
    """The folder of a tiny component of that family, and how it is described."""
    part, settings = FAMILIES[family]
    folder = tiny.pixel(family, **settings) if part == "pixel" else tiny.stable_diffusion(family, **{part: settings})
    component = VaeComponent if part == "vae" else DenoiserComponent

    def describe(dtype="auto", variant=None):
        kind = "pixel" if part == "pixel" else "stable_diffusion"
        return component.describe(locate(str(folder), variant=variant, family=kind), dtype)

    return folder / component.component, describe


def theirs(folder, **settings):
    """What diffusers' own loader makes of a component's folder."""
    import diffusers

    kind = json.loads((folder / "config.json").read_text())["_class_name"]
    return getattr(diffusers, kind).from_pretrained(folder, low_cpu_mem_usage=False, **settings).eval()


def require_same(ours, other):
    for listed in ("named_parameters", "named_buffers"):
        mine, want = (dict(getattr(module, listed)()) for module in (ours, other))
        assert mine.keys() == want.keys()
        for name, value in want.items():
            assert mine[name].dtype == value.dtype, name
            assert torch.equal(mine[name], value), name
    assert repr(ours) == repr(other)
    assert all(ours.config[key] == value for key, value in other.config.items() if not key.startswith("_"))


@pytest.mark.floor
@pytest.mark.parametrize("family", FAMILIES)
def test_a_module_is_the_one_that_diffusers_own_loader_makes(tiny, family):
    inner, describe = made(tiny, family)
    require_same(describe().load("cpu"), theirs(inner))


@pytest.mark.parametrize("stored", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("wanted", ["float32", "float16", "float64"])
def test_a_change_of_precision_is_that_of_diffusers(tiny, stored, wanted):
    inner, describe = made(tiny, "unet")
    save_file({key: value.to(stored) for key, value in load_file(inner / WEIGHTS).items()}, inner / WEIGHTS)
    require_same(describe(dtype=wanted).load("cpu"), theirs(inner).to(getattr(torch, wanted)))


@pytest.mark.parametrize("family", ["unet", "pixel", "vae"])
def test_shards_and_variants_are_those_of_diffusers(tiny, family):
    inner, describe = made(tiny, family)
    module = theirs(inner)
    (inner / WEIGHTS).unlink()
    module.save_pretrained(inner, max_shard_size="30KB")
    assert len(list(inner.glob("*-of-*.safetensors"))) > 1
    require_same(describe().load("cpu"), module)
    module.half().save_pretrained(inner, variant="fp16")
    require_same(describe(variant="fp16").load("cpu"), theirs(inner, variant="fp16"))


OLD = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


@pytest.mark.parametrize("family", ["vae", "pixel", "vae_attention"])
def test_old_names_of_attention_are_read_as_diffusers_does(tiny, family):
    inner, describe = made(tiny, family)
    new = load_file(inner / WEIGHTS)
    old = {}
    for key, value in new.items():
        for name, former in OLD.items():
            key = key.replace(f".{name}.", f".{former}.")
        old[key] = value
    assert set(old) != set(new)
    save_file(old, inner / WEIGHTS, {"format": "pt"})
    require_same(describe().load("cpu"), theirs(inner))


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda state: state.pop("conv_in.bias"), "1 missing weights in the unet of .*: ?.*conv_in.bias"),
        (lambda state: state.update(surplus=torch.zeros(2)), "1 unexpected weights .*surplus"),
        (lambda state: state.update({"conv_in.bias": torch.zeros(3)}), "1 mismatched weights .*conv_in.bias: 3 .*16"),
        (lambda state: state.update({"conv_in.bias": torch.zeros(16, dtype=torch.int8)}), "conv_in.bias: 16 integers"),
    ],
)
def test_weights_that_are_not_the_configurations_are_named(tiny, spoil, found):
    inner, describe = made(tiny, "unet")
    state = load_file(inner / WEIGHTS)
    spoil(state)
    save_file(state, inner / WEIGHTS)
    with pytest.raises(ModelError, match=found.replace(": ?", "")):
        describe().load("cpu")


def test_a_tensor_in_two_shards_is_refused(tmp_path):
    for name in ("a", "b"):
        save_file({"weight": torch.zeros(2, 2)}, tmp_path / f"{name}.safetensors")
    with pytest.raises(ModelError, match=r"weight in .*a.safetensors and in .*b.safetensors"):
        list_stored([tmp_path / "a.safetensors", tmp_path / "b.safetensors"])


def test_nothing_is_read_before_all_shapes_fit(tmp_path, monkeypatch):
    save_file({"weight": torch.zeros(2, 2), "bias": torch.zeros(3)}, tmp_path / "a.safetensors")
    with without_weights():
        module = nn.Linear(2, 2)
    monkeypatch.setattr("inlay.models.weights._read", lambda chosen: pytest.fail("weights were read"))
    with pytest.raises(ModelError, match="mismatched"):
        fill(module, list_stored([tmp_path / "a.safetensors"]), "layer")


def test_layers_of_other_threads_have_weights_while_a_module_is_built_without():
    inside, outside, found = threading.Event(), threading.Event(), []

    def build():
        inside.wait(10)
        found.append(nn.Linear(4, 4).weight)
        outside.set()

    thread = threading.Thread(target=build)
    thread.start()
    with without_weights():
        module = nn.Linear(4, 4)
        inside.set()
        assert outside.wait(10)
    thread.join()
    assert module.weight.is_meta
    assert not found[0].is_meta
    assert not nn.Linear(4, 4).weight.is_meta


def test_weights_with_two_names_may_be_stored_under_either(tmp_path):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
            self.second.weight = self.first.weight

    value = torch.randn(3, 3)
    for name in ("first.weight", "second.weight"):
        save_file({name: value}, tmp_path / "a.safetensors")
        with without_weights():
            module = Tied()
        fill(module, list_stored([tmp_path / "a.safetensors"]), "pair")
        assert module.first.weight is module.second.weight
        assert torch.equal(module.second.weight, value)
    with pytest.raises(ModelError, match="missing"):
        require_fit(module, {}, "pair")
