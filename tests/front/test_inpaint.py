"""`inlay inpaint PHOTO MASK`, as a person uses it: in the command line, from Python, and again from the result."""

import json
import os
from pathlib import Path

import inlay
import numpy as np
import pytest
from inlay.graph_runtime.core.events import Warned
from inlay.graph_runtime.front.rerun import surroundings
from PIL import Image, ImageFilter

COLOURS = {"RGB": (250, 3, 4), "L": 250, "RGBA": (9, 8, 250, 255), "LA": (250, 255), "P": 7, "I;16": 60000}


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A folder with photo.png, 141×99, and hole.png, which marks a disc in it."""
    monkeypatch.chdir(tmp_path)
    y, x = np.mgrid[:99, :141]
    waves = [np.sin(x / 5 + k) * np.cos(y / 7) * 60 + 120 + 20 * k for k in range(3)]
    Image.fromarray(np.stack(waves, -1).astype(np.uint8)).save("photo.png")
    disc = (x - 70) ** 2 + (y - 40) ** 2 < 15**2
    Image.fromarray((disc * 255).astype(np.uint8)).save("hole.png")
    return tmp_path


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def kept(result, before="photo.png", mask="hole.png"):
    """True if everything outside the mask is as it was, and something inside is not."""
    hole = pixels(mask) > 127
    old, new = pixels(before), pixels(result)
    assert old.shape == new.shape
    return np.array_equal(old[~hole], new[~hole]) and not np.array_equal(old[hole], new[hole])


def test_two_words_are_enough_and_the_result_is_called_after_the_photo(command, photo):
    done = command("inpaint", "photo.png", "hole.png")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(photo / "inlay-out" / "photo_00001.png")]
    assert kept(done.stdout.strip())
    assert done.stderr.count("no model is named") == 1
    assert "--source" in done.stderr


def test_run_inpaint_is_the_same_command(command, photo):
    first = command("inpaint", "photo.png", "hole.png", "--seed", "4").stdout.strip()
    flags = command("run", "inpaint", "--image", "photo.png", "--mask", "hole.png", "--seed=4").stdout.strip()
    words = command("run", "inpaint", "photo.png", "hole.png", "--seed", "4").stdout.strip()
    result = inlay.run("inpaint", image="photo.png", mask=photo / "hole.png", seed=4, out="py")
    assert len({Path(path).read_bytes() for path in (first, flags, words, *map(str, result.paths))}) == 1
    (said,) = [event for event in result.events if isinstance(event, Warned)]
    assert "no model is named" in said.message


def test_the_result_runs_again_byte_for_byte_and_on_another_photo(command, photo):
    first = command("inpaint", "photo.png", "hole.png", "--grow", "2", "--seed", "3").stdout.strip()
    again = command("run", first, "--out", "again", "--no-cache").stdout.strip()
    assert Path(again).read_bytes() == Path(first).read_bytes()
    Image.fromarray(255 - pixels("photo.png")).save("other.png")
    other = command("run", first, "--image", "other.png", "--out", "other").stdout.strip()
    grown = np.asarray(Image.fromarray(pixels("hole.png")).filter(ImageFilter.MaxFilter(5))) > 0
    assert np.array_equal(pixels(other)[~grown], pixels("other.png")[~grown])
    with Image.open(first) as image:
        recorded = json.loads(image.info["inlay"])["workflow"]
    assert {"image", "mask", "seed", "grow"} <= set(recorded["inputs"])
    assert "inpaint" not in {node["type"] for node in recorded["nodes"].values()}


def test_a_whole_run_is_repeated_from_the_store(command, photo, monkeypatch):
    monkeypatch.setattr(surroundings, "nodes_are_loaded", lambda: False)
    words = ("inpaint", "photo.png", "hole.png", "--seed", "5", "--invert=false")
    first, again = command(*words), command(*words)
    assert "used again" not in first.stderr
    assert "used again" in again.stderr
    assert again.stderr.count("no model is named") == 1
    other = command(*words[:3], "--seed", "6")
    assert "used again" not in other.stderr
    assert Path(again.stdout.strip()).read_bytes() == Path(first.stdout.strip()).read_bytes()


def test_a_name_may_be_written_with_dashes(command, photo):
    done = command("check", "inpaint", "photo.png", "hole.png", "--source", "dollhouse", "--vae-dtype", "float32")
    assert done.returncode == 0, done.stderr
    assert "--vae_dtype" in command("inpaint", "a", "b", "--vae-dtype=x").stderr


def test_any_setting_of_the_plain_workflow_can_be_set(command, photo):
    done = command("inpaint", "photo.png", "hole.png", "--set", "fill.fill=neutral", "--set", "save.prefix=grey")
    assert done.returncode == 0, done.stderr
    assert os.path.basename(done.stdout.strip()) == "grey_00001.png"
    assert set(pixels(done.stdout.strip())[pixels("hole.png") > 0].flatten()) == {128}
    done = command("check", "inpaint", "photo.png", "hole.png", "--set", "fil.seed=1")
    assert done.returncode == 2
    assert "did you mean 'fill'" in done.stderr


def test_check_names_every_problem_at_once(command, photo):
    done = command("check", "inpaint", "gone.png", "hole.png", "--pick", "9", "--variations", "4", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 2
    assert [(one["node"], one["port"]) for one in found["problems"]] == [(None, "--pick"), ("photo", "path")]
    done = command("run", "inpaint", "gone.png", "hole.png", "--pick", "9", "--variations", "4")
    assert done.returncode == 2
    assert not os.path.exists("inlay-out")
    problems = inlay.check("inpaint", image="gone.png", mask="hole.png", pick=9, variations=4)
    assert [problem.port for problem in problems] == ["--pick", "path"]
    assert inlay.check("inpaint", image="photo.png", mask="hole.png") == []


def test_a_mask_that_leaves_nothing_to_copy_is_found_before_the_first_step(command, photo):
    Image.new("L", (141, 99), 255).save("white.png")
    (problem,) = inlay.check("inpaint", image="photo.png", mask="white.png")
    assert problem.port == "mask"
    assert "inverted" in problem.fix
    done = command("inpaint", "photo.png", "white.png")
    assert done.returncode == 2
    assert not os.path.exists("inlay-out")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["photo.png", "hole.png", "--promt", "x"], "did you mean '--prompt'?"),
        (["photo.png", "hole.png", "--seed", "x"], "a whole number from 0 to 18,446,744,073,709,551,615"),
        (["photo.png", "hole.png", "more.png"], "'more.png'"),
        (["photo.png", "--image", "photo.png"], "two values"),
        (["photo.png"], "no hole"),
        (["--mask", "hole.png"], "--image"),
        (["photo.png", "hole.png", "--seed"], "--seed"),
        (["photo.png", "hole.png", "--method", "magic"], "auto | patches"),
    ],
)
def test_what_is_typed_wrong_is_status_2_with_a_lesson(command, photo, words, part):
    done = command("inpaint", *words)
    assert done.returncode == 2
    assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert not os.path.exists("inlay-out")


def test_help_is_grouped_and_shows_examples(command):
    for words in (("inpaint",), ("inpaint", "--help"), ("run", "inpaint", "--help"), ("check", "inpaint", "-h")):
        done = command(*words)
        assert done.returncode == 0
        for part in ("IMAGE MASK", "the hole:", "--method auto|patches", "examples:", "photo.jpg hole.png"):
            assert part in done.stdout, part
        assert "left=30%,right=30%" in done.stdout  # argparse prints an epilog as it is


def test_why_a_result_was_made_takes_the_options_too(command, photo):
    words = ("inpaint", "photo.png", "hole.png", "--seed", "2")
    assert command(*words).returncode == 0
    done = command("cache", "why", "inpaint", "fill", *words[1:])
    assert done.returncode == 0, done.stderr
    assert "fill" in done.stdout


def test_a_picture_in_place_of_a_command_is_told_where_it_goes(command, photo):
    assert "`inlay inpaint photo.png …`" in command("photo.png").stderr


def test_invert_fills_what_the_mask_leaves(command, photo):
    done = command("inpaint", "photo.png", "hole.png", "--invert", "--method", "patches", "--set", "fill.fill=neutral")
    assert done.returncode == 0, done.stderr
    hole = pixels("hole.png") > 0
    result = pixels(done.stdout.strip())
    assert np.array_equal(result[hole], pixels("photo.png")[hole])
    assert set(result[~hole].flatten()) == {128}


def test_variations_are_saved_in_order_beside_a_sheet(command, photo):
    fill = [word for n in (1, 2, 3) for word in ("--set", f"fill_{n}.fill=noise")]
    done = command("inpaint", "photo.png", "hole.png", "--variations", "3", *fill)
    assert done.returncode == 0, done.stderr
    names = [os.path.basename(line) for line in done.stdout.split()]
    assert names == ["photo_00001.png", "photo_00002.png", "photo_00003.png", "photo_sheet_00001.png"]
    several = done.stdout.split()
    for number in (1, 2, 3):
        alone = command(
            "inpaint", "photo.png", "hole.png", "--pick", number, "--set", "fill.fill=noise", "--out", "one"
        )
        assert np.array_equal(pixels(alone.stdout.strip()), pixels(several[number - 1])), number
    assert not np.array_equal(pixels(several[0]), pixels(several[1]))


def test_drawing_it_takes_its_options(command, photo):
    done = command("draw", "inpaint", "--method", "null_space", "--source", "dollhouse", "-o", "graph.svg")
    assert done.returncode == 0, done.stderr
    assert "sample.denoise" in (photo / "graph.svg").read_text()
    assert command("draw", "inpaint", "--method", "null_space", "-o", "no.svg").returncode == 2
    assert command("draw", "zero_shot_inpaint", "--seed", "3", "-o", "no.svg").returncode == 2
    assert not (photo / "no.svg").exists()


@pytest.mark.parametrize("mode", COLOURS)
def test_every_mode_keeps_its_pixels_and_its_metadata(command, photo, mode):
    if mode == "I;16":
        picture = Image.fromarray(pixels("photo.png")[..., 0].astype(np.uint16) * 256 + 7)
    else:
        with Image.open("photo.png") as image:
            picture = image.convert(mode)
    picture.save("odd.png", dpi=(300, 300))
    done = command("inpaint", "odd.png", "hole.png")
    assert done.returncode == 0, done.stderr
    with Image.open(done.stdout.strip()) as image, Image.open("odd.png") as before:
        hole = pixels("hole.png") > 0
        same = image.convert("RGBA") if mode != "I;16" else image
        old = before.convert("RGBA") if mode != "I;16" else before
        assert np.array_equal(np.asarray(same)[~hole], np.asarray(old)[~hole])
        assert image.info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize(
    "wrong", [{"outpaint": "1000%"}, {"colour": "red~x"}, {"colour": ""}, {"strokes": "~"}], ids=str
)
def test_an_area_that_is_written_wrongly_is_the_only_problem(wrong, photo):
    """The sample's mask does not stand in for it: that one has another size than the photo."""
    (problem,) = inlay.check("inpaint", image="photo.png", **wrong)
    assert problem.port == f"--{next(iter(wrong))}"
