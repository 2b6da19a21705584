"""The embedded detector: finds the subjects of rooms it never saw, patterned ones too, and nothing in an empty room."""

import numpy as np
import pytest
import torch
from inlay.dollhouse import evaluate
from inlay.dollhouse._clip_stage import subject_box
from inlay.dollhouse._pattern_stage import patterned_scene
from inlay.dollhouse.world import draw_layers, sample_scene
from inlay.graph_runtime import BadInput, Context
from inlay.nodes.mask.detect import detect
from inlay.nodes.model_vision import detector

FOLDER = evaluate.HERE / "detector"


@pytest.fixture(scope="module")
def part():
    return detector("dollhouse-detector").detector


def pixels(image):
    return torch.from_numpy(np.asarray(image).copy()).float()[None] / 255


@pytest.mark.parametrize(
    "scene_of", [lambda i: sample_scene("val", i), lambda i: patterned_scene(i, "val")], ids=["plain", "patterned"]
)
def test_it_finds_subjects_with_their_names(part, scene_of):
    overlaps, named = [], []
    for index in range(12):
        scene = scene_of(index)
        layers = draw_layers(scene)
        found = detect(pixels(layers.image), part, Context(), score=0.5)
        left, top, right, bottom = subject_box(layers.subject)
        truth = torch.zeros(128, 128)
        truth[top:bottom, left:right] = 1
        both, either = (found.mask[0] * truth).sum(), ((found.mask[0] + truth) > 0).sum()
        overlaps.append(float(both / either))
        named.append(found.boxes[0][0].label == scene.kind)
    assert np.mean(overlaps) > 0.85
    assert sum(named) >= 10


def test_an_empty_room_has_nothing_in_it(part):
    room = draw_layers(sample_scene("val", 3)).background
    with pytest.raises(BadInput, match=r"below 0\.9"):
        detect(pixels(room), part, Context())


def test_the_sample_photos_are_found_surely(part):
    from inlay.nodes.subject import photos

    folder = evaluate.HERE.parent / "workflows" / "exemplar"
    found = photos(str(folder / "subject"), Context(), detector=part).photos
    drawn = photos(str(folder / "subject"), Context(), masks=str(folder / "subject-masks")).photos
    for mine, theirs in zip(found.photos, drawn.photos, strict=True):
        assert np.abs(np.array(mine.boxes[0]) - theirs.boxes[0]).max() < 8  # pixels


def test_it_is_small_and_licensed():
    files = [path for path in FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 8e6
    assert {path.name for path in files} == {"LICENSE", "config.json", "model.safetensors", "preprocessor_config.json"}
