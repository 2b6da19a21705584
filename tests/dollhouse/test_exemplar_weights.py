"""The embedded exemplar model and CLIP: small, safe, in the published layouts, and they know what they should."""

import json

import numpy as np
import pytest
import torch
from inlay.dollhouse import evaluate
from inlay.dollhouse._clip_stage import CLIP_MEAN, CLIP_STD, boxes, subject_box, train_clip, untrained, views
from inlay.dollhouse._text_stage import caption_ids, text_encoder, token_ids
from inlay.dollhouse._words import write_tokenizer
from inlay.dollhouse.world import LABELS, SUBJECT_COLOURS, draw_layers, sample_scene
from inlay.models.image_encoder import preprocess_images
from inlay.nodes.model import exemplar_encoder, paint_by_example
from safetensors import safe_open
from transformers import CLIPModel, CLIPTokenizer

EXEMPLAR, CLIP = evaluate.HERE / "exemplar", evaluate.HERE / "clip"
POSES = {
    "": "",
    "standing": " standing",
    "lying": " lying",
    "sitting": " sitting",
    "folded": " with folded wings",
    "spread": " with spread wings",
}


def test_all_embedded_weights_together_are_small():
    sizes = {
        folder.name: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        for folder in (EXEMPLAR, CLIP, *(evaluate.HERE / name for name in ("weights", "detector")))
    }
    assert sizes["exemplar"] <= 27_000_000
    assert sum(sizes.values()) <= 80_000_000


@pytest.mark.parametrize("folder", [EXEMPLAR, CLIP], ids=lambda folder: folder.name)
def test_half_precision_safetensors_and_no_path_of_any_machine(folder):
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert {path.suffix for path in files} <= {".json", ".txt", ".safetensors", ""}
    for path in files:
        if path.suffix == ".json":
            assert not json.loads(path.read_text()).get("_name_or_path")
            assert "/home" not in path.read_text()
            assert "/work" not in path.read_text()
        if path.suffix == ".safetensors":
            with safe_open(path, "pt") as file:
                for key in file.keys():  # noqa: SIM118 - not a dict
                    value = file.get_tensor(key)
                    assert value.dtype == torch.float16, key
                    assert value.isfinite().all(), key


def test_the_exemplar_model_borrows_dollhouses_vae():
    parts = paint_by_example()
    assert not (EXEMPLAR / "vae").exists()
    assert parts.denoiser.in_channels == 9
    assert parts.vae.scaling_factor == pytest.approx(0.71182)
    assert parts.exemplar_encoder.image_size == 64
    assert parts.exemplar_encoder.width == 160


def test_the_exemplar_models_clip_is_the_embedded_clip():
    mine = paint_by_example(dtype="float32").exemplar_encoder.load("cpu").model.state_dict()
    clip = exemplar_encoder(width=160, dtype="float32").exemplar_encoder.load("cpu").model.state_dict()
    assert mine.keys() == clip.keys()
    assert all(torch.equal(mine[name], clip[name]) for name in mine)


@torch.no_grad()
def test_the_clip_names_subject_and_colour_of_held_out_scenes():
    clip, tokenizer = CLIPModel.from_pretrained(CLIP).eval(), CLIPTokenizer.from_pretrained(CLIP)
    pairs = [(label, colour) for label in LABELS for colour in SUBJECT_COLOURS]
    says = []
    for label, colour in pairs:
        kind, _, pose = label.partition("-")
        says.append(f"{'an' if colour[0] in 'aeiou' else 'a'} {colour} {kind}{POSES[pose]}")
    text = clip.text_projection(clip.text_model(token_ids(tokenizer, says)).pooler_output)
    text = torch.nn.functional.normalize(text, dim=1)
    right, count = 0, 60
    for number in range(count):
        scene = sample_scene("val", number)
        layers = draw_layers(scene)
        left, top, past, bottom = subject_box(layers.subject)
        cut = torch.from_numpy(np.asarray(layers.image)[top:bottom, left:past].copy()).float()[None] / 255
        pixels = preprocess_images(cut, 64, "stretch", CLIP_MEAN, CLIP_STD)
        seen = clip.visual_projection(clip.vision_model(pixels).pooler_output)
        right += pairs[int((seen @ text.T).argmax())] == (scene.label, scene.colour)
    assert right >= 0.95 * count


def test_boxes_are_those_of_the_drawn_subject(tmp_path):
    found = boxes(tmp_path, 4)
    assert found.shape == (4, 4)
    mask = draw_layers(sample_scene("train", 0)).subject
    left, top, right, bottom = found[0]
    assert mask[top:bottom, left:right].sum() == mask.sum()
    assert mask[top].any()
    assert mask[:, left].any()
    assert mask[bottom - 1].any()
    assert mask[:, right - 1].any()


def test_a_resumed_clip_equals_an_uninterrupted_one(tmp_path):
    tokenizer = write_tokenizer(tmp_path / "tokenizer")
    captions = caption_ids(tokenizer, 6)
    drawn = np.random.default_rng(0).integers(0, 256, (6, 128, 128, 3), dtype=np.uint8)
    corners = np.tile(np.array([[20, 30, 90, 100]], np.int16), (6, 1))

    def run(folder, steps):
        torch.manual_seed(0)
        model = untrained(text_encoder(tokenizer, 32))
        return train_clip(tmp_path / folder, model, drawn, corners, captions, torch.device("cpu"), steps=steps, batch=4)

    whole = run("whole", 3).state_dict()
    again = run("whole", 3).state_dict()  # finished: loaded, not trained
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_views_keep_colours_and_cut_the_subject():
    picture = torch.zeros(2, 3, 128, 128)
    picture[:, 0] = 1.0  # red
    picture[:, 2, 40:80, 30:90] = 1.0  # with a violet box
    corners = torch.tensor([[30.0, 40.0, 90.0, 80.0]] * 2)
    seen = views(picture, corners, torch.tensor([False, True]), torch.Generator().manual_seed(0))
    assert seen.shape == (2, 3, 64, 64)
    torch.testing.assert_close(seen[:, 0], torch.ones(2, 64, 64))
    assert float(seen[1, 2].mean()) > 2 * float(seen[0, 2].mean())
