"""Everything that a model's files say and that decides a result is used, named in a warning, or refused.

The keys come from diffusers' and peft's own signatures, not from our list; whether a scheduler's key is used is seen by
changing it.
"""

import dataclasses
import inspect
import json
import types
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from inlay.graph_runtime import BadInput, ModelError
from inlay.graph_runtime.core.notices import collect_notices
from inlay.graph_runtime.front.python import api
from inlay.models.known_keys.detector import BACKBONE, DETECTOR
from inlay.models.known_keys.encoders import TEXT
from inlay.models.known_keys.lora import ADAPTER
from inlay.models.known_keys.page import TABLES, page
from inlay.models.known_keys.pipeline import UNET, VAE
from inlay.models.known_keys.scheduler import SCHEDULER
from inlay.models.known_keys.table import list_unused
from inlay.models.unused_keys import warn_unused_of_detector, warn_unused_of_model, warn_unused_preprocessing
from inlay.nodes import latent, noise
from inlay.nodes.model import paint_by_example, stable_diffusion
from inlay.nodes.model_vision import detector
from inlay.nodes.schedule import ddim, solver
from safetensors.torch import save_file

ROOT = Path(__file__).resolve().parents[2]
BASE = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
}
SCHEDULERS = (
    "DDIMScheduler",
    "DDPMScheduler",
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "EulerDiscreteScheduler",
    "HeunDiscreteScheduler",
    "DEISMultistepScheduler",
    "LMSDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LCMScheduler",
    "TCDScheduler",
)
#: Other values than diffusers' own, by key, for the property.
OTHER = {
    "num_train_timesteps": 500,
    "beta_start": 0.002,
    "beta_end": 0.03,
    "beta_schedule": "linear",
    "trained_betas": [0.01] * 1000,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "steps_offset": 3,
    "timestep_spacing": "trailing",
    "clip_sample": True,
    "thresholding": True,
    "variance_type": "learned_range",
    "use_karras_sigmas": True,
    "use_exponential_sigmas": True,
    "use_beta_sigmas": True,
    "use_lu_lambdas": True,
    "sigma_min": 0.1,
    "sigma_max": 9.0,
    "timestep_type": "continuous",
    "shift_terminal": 0.1,
    "original_inference_steps": 20,
    "timestep_scaling": 3.0,
    "brand_new": 7,
    "another.new": "yes",
}
#: What decides nothing here: other solvers' insides, or only beside a key that is named.
ELSEWHERE = {
    "clip_sample_range",
    "sample_max_value",
    "dynamic_thresholding_ratio",
    "skip_prk_steps",
    "solver_order",
    "algorithm_type",
    "solver_type",
    "lower_order_final",
    "euler_at_final",
    "final_sigmas_type",
    "lambda_min_clipped",
    "predict_x0",
    "disable_corrector",
    "solver_p",
    "interpolation_type",
    "flow_shift",
    "time_shift_type",
    "set_alpha_to_one",
    "kwargs",
    "args",
}


def scheduler(**said):
    return types.SimpleNamespace(config={**BASE, **said}, label="scheduler of toy")


def keys_of(names, module="diffusers"):
    library = __import__(module)
    return {
        key: value.default
        for name in names
        for key, value in inspect.signature(getattr(library, name).__init__).parameters.items()
        if key != "self"
    }


def test_the_list_covers_every_key_of_the_libraries():
    from peft import LoraConfig

    flow = {"use_flow_sigmas", "use_dynamic_shifting"}
    assert set(keys_of(SCHEDULERS)) - {"kwargs", "args"} - set(SCHEDULER) == set()
    assert set(keys_of(SCHEDULERS)) - set(OTHER) - set(ELSEWHERE) - flow == set()
    assert set(keys_of(["UNet2DConditionModel", "UNet2DModel"])) - set(UNET) == set()
    assert set(keys_of(["AutoencoderKL"])) - set(VAE) == set()
    assert set(keys_of(["CLIPTextConfig"], "transformers")) - set(TEXT) - {"kwargs"} == set()
    assert set(keys_of(["DetrConfig"], "transformers")) - set(DETECTOR) - {"kwargs"} == set()
    assert set(keys_of(["ResNetConfig"], "transformers")) - set(BACKBONE) - {"kwargs"} == set()
    assert {field.name for field in dataclasses.fields(LoraConfig)} - set(ADAPTER) == set()


@settings(max_examples=60, deadline=None)
@given(st.sets(st.sampled_from(sorted(OTHER))), st.sampled_from(["leading", "linspace", "trailing", "model"]))
def test_every_decisive_key_of_a_scheduler_is_used_or_named(chosen, spacing):
    said = {key: OTHER[key] for key in chosen}
    if isinstance(said.get("trained_betas"), list):
        said["trained_betas"] = said["trained_betas"][: said.get("num_train_timesteps", 1000)]

    def made(config):
        try:
            return ddim(scheduler(**config), steps=7, spacing=spacing).schedule
        except BadInput as error:
            return error.found

    with collect_notices() as heard:
        result = made(said)
    for key in chosen:
        without = {name: value for name, value in said.items() if name != key}
        used = made(without) != result
        shaped = key in ("beta_start", "beta_end", "beta_schedule") and "trained_betas" in said
        unread = key == "steps_offset" and spacing != "leading"
        unread |= key == "steps_offset" and spacing == "model" and said.get("timestep_spacing", "leading") != "leading"
        same = key == "timestep_spacing" and spacing in ("model", "trailing")
        length = key == "num_train_timesteps" and "trained_betas" in said
        assert used or shaped or unread or same or length or isinstance(result, str) or key in " ".join(heard), key


@pytest.mark.parametrize(
    ("said", "spacing", "found"),
    [
        ({"timestep_spacing": "trailing"}, "leading", "timestep_spacing = 'trailing'"),
        ({"timestep_spacing": "linspace"}, "trailing", "timestep_spacing = 'linspace'"),
        (
            {"timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
            "leading",
            "begins at 852",
        ),
        ({"rescale_betas_zero_snr": True}, "leading", "epsilon"),
        ({"trained_betas": [*[0.1] * 20, 1.0], "prediction_type": "v_prediction"}, "leading", "betas that end in"),
        ({"clip_sample": True}, "leading", "clip_sample"),
        ({"thresholding": True}, "leading", "thresholding"),
        ({"variance_type": "learned"}, "leading", "variance_type"),
        ({"use_karras_sigmas": True}, "leading", "use_karras_sigmas"),
        ({"_class_name": "LCMScheduler"}, "leading", "LCMScheduler"),
        ({"later": {"a": 1}}, "leading", "later"),
    ],
)
def test_what_a_schedule_does_otherwise_is_named(said, spacing, found):
    with collect_notices() as heard:
        ddim(scheduler(**said), steps=7, spacing=spacing)
    assert len(heard) == 1
    assert found in heard[0]
    assert "scheduler of toy" in heard[0]


@pytest.mark.parametrize(
    ("said", "spacing"),
    [
        ({}, "leading"),
        ({"clip_sample": False, "thresholding": False, "steps_offset": 1}, "leading"),
        ({"timestep_spacing": "trailing"}, "trailing"),
        ({"timestep_spacing": "trailing"}, "model"),
        ({"timestep_spacing": "trailing", "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}, "model"),
    ],
)
def test_what_is_followed_is_not_spoken_of(said, spacing):
    with collect_notices() as heard:
        ddim(scheduler(**said), steps=7, spacing=spacing)
    assert heard == []


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ({}, "leading"),
        ({"_class_name": "EulerDiscreteScheduler"}, "linspace"),
        ({"_class_name": "DPMSolverMultistepScheduler"}, "linspace"),
        ({"timestep_spacing": "trailing"}, "trailing"),
    ],
)
def test_the_model_s_own_spacing_is_that_of_diffusers(said, wanted):
    import diffusers

    config = {**BASE, **said}
    own = ddim(scheduler(**said), steps=7, spacing="model").schedule
    assert own.timesteps == ddim(scheduler(), steps=7, spacing=wanted).schedule.timesteps
    theirs = getattr(diffusers, config["_class_name"]).from_config(config)
    assert theirs.config.timestep_spacing == wanted


def test_a_spacing_that_nobody_knows_is_refused():
    with pytest.raises(ModelError, match="timestep_spacing"):
        ddim(scheduler(timestep_spacing="sideways"), spacing="model")


@pytest.mark.parametrize(
    ("kind", "said", "found"),
    [
        ("pndm", {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}, "rescale_betas_zero_snr"),
        ("euler", {"use_karras_sigmas": True}, "use_karras_sigmas"),
        ("euler", {"brand_new": 3}, "brand_new"),
        ("dpmpp_2m", {"clip_sample": True}, "clip_sample"),
        ("pndm", {"thresholding": True}, "thresholding"),
    ],
)
def test_what_a_solver_does_not_know_is_named(kind, said, found):
    with collect_notices() as heard:
        solver(scheduler(**said), kind=kind, steps=5)
    assert found in " ".join(heard)


def test_what_a_solver_knows_is_not_spoken_of():
    with collect_notices() as heard:
        solver(
            scheduler(
                timestep_spacing="trailing",
                clip_sample=False,
                set_alpha_to_one=False,
                steps_offset=1,
                skip_prk_steps=True,
            ),
            kind="euler",
            steps=5,
        )
    assert heard == []


class Files:
    """An origin that holds nothing but words."""

    name = "toy"

    def __init__(self, **parts):
        self._index = parts.pop("index", {})
        self._parts = parts

    def config(self, part):
        return self._parts.get(part, {})

    def index(self):
        return self._index

    def optional(self, part):
        return self._parts.get(part, {})


EVERY = ("unet", "vae", "text_encoder", "scheduler", "tokenizer")
WORTHLESS = (None, False, "", [], {})


@pytest.mark.parametrize(
    ("said", "dtype", "found"),
    [
        ({"unet": {"time_cond_proj_dim": 256}}, "auto", "unet: time_cond_proj_dim"),
        ({"unet": {"attention_type": "gated"}}, "auto", "attention_type"),
        ({"unet": {"brand_new": 1}}, "auto", "unet: brand_new"),
        ({"vae": {"force_upcast": True}}, "float16", "vae: force_upcast"),
        ({"vae": {"tomorrow": "x"}}, "auto", "vae: tomorrow"),
        ({"text_encoder": {"rope_theta": 5}}, "auto", "text_encoder: rope_theta"),
        ({"index": {"safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"]}}, "auto", "safety_checker"),
        ({"index": {"controlnet": ["diffusers", "ControlNetModel"]}}, "auto", "controlnet"),
        ({"index": {"image_encoder": ["transformers", "CLIPVisionModelWithProjection"]}}, "auto", "image_encoder"),
        ({"index": {"_class_name": "LatentConsistencyModelPipeline"}}, "auto", "LatentConsistencyModelPipeline"),
        ({"tokenizer": {"tokenizer_class": "XLMRobertaTokenizer"}}, "auto", "tokenizer: tokenizer_class"),
        ({"tokenizer": {"do_lower_case": False}}, "auto", "tokenizer: do_lower_case"),
        ({"tokenizer": {"new_kind": "x"}}, "auto", "tokenizer: new_kind"),
        ({"index": {"gizmo": ["a", "B"]}}, "auto", "gizmo"),
        ({"index": {"gizmo_strength": 2}}, "auto", "gizmo_strength"),
    ],
)
def test_what_a_model_says_and_nobody_uses_is_named(said, dtype, found):
    with collect_notices() as heard:
        warn_unused_of_model(Files(**said), EVERY, dtype)
    assert len(heard) == 1
    assert found in heard[0]
    assert "toy" in heard[0]


@pytest.mark.parametrize(
    ("part", "key", "value"),
    [
        ("unet", "quantization_config", {"load_in_4bit": True}),
        ("vae", "latents_std", [1.0]),
        ("unet", "encoder_hid_dim", 8),
        ("text_encoder", "quantization_config", {"bits": 8}),
        ("unet", "addition_embed_type", "text_time"),
        ("unet", "num_class_embeds", 5),
    ],
)
def test_what_cannot_be_followed_is_refused(part, key, value):
    with pytest.raises(ModelError, match=key):
        warn_unused_of_model(Files(**{part: {key: value}}), EVERY)


def test_ordinary_files_say_nothing(shared_sd, shared_pbe):
    index = {
        "_class_name": "StableDiffusionPipeline",
        "safety_checker": [None, None],
        "unet": ["diffusers", "X"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "requires_safety_checker": True,
    }
    with collect_notices() as heard:
        warn_unused_of_model(Files(index=index, vae={"force_upcast": True}), EVERY)
        for source in ("dollhouse", str(shared_sd)):
            ddim(stable_diffusion(source).scheduler)
        detector()
        for source in ("dollhouse-exemplar", str(shared_pbe)):
            paint_by_example(source)
    assert heard == []


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(TABLES)), st.data())
def test_every_key_of_a_header_is_used_named_or_refused(where, data):
    table = TABLES[where][1]
    key = st.one_of(st.sampled_from(sorted(table)), st.text("abcdefgh_", min_size=3, max_size=9).map("zz".__add__))
    value = st.one_of(st.integers(2, 99), st.text("pqrs", min_size=1, max_size=9), st.sampled_from(WORTHLESS))
    said = data.draw(st.dictionaries(key, value, max_size=12))
    named = [phrase.partition(" = ")[0] for phrase in list_unused(table, said)]
    for key, value in said.items():
        kind = table[key].use if key in table else "unknown"
        worthless = any(value == nothing and type(value) is type(nothing) for nothing in WORTHLESS)
        assert (key in named) == (
            kind in ("named", "unknown")
            and not worthless
            and (key not in table or value not in table[key].unremarkable)
        ), key


def preprocessor(**said):
    values, origin = said, types.SimpleNamespace(name="x")
    return types.SimpleNamespace(preprocessor=values, origin=origin)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"do_normalize": False}, "do_normalize"),
        ({"do_resize": False}, "do_resize"),
        ({"do_center_crop": False}, "do_center_crop"),
        ({"do_rescale": False}, "do_rescale"),
        ({"rescale_factor": 1 / 127.5}, "rescale_factor"),
        ({"resample": 2}, "resample"),
        ({"size": {"height": 224, "width": 224}}, "size"),
        ({"offset": True}, "offset"),
    ],
)
def test_preprocessing_that_is_done_otherwise_is_named(said, found):
    with collect_notices() as heard:
        warn_unused_preprocessing(preprocessor(**said))
    assert found in heard[0]


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ({"num_channels": 4}, "num_channels"),
        ({"backbone_kwargs": {"a": 1}}, "backbone_kwargs"),
        ({"later": 2}, "later"),
        ({"backbone_config": {"hidden_act": "gelu"}}, "backbone_config: hidden_act"),
    ],
)
def test_a_detector_s_words_are_named(said, found):
    with collect_notices() as heard:
        warn_unused_of_detector(types.SimpleNamespace(config=said, origin=types.SimpleNamespace(name="detr")))
    assert found in heard[0]


def test_preprocessing_that_is_done_so_is_not_spoken_of():
    with collect_notices() as heard:
        warn_unused_preprocessing(
            preprocessor(
                do_resize=True,
                do_center_crop=True,
                do_rescale=True,
                do_normalize=True,
                do_convert_rgb=True,
                resample=3,
                rescale_factor=0.00392156862745098,
                size={"shortest_edge": 224},
                crop_size={"height": 224, "width": 224},
                image_mean=[0.5] * 3,
                image_std=[0.5] * 3,
                image_processor_type="CLIPImageProcessor",
            )
        )
    assert heard == []


@pytest.mark.parametrize(
    ("node", "tensors", "found"),
    [
        ("latent", {"latent": 4, "latent_format_version_0": 1}, "scaling factor"),
        ("latent", {"latent": 4, "spare": 4}, "spare"),
        ("noise", {"z_T": 4, "z_S": 4}, "z_S"),
        ("latent", {"latent": 4, "z_T": 4}, None),
        ("noise", {"z_T": 4, "latent": 4}, None),
    ],
)
def test_tensors_that_are_left_out_are_named(tmp_path, node, tensors, found):
    path = tmp_path / "file.safetensors"
    save_file({key: torch.ones([1] * axes) for key, axes in tensors.items()}, str(path))
    with collect_notices() as heard:
        (latent.load if node == "latent" else noise.load)(str(path))
    assert len(heard) == (found is not None)
    assert found is None or found in heard[0]


def test_a_seeing_model_is_known_by_what_its_pictures_go_through(tiny):
    folder = tiny.paint_by_example("seeing")
    before = paint_by_example(str(folder)).exemplar_encoder.fingerprint
    path = folder / "feature_extractor" / "preprocessor_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "image_mean": [0.5, 0.5, 0.5]}))
    assert paint_by_example(str(folder)).exemplar_encoder.fingerprint != before


def test_the_page_is_the_list():
    assert (ROOT / "docs" / "files.md").read_text(encoding="utf-8") == page(), "run `make docs`"


def test_check_and_run_say_it(tiny):
    folder = tiny.stable_diffusion("model", scheduler={"timestep_spacing": "trailing"})
    index = {"_class_name": "StableDiffusionPipeline", "safety_checker": ["stable_diffusion", "X"]}
    (folder / "model_index.json").write_text(json.dumps(index))
    raw = {
        "format": 1,
        "nodes": {
            "model": {"type": "model.stable_diffusion", "params": {"source": str(folder)}},
            "steps": {"type": "schedule.ddim", "inputs": {"scheduler": "model.scheduler"}},
        },
        "outputs": {"s": "steps.schedule"},
    }
    said = {warning.node: warning.message for warning in api.check(raw).warnings}
    assert "safety_checker" in said["model"]
    assert "trailing" in said["steps"]
