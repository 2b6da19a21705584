"""A budget for weights that is too small is refused before anything runs, with the smallest that works."""

import re

import inlay
import pytest
from inlay.graph_runtime import WorkflowError
from PIL import Image
from safetensors import safe_open

UNITS = {"B": 1, "KiB": 2**10, "MiB": 2**20}


@pytest.fixture
def flow(shared_sd, tmp_path):
    Image.radial_gradient("L").resize((32, 32)).convert("RGB").save(tmp_path / "photo.png")
    return {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": str(tmp_path / "photo.png")}},
            "model": {"type": "model.stable_diffusion", "params": {"source": str(shared_sd), "dtype": "float32"}},
            "latent": {"type": "latent.encode", "inputs": {"image": "photo.image", "vae": "model.vae"}},
            "shape": {"type": "mask.shape", "inputs": {"image": "photo.image"}},
            "hole": {"type": "mask.to_latent", "inputs": {"mask": "shape.mask", "vae": "model.vae"}},
            "words": {
                "type": "condition.text",
                "version": 2,
                "params": {"prompt": "a"},
                "inputs": {"text_encoder": "model.text_encoder"},
            },
        },
        "outputs": {"latent": "latent.latent"},
    }


def bytes_of(folder, component):
    """Bytes of a component's weights in float32, counted by the safetensors library."""
    total = 0
    for path in (folder / component).glob("*.safetensors"):
        with safe_open(path, "pt") as file:
            for name in file.keys():  # noqa: SIM118 - not a dict
                shape = file.get_slice(name).get_shape()
                count = 1
                for side in shape:
                    count *= side
                total += 4 * count
    return total


def test_a_budget_below_the_largest_part_is_refused_by_check_and_by_run(flow, shared_sd, tmp_path):
    size = bytes_of(shared_sd, "vae")
    [problem] = inlay.check(flow, memory=size - 1, out=tmp_path, device="cpu")
    assert problem.where == "latent.vae"
    number, unit = re.search(r"at least (\d+) (\w+)", problem.expected).groups()
    least = int(number) * UNITS[unit]
    assert size <= least < size + UNITS[unit]
    with pytest.raises(WorkflowError, match=r"latent\.vae"):
        inlay.run(flow, memory=size - 1, out=tmp_path, device="cpu", cache=False)
    for budget in (size, f"{number}{unit}"):
        assert inlay.check(flow, memory=budget, out=tmp_path, device="cpu") == []
        assert inlay.run(flow, memory=budget, out=tmp_path, device="cpu", cache=False)["latent"].ndim == 4


def test_only_models_whose_weights_are_used_count(flow, tmp_path):
    flow["outputs"] = {"mask": "hole.latent_mask"}
    assert inlay.check(flow, memory=1, out=tmp_path) == []
    assert inlay.run(flow, memory=1, out=tmp_path, cache=False)["mask"].ndim == 4


def test_every_node_whose_model_is_too_large_is_named(flow, shared_sd, tmp_path):
    flow["outputs"]["words"] = "words.conditioning"
    report = inlay.check(flow, memory=10, out=tmp_path, device="cpu")
    assert {problem.where for problem in report} == {"latent.vae", "words.text_encoder"}
    assert len({problem.expected for problem in report}) == 1


def test_half_precision_needs_half_the_budget(flow, shared_sd, tmp_path):
    flow["nodes"]["model"]["params"]["dtype"] = "float16"
    assert inlay.check(flow, memory=bytes_of(shared_sd, "vae") // 2, out=tmp_path, device="cpu") == []
    assert inlay.check(flow, memory=bytes_of(shared_sd, "vae") // 2 - 1, out=tmp_path, device="cpu")


def test_models_that_a_run_needs_at_once_count_together(flow, shared_sd, tmp_path):
    """constraint.pixel_space decodes and encodes between the steps: the VAE is in memory beside the UNet."""
    both = bytes_of(shared_sd, "vae") + bytes_of(shared_sd, "unet")
    flow["nodes"] |= {
        "steps": {"type": "schedule.ddim", "params": {"steps": 2}, "inputs": {"scheduler": "model.scheduler"}},
        "noise": {"type": "noise.gaussian", "inputs": {"latent": "latent.latent"}},
        "pixels": {
            "type": "constraint.pixel_space",
            "inputs": {"image": "photo.image", "mask": "shape.mask", "vae": "model.vae"},
        },
        "keep": {
            "type": "constraint.null_space",
            "inputs": {"latent": "latent.latent", "latent_mask": "hole.latent_mask", "then": "pixels.constraint"},
        },
        "sample": {
            "type": "sample.denoise",
            "inputs": {
                "denoiser": "model.denoiser",
                "schedule": "steps.schedule",
                "noise": "noise.noise",
                "conditioning": "words.conditioning",
                "constraint": "keep.constraint",
            },
        },
    }
    flow["outputs"] = {"latent": "sample.latent"}
    [problem] = inlay.check(flow, memory=both - 1, out=tmp_path, device="cpu")
    assert (problem.where, "together" in problem.found) == ("sample.denoiser", True)
    with pytest.raises(WorkflowError, match=r"sample\.denoiser"):
        inlay.run(flow, memory=both - 1, out=tmp_path, device="cpu", cache=False)
    assert inlay.check(flow, memory=both, out=tmp_path, device="cpu") == []
    assert inlay.run(flow, memory=both, out=tmp_path, device="cpu", cache=False)["latent"].ndim == 4
    flow["nodes"]["keep"]["inputs"].pop("then")
    assert inlay.check(flow, memory=both - 1, out=tmp_path, device="cpu") == []
