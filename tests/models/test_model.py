"""Models as descriptions: what is known without weights, what is refused, and what a lease gives."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import torch
from inlay.graph_runtime import BadInput, Context, ModelError
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.nodes.model import pixel_diffusion, stable_diffusion
from safetensors.torch import load_file, save_file


def edit(path, **changes):
    config = json.loads(path.read_text())
    config.update(changes)
    path.write_text(json.dumps({key: value for key, value in config.items() if value is not None}))


def test_facts_come_from_configurations(shared_sd):
    model = stable_diffusion(str(shared_sd))
    vae = model.vae
    assert (vae.factor, vae.scaling_factor, vae.shift_factor, vae.latent_channels) == (8, 0.6, 0, 4)
    assert (model.denoiser.in_channels, model.denoiser.out_channels, model.denoiser.sample_size) == (4, 4, 8)
    assert model.denoiser.cross_attention_dim == model.text_encoder.hidden_size == 24
    assert model.scheduler.prediction_type == "epsilon"
    assert model.scheduler.config["num_train_timesteps"] == 1000
    assert model.denoiser.label == "unet of sd"
    assert all(part.known for part in model)


def test_a_description_is_equal_hashable_and_cheap(shared_sd):
    code = (
        "import sys; from inlay.nodes.model import stable_diffusion; m = stable_diffusion(sys.argv[1]);"
        "assert m == stable_diffusion(sys.argv[1]) and len({*m, *stable_diffusion(sys.argv[1])}) == 4;"
        "[p.fingerprint for p in m]; assert not {'diffusers', 'transformers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(shared_sd)], check=True)


def test_fingerprints_follow_files_and_precision_not_the_place(tiny, tmp_path):
    folder = tiny.stable_diffusion()
    before = [part.fingerprint for part in stable_diffusion(str(folder))]
    assert len(set(before)) == 4
    moved = tmp_path / "elsewhere"
    shutil.copytree(folder, moved)  # keeps modification times
    assert [part.fingerprint for part in stable_diffusion(str(moved))] == before
    assert stable_diffusion(str(folder), dtype="float64").vae.fingerprint != before[1]
    os.utime(folder / "unet" / "diffusion_pytorch_model.safetensors", ns=(1, 1))
    after = [part.fingerprint for part in stable_diffusion(str(folder))]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, True, True, True]
    assert stable_diffusion(str(folder)).denoiser != stable_diffusion(str(moved)).denoiser


@pytest.mark.parametrize(
    ("dtype", "want"),
    [("auto", torch.float32), ("float16", torch.float16), ("bfloat16", torch.bfloat16), ("float64", torch.float64)],
)
def test_leases_give_frozen_modules_of_the_wanted_precision(shared_sd, dtype, want):
    said = []
    manager = ModelManager(log=said.append)
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    for part in stable_diffusion(str(shared_sd), dtype=dtype)[:3]:
        with manager.lease(part) as module:
            assert all(parameter.dtype == want and not parameter.requires_grad for parameter in module.parameters())
            assert not any(child.training for child in module.modules())
            if dtype != "auto":
                assert sum(p.numel() * p.element_size() for p in module.parameters()) == part.nbytes()
    assert torch.equal(torch.rand(1), expected)  # loading leaves the global generator alone
    assert len(said) == 3


def test_loading_prints_nothing_and_gives_back_the_libraries_settings(shared_sd, capfd):
    import diffusers
    import transformers

    diffusers.utils.logging.set_verbosity_info()
    before = diffusers.utils.logging.get_verbosity(), transformers.utils.logging.is_progress_bar_enabled()
    try:
        for part in stable_diffusion(str(shared_sd))[:3]:
            part.load("cpu")
        assert capfd.readouterr() == ("", "")
        assert before == (diffusers.utils.logging.get_verbosity(), transformers.utils.logging.is_progress_bar_enabled())
    finally:
        diffusers.utils.logging.set_verbosity_warning()


def test_half_precision_files_and_variants(tiny):
    folder = tiny.stable_diffusion()
    for part in ("unet", "vae", "text_encoder"):
        stem = "model" if part == "text_encoder" else "diffusion_pytorch_model"
        plain = folder / part / f"{stem}.safetensors"
        save_file(
            {key: value.half() for key, value in load_file(plain).items()},
            folder / part / f"{stem}.fp16.safetensors",
            metadata={"format": "pt"},
        )
    both = stable_diffusion(str(folder)).denoiser
    assert both.label == "unet of sd"
    half = stable_diffusion(str(folder), variant="fp16").denoiser
    assert half.label == "unet of sd (fp16 files)"
    assert half.fingerprint != both.fingerprint
    weights = [part.load("cpu").conv_in.weight for part in (both, half)]
    assert torch.equal(weights[0].half().float(), weights[1])
    with pytest.raises(ModelError) as caught:
        stable_diffusion(str(folder), variant="bf16")
    assert caught.value.port == "variant"
    assert "fp16, plain" in caught.value.expected
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    assert stable_diffusion(str(folder)).denoiser.label == "unet of sd (fp16 files)"


def test_shards_are_read_and_a_missing_one_is_named(tiny):
    from diffusers import UNet2DConditionModel

    folder = tiny.stable_diffusion()
    unet = UNet2DConditionModel.from_pretrained(folder / "unet")
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    unet.save_pretrained(folder / "unet", max_shard_size="100KB")
    shards = sorted((folder / "unet").glob("*-of-*.safetensors"))
    assert len(shards) > 1
    part = stable_diffusion(str(folder)).denoiser
    state = part.load("cpu").state_dict()
    assert all(torch.equal(value, state[key]) for key, value in unet.state_dict().items())
    shards[0].unlink()
    with pytest.raises(ModelError, match=shards[0].name):
        stable_diffusion(str(folder))


def test_older_names_of_the_text_encoders_weights(tiny):
    folder = tiny.stable_diffusion()
    want = stable_diffusion(str(folder)).text_encoder.load("cpu").state_dict()
    file = folder / "text_encoder" / "model.safetensors"
    old = {f"text_model.{key.removeprefix('text_model.')}": value for key, value in load_file(file).items()}
    old["text_model.embeddings.position_ids"] = torch.arange(12)[None]
    save_file(old, file, metadata={"format": "pt"})
    got = stable_diffusion(str(folder)).text_encoder.load("cpu").state_dict()
    assert all(torch.equal(value, got[key]) for key, value in want.items())


# what is refused, before anything runs


def spoil_missing_vae(folder):
    shutil.rmtree(folder / "vae")


def spoil_missing_weights(folder):
    (folder / "unet" / "diffusion_pytorch_model.safetensors").unlink()


def spoil_pickle(folder):
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_suffix(".bin"))


def spoil_truncated(folder):
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def spoil_json(folder):
    (folder / "unet" / "config.json").write_text('{"in_channels": ')


def spoil_tokenizer(folder):
    (folder / "tokenizer" / "merges.txt").unlink()


def spoil_prediction(folder):
    edit(folder / "scheduler" / "scheduler_config.json", prediction_type="flow")


def spoil_flow(folder):
    edit(folder / "scheduler" / "scheduler_config.json", _class_name="FlowMatchEulerDiscreteScheduler")


def spoil_sdxl(folder):
    edit(folder / "unet" / "config.json", addition_embed_type="text_time")


def spoil_pairing(folder):
    edit(folder / "unet" / "config.json", cross_attention_dim=1024)


def spoil_vae_kind(folder):
    edit(folder / "vae" / "config.json", _class_name="AutoencoderTiny")


def spoil_text_kind(folder):
    edit(folder / "text_encoder" / "config.json", architectures=["T5EncoderModel"])


def spoil_latent_channels(folder):
    edit(folder / "vae" / "config.json", latent_channels=16)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (spoil_missing_vae, "no vae/config.json"),
        (spoil_missing_weights, r"no unet/diffusion_pytorch_model\.safetensors"),
        (spoil_pickle, "a pickle"),
        (spoil_truncated, r"is cut off: \d+ bytes of \d+"),
        (spoil_json, r"unet/config\.json is damaged"),
        (spoil_tokenizer, r"tokenizer/vocab\.json"),
        (spoil_prediction, "'flow'"),
        (spoil_flow, "FlowMatch"),
        (spoil_sdxl, "SDXL"),
        (spoil_pairing, "width 24 and a UNet that expects 1024"),
        (spoil_vae_kind, "AutoencoderTiny"),
        (spoil_text_kind, "T5EncoderModel"),
        (spoil_latent_channels, "16 latent channels"),
    ],
)
def test_a_spoilt_folder_is_refused_by_name(tiny, spoil, message):
    folder = tiny.stable_diffusion()
    spoil(folder)
    with pytest.raises(BadInput, match=message) as caught:
        stable_diffusion(str(folder))
    assert caught.value.port in ("source", "scheduler")
    assert caught.value.found
    assert caught.value.fix


def test_weights_that_do_not_fit_their_configuration(tiny):
    folder = tiny.stable_diffusion()
    edit(folder / "unet" / "config.json", layers_per_block=2)
    part = stable_diffusion(str(folder)).denoiser
    with pytest.raises(ModelError, match="weights"):
        part.load("cpu")
    file = folder / "vae" / "diffusion_pytorch_model.safetensors"
    save_file(load_file(file) | {"surplus": torch.zeros(2)}, file, metadata={"format": "pt"})
    with pytest.raises(ModelError, match="surplus"):
        stable_diffusion(str(folder)).vae.load("cpu")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("dolhouse", "did you mean 'dollhouse'"),
        ("/nowhere/at/all", "does not exist"),
        ("a/b/c", "a hub id"),
        ("", "a hub id"),
        ("../secret", "a hub id"),
        ("{folder}/nothere", "did you mean 'sd'"),
        ("{folder}/sd/unet/config.json", "the file config.json"),
        ("{folder}", "no unet/"),
        ("{folder}/sd/unet", "give the folder that holds model_index.json: .*/sd"),
    ],
)
def test_sources_that_name_nothing(shared_sd, source, message):
    source = source.replace("{folder}/nothere", f"{shared_sd.parent}/sdd").replace("{folder}", str(shared_sd.parent))
    with pytest.raises(ModelError, match=message) as caught:
        stable_diffusion(source)
    assert caught.value.port == "source"


def test_pixel_models_in_both_layouts(tiny, shared_pixel):
    flat = tiny.pixel("flat", flat=True)
    states = []
    for folder in (shared_pixel, flat):
        model = pixel_diffusion(str(folder))
        assert (model.vae.factor, model.vae.scaling_factor, model.vae.latent_channels) == (1, 1.0, 3)
        assert model.denoiser.cross_attention_dim is None
        assert model.denoiser.multiple == 2
        assert model.scheduler.config["beta_schedule"] == "linear"
        with Context().lease(model.denoiser) as unet:
            states.append(unet.state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


def test_families_are_not_mixed_up(shared_sd, shared_pixel, tiny):
    with pytest.raises(BadInput, match="text-conditional") as caught:
        pixel_diffusion(str(shared_sd))
    assert "model.stable_diffusion" in caught.value.fix
    with pytest.raises(BadInput, match="no vae"):
        stable_diffusion(str(shared_pixel))
    with pytest.raises(BadInput, match="1 channels"):
        pixel_diffusion(str(tiny.pixel("grey", in_channels=1, out_channels=1)))
    with pytest.raises(BadInput, match="classes"):
        pixel_diffusion(str(tiny.pixel("classes", num_class_embeds=10)))
