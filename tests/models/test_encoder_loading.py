"""Encoders of transformers are loaded as the library's own loader loads them, bit for bit, from the keys that count."""

import json

import pytest
import torch
from inlay.models.blip import CaptionerComponent
from inlay.models.clip import ClipComponent
from inlay.models.detr.component import DetectorComponent
from inlay.models.dino import DinoComponent, newest_name
from inlay.models.folder import ModelFolder
from inlay.models.paint_by_example.component import read_vision
from inlay.models.text_encoder import TextEncoderComponent
from safetensors.torch import load_file, save_file

pytestmark = pytest.mark.floor
SMALL = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
SEEING = {**SMALL, "image_size": 16, "patch_size": 8}


def randomise(module):
    """No parameter keeps an initial value by which two could be confused."""
    torch.manual_seed(11)
    for value in module.parameters():
        value.data.normal_(0, 0.3)
    return module.eval()


def save(module, folder, **config):
    randomise(module).save_pretrained(folder)
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **config}))
    return folder


@pytest.fixture
def clip(tmp_path, tiny):
    from transformers import CLIPConfig, CLIPModel

    reading = {**SMALL, "vocab_size": 64, "max_position_embeddings": 12, "eos_token_id": 1, "bos_token_id": 0}
    config = CLIPConfig(text_config=reading, vision_config=SEEING, projection_dim=8)
    folder = save(CLIPModel(config), tmp_path / "clip")
    tiny.save_tokenizer(folder)
    return folder


@pytest.fixture
def captioner(tmp_path):
    from transformers import BlipConfig, BlipForConditionalGeneration

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a", "sofa", "##s", "lamp", ",", "."]
    writing = {**SMALL, "vocab_size": len(words), "max_position_embeddings": 32}
    writing |= {"bos_token_id": 5, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    config = BlipConfig(text_config=writing, vision_config=SEEING, projection_dim=8)
    folder = save(BlipForConditionalGeneration(config), tmp_path / "blip")
    (folder / "vocab.txt").write_text("\n".join(words) + "\n")
    return folder


def dino(folder, kind, **changes):
    from transformers import Dinov2Config, Dinov2Model, ViTConfig, ViTModel

    config = {**SEEING, **changes}
    if kind == "vit":
        return save(ViTModel(ViTConfig(**config), add_pooling_layer=False), folder)
    del config["intermediate_size"]
    return save(Dinov2Model(Dinov2Config(**config)), folder)


def copied(path):
    """A file's tensors, independent of the file, which is written again."""
    return {key: value.clone() for key, value in load_file(path).items()}


def described(kind, folder):
    return kind.describe(ModelFolder(folder, folder.name, flat=True), "float32")


@torch.no_grad()
def test_clip_is_loaded_as_by_transformers(clip):
    from transformers import CLIPModel

    ours, own = described(ClipComponent, clip).load("cpu"), CLIPModel.from_pretrained(clip).eval()
    pixels, tokens = torch.randn(2, 3, 16, 16), torch.tensor([[0, 5, 6, 1], [0, 7, 1, 1]])
    want = own(input_ids=tokens, pixel_values=pixels)
    assert torch.equal(ours.model(input_ids=tokens, pixel_values=pixels).logits_per_image, want.logits_per_image)
    same_state(ours.model, own)


def same_state(ours, own):
    found, want = ours.state_dict(), own.state_dict()
    assert set(found) == set(want)
    assert all(torch.equal(found[name], value) for name, value in want.items())


@torch.no_grad()
def test_a_section_of_an_old_clip_counts_as_in_transformers(clip):
    """`text_config_dict` and its defaults replace `text_config`."""
    from transformers import CLIPModel

    path = clip / "config.json"
    config = json.loads(path.read_text())
    config["text_config_dict"] = {**SMALL, "vocab_size": 64, "max_position_embeddings": 12, "hidden_act": "gelu"}
    path.write_text(json.dumps(config))
    ours, own = described(ClipComponent, clip).load("cpu"), CLIPModel.from_pretrained(clip).eval()
    tokens = torch.tensor([[0, 5, 6, 1]])
    assert torch.equal(ours.model.text_model(tokens)[0], own.text_model(tokens)[0])
    assert ours.model.text_model.config.eos_token_id == own.text_model.config.eos_token_id == 49407


@torch.no_grad()
@pytest.mark.parametrize("act", ["quick_gelu", "gelu", "gelu_new"])
def test_a_text_encoder_is_loaded_as_by_transformers(tiny, act):
    from transformers import CLIPTextModel

    folder = tiny.stable_diffusion(text={"hidden_act": act, "layer_norm_eps": 1e-3})
    ours = TextEncoderComponent.describe(ModelFolder(folder, "sd"), "float32").load("cpu")
    own = CLIPTextModel.from_pretrained(folder / "text_encoder").eval()
    tokens = torch.tensor([[0, 5, 6, 1, 1]])
    assert torch.equal(ours.read(tokens), own(tokens)[0])


@torch.no_grad()
def test_a_vision_model_is_loaded_as_by_transformers(clip):
    from transformers import CLIPVisionModel

    own = CLIPVisionModel.from_pretrained(clip).eval()
    origin = ModelFolder(clip, "clip", flat=True)
    ours = read_vision(origin, origin.config("clip")).eval()
    pixels = torch.randn(1, 3, 16, 16)
    assert torch.equal(ours(pixels).pooler_output, own(pixels).pooler_output)


@torch.no_grad()
@pytest.mark.parametrize(
    ("kind", "changes"),
    [("vit", {}), ("vit", {"qkv_bias": False}), ("dinov2", {}), ("dinov2", {"use_swiglu_ffn": True, "mlp_ratio": 2})],
)
@pytest.mark.parametrize("prefix", ["", "own"])
def test_dino_is_loaded_as_by_transformers(tmp_path, kind, changes, prefix):
    from transformers import Dinov2Model, ViTModel

    folder = dino(tmp_path / "dino", kind, **changes)
    own = (ViTModel if kind == "vit" else Dinov2Model).from_pretrained(folder).eval()
    pixels = torch.randn(2, 3, 16, 16)
    want = own(pixels).last_hidden_state[:, 0]
    if prefix:  # as a classifier's file has it
        path = folder / "model.safetensors"
        stored = copied(path)
        save_file({f"{kind}.{key}": value for key, value in stored.items()} | {"classifier.bias": torch.zeros(2)}, path)
    ours = described(DinoComponent, folder).load("cpu")
    assert torch.equal(ours.pictures(pixels), want)


@torch.no_grad()
@pytest.mark.parametrize(("kind", "changes"), [("vit", {}), ("dinov2", {}), ("dinov2", {"use_swiglu_ffn": True})])
def test_dino_is_loaded_from_the_names_of_either_transformers(tmp_path, kind, changes):
    """Published files have the names of version 4; both are written down here."""
    folder = dino(tmp_path / "dino", kind, **changes)
    path = folder / "model.safetensors"
    stored = copied(path)
    want = described(DinoComponent, folder).load("cpu").pictures(pixels := torch.randn(1, 3, 16, 16))
    newest, oldest = {}, {}
    for key, value in stored.items():
        new = newest_name(key)
        if ".weights_in." in new:
            for half, part in zip(("gate", "up"), value.chunk(2), strict=True):
                newest[new.replace("weights_in", f"{half}_proj")] = part.clone()
        else:
            newest[new] = value
        old = new.replace("layers.", "encoder.layer.", 1)
        for word, letter in (("query", "q"), ("key", "k"), ("value", "v")):
            old = old.replace(f".attention.{letter}_proj.", f".attention.attention.{word}.")
        old = old.replace(".attention.o_proj.", ".attention.output.dense.").replace(".down_proj.", ".weights_out.")
        if kind == "vit":
            old = old.replace(".mlp.fc1.", ".intermediate.dense.").replace(".mlp.fc2.", ".output.dense.")
        oldest[old] = value
    for names in (newest, oldest):
        save_file(names, path)
        assert torch.equal(described(DinoComponent, folder).load("cpu").pictures(pixels), want)


@torch.no_grad()
@pytest.mark.parametrize("prompt", ["", "a sofa,"])
def test_blip_captions_as_by_transformers(captioner, prompt):
    from transformers import BertTokenizer, BlipForConditionalGeneration

    ours = described(CaptionerComponent, captioner).load("cpu")
    own = BlipForConditionalGeneration.from_pretrained(captioner).eval()
    same_state(ours.model, own)
    tokenizer = BertTokenizer.from_pretrained(captioner)
    pixels = torch.randn(1, 3, 16, 16)
    given = {"input_ids": tokenizer(prompt, return_tensors="pt").input_ids} if prompt else {}
    want = own.generate(pixel_values=pixels, max_new_tokens=9, num_beams=3, do_sample=False, **given)
    assert ours.say(pixels, prompt, 9, 3) == tokenizer.decode(want[0], skip_special_tokens=True).strip()


def test_tied_weights_may_be_stored_once_or_twice(captioner):
    from transformers import BlipForConditionalGeneration

    path = captioner / "model.safetensors"
    stored = copied(path)
    decoder, words = (
        f"text_decoder.{end}.weight" for end in ("cls.predictions.decoder", "bert.embeddings.word_embeddings")
    )
    one = next(name for name in (decoder, words) if name in stored)
    kept = {key: value for key, value in stored.items() if key not in (decoder, words)}
    for names in ({decoder: 1, words: 1}, {decoder: 1}, {words: 1}, {decoder: 2, words: 1}):
        save_file(kept | {name: stored[one] * factor for name, factor in names.items()}, path)
        module = described(CaptionerComponent, captioner).load("cpu").model.state_dict()
        assert torch.equal(module[decoder], stored[one] * names.get(decoder, 1))
        assert torch.equal(module[words], stored[one])
    own = BlipForConditionalGeneration.from_pretrained(captioner).state_dict()
    assert torch.equal(own[decoder], module[decoder])
    assert torch.equal(own[words], module[words])


@torch.no_grad()
def test_detr_is_loaded_as_by_transformers(tiny):
    from transformers import DetrForObjectDetection

    folder = tiny.detector()
    ours = described(DetectorComponent, folder).load("cpu")
    config = json.loads((folder / "config.json").read_text())
    older = {"use_timm_backbone": False, "use_pretrained_backbone": False, "backbone": None}
    (folder / "config.json").write_text(json.dumps({**config, **older}))
    own = DetrForObjectDetection.from_pretrained(folder).eval()
    pixels = torch.randn(1, 3, 64, 64)
    assert torch.equal(ours(pixels).logits, own(pixels).logits)
