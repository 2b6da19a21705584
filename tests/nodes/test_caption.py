"""caption.blip against transformers' own classes on a tiny model of the published layout."""

import json

import pytest
import torch
from inlay.graph_runtime import BadInput, Context, ModelError
from inlay.models.image_encoder import preprocess_images
from inlay.nodes import model_vision
from inlay.nodes.caption import blip

WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "[DEC]",
    "a",
    "photo",
    "of",
    "the",
    "blue",
    "red",
    "dog",
    "cat",
    "room",
    "sofa",
]


@pytest.fixture
def folder(tmp_path):
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration

    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    torch.manual_seed(0)
    config = BlipConfig(
        vision_config={**small, "image_size": 32, "patch_size": 8},
        projection_dim=8,
        text_config={
            **small,
            "encoder_hidden_size": 16,
            "vocab_size": len(WORDS),
            "max_position_embeddings": 32,
            "bos_token_id": 5,
            "eos_token_id": 3,
            "sep_token_id": 3,
            "pad_token_id": 0,
        },
    )
    BlipForConditionalGeneration(config).save_pretrained(tmp_path)
    (tmp_path / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(tmp_path / "vocab.txt"), additional_special_tokens=["[DEC]"]).save_pretrained(tmp_path)
    return tmp_path


@pytest.mark.floor
@pytest.mark.parametrize("prompt", [None, "a photo of"])
def test_it_says_what_transformers_says(folder, prompt):
    from transformers import AutoTokenizer, BlipForConditionalGeneration

    image = torch.rand(1, 40, 50, 3, generator=torch.Generator().manual_seed(1))
    described = model_vision.captioner(str(folder)).captioner
    theirs, tokenizer = BlipForConditionalGeneration.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    told = {} if prompt is None else {"input_ids": tokenizer(prompt, return_tensors="pt").input_ids}
    wanted = tokenizer.decode(
        theirs.eval().generate(
            pixel_values=preprocess_images(image, 32, "stretch", described.mean, described.std),
            max_new_tokens=8,
            num_beams=3,
            do_sample=False,
            **told,
        )[0],
        skip_special_tokens=True,
    )
    found = blip(image, described, Context(), prompt=prompt, longest=8, beams=3).text
    assert found == wanted.strip()
    assert found == blip(image, described, Context(), prompt=prompt, longest=8, beams=3).text
    assert prompt is None or found.startswith(prompt)


@pytest.mark.parametrize("kind", ["blip", "evil"])
def test_a_folder_that_brings_code_of_its_own_does_not_run_it(folder, monkeypatch, kind):
    ran = folder / "ran"
    (folder / "evil.py").write_text(f"open({str(ran)!r}, 'w')\nEvilConfig = EvilTokenizer = dict\n")
    for name, said in (
        ("config.json", {"AutoConfig": "evil.EvilConfig"}),
        ("tokenizer_config.json", {"AutoTokenizer": ["evil.EvilTokenizer", "evil.EvilTokenizer"]}),
    ):
        path = folder / name
        path.write_text(
            json.dumps(
                json.loads(path.read_text())
                | {"auto_map": said, "tokenizer_class": "EvilTokenizer"}
                | ({"model_type": kind} if name == "config.json" else {})
            )
        )
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    if kind == "evil":
        with pytest.raises(ModelError, match="evil"):
            model_vision.captioner(str(folder))
    else:
        described = model_vision.captioner(str(folder)).captioner
        assert blip(torch.rand(1, 8, 8, 3), described, Context()).text is not None
    assert not ran.exists()


def test_what_does_not_fit_is_refused_by_name(folder, shared_sd):
    described, image = model_vision.captioner(str(folder)).captioner, torch.rand(1, 8, 8, 3)
    for call, port in (
        (lambda: blip(torch.rand(2, 8, 8, 3), described, Context()), "image"),
        (lambda: blip(image, "x", Context()), "captioner"),
    ):
        with pytest.raises(BadInput) as caught:
            call()
        assert caught.value.at("x").port == port
    with pytest.raises(ModelError):
        model_vision.captioner(str(shared_sd))
