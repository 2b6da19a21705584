import json
import math

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from inlay.dollhouse import evaluate, judge
from inlay.dollhouse.world import caption, draw, sample_scene
from safetensors import safe_open
from transformers import CLIPTokenizer

WEIGHTS = evaluate.HERE / "weights"


@pytest.fixture(scope="module")
def pipeline():
    pipeline = StableDiffusionPipeline.from_pretrained(WEIGHTS, local_files_only=True)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def test_the_folder_is_small_and_holds_no_pickles():
    files = [path for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 30_000_000
    assert {path.suffix for path in files} <= {".json", ".txt", ".safetensors", ""}
    assert {path.name for path in files if not path.suffix} == {"LICENSE"}
    assert len([path for path in files if path.suffix == ".safetensors"]) == 3
    assert judge.WEIGHTS.stat().st_size <= 1_000_000


def test_every_tensor_is_finite_half_precision():
    for path in [*WEIGHTS.rglob("*.safetensors"), judge.WEIGHTS]:
        with safe_open(path, "pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a dict
                value = file.get_tensor(key)
                assert value.dtype == torch.float16, key
                assert value.isfinite().all(), key


def test_settings_are_those_of_stable_diffusion_1():
    scheduler = json.loads((WEIGHTS / "scheduler" / "scheduler_config.json").read_text())
    wanted = {
        "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000,
        "steps_offset": 1, "clip_sample": False, "set_alpha_to_one": False, "prediction_type": "epsilon",
    }  # fmt: skip
    assert {key: scheduler[key] for key in wanted} == wanted
    unet = json.loads((WEIGHTS / "unet" / "config.json").read_text())
    assert (unet["in_channels"], unet["out_channels"], unet["sample_size"]) == (4, 4, 16)


def test_the_tokenizer_loads_from_each_of_its_forms(tmp_path):
    shipped = CLIPTokenizer.from_pretrained(WEIGHTS / "tokenizer")
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((WEIGHTS / "tokenizer" / name).read_bytes())
    plain = CLIPTokenizer.from_pretrained(tmp_path)
    text = "A blue dog standing in a room with green walls"
    assert shipped(text).input_ids == plain(text).input_ids
    assert shipped.model_max_length == plain.model_max_length == 32


def test_the_pipeline_loads_in_float32_and_repeats_itself(pipeline):
    parts = (pipeline.vae, pipeline.unet, pipeline.text_encoder)
    assert {value.dtype for part in parts for value in part.parameters()} == {torch.float32}
    pictures = [
        pipeline(
            "a blue sofa in a room with green walls", num_inference_steps=3, height=128, width=128,
            generator=torch.Generator().manual_seed(0), output_type="np",
        ).images
        for _ in range(2)
    ]  # fmt: skip
    assert pictures[0].shape == (1, 128, 128, 3)
    assert np.array_equal(*pictures)


def test_the_autoencoder_keeps_pictures_and_colours(pipeline):
    numbers = evaluate.measure_vae(pipeline.vae, "val", 12)
    assert numbers["psnr_mean"] >= 30
    assert numbers["colour_error_mean"] <= 6


@torch.inference_mode()
def test_latents_have_unit_spread_at_the_scaling_factor(pipeline):
    images = np.stack([np.asarray(draw(sample_scene("val", i))) for i in range(96)])
    tensor = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    latents = pipeline.vae.encode(tensor).latent_dist.mode() * pipeline.vae.config.scaling_factor
    assert latents.std().item() == pytest.approx(1, abs=0.1)
    assert latents.mean(dim=(0, 2, 3)).abs().max() < 0.2


def test_half_precision_on_disk_costs_nothing(pipeline):
    """The file is read as float32; a second rounding to half must give the same weights back."""
    half = AutoencoderKL.from_pretrained(WEIGHTS / "vae", torch_dtype=torch.float16)
    for name, value in half.state_dict().items():
        assert torch.equal(value.float(), pipeline.vae.state_dict()[name])


def test_prompts_are_obeyed(pipeline):
    scenes = [sample_scene("val", index) for index in range(6)]
    pictures = evaluate.generate(pipeline, [caption(scene) for scene in scenes], 5.0, steps=15, batch=6)
    readings = judge.read(judge.load(), pictures)
    right = [(r.kind, r.colour, r.wall) == (s.kind, s.colour, s.wall) for r, s in zip(readings, scenes, strict=True)]
    assert sum(right) >= 4


def test_the_judge_reads_drawings():
    scenes = [sample_scene("val", index) for index in range(1000, 1060)]
    readings = judge.read(judge.load(), [draw(scene) for scene in scenes])
    pairs = list(zip(readings, scenes, strict=True))
    assert sum(r.label == s.label for r, s in pairs) >= 59
    assert sum((r.colour, r.wall) == (s.colour, s.wall) for r, s in pairs) >= 59


def test_wilson_intervals():
    assert evaluate.wilson(90, 100) == pytest.approx((0.8256, 0.9448), abs=1e-4)
    assert evaluate.wilson(0, 10)[0] == 0
    assert evaluate.wilson(10, 10)[1] == pytest.approx(1, abs=1e-12)
    assert not math.isnan(evaluate.wilson(1, 1)[0])
    with pytest.raises(ValueError, match="not a share"):
        evaluate.wilson(1, 0)
