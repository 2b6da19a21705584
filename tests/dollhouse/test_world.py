import hashlib
import subprocess
import sys
from dataclasses import astuple, replace

import numpy as np
import pytest
from inlay.dollhouse.world import (
    KINDS,
    LABELS,
    PATTERNS,
    PHRASES,
    POSES,
    SUBJECT_COLOURS,
    WALL_COLOURS,
    caption,
    draw,
    draw_layers,
    nearest_colour,
    sample_scene,
)

DIGEST = """
import hashlib
from inlay.dollhouse.world import draw, sample_scene
scenes = [sample_scene(split, i) for split in ("train", "val", "test") for i in range(20)]
print(hashlib.sha256(b"".join(repr(s).encode() + draw(s).tobytes() for s in scenes)).hexdigest())
"""


def test_scenes_are_the_same_in_every_process():
    runs = [
        subprocess.run(
            [sys.executable, "-c", DIGEST], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    scenes = [sample_scene(split, i) for split in ("train", "val", "test") for i in range(20)]
    here = hashlib.sha256(b"".join(repr(s).encode() + draw(s).tobytes() for s in scenes)).hexdigest()
    assert [run.strip() for run in runs] == [here, here]


def test_splits_share_no_scene():
    scenes = {split: {astuple(sample_scene(split, i)) for i in range(500)} for split in ("train", "val", "test")}
    assert all(len(some) == 500 for some in scenes.values())
    assert len(set.union(*scenes.values())) == 1500


def test_every_attribute_value_is_drawn():
    scenes = [sample_scene("train", i) for i in range(800)]
    assert {s.label for s in scenes} == set(LABELS)
    assert {s.colour for s in scenes} == set(SUBJECT_COLOURS)
    assert {s.wall for s in scenes} == set(WALL_COLOURS)
    assert {s.pattern for s in scenes} == {"plain"}
    assert {s.facing for s in scenes} == {"left", "right"}
    assert {s.window for s in scenes} == {True, False}


@pytest.mark.parametrize("index", range(12))
@pytest.mark.parametrize("size", [64, 128])
def test_outside_subject_and_shadow_the_room_is_untouched(index, size):
    scene = sample_scene("val", index)
    layers = draw_layers(scene, size)
    image, room = np.asarray(layers.image), np.asarray(layers.background)
    assert image.shape == room.shape == (size, size, 3)
    kept = ~(layers.subject | layers.shadow)
    assert np.array_equal(image[kept], room[kept])
    changed = (image != room).any(axis=2)
    assert changed[layers.subject].mean() > 0.9
    assert 0.02 < layers.subject.mean() < 0.45
    assert layers.window.any() == scene.window


def test_the_window_mask_is_where_the_window_is():
    scene = replace(sample_scene("val", 0), window=True)
    with_window = draw_layers(scene)
    # The light comes from the window, so only pixels far from the wall's own colour tell it apart.
    wall = np.asarray(WALL_COLOURS[scene.wall], float)
    upper = np.s_[: int(scene.horizon * 128) - 6]
    far = np.abs(np.asarray(with_window.background, float) - wall).max(axis=2)[upper] > 40
    assert not (far & ~with_window.window[upper]).any()


@pytest.mark.parametrize("kind", KINDS)
def test_one_changed_attribute_leaves_the_rest_alone(kind):
    scene = next(s for s in (sample_scene("val", i) for i in range(200)) if s.kind == kind)
    before = draw_layers(scene)
    for pose in POSES[kind]:
        assert np.array_equal(draw_layers(replace(scene, pose=pose)).background, before.background)
    other = draw_layers(replace(scene, colour="red" if scene.colour != "red" else "blue"))
    assert np.array_equal(other.subject, before.subject)
    assert not np.array_equal(other.image, before.image)


def test_patterns_show_both_colours():
    scene = replace(sample_scene("val", 1), kind="sofa", pose="none", colour="blue", second_colour="yellow")
    looks = {pattern: np.asarray(draw(replace(scene, pattern=pattern)), int) for pattern in PATTERNS}
    region = draw_layers(scene).subject
    for pattern in ("striped", "dotted"):
        names = [nearest_colour(pixel) for pixel in looks[pattern][region][::7]]
        assert names.count("blue") > 0.2 * len(names)
        assert names.count("yellow") > 0.05 * len(names)
    assert f"a striped blue and yellow sofa in a room with {scene.wall} walls" == caption(
        replace(scene, pattern="striped")
    )


def test_mirroring_a_symmetric_scene_mirrors_the_picture():
    scene = replace(sample_scene("val", 2), kind="dog", pose="standing")
    facing = "left" if scene.facing == "right" else "right"
    mirrored = replace(scene, facing=facing, x=1 - scene.x, window_x=1 - scene.window_x)
    difference = np.asarray(draw(scene), int)[:, ::-1] - np.asarray(draw(mirrored), int)
    assert np.abs(difference).mean() < 1.5


def test_captions_name_the_attributes():
    for index in range(100):
        scene = sample_scene("val", index)
        text = caption(scene)
        assert text.endswith(f"{scene.colour} {scene.kind} in a room with {scene.wall} walls") or scene.pose != "none"
        for phrase in range(PHRASES):
            words = caption(scene, phrase).replace(",", "").split()
            assert scene.kind in words
            assert scene.colour in words
            assert {"standing", "lying", "sitting", "folded", "spread"} & set(words) <= {scene.pose}
            assert (scene.pose == "none") or scene.pose in words
            assert words[0] in ("a", "an")
            if phrase != PHRASES - 1:
                assert scene.wall in words
    lying = replace(sample_scene("val", 0), kind="dog", pose="lying", colour="orange", wall="green")
    assert caption(lying) == "an orange dog lying in a room with green walls"


@pytest.mark.parametrize("palette", [SUBJECT_COLOURS, WALL_COLOURS])
def test_nearest_colour_is_exact_on_its_palette(palette):
    assert [nearest_colour(rgb, palette) for rgb in palette.values()] == list(palette)


def test_palette_colours_are_well_apart():
    for palette, least in ((SUBJECT_COLOURS, 85), (WALL_COLOURS, 50)):
        values = np.asarray(list(palette.values()), float)
        apart = np.linalg.norm(values[:, None] - values[None], axis=2) + 1000 * np.eye(len(values))
        assert apart.min() >= least


@pytest.mark.parametrize(
    ("change", "named"),
    [({"pose": "flying"}, "pose"), ({"colour": "mauve"}, "colour"), ({"kind": "horse"}, "kind")],
)
def test_what_cannot_be_drawn_is_refused_by_name(change, named):
    with pytest.raises(ValueError, match=f"Scene.{named} is"):
        replace(sample_scene("val", 0), **change)


def test_other_bad_input():
    with pytest.raises(ValueError, match="unknown split"):
        sample_scene("valid", 0)
    with pytest.raises(ValueError, match="at least 16"):
        draw(sample_scene("val", 0), 8)
    with pytest.raises(ValueError, match="three numbers"):
        nearest_colour((1, 2, 3, 4))


def test_the_world_needs_no_torch():
    code = "import sys, inlay.dollhouse.world; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "False"
