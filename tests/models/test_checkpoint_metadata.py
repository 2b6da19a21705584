"""What a single file says of itself: markers, metadata, the schedule's own buffers."""

import math

import pytest
import torch
from inlay.graph_runtime import ModelError
from inlay.models.checkpoint import metadata as metadata_module
from inlay.models.checkpoint.layouts import infer
from inlay.models.checkpoint.metadata import read_metadata, stored_schedule
from inlay.models.checkpoint.single_file import SingleFile
from inlay.models.files.safetensors_header import Header, TensorInfo, read_header
from inlay.models.noise_levels import alphas_cumprod
from single_files import checkpoint

READ = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.")


MARK = torch.zeros(0)


def test_a_file_without_words_is_read_as_before(tmp_path):
    plain = checkpoint(tmp_path / "a.safetensors")
    assert plain.notes() == []
    assert plain.config("scheduler")["prediction_type"] == "epsilon"
    assert not {"rescale_betas_zero_snr", "trained_betas", "timestep_spacing"} & set(plain.config("scheduler"))
    assert plain.config("vae")["scaling_factor"] == 0.18215
    assert plain.config("unet")["sample_size"] == 64


def test_markers_say_what_is_predicted_and_where_the_schedule_ends(tmp_path):
    marked = checkpoint(tmp_path / "a.safetensors", {"v_pred": MARK, "ztsnr": MARK})
    said = marked.config("scheduler")
    assert said["prediction_type"] == "v_prediction"
    assert said["timestep_spacing"] == "trailing"
    assert float(alphas_cumprod(said)[-1]) == 0.0
    assert marked.notes() == []
    assert checkpoint(tmp_path / "b.safetensors", {"v_pred": MARK}).config("scheduler").get("ztsnr") is None


@pytest.mark.parametrize(
    ("text", "wanted"), [("v", "v_prediction"), ("epsilon", "epsilon"), ("V_Prediction", "v_prediction")]
)
def test_the_metadata_says_what_is_predicted(tmp_path, text, wanted):
    file = checkpoint(tmp_path / "a.safetensors", metadata={"modelspec.prediction_type": text})
    assert file.config("scheduler")["prediction_type"] == wanted


@pytest.mark.parametrize(
    ("extra", "metadata", "found"),
    [
        ({"v_pred": MARK}, {"modelspec.prediction_type": "epsilon"}, "marker"),
        ({}, {"modelspec.prediction_type": "psychic"}, "psychic"),
        ({}, {"modelspec.architecture": "stable-diffusion-xl-v1-base"}, "SDXL"),
        ({}, {"modelspec.architecture": "stable-diffusion-v2-768-v"}, "says Stable Diffusion 2.x"),
        ({"model_ema.diffusion_modelinput_blocks00weight": torch.zeros(2)}, {}, "model_ema.* (1 tensors"),
        ({"control_model.x": torch.zeros(2), "control_model.y": torch.zeros(2)}, {}, "control_model (2 tensors"),
        ({"embedding_manager.x": torch.zeros(2)}, {}, "embedding_manager (1 tensor "),
    ],
)
def test_what_contradicts_or_is_not_read_is_named(tmp_path, extra, metadata, found):
    (note,) = checkpoint(tmp_path / "a.safetensors", extra, metadata).notes()
    assert found in note


def test_a_prediction_that_is_set_against_the_file_is_named(tmp_path):
    checkpoint(tmp_path / "a.safetensors", {"v_pred": MARK})
    set_ = SingleFile.read(tmp_path / "a.safetensors", "epsilon")
    assert set_.config("scheduler")["prediction_type"] == "epsilon"
    assert "v_prediction" in set_.notes()[0]


@pytest.mark.parametrize("key", metadata_module.EDM)
def test_edm_models_are_refused(tmp_path, key):
    with pytest.raises(ModelError, match="EDM"):
        checkpoint(tmp_path / "a.safetensors", {key: torch.tensor(80.0)})


def test_the_size_it_was_trained_on_is_heard(tmp_path):
    file = checkpoint(tmp_path / "a.safetensors", metadata={"modelspec.resolution": "768x768"})
    assert (file.config("unet")["sample_size"], file.config("vae")["sample_size"]) == (96, 768)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.float64])
def test_the_usual_betas_change_nothing(tmp_path, dtype):
    usual = torch.tensor(
        [(math.sqrt(0.00085) + (math.sqrt(0.012) - math.sqrt(0.00085)) * i / 999) ** 2 for i in range(1000)],
        dtype=torch.float64,
    )
    file = checkpoint(tmp_path / "a.safetensors", {"betas": usual.to(dtype), "alphas_cumprod": torch.zeros(1000)})
    assert "trained_betas" not in file.config("scheduler")
    assert file.notes() == []


def test_other_betas_and_a_scale_are_those_of_the_file(tmp_path):
    betas = torch.linspace(0.0015, 0.0195, 500)
    file = checkpoint(tmp_path / "a.safetensors", {"betas": betas, "scale_factor": torch.tensor(0.22765929)})
    found = alphas_cumprod(file.config("scheduler"))
    torch.testing.assert_close(found, torch.cumprod(1 - betas.double(), 0), rtol=1e-4, atol=1e-7)
    assert file.config("vae")["scaling_factor"] == pytest.approx(0.22765929)
    with pytest.raises(ModelError, match="betas"):
        checkpoint(tmp_path / "b.safetensors", {"betas": torch.tensor([0.1, float("nan")])})


def test_groups_of_a_hostile_file_are_cut_short(tmp_path):
    header = Header({f"group{number}.x": TensorInfo("F32", [1]) for number in range(5000)}, {})
    assert len(read_metadata(header, "x", READ).notes) <= 8


def test_markers_are_found_by_the_header_alone(tmp_path):
    checkpoint(tmp_path / "a.safetensors", {"v_pred": MARK})
    header = read_header(tmp_path / "a.safetensors")
    assert infer(header, "a", None)["scheduler"]["prediction_type"] == "v_prediction"
    assert stored_schedule(tmp_path / "a.safetensors") == (None, None)
