"""What a LoRA's header and configuration say is used, named or refused while checking; oracles: merging, peft."""

import copy
import json
import math

import pytest
import torch
from inlay.graph_runtime import Context, ModelError
from inlay.graph_runtime.core.notices import collect_notices
from inlay.graph_runtime.front.python import api
from inlay.models.checkpoint.layouts import original_names
from inlay.models.lora.header import check_header
from inlay.nodes import model
from inlay.nodes.model_lora import lora
from safetensors.torch import save_file
from single_files import original_unet
from torch import nn

LAYERS = {
    "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": ((16, 16), 2),
    "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k": ((16, 24), 3),
    "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0": ((32, 32), 4),
}
FIRST = next(iter(LAYERS))
ROOTED = "^" + FIRST.replace(".", r"\.") + "$"


@pytest.fixture(scope="module")
def base(shared_sd):
    return model.stable_diffusion(str(shared_sd), dtype="float64").denoiser


def pairs():
    generator = torch.Generator().manual_seed(3)
    return {
        name: (
            torch.randn(rank, shape[1], generator=generator) / 3,
            torch.randn(shape[0], rank, generator=generator) / 3,
        )
        for name, (shape, rank) in LAYERS.items()
    }


def diffusers_file(path, metadata=None, prefix="unet.", extra=None):
    tensors = {}
    for name, (down, up) in pairs().items():
        tensors |= {f"{prefix}{name}.lora_A.weight": down, f"{prefix}{name}.lora_B.weight": up}
    save_file(tensors | (extra or {}), str(path), metadata)
    return str(path)


def kohya_file(path, metadata=None, alphas=None, extra=None):
    tensors = {}
    for name, (down, up) in pairs().items():
        stem = f"lora_unet_{name.replace('.', '_')}"
        tensors |= {f"{stem}.lora_down.weight": down, f"{stem}.lora_up.weight": up}
        if alphas:
            tensors[f"{stem}.alpha"] = torch.tensor(float(alphas))
    save_file(tensors | (extra or {}), str(path), metadata)
    return str(path)


def packed(**said):
    return {"lora_adapter_metadata": json.dumps({f"unet.{key}": value for key, value in said.items()})}


def effect(base, path, weight=1.0):
    """What the LoRA adds to each layer's weight, read off the adapted UNet by unit vectors."""
    found = {}
    with Context().lease(lora(base, source=path, weight=weight).denoiser) as adapted, Context().lease(base) as plain:
        for name, (shape, _) in LAYERS.items():
            unit = torch.eye(shape[1], dtype=torch.float64)
            with torch.no_grad():
                found[name] = (adapted.get_submodule(name)(unit) - plain.get_submodule(name)(unit)).T
    return found


def assert_scales(base, path, scales):
    found = effect(base, path)
    for name, (down, up) in pairs().items():
        wanted = scales[name] * up.double() @ down.double()
        torch.testing.assert_close(found[name], wanted, rtol=1e-5, atol=1e-6)


def ratio(alpha):
    return {name: alpha / rank for name, (_, rank) in LAYERS.items()}


@pytest.mark.parametrize(
    ("said", "scales"),
    [
        ({"r": 2, "lora_alpha": 6}, ratio(6)),
        ({"r": 2, "lora_alpha": 6, "use_rslora": True}, {n: 6 / math.sqrt(r) for n, (_, r) in LAYERS.items()}),
        ({"r": 2, "lora_alpha": 6, "alpha_pattern": {"attn2.to_k": 9}}, {**ratio(6), list(LAYERS)[1]: 9 / 3}),
        ({"r": 2, "lora_alpha": 6, "alpha_pattern": {ROOTED: 1}}, {**ratio(6), FIRST: 0.5}),
        (
            {
                "r": 2,
                "lora_alpha": 6,
                "rank_pattern": {"attn2.to_k": 3},
                "peft_type": "LORA",
                "bias": "none",
                "init_lora_weights": "gaussian",
                "use_dora": False,
            },
            ratio(6),
        ),
        ({"target_modules": ["to_q"]}, ratio(0) | dict.fromkeys(LAYERS, 1.0)),
    ],
    ids=["alpha", "rslora", "pattern", "rooted-pattern", "plain", "no-alpha"],
)
def test_alpha_in_the_header_is_the_strength(base, tmp_path, said, scales):
    assert_scales(base, diffusers_file(tmp_path / "a.safetensors", packed(**said)), scales)


def test_alpha_by_layer_in_the_header_holds_in_every_layout(base, tmp_path):
    said = packed(r=2, lora_alpha=6, alpha_pattern={"attn2.to_k": 9})
    wanted = {**ratio(6), list(LAYERS)[1]: 9 / 3}
    assert_scales(base, kohya_file(tmp_path / "a.safetensors", said), wanted)
    assert_scales(base, diffusers_file(tmp_path / "b.safetensors", said, prefix="diffusion_model."), wanted)
    either = packed(r=2, lora_alpha=6, alpha_pattern={r".*\.(attn2\.to_k|attn7\.to_k)": 9})
    assert_scales(base, diffusers_file(tmp_path / "c.safetensors", either), wanted)
    with collect_notices() as heard:
        lora(base, source=diffusers_file(tmp_path / "d.safetensors", packed(lora_alpha=6, alpha_pattern={"attn7": 9})))
    assert "1 of its 1 entries name no layer" in heard[0]


def test_alpha_may_be_a_whole_number(base, tmp_path):
    stems = [f"lora_unet_{name.replace('.', '_')}.alpha" for name in LAYERS]
    path = kohya_file(tmp_path / "a.safetensors", extra={stem: torch.tensor(6) for stem in stems})
    assert_scales(base, path, ratio(6))


def test_names_of_the_original_code_are_read(base, tmp_path):
    """ComfyUI saves and extracts LoRAs under the names of the original code, with dots or kohya's underscores."""
    with Context().lease(base) as unet:
        layers = {n: m.weight.shape for n, m in unet.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    numbered = {f"{name}.weight": number for number, name in enumerate(layers)}
    original = {
        list(layers)[number]: name.removeprefix("model.diffusion_model.").removesuffix(".weight")
        for name, number in original_unet(numbered, 1, (True, False)).items()
    }
    assert len(set(original.values())) == len(layers)
    assert original_names(layers) == {old: new for new, old in original.items()}
    dotted = {
        f"diffusion_model.{original[name]}.lora_{half}.weight": value
        for name, (down, up) in pairs().items()
        for half, value in (("down", down), ("up", up))
    }
    save_file(dotted, str(tmp_path / "dotted.safetensors"))
    assert_scales(base, str(tmp_path / "dotted.safetensors"), dict.fromkeys(LAYERS, 1.0))
    kohya = {
        f"lora_unet_{original[name].replace('.', '_')}.lora_{half}.weight": value
        for name, (down, up) in pairs().items()
        for half, value in (("down", down), ("up", up))
    }
    save_file(kohya, str(tmp_path / "kohya.safetensors"))
    assert_scales(base, str(tmp_path / "kohya.safetensors"), dict.fromkeys(LAYERS, 1.0))


def test_the_configuration_of_text_encoders_is_not_that_of_the_unet(base, tmp_path):
    said = {"unet.lora_alpha": 6, "text_encoder.lora_alpha": 99, "text_encoder.use_dora": True}
    path = diffusers_file(tmp_path / "a.safetensors", {"lora_adapter_metadata": json.dumps(said)})
    assert_scales(base, path, ratio(6))


def test_a_file_that_diffusers_writes_with_its_metadata_is_applied_as_diffusers_does(base, tmp_path):
    from diffusers import StableDiffusionPipeline
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    with Context().lease(base) as plain:
        theirs = copy.deepcopy(plain)
    config = LoraConfig(
        r=4,
        lora_alpha=10,
        use_rslora=True,
        target_modules=["to_q", "to_v"],
        init_lora_weights=False,
        alpha_pattern={"attn2.to_v": 3},
    )
    theirs.add_adapter(config)
    state = {key: value.float() for key, value in get_peft_model_state_dict(theirs).items()}
    metadata = {key: list(value) if isinstance(value, set) else value for key, value in config.to_dict().items()}
    StableDiffusionPipeline.save_lora_weights(tmp_path, unet_lora_layers=state, unet_lora_adapter_metadata=metadata)
    z, e = (
        torch.randn(s, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
        for s in ((1, 4, 8, 8), (1, 5, 24))
    )
    ours = lora(base, source=str(tmp_path)).denoiser
    with Context().lease(ours) as adapted, torch.no_grad():
        torch.testing.assert_close(adapted(z, 300, e).sample, theirs(z, 300, e).sample, rtol=0, atol=1e-5)


def test_peft_s_configuration_beside_the_file_is_the_strength(base, tmp_path):
    path = diffusers_file(tmp_path / "adapter_model.safetensors", prefix="base_model.model.")
    with collect_notices() as said:
        lora(base, source=path)
    assert "adapter_config.json" in said[0]
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 8}))
    with collect_notices() as said:
        first = lora(base, source=path).denoiser
    assert "adapter_config.json" not in " ".join(said)
    assert_scales(base, path, ratio(8))
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 16}))
    assert lora(base, source=path).denoiser.fingerprint != first.fingerprint  # another strength, another result
    assert_scales(base, path, ratio(16))


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"peft_type": "LOHA"}, "peft_type"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["conv_in"]}, "modules_to_save"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights"),
        ({"init_lora_weights": "loftq"}, "init_lora_weights"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"lora_bias": True}, "lora_bias"),
        ({"layer_replication": [[0, 4]]}, "layer_replication"),
        ({"lora_alpha": "much"}, "lora_alpha"),
        ({"lora_alpha": -1}, "lora_alpha"),
        ({"lora_alpha": float("nan")}, "alpha"),
        ({"alpha_pattern": {"(a+)+$": 1}}, "alpha_pattern"),
        ({"alpha_pattern": [1]}, "alpha_pattern"),
        ({"use_qalora": True}, "use_qalora"),
        ({"target_parameters": ["x"]}, "target_parameters"),
    ],
)
def test_a_configuration_that_is_no_plain_lora_is_refused_by_name(base, tmp_path, said, found):
    with pytest.raises(ModelError) as caught:
        lora(base, source=diffusers_file(tmp_path / "a.safetensors", packed(**said)))
    assert found in caught.value.found


def test_a_configuration_beside_a_file_of_another_layout_is_used_or_named(base, tmp_path):
    (tmp_path / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 8}))
    assert_scales(base, diffusers_file(tmp_path / "adapter_model.safetensors", prefix=""), ratio(8))
    with collect_notices() as heard:
        lora(base, source=diffusers_file(tmp_path / "a.safetensors"))
    assert "adapter_config.json" in heard[0]
    with collect_notices() as heard:
        lora(base, source=kohya_file(tmp_path / "b.safetensors", alphas=1))
    assert heard == []


@pytest.mark.parametrize("end", [".alpha", ".lora.alpha", "_lora.alpha"])
def test_alpha_in_tensors_holds_and_a_configuration_beside_it_is_named(base, tmp_path, end):
    path = diffusers_file(
        tmp_path / "a.safetensors",
        packed(r=2, lora_alpha=8, use_rslora=True),
        extra={f"unet.{name}{end}": torch.tensor(1.0) for name in LAYERS},
    )
    with collect_notices() as heard:
        lora(base, source=path)
    assert "its configuration states α, and so do its tensors" in heard[0]
    assert_scales(base, path, ratio(1))


def test_metadata_that_is_no_json_is_refused(base, tmp_path):
    for text in ("{", "[1]", "[" * 100_000):
        with pytest.raises(ModelError, match="lora_adapter_metadata"):
            lora(base, source=diffusers_file(tmp_path / "a.safetensors", {"lora_adapter_metadata": text}))


TEXT_ENCODER = {
    "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight": torch.ones(2, 24),
    "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.ones(32, 2),
}
OTHER_TEXT = {
    "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2, 24),
    "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_B.weight": torch.ones(24, 2),
}


@pytest.mark.parametrize(
    ("make", "metadata", "extra", "found"),
    [
        (kohya_file, None, TEXT_ENCODER, "2 tensors for text encoders and words are left out"),
        (kohya_file, None, {"bundle_emb.cat.string_to_param.clip_l": torch.ones(2, 24)}, "and words are left out"),
        (diffusers_file, None, OTHER_TEXT, "2 tensors for text encoders and words are left out"),
        (kohya_file, {"ss_network_dim": "64"}, None, "ss_network_dim = 64"),
        (kohya_file, {"ss_network_alpha": "1.0"}, None, "ss_network_alpha = 1"),
        (kohya_file, {"ss_clip_skip": "2"}, None, "ss_clip_skip = 2"),
        (kohya_file, {"ss_v_parameterization": "True"}, None, "predicts v_prediction"),
        (kohya_file, {"modelspec.prediction_type": "v"}, None, "predicts v_prediction"),
        (kohya_file, {"ss_zero_terminal_snr": "True"}, None, "pure noise"),
        (diffusers_file, packed(r=64, lora_alpha=64), None, "r = 64"),
        (diffusers_file, packed(r=2, brand_new="so"), None, "brand_new"),
    ],
)
def test_what_is_said_and_not_used_is_named(base, tmp_path, make, metadata, extra, found):
    with collect_notices() as said:
        lora(base, source=make(tmp_path / "a.safetensors", metadata, extra=extra))
    assert len(said) == 1
    assert found in said[0]
    assert "a.safetensors" in said[0]


def test_a_plain_file_says_nothing(base, tmp_path):
    quiet = {
        "ss_network_dim": "3",
        "ss_network_alpha": "1",
        "ss_network_module": "networks.lora",
        "ss_v2": "False",
        "ss_base_model_version": "sd_v1",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.prediction_type": "epsilon",
        "ss_training_comment": "hello",
        "ss_clip_skip": "None",
    }
    with collect_notices() as said:
        lora(base, source=kohya_file(tmp_path / "a.safetensors", quiet, alphas=1))
        lora(base, source=diffusers_file(tmp_path / "b.safetensors"))
    assert said == []


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("lora_unet_x.hada_w1_a", "LoHa"),
        ("lora_unet_x.lokr_w1", "LoKr"),
        ("lora_unet_x.dora_scale", "DoRA"),
        ("unet.x.lora_magnitude_vector", "DoRA"),
        ("lora_unet_x.lora_mid.weight", "LoCon"),
        ("lora_unet_x.diff", "whole"),
        ("lora_unet_x.oft_blocks", "OFT"),
        ("lora_unet_x.on_input", r"\(IA\)³"),
        ("lora_unet_x.diff_b", "whole"),
        ("lora_unet_x.w_norm", "norms"),
        ("lora_unet_x.b_norm", "norms"),
        ("lora_unet_x.set_weight", "replace"),
        ("unet.x.lora_B.bias", "biases"),
        ("lora_unet_x.scale_weight", "quantised"),
        ("lora_unet_x.a1.weight", "GLoRA"),
        ("lllite_unet_x.down.0.weight", "LLLite"),
        ("lora_unet_x.reshape_weight", "reshape_weight"),
    ],
)
def test_tensors_of_other_adapters_are_refused_by_name(base, tmp_path, name, what):
    with pytest.raises(ModelError, match=what):
        lora(base, source=kohya_file(tmp_path / "a.safetensors", extra={name: torch.ones(2, 2)}))


def one(stem, down=(2, 24), up=(16, 2)):
    return {f"{stem}.lora_down.weight": torch.ones(*down), f"{stem}.lora_up.weight": torch.ones(*up)}


@pytest.mark.parametrize(
    ("tensors", "metadata", "family"),
    [
        (one("lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k"), {}, "SDXL"),
        (one("lora_unet_mid_block_attentions_0_transformer_blocks_9_attn1_to_q"), {}, "SDXL"),
        (one("lora_te2_text_model_encoder_layers_0_mlp_fc1"), {}, "SDXL"),
        (one("lora_unet_x"), {"ss_base_model_version": "sdxl_base_v1-0"}, "SDXL"),
        (one("lora_unet_x"), {"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "SDXL"),
        (one("lora_unet_x"), {"modelspec.architecture": "stable-diffusion-3-medium/lora"}, "Stable Diffusion 3"),
        (one("lora_unet_double_blocks_0_img_attn_proj"), {}, "Flux"),
        (one("transformer.single_transformer_blocks.0.attn.to_q"), {}, "Flux"),
        (one("transformer.transformer_blocks.1.attn.to_q"), {}, "a diffusion transformer"),
        (one("diffusion_model.blocks.1.self_attn.q"), {}, "a diffusion transformer"),
        (one("lora_unet_joint_blocks_0_context_block_attn_proj"), {}, "Stable Diffusion 3"),
    ],
)
def test_another_family_is_known_from_the_header(base, tmp_path, tensors, metadata, family):
    save_file(tensors, str(tmp_path / "a.safetensors"), metadata)
    with pytest.raises(ModelError) as caught:
        lora(base, source=str(tmp_path / "a.safetensors"))
    assert f"a LoRA for {family}" in caught.value.found


@pytest.mark.parametrize(
    ("width", "family"), [(768, "Stable Diffusion 1.x"), (1024, "Stable Diffusion 2.x"), (2048, "SDXL")]
)
def test_other_widths_are_found_while_checking_with_both_names(base, tmp_path, width, family):
    stem = "lora_unet_" + list(LAYERS)[1].replace(".", "_")
    save_file(one(stem, (2, width)), str(tmp_path / "wide.safetensors"))
    assert check_header(tmp_path / "wide.safetensors").family == family
    raw = {
        "format": 1,
        "nodes": {
            "model": {"type": "model.stable_diffusion", "params": {"source": str(base.origin.root)}},
            "lora": {
                "type": "model.lora",
                "params": {"source": str(tmp_path / "wide.safetensors")},
                "inputs": {"denoiser": "model.denoiser"},
            },
        },
        "outputs": {"d": "lora.denoiser"},
    }
    (problem,) = api.check(raw)
    assert problem.where == "lora.source"
    assert f"wide.safetensors ({family})" in problem.found
    assert "unet of sd" in problem.expected


def test_a_family_that_is_said_is_heard_where_widths_are_the_same(tiny, tmp_path):
    folder = tiny.stable_diffusion("wide", unet={"cross_attention_dim": 768}, text={"hidden_size": 768})
    first = model.stable_diffusion(str(folder)).denoiser
    save_file(
        one("lora_unet_" + FIRST.replace(".", "_"), (2, 16)),
        str(tmp_path / "a.safetensors"),
        {"ss_base_model_version": "sd_v2", "ss_v2": "True"},
    )
    with pytest.raises(ModelError) as caught:
        lora(first, source=str(tmp_path / "a.safetensors"))
    assert "Stable Diffusion 2.x" in caught.value.found
    assert "Stable Diffusion 1.x" in caught.value.expected
    assert lora(first, source=str(tmp_path / "a.safetensors"), any_base=True).denoiser.known


def test_a_layer_that_the_unet_has_not_is_found_while_describing(base, tmp_path):
    save_file(one("lora_unet_down_blocks_7_attentions_0_proj_in"), str(tmp_path / "a.safetensors"))
    with pytest.raises(ModelError, match="down_blocks_7"):
        lora(base, source=str(tmp_path / "a.safetensors"))
