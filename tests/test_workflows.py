"""Every workflow that ships: free of problems, current, described, and it does what it says on its own sample."""

import json
import os
from pathlib import Path

import inlay
import numpy as np
import pytest
from inlay.graph_runtime.core.events import NodeProgress
from inlay.graph_runtime.core.workflow import parse
from inlay.graph_runtime.front.installed import shipped_samples, shipped_workflows
from PIL import Image

SAMPLES = shipped_samples()
FILES = list(shipped_workflows().values())


def test_a_host_that_lists_what_lies_directly_in_workflows_finds_no_native_file():
    folder = Path(inlay.__file__).parent / "workflows"
    assert not [path for path in folder.iterdir() if path.suffix == ".json"]
    hosts = {"example_workflows", "example", "examples", "workflow", "workflows"}  # folder names that it looks for
    assert not {path.parent.name for path in FILES} & hosts


def test_every_workflow_and_sample_has_a_name_of_its_own():
    folder = Path(inlay.__file__).parent / "workflows"
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")]
    assert len(FILES) + len(SAMPLES) == len(files)
    assert {*FILES, *SAMPLES.values()} == set(files)


def test_a_picture_finds_samples_of_every_task_again(tmp_path):
    made = inlay.run("zero_shot_inpaint", out=tmp_path, steps=1, cache=False)
    again = inlay.run(made.paths[0], out=tmp_path / "again", cache=False)
    assert made.paths[0].read_bytes() == again.paths[0].read_bytes()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_it_is_free_of_problems_and_described(path):
    assert inlay.check(path) == []
    workflow = parse(path.read_bytes())
    assert workflow.title
    assert workflow.description
    assert "source" in workflow.inputs or path.stem == "inpaint"  # which by default needs no model
    assert set(workflow.ui) == set(workflow.nodes)
    for name, node in json.loads(path.read_text())["nodes"].items():
        assert "version" in node, name


def _sample():
    with Image.open(SAMPLES["room.png"]) as photo, Image.open(SAMPLES["room-mask.png"]) as mask:
        return np.asarray(photo.convert("RGB")), np.asarray(mask.convert("L")) > 127


def _saved(result):
    with Image.open(result.paths[0]) as picture:
        return np.asarray(picture)


def test_the_main_job_fills_the_hole_and_changes_nothing_else(tmp_path):
    photo, hole = _sample()
    result = inlay.run("zero_shot_inpaint", out=tmp_path, cache=False)
    picture = _saved(result)
    assert np.array_equal(picture[~hole], photo[~hole])
    around = photo[~hole].astype(float)
    assert np.abs(picture[hole].astype(float) - photo[hole]).mean() > 20  # the blot is gone
    assert picture[hole].astype(float).mean(0) == pytest.approx(around.mean(0), abs=60)  # and the room goes on


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path):
    first, second, other = (
        inlay.run("zero_shot_inpaint", out=tmp_path, cache=False, steps=4, seed=seed).paths[0] for seed in (1, 1, 2)
    )
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_a_kept_sample_gives_the_same_bytes_and_is_not_computed_again(tmp_path):
    from inlay.graph_runtime.core.events import NodeFinished
    from inlay.graph_runtime.front import kept_between_runs

    first = inlay.run("zero_shot_inpaint", out=tmp_path, steps=4)
    kept_between_runs._kept.clear()  # as in a new process: only the disk remembers
    again = inlay.run("zero_shot_inpaint", out=tmp_path, steps=4)
    ended = [event for event in again.events if isinstance(event, NodeFinished)]
    assert ended
    assert all(event.cached for event in ended if event.node in ("encode", "sample", "decode"))
    assert first.paths[0].read_bytes() == again.paths[0].read_bytes()


def test_the_strict_form_keeps_known_cells_and_pastes_nothing(tmp_path):
    photo, hole = _sample()
    picture = _saved(inlay.run("zero_shot_inpaint_strict", out=tmp_path, cache=False))
    outside = np.abs(picture[~hole].astype(float) - photo[~hole])
    assert 0 < outside.mean() < 20  # through the VAE, so near but not equal


def test_thirty_evaluations_without_a_prompt_and_thirty_batched_ones_with(tmp_path, monkeypatch):
    from diffusers import UNet2DConditionModel

    rows = []
    forward = UNet2DConditionModel.forward

    def counted(self, sample, *args, **kwargs):
        rows.append(len(sample))
        return forward(self, sample, *args, **kwargs)

    monkeypatch.setattr(UNet2DConditionModel, "forward", counted)
    inlay.run("zero_shot_inpaint", out=tmp_path, cache=False)
    assert rows == [1] * 30
    rows.clear()
    inlay.run("zero_shot_inpaint", out=tmp_path, cache=False, prompt="a red cat sitting in a room", steps=5)
    assert rows == [2] * 5


PHOTOS = Path(__file__).parents[2] / "shared" / "photos"


@pytest.mark.skipif(not PHOTOS.is_dir(), reason="the shared photos are not on this machine")
@pytest.mark.parametrize(
    ("photo", "mask"),
    [
        ("example_1_image.png", "example_1_mask.png"),
        ("scene.png", "scene-mask-rgba.png"),
        ("painting.png", "painting-mask-palette.png"),
    ],
)
def test_real_photos_keep_every_pixel_outside_the_mask(tmp_path, photo, mask):
    from inlay.nodes.image.files import load
    from inlay.nodes.mask.files import load as load_mask

    out = inlay.run(
        "zero_shot_inpaint", image=PHOTOS / photo, mask=PHOTOS / mask, out=tmp_path, cache=False, steps=2, size=128
    )
    from inlay.graph_runtime import Context

    ctx = Context(out=tmp_path)
    base, hole = load(str(PHOTOS / photo), ctx)[0][0], load_mask(str(PHOTOS / mask), ctx)[0][0] > 0
    result = load(str(out.paths[0]), ctx)[0][0]
    assert result.shape == base.shape
    assert (result[~hole] == base[~hole]).all()
    assert (result[hole] != base[hole]).any()


def test_painting_by_example_changes_the_hole_alone_and_puts_the_thing_there(tmp_path):
    from inlay.dollhouse.judge import load, read

    result = inlay.run("paint_by_example", out=tmp_path, cache=False)
    picture = _saved(result)
    with Image.open(SAMPLES["living-room.png"]) as photo, Image.open(SAMPLES["living-room-mask.png"]) as mask:
        before, hole = np.asarray(photo.convert("RGB")), np.asarray(mask) > 127
    assert np.array_equal(picture[~hole], before[~hole])
    seen = read(load(), [Image.fromarray(picture)])[0]
    assert (seen.kind, seen.colour, seen.wall) == ("sofa", "blue", "pink")


@pytest.mark.slow
def test_a_training_workflow_in_two_processes_writes_one_model(tmp_path):
    """As `accelerate launch` starts it: the same graph in each process, one of which writes."""
    import subprocess
    import sys

    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc_per_node",
        "2",
        "-m",
        "inlay",
        "run",
        "train_exemplar",
        "--out",
        str(tmp_path),
        "--steps",
        "2",
        "--batch_size",
        "2",
        "--quiet",
    ]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr[-3000:]
    folders = list(tmp_path.glob("paint-by-example-*"))
    assert len(folders) == 1
    alone = inlay.run("train_exemplar", out=tmp_path / "alone", steps=2, batch_size=2)
    one, two = (
        next(root.glob("paint-by-example-*/model/unet/*.safetensors")) for root in (tmp_path, tmp_path / "alone")
    )
    assert "steps" in alone["report"]
    assert one.stat().st_size == two.stat().st_size


def _dog():
    with Image.open(SAMPLES["dog.png"]) as photo:
        return np.asarray(photo.convert("RGB"))


def _read(picture):
    from inlay.dollhouse import judge

    return judge.read(judge.load(), [Image.fromarray(picture)])[0]


@pytest.mark.slow
@pytest.mark.xdist_group("long")  # README shows the same run
@pytest.mark.usefixtures("home_of_pages")
def test_baret_lays_the_dog_down_where_it_stood_and_keeps_the_room(tmp_path):
    from inlay.dollhouse.samples import DOG
    from inlay.dollhouse.world import draw_layers
    from inlay.graph_runtime.core.events import NodeFinished

    result = inlay.run("baret_edit", out=tmp_path)
    picture, dog = _saved(result), draw_layers(DOG)
    assert _read(_dog()).label == "dog-standing"
    found = _read(picture)
    assert (found.label, found.colour, found.wall) == ("dog-lying", "blue", "green")
    far = ~(dog.subject | dog.shadow)
    far[70:] = False  # the floor, where it lies now
    assert np.abs(picture[far].astype(int) - _dog()[far]).mean() < 8
    assert result["reconstruction_psnr"] > 28
    again = inlay.run("baret_edit", out=tmp_path, start=0.7)  # the inversion is made once
    assert not any(
        isinstance(event, NodeFinished) and event.node in ("tune", "invert") and not event.cached
        for event in again.events
    )
    assert _saved(again).shape == picture.shape


@pytest.mark.slow
@pytest.mark.xdist_group("long")  # README shows the same run
@pytest.mark.usefixtures("home_of_pages")
def test_baret_rigid_changes_the_colour_alone(tmp_path):
    found = _read(_saved(inlay.run("baret_rigid", out=tmp_path)))
    assert found.label == "dog-standing"
    assert found.colour in ("yellow", "orange")


def test_null_text_edit_runs_and_reconstructs(tmp_path):
    result = inlay.run("null_text_edit", out=tmp_path, cache=False, steps=20, self_until=0.2, cross_until=0.4)
    assert result["reconstruction_psnr"] > 28
    assert result.timings["tune"] > result.timings["sample"]
    assert _read(_saved(result)).kind == "dog"


def test_all_editors_on_one_sheet_with_times(tmp_path):
    few = {"steps": 6, "strength": 0.7, "set": {"tune.iterations": 2, "null.iterations": 2}}
    result = inlay.run("compare_editors", out=tmp_path, cache=False, **few)
    assert _saved(result).shape[1] > 4 * 128
    again = inlay.run("compare_editors", out=tmp_path, cache=False, **few)
    assert _saved(again).shape == _saved(result).shape


def _worn(picture, *names):
    """What share of the subject each palette colour has."""
    from inlay.dollhouse.world import nearest_colour

    seen = _read(picture)
    pixels = picture[seen.region].astype(float)
    found = [nearest_colour(pixel) for pixel in pixels[::3]]
    return seen.kind, [found.count(name) / len(found) for name in names]


def test_the_sample_subject_goes_into_a_room_with_its_pattern_and_changes_nothing_else(tmp_path):
    with Image.open(SAMPLES["living-room.png"]) as photo, Image.open(SAMPLES["living-room-mask.png"]) as mask:
        before, hole = np.asarray(photo.convert("RGB")), np.asarray(mask) > 127
    picture = _saved(inlay.run("subject_lora_inpaint", out=tmp_path, cache=False))
    assert np.array_equal(picture[~hole], before[~hole])
    kind, (purple, orange) = _worn(picture, "purple", "orange")
    assert kind == "sofa"
    assert min(purple, orange) > 0.1
    without = _saved(inlay.run("subject_lora_inpaint", out=tmp_path, cache=False, weight=0.0))
    assert min(_worn(without, "purple", "orange")[1]) < 0.1  # the base alone knows no pattern


@pytest.mark.slow
def test_a_subject_is_learned_from_photos_alone_and_its_file_is_used(tmp_path):
    made = inlay.run("subject_lora_train", out=tmp_path, epochs=1, batch_size=200, variations=1, size=64)
    file = next(tmp_path.glob("subject-*/lora.safetensors"))
    assert file.name in made["report"]
    assert any(path.name.startswith("photos") for path in made.paths)  # the overview: what the detector found
    picture = _saved(inlay.run("subject_lora_inpaint", out=tmp_path / "used", lora=file, steps=2))
    other = _saved(inlay.run("subject_lora_inpaint", out=tmp_path / "used", lora=file, steps=2, weight=0.0))
    assert (picture != other).any()


def test_what_the_detector_found_can_be_looked_at_before_training_begins(tmp_path):
    """The overview of the photos is on the disk when the first step is taken."""
    seen = []

    def listen(event):
        if isinstance(event, NodeProgress) and event.node == "train":
            seen.append([path.name for path in tmp_path.glob("photos_*.png")])

    inlay.run(
        "subject_lora_train",
        epochs=1,
        variations=1,
        size=64,
        batch_size=200,
        out=tmp_path,
        listeners=[listen],
        set={"train.sample_every": 0},
    )
    assert seen[0] == ["photos_00001.png"]
