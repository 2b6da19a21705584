"""Models by hub id: the cache is enough, checking never touches the network, only what is needed is fetched."""

import shutil
import socket

import pytest
from inlay.graph_runtime import ModelError
from inlay.graph_runtime.core.reads import collect_reads
from inlay.graph_runtime.core.run.reread import same_listings
from inlay.models.hub import client
from inlay.models.hub import repository as hub_module
from inlay.nodes.model import exemplar_encoder, paint_by_example, stable_diffusion


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """An empty hub cache, and a network that fails the test when it is touched."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(hub_module, "_resolved", {})

    def refuse(*args, **kwargs):
        raise AssertionError("the network was touched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tmp_path / "hub"


def put(hub, folder, commit="0123456789abcdef0123456789abcdef01234567"):
    repository = hub / "models--someone--tiny"
    shutil.copytree(folder, repository / "snapshots" / commit)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    return repository / "snapshots" / commit


def test_a_model_in_the_cache_is_known(hub, shared_sd):
    put(hub, shared_sd)
    model = stable_diffusion("someone/tiny")
    assert model.denoiser.known
    assert model.vae.factor == 8
    assert model.denoiser.load("cpu").config.in_channels == 4


def test_what_a_branch_means_counts_among_what_a_run_reads(hub, shared_sd):
    """A kept run ends when `main` means another snapshot, also in a process that has looked the model up before."""
    put(hub, shared_sd)
    for _ in range(2):
        with collect_reads() as reads:
            stable_diffusion("someone/tiny")
        assert same_listings(reads)
    (hub / "models--someone--tiny" / "refs" / "main").write_text("f" * 40)
    assert not same_listings(reads)


def test_a_model_that_is_not_there_stays_unresolved_while_checking(hub, monkeypatch):
    model = stable_diffusion("someone/tiny")
    assert not model.denoiser.known
    assert model.denoiser.label == "unet of someone/tiny"
    monkeypatch.setenv("INLAY_OFFLINE", "1")
    with pytest.raises(ModelError) as caught:
        model.vae.load("cpu")
    assert str(hub) in caught.value.found
    assert "INLAY_OFFLINE" in caught.value.found


def test_a_cache_that_lacks_a_part_is_not_enough(hub, shared_sd):
    snapshot = put(hub, shared_sd)
    shutil.rmtree(snapshot / "vae")
    assert not stable_diffusion("someone/tiny").denoiser.known


def test_no_network_is_said_with_the_folder_that_was_searched(hub, monkeypatch):
    from huggingface_hub import HfApi

    def fail(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.delenv("INLAY_OFFLINE", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(client, "_silent", {})
    monkeypatch.setattr(HfApi, "model_info", fail)
    with pytest.raises(ModelError) as caught:
        stable_diffusion("someone/tiny").vae.load("cpu")
    assert "no route to host" in caught.value.found
    assert str(hub) in caught.value.found


FILES = [
    "README.md",
    "model_index.json",
    "v1-5.ckpt",
    "v1-5.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "unet/diffusion_pytorch_model.bin",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
    "vae/diffusion_pytorch_model.fp16.safetensors",
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
    "text_encoder/model.fp16.safetensors",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "scheduler/scheduler_config.json",
    "safety_checker/model.safetensors",
]
PARTS = ("unet", "vae", "text_encoder", "scheduler", "tokenizer")


@pytest.mark.parametrize(("variant", "suffix"), [(None, ""), ("fp16", ".fp16")])
def test_only_what_is_needed_is_fetched(variant, suffix):
    wanted = hub_module.needed_files(FILES, PARTS, variant, "r")
    assert [name for name in wanted if name.endswith("safetensors")] == [
        f"text_encoder/model{suffix}.safetensors",
        f"unet/diffusion_pytorch_model{suffix}.safetensors",
        f"vae/diffusion_pytorch_model{suffix}.safetensors",
    ]
    assert {"tokenizer/vocab.json", "tokenizer/merges.txt", "scheduler/scheduler_config.json"} <= set(wanted)
    assert not any(name.endswith((".bin", ".ckpt")) or "safety" in name for name in wanted)


def test_shards_of_a_variant_are_fetched_together():
    names = [
        "unet/config.json",
        "unet/diffusion_pytorch_model.safetensors.index.json",
        "unet/diffusion_pytorch_model-00001-of-00002.safetensors",
        "unet/diffusion_pytorch_model-00002-of-00002.safetensors",
    ]
    assert hub_module.needed_files(names, ["unet"], None, "r") == sorted(names)


def test_pickles_and_missing_variants_are_refused_by_name():
    with pytest.raises(ModelError, match="pickle"):
        hub_module.needed_files(["unet/config.json", "unet/diffusion_pytorch_model.bin"], ["unet"], None, "r")
    with pytest.raises(ModelError, match="'bf16'"):
        hub_module.needed_files(FILES, PARTS, "bf16", "r")


def test_paint_by_example_is_read_from_the_cache_part_by_part(hub, shared_pbe):
    snapshot = put(hub, shared_pbe)
    parts = paint_by_example("someone/tiny")
    assert parts.exemplar_encoder.known
    assert parts.exemplar_encoder.image_size == 16
    assert parts.exemplar_encoder.mean == pytest.approx((0.48145466, 0.4578275, 0.40821073))
    assert parts.exemplar_encoder.load("cpu").proj_out.out_features == 24
    shutil.rmtree(snapshot / "image_encoder")
    hub_module._resolved.clear()
    assert not paint_by_example("someone/tiny").denoiser.known


def test_a_clip_on_the_hub_lies_at_the_top(hub, tmp_path):
    from transformers import CLIPConfig, CLIPModel

    folder = tmp_path / "clip"
    vision = dict(
        hidden_size=16, intermediate_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=16, patch_size=8
    )
    text = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=64)
    CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=8)).save_pretrained(folder)
    put(hub, folder)
    part = exemplar_encoder("someone/tiny", width=24).exemplar_encoder
    assert part.known
    assert part.load("cpu").proj_out.out_features == 24


PBE = [
    "model_index.json",
    "feature_extractor/preprocessor_config.json",
    "image_encoder/config.json",
    "image_encoder/model.safetensors",
    "image_encoder/pytorch_model.bin",
    "scheduler/scheduler_config.json",
    "safety_checker/model.safetensors",
    "unet/config.json",
    "unet/diffusion_pytorch_model.safetensors",
    "vae/config.json",
    "vae/diffusion_pytorch_model.safetensors",
]


def test_only_what_paint_by_example_needs_is_fetched(hub, monkeypatch):
    asked = {}

    def fetch(wanted, names, sizes):
        asked["files"] = names
        raise ModelError("source", found="far enough", expected="", fix="")

    monkeypatch.setattr(hub_module, "listing", lambda wanted: client.Listing(tuple(PBE), {}))
    monkeypatch.setattr(hub_module, "download", fetch)
    with pytest.raises(ModelError):
        paint_by_example("someone/pbe").exemplar_encoder.load("cpu")
    assert {
        "image_encoder/model.safetensors",
        "feature_extractor/preprocessor_config.json",
        "unet/diffusion_pytorch_model.safetensors",
    } <= set(asked["files"])
    assert not any("safety" in name or name.endswith(".bin") for name in asked["files"])


def test_an_encoder_published_as_a_pickle_alone_is_refused_with_the_way_out():
    names = [name for name in PBE if name != "image_encoder/model.safetensors"]
    with pytest.raises(ModelError) as caught:
        hub_module.needed_files(names, ["image_encoder"], None, "someone/pbe")
    assert "image_encoder/pytorch_model.bin" in caught.value.found
    assert "safetensors.torch.save_file" in caught.value.fix
