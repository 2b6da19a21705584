"""Configurations that a stranger wrote: each absurd value is refused by name at the check, every other key is dropped.

Nothing in them chooses code, a file, or how much is allocated before the weights have been compared.
"""

import inspect
import json
import math
import pickle
import shutil
import struct
import sys
import time

import pytest
import torch
from inlay.graph_runtime import BadInput, ModelError
from inlay.graph_runtime.core.notices import collect_notices
from inlay.graph_runtime.front.python import api
from inlay.models.files.safetensors_header import read_header
from inlay.models.known_keys.pipeline import UNET, VAE
from inlay.models.known_keys.scheduler import SCHEDULER
from inlay.models.scheduler_config import SchedulerConfig, SolverConfig, solver_arguments
from inlay.models.unet_config import UNETS, UNet2DConditionConfig
from inlay.models.vae_config import VaeConfig
from inlay.nodes.model import paint_by_example, pixel_diffusion, stable_diffusion
from inlay.nodes.schedule import solver
from ways_to_load import single_file

DEEP: list = []
for _ in range(40):
    DEEP = [DEEP]
LONG = [1] * 200_000
NAN, HUGE = math.nan, 10**9
#: component's configuration -> key -> values that no published model has.
HOSTILE = {
    "unet/config.json": {
        "in_channels": [10**7, -1, 4.0, "4", [4], NAN],
        "out_channels": [10**7, 0],
        "sample_size": [HUGE, [8, 8, 8], "64"],
        "block_out_channels": [[HUGE, HUGE], LONG, [16], [65_536, 65_536], [[16, 32]], {"0": 16}, DEEP],
        "layers_per_block": [10**7, 0, -1, [10**7, 1], [1, 1, 1], 1e300, 4301 * "9"],
        "transformer_layers_per_block": [10**7, LONG, [[1] * 5000, 1], DEEP, [64, 64, 64]],
        "reverse_transformer_layers_per_block": [LONG, [10**7, 1]],
        "attention_head_dim": [0, -8, 10**9, LONG],
        "num_attention_heads": [8, 10**9],
        "cross_attention_dim": [HUGE, [24, 24], True],
        "down_block_types": [["os.system", "DownBlock2D"], ["DownBlock2D"] * 50_000, "DownBlock2D", [None, None]],
        "up_block_types": [["UpBlock2D"], ["owner/repo", "UpBlock2D"], [["UpBlock2D"]], ["SkipUpBlock2D"] * 2],
        "mid_block_type": ["owner/repo", "os.system", 5, ["UNetMidBlock2D"]],
        "act_fn": ["eval", "torch.nn.SiLU", 3, None, "silu; import os"],
        "time_embedding_type": ["../../x", 1],
        "time_embedding_dim": [10**9, -1],
        "time_embedding_act_fn": ["os.system"],
        "timestep_post_act": ["builtins.exec"],
        "time_cond_proj_dim": [10**9],
        "attention_type": ["owner/repo", "flash"],
        "cross_attention_norm": ["__class__", 1],
        "resnet_time_scale_shift": ["__import__", None],
        "norm_num_groups": [0, 10**9],
        "norm_eps": [NAN, -1.0, "1e-5"],
        "dropout": [2.0, NAN],
        "mid_block_scale_factor": [0, NAN, math.inf],
        "downsample_padding": [10**6, -1, 3],
        "dual_cross_attention": [True],
        "class_embeddings_concat": [True],
        "conv_in_kernel": [10**6, 0, 2],
        "conv_out_kernel": [10**6],
        "freq_shift": [NAN, 10**9],
        "upcast_attention": ["yes", 2],
        "_class_name": ["os.system", "owner/repo", "AutoencoderKL", 5],
        "addition_embed_type": ["text", "owner/repo"],
        "encoder_hid_dim_type": ["text_proj"],
        "class_embed_type": ["projection"],
        "num_class_embeds": [10**9],
        "quantization_config": [{"quant_method": "bitsandbytes", "load_in_8bit": True}],
    },
    "vae/config.json": {
        "latent_channels": [10**7, "4"],
        "block_out_channels": [[HUGE] * 4, LONG, [65_536] * 4, [8] * 3],
        "layers_per_block": [10**7, 0],
        "down_block_types": [["DownBlock2D"] * 4, ["os.system"] * 4, ["DownEncoderBlock2D"]],
        "up_block_types": [["UpBlock2D"] * 4, "UpDecoderBlock2D"],
        "act_fn": ["eval"],
        "norm_num_groups": [None, 10**9],
        "scaling_factor": [NAN, 0, 1e300],
        "shift_factor": [NAN, "x"],
        "sample_size": [None, 10**9],
        "latents_mean": [[0.0] * 4],
        "_class_name": ["AutoencoderTiny", "os.system"],
    },
    "scheduler/scheduler_config.json": {
        "num_train_timesteps": [10**9, 0, True],
        "beta_schedule": ["x" * 500, 5, "os.system"],
        "trained_betas": [LONG, DEEP, [NAN], "x"],
        "beta_start": [NAN, -1, 10**400],
        "steps_offset": [10**9],
        "prediction_type": ["os.system", 5],
        "_class_name": [["a"], "FlowMatchEulerDiscreteScheduler"],
        "rescale_betas_zero_snr": ["yes"],
    },
}
CASES = [(file, key, value) for file, keys in HOSTILE.items() for key, values in keys.items() for value in values]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tiny_at):
    return tiny_at(tmp_path_factory.mktemp("hostile")).stable_diffusion()


def problems_of(folder):
    raw = {"format": 1, "nodes": {"model": {"type": "model.stable_diffusion", "params": {"source": str(folder)}}}}
    return api.check({**raw, "outputs": {"vae": "model.vae"}}, inputs=folder.parent)


def test_the_table_is_long_and_the_folder_is_whole(folder):
    assert len(CASES) >= 60
    assert problems_of(folder) == []


@pytest.mark.parametrize(("file", "key", "value"), CASES, ids=lambda value: repr(value)[:30])
def test_an_absurd_value_is_answered_by_a_problem(folder, file, key, value):
    path = folder / file
    before = path.read_bytes()
    try:
        path.write_text(json.dumps({**json.loads(before), key: value}))
        start = time.monotonic()
        found = problems_of(folder)
        assert time.monotonic() - start < 20, "not an answer but a hang"
    finally:
        path.write_bytes(before)
    assert len(found) == 1
    named = "16 levels" if value is DEEP else key  # DEEP has forty
    assert named in str(found[0]) or key in ("_class_name", "prediction_type", "beta_schedule")
    assert len(str(found[0])) < 1500
    assert "bug" not in str(found[0])


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        '{"in_channels": ' + "9" * 5000 + "}",
        '{"in_channels": 4, "in_channels": 5}',
        '{"x": "' + "y" * 2**20 + '"}',
        '"in_channels"',
        "",
        "\ufeff{}",
        '{"a": "\\ud800"}' + "\0",
        "{" + ",".join(f'"k{n}": 1' for n in range(90_000)) + "}",
    ],
    ids=lambda text: text[:12] + str(len(text)),
)
def test_what_is_no_small_object_is_answered_by_a_problem(folder, text):
    path = folder / "unet" / "config.json"
    before = path.read_bytes()
    try:
        path.write_text(text)
        found = problems_of(folder)
    finally:
        path.write_bytes(before)
    assert len(found) >= 1
    assert all(len(str(problem)) < 1500 and "bug" not in str(problem) for problem in found)


STRAY = {
    "transformers_weights": "x.bin",
    "attn_implementation": "owner/repo",
    "_attn_implementation": "owner/repo",
    "attention_processor": "os.system",
    "auto_map": {"AutoModel": "owner/repo--code.Model"},
    "_use_default_values": ["block_out_channels", "layers_per_block"],
    "pretrained_model_name_or_path": "/etc",
    "use_safetensors": True,
    "torch_dtype": "float64",
    "dtype": "float64",
    "device_map": "auto",
    "return_unused_kwargs": True,
    "kwargs": {"a": 1},
    "self": 5,
}


UNKNOWN = set(STRAY) - {"_use_default_values"}  # diffusers' own note on a module


@pytest.mark.parametrize("family", ["stable_diffusion", "pixel", "paint_by_example"])
def test_a_key_that_does_not_count_is_dropped_and_named(tiny, family):
    make, describe = {
        "stable_diffusion": (tiny.stable_diffusion, stable_diffusion),
        "pixel": (tiny.pixel, pixel_diffusion),
        "paint_by_example": (tiny.paint_by_example, paint_by_example),
    }[family]
    folder = make("model")
    parts = [part for part in ("unet", "vae") if (folder / part).is_dir()]
    plain = [
        describe(str(folder)).denoiser.load("cpu"),
        *([describe(str(folder)).vae.load("cpu")] if "vae" in parts else []),
    ]
    for part in parts:
        path = folder / part / "config.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **STRAY}))
    with collect_notices() as heard:
        model = describe(str(folder))
    said = " ".join(heard)
    for key in STRAY:
        if key not in UNET:
            assert all(f"{part}: {key} = " in said for part in parts), key
    for one, other in zip(plain, modules(model, parts), strict=True):
        assert all(torch.equal(value, other.state_dict()[key]) for key, value in one.state_dict().items())
        assert not UNKNOWN & set(other.config), "an unknown key reached the library"
        assert repr(one) == repr(other)


def modules(model, parts):
    return [part.load("cpu") for part in (model.denoiser, *([model.vae] if "vae" in parts else []))]


def test_a_key_of_another_class_is_named(tiny):
    folder = tiny.stable_diffusion()
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "downsample_type": "resnet"}))
    with collect_notices() as heard:
        stable_diffusion(str(folder))
    assert "downsample_type = 'resnet' (a UNet2DConditionModel has no such setting)" in " ".join(heard)


def default_of(parameter):
    return list(parameter.default) if isinstance(parameter.default, tuple) else parameter.default


@pytest.mark.parametrize(
    ("name", "kind"), [*UNETS.items(), ("AutoencoderKL", VaeConfig)], ids=[*UNETS, "AutoencoderKL"]
)
def test_a_schema_has_the_library_s_keys_and_defaults(name, kind):
    """Every parameter of the class is in the schema, or refused or without effect by the table of known keys."""
    import diffusers

    signature = inspect.signature(getattr(diffusers, name).__init__).parameters
    table = VAE if name == "AutoencoderKL" else UNET
    said = json.loads(kind().model_dump_json())
    for key, parameter in signature.items():
        if key in said:
            assert said[key] == default_of(parameter), key
        elif key != "self":
            assert table[key].use in ("refused", "neutral"), key
    assert set(said) <= set(signature)
    assert all(table[key].use in ("used", "named") for key in said)


def test_the_keys_of_a_scheduler_are_the_library_s():
    import diffusers
    from inlay.methods.sampling.solver import KINDS

    known = {
        key for name, _ in KINDS.values() for key in inspect.signature(getattr(diffusers, name).__init__).parameters
    }
    said = {*SchedulerConfig.model_fields, *SolverConfig.model_fields}
    assert said <= known
    left = known - said - {"self"}
    assert {key for key in left if SCHEDULER[key].use == "refused"} == {"use_flow_sigmas", "use_dynamic_shifting"}
    assert left - {"use_flow_sigmas", "use_dynamic_shifting"} == {"flow_shift", "time_shift_type", "solver_p"}
    assert said <= set(SCHEDULER)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("solver_order", 10**9),
        ("solver_order", "2"),
        ("solver_type", "os.system"),
        ("algorithm_type", 5),
        ("disable_corrector", LONG),
        ("lambda_min_clipped", NAN),
        ("lambda_min_clipped", "x"),
        ("sigma_max", NAN),
        ("sigma_min", -1),
        ("timestep_spacing", "sideways"),
        ("final_sigmas_type", "os.system"),
        ("interpolation_type", 3),
        ("use_karras_sigmas", "yes"),
        ("dynamic_thresholding_ratio", 1e300),
        ("variance_type", "x" * 500),
    ],
)
def test_an_absurd_setting_of_a_solver_is_refused_by_name(key, value):
    config = {"beta_schedule": "scaled_linear", key: value}
    with pytest.raises(ModelError, match=key):
        solver_arguments(config)


@pytest.mark.parametrize("kind", ["unipc", "dpmpp_2m", "euler", "deis", "lms", "pndm"])
def test_only_known_keys_reach_a_solver(kind):
    stray = {**STRAY, "solver_p": "os.system", "lambda_min_clipped": -math.inf}
    said = {"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
    scheduler = type("Scheduler", (), {"config": {**said, **stray}, "label": "scheduler of toy"})()
    run = solver(scheduler, kind=kind, steps=5).schedule.begin()
    assert not UNKNOWN & set(run.scheduler.config)
    assert getattr(run.scheduler.config, "solver_p", None) is None


def test_no_pickle_is_opened_for_any_key_of_a_config(tiny, tmp_path, monkeypatch):
    """Pickles beside the weights, and every key of a configuration that names one, for each component."""
    marker = tmp_path / "opened"

    class Bomb:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    folder = tiny.paint_by_example("model")
    for part in ("unet", "vae", "image_encoder"):
        for name in ("x.bin", "diffusion_pytorch_model.bin", "pytorch_model.bin", "model.ckpt", "scheduler.pkl"):
            (folder / part / name).write_bytes(pickle.dumps(Bomb()))
        path = folder / part / "config.json"
        config = json.loads(path.read_text())
        stray = dict.fromkeys(("transformers_weights", "weights_name", "_name_or_path", "state_dict", "file"), "x.bin")
        path.write_text(json.dumps({**config, **stray}))
    found = []

    def audit(event, arguments):
        if event == "pickle.find_class":
            found.append(arguments)
        if event == "open" and str(arguments[0]).endswith((".bin", ".ckpt", ".pkl", ".pt")):
            found.append(arguments)

    listening = [True]
    sys.addaudithook(lambda event, arguments: audit(event, arguments) if listening else None)
    monkeypatch.setattr(torch, "load", lambda *args, **kwargs: pytest.fail("torch.load was called"))
    try:
        model = paint_by_example(str(folder))
        for part in (model.denoiser, model.vae, model.exemplar_encoder):
            part.load("cpu")
    finally:
        listening.clear()
    assert found == []
    assert not marker.exists()


def test_widths_that_the_files_do_not_hold_are_refused_before_a_library_is_asked(tiny, monkeypatch):
    folder = tiny.stable_diffusion()
    path = folder / "unet" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "block_out_channels": [40_960, 65_536]}))
    with pytest.raises(ModelError, match="its files hold"):
        stable_diffusion(str(folder))


def test_the_least_size_of_a_unet_is_never_above_its_own(tiny):
    for settings in ({}, {"layers_per_block": 2}, {"use_linear_projection": True}, {"mid_block_type": None}):
        unet = tiny.unet(**settings)
        config = UNet2DConditionConfig.model_validate(json.loads(unet.to_json_string()))
        assert 0 < config.least <= sum(value.numel() for value in unet.parameters())
    vae = tiny.vae()
    assert (
        0 < VaeConfig.model_validate(json.loads(vae.to_json_string())).least <= sum(v.numel() for v in vae.parameters())
    )


def test_a_configuration_that_is_within_bounds_but_not_the_files_is_refused_without_memory(tiny):
    import resource

    folder = tiny.stable_diffusion()
    path = folder / "unet" / "config.json"
    changes = {"layers_per_block": 20, "cross_attention_dim": 24, "transformer_layers_per_block": 10}
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes, "time_embedding_dim": 60_000}))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ModelError, match="weights in the unet"):
        stable_diffusion(str(folder)).denoiser.load("cpu")
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (1 if sys.platform == "darwin" else 1024)
    assert grown < 4 * 60_000**2 / 4, "memory was taken for weights that are not in the files"
    shutil.rmtree(folder)


def headers(changed):
    """A safetensors file of zeros with these names, shapes and types."""
    offset, listed = 0, {}
    for key, (kind, shape) in changed.items():
        size = math.prod(shape) * {"F32": 4, "I64": 8, "U8": 1}[kind]
        listed[key] = {"dtype": kind, "shape": list(shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(listed).encode()
    return struct.pack("<Q", len(text)) + text + bytes(offset)


UNET_KEY, VAE_KEY = "model.diffusion_model.", "first_stage_model."
#: Changes of a single file's header that its conversion must not stumble over.
ODD = {
    "a missing layer": lambda known: known.pop(f"{UNET_KEY}input_blocks.1.0.out_layers.3.weight"),
    "a layer without axes": lambda known: known.update({f"{UNET_KEY}input_blocks.0.0.weight": ("F32", ())}),
    "a wide layer of nothing": lambda known: known.update(
        {f"{UNET_KEY}input_blocks.0.0.weight": ("F32", (10**9, 4, 0, 3))}
    ),
    "quantised layers": lambda known: known.update(
        {key: ("U8", shape) for key, (_, shape) in known.items() if key.startswith(UNET_KEY)}
    ),
    "thousands of blocks": lambda known: known.update(
        {f"{UNET_KEY}output_blocks.{2 * number}.0.x": ("F32", (0,)) for number in range(9000)}
    ),
    "thousands of levels": lambda known: known.update(
        {f"{VAE_KEY}encoder.down.{number}.block.0.conv1.weight": ("F32", (4, 0)) for number in range(9000)}
    ),
    "betas of zeros": lambda known: known.update({"betas": ("F32", (1000,))}),
    "a vocabulary without axes": lambda known: known.update(
        {"cond_stage_model.transformer.text_model.embeddings.token_embedding.weight": ("F32", ())}
    ),
}


@pytest.fixture(scope="module")
def single(tmp_path_factory, tiny_at):
    folder = single_file(tiny_at(tmp_path_factory.mktemp("single")))
    tensors = read_header(folder / "model.safetensors").tensors
    return folder, {key: (value.dtype, tuple(value.shape)) for key, value in tensors.items()}


@pytest.mark.parametrize("change", ODD)
def test_a_single_file_with_odd_layers_is_answered_by_a_message_that_names_them(single, change):
    folder, known = single
    changed = dict(known)
    ODD[change](changed)
    (folder / "model.safetensors").write_bytes(headers(changed))
    with pytest.raises(BadInput) as caught:  # noqa: PT012 - whichever step sees it first
        model = stable_diffusion(str(folder / "model.safetensors"))
        model.denoiser.origin.layer_sizes("unet")
        for part in (model.denoiser, model.vae, model.text_encoder):
            part.load("cpu")
    assert len(str(caught.value)) < 1500


def test_a_single_file_with_tensors_of_no_use_is_used_without_them(single):
    folder, known = single
    spare = {
        "betas": ("F32", (0,)),
        "scale_factor": ("I64", (3,)),
        "logvar": ("F32", (2**22,)),
        f"{UNET_KEY}input_blocks.99999999999.0.x": ("F32", (1,)),
        f"{UNET_KEY}input_blocks.x.0.op.weight": ("F32", (1,)),
        "cond_stage_model.model.x": ("F32", (1,)),
    }
    (folder / "model.safetensors").write_bytes(headers(known | spare))
    model = stable_diffusion(str(folder / "model.safetensors"))
    assert model.vae.scaling_factor == 0.18215
    assert "trained_betas" not in model.scheduler.config
    for part in (model.denoiser, model.vae, model.text_encoder):
        assert sum(value.numel() for value in part.load("cpu").parameters()) < 2 * 10**6
