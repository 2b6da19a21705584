"""Each picture that README and the guides show is what the command beside it makes."""

import importlib.util
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from inlay.graph_runtime.front.cli.main import main
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKED = re.compile(r"knob-\w+\.png")  # made by benchmarks/knobs/run.py, which the page names
ALIKE = 35.0  # dB; another processor rounds otherwise


def script(name):
    specification = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    sys.modules[name] = module
    specification.loader.exec_module(module)
    return module


pictures = script("pictures")
animation = script("animation")


def blocks(page):
    return "".join(re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL))


def psnr(one, other):
    difference = np.asarray(one, np.float64) - np.asarray(other, np.float64)
    return 10 * np.log10(255**2 / max(np.square(difference).mean(), 1e-9))


def small(picture):
    """An eighth of the size: where patches were chosen otherwise, single pixels differ, and what one sees does not."""
    return picture.resize((picture.width // 8, picture.height // 8), Image.Resampling.BOX)


def opened(name):
    with Image.open(pictures.IMAGES / name) as picture:
        return picture.convert("RGB")


#: Runs that README's test makes too: one process makes them, once.
LONG = {
    "editing.png": [pytest.mark.slow, pytest.mark.xdist_group("long")],
    "subject.png": [pytest.mark.xdist_group("long")],
}
pytestmark = pytest.mark.usefixtures("home_of_pages")


@pytest.mark.parametrize("name", [pytest.param(name, marks=LONG.get(name, [])) for name in pictures.SHOWN])
def test_a_picture_is_what_its_commands_make(name, tmp_path):
    pages = list(pictures.pages_that_show(name))
    assert pages
    for page in pages:
        for command in pictures.SHOWN[name].commands:
            assert re.search(rf"^{re.escape(command)}\s*(#.*)?$", blocks(page), re.MULTILINE), f"{page}: {command}"
    made = pictures.sheet(pictures.SHOWN[name], pictures.samples(tmp_path / "samples"), os.environ["INLAY_HOME"])
    shown = opened(name)
    assert made.size == shown.size, f"run python scripts/pictures.py {name}"
    assert psnr(small(made), small(shown)) >= ALIKE, f"run python scripts/pictures.py {name}"


def test_a_sheet_of_other_results_is_told_from_the_shown_one():
    for name in ("by-example.png", "inpaint.jpg"):
        shown = opened(name)
        width = shown.width // len(pictures.SHOWN[name].panels)
        other = shown.copy()
        other.paste(shown.crop((0, 0, width, shown.height)), (shown.width - width, 0))
        assert psnr(small(other), small(shown)) < ALIKE, name


def test_every_picture_is_known():
    pages = [ROOT / "README.md", *(ROOT / "docs" / "guide").glob("*.md")]
    shown = {name for page in pages for name in re.findall(r"images/([\w.-]+)\)", page.read_text("utf-8"))}
    assert {name for name in shown if not BENCHMARKED.fullmatch(name)} == {
        *pictures.SHOWN,
        "inpaint.webp",
        "zero_shot_inpaint.svg",
        "page-paint.jpg",  # scripts/page_pictures.py, in a browser
        "page-compare.jpg",
        "icon.svg",
        "sweep.png",  # the sheet of a sweep, with its own headings
    }


def test_the_sheet_of_a_sweep_is_what_its_command_makes(tmp_path, monkeypatch, capsys):
    words = "living-room.png --mask living-room-mask.png --steps 12 --grid seed=0..2 --grid"
    prompts = "prompt=a red sofa,a blue sofa"
    page = (ROOT / "docs" / "guide" / "sweeps.md").read_text("utf-8")
    assert f'inlay sweep zero_shot_inpaint --image {words} "{prompts}"' in page
    monkeypatch.chdir(pictures.samples(tmp_path / "samples"))
    assert main(["sweep", "zero_shot_inpaint", "--image", *words.split(), prompts, "--out", "sweep", "--quiet"]) == 0
    capsys.readouterr()
    with Image.open("sweep/sheet.png") as made:
        assert made.size == opened("sweep.png").size
        assert psnr(small(made.convert("RGB")), small(opened("sweep.png"))) >= ALIKE


def test_the_graph_is_what_inlay_draw_makes():
    assert (pictures.IMAGES / "zero_shot_inpaint.svg").read_text("utf-8") == pictures.graph(), (
        "run python scripts/pictures.py"
    )


def test_the_animation_begins_with_the_photo_and_ends_with_the_result(tmp_path):
    path = pictures.IMAGES / "inpaint.webp"
    assert path.stat().st_size <= 700_000
    assert animation.COMMAND in blocks(ROOT / "README.md")
    made = animation.frames(pictures.samples(tmp_path / "samples"))
    with Image.open(path) as shown:
        assert shown.n_frames == len(made)
        times = []
        for number, (picture, time) in enumerate(made):
            shown.seek(number)
            shown.load()
            times.append(shown.info["duration"])
            assert time == times[-1]
            assert psnr(small(shown.convert("RGB")), small(picture)) >= 30, number  # WebP loses some
    assert 9_000 <= sum(times) <= 11_000
