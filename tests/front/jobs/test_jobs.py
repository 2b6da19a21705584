"""A job: results named after pictures, what is known again, what failed, and the reports."""

import csv
import json
import shutil
from pathlib import Path

import inlay
import pytest
from inlay.graph_runtime.core.errors import Cancelled, NodeError, WorkflowError
from inlay.graph_runtime.core.events import CancelToken, ItemFinished, ItemStarted, NodeStarted, Warned
from PIL import Image

FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path", "mask": "hole.path", "seed": "fill.seed", "prefix": "save.prefix"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "photo.png"}},
        "hole": {"type": "mask.load", "params": {"path": "hole.png"}},
        "fill": {
            "type": "image.fill",
            "params": {"fill": "noise"},
            "inputs": {"image": "photo.image", "mask": "hole.mask"},
        },
        "save": {"type": "image.save", "inputs": {"image": "fill.image"}},
    },
    "outputs": {"image": "fill.image"},
}
SIZES = {"1": (31, 17), "2": (12, 40), "10": (25, 25), "sub/x": (141, 99)}


def picture(path, size, colour=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.linear_gradient("L").rotate(colour).resize(size).convert("RGB").save(path)


def hole(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = Image.new("L", size)
    mask.paste(255, (size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2))
    mask.save(path)


@pytest.fixture
def album(tmp_path):
    for name, size in SIZES.items():
        picture(tmp_path / f"in/{name}.png", size, len(name))
        hole(tmp_path / f"masks/{name}_mask.png", size)
    return tmp_path


def job(album, **more):
    return inlay.run(FLOW, **{"image": album / "in", "mask": album / "masks", "out": album / "out", **more})


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix == ".png"
    }


def test_each_picture_has_the_result_that_it_has_alone(album):
    result = job(album, seed=5)
    assert [path.relative_to(album / "out").as_posix() for path in result.paths] == [f"{name}.png" for name in SIZES]
    assert not result.failed
    assert result.tally.done == len(SIZES)
    for name, one in zip(SIZES, result.results, strict=True):
        alone = inlay.run(
            FLOW, image=album / f"in/{name}.png", mask=album / f"masks/{name}_mask.png", seed=5, out=album / "alone"
        )
        assert alone.paths[0].read_bytes() == one.paths[0].read_bytes()
        assert (one["image"] == alone["image"]).all()
        assert list(one) == ["image"]


def test_each_result_is_made_again_from_itself(album):
    first = job(album).paths[-1]
    again = inlay.run(first, inputs=album / "in/sub", out=album / "again")
    assert again.paths[0].read_bytes() == first.read_bytes()


def test_a_second_start_does_only_what_is_missing(album):
    before = files_of(job(album))
    (album / "out/2.png").unlink()
    picture(album / "in/10.png", SIZES["10"], 90)
    ran = []
    result = job(album, listeners=[lambda event: ran.append(event) if isinstance(event, NodeStarted) else None])
    assert [one.status for one in result.outcomes] == ["done" if n in ("2", "10") else "known" for n in SIZES]
    assert sum(event.node == "save" for event in ran) == 2
    assert [path.name for path in result.paths] == [Path(name).name + ".png" for name in SIZES]
    after = files_of(result)
    assert {name for name in after if after[name] != before[name]} == {"10.png"}  # in place of what is stale
    assert files(album / "out").keys() == before.keys()


def files_of(result):
    return {file.path: (file.sha256) for one in result.outcomes for file in one.files}


@pytest.mark.parametrize("given", ["in", "in/*.png"])
def test_a_new_picture_in_a_folder_or_pattern_is_done(album, given):
    one_mask = {"image": album / given, "mask": album / "new.png"}
    for name in SIZES:
        picture(album / f"in/{name}.png", (9, 9))
    hole(album / "new.png", (9, 9))
    job(album, **one_mask)
    picture(album / "in/5.png", (9, 9), 90)
    assert [one.name for one in job(album, **one_mask).outcomes if one.status == "done"] == ["5"]


def test_a_mask_a_setting_or_a_changed_result_makes_anew(album):
    job(album)
    hole(album / "masks/1_mask.png", (31, 17)[::1])
    assert job(album).tally.known == len(SIZES)  # the same content
    Image.new("L", SIZES["1"], 255).save(album / "masks/1_mask.png")
    assert [one.name for one in job(album).outcomes if one.status == "done"] == ["1"]
    other = job(album, seed=1)
    assert other.tally.done == len(SIZES)
    assert {path.name for path in other.paths} == {"1_00002.png", "2_00002.png", "10_00002.png", "x_00002.png"}
    assert job(album, seed=1).tally.known == job(album).tally.known == len(SIZES)


def test_what_somebody_else_put_or_changed_there_stays(album):
    (album / "out").mkdir()
    (album / "out/1.png").write_bytes(b"mine")
    first = job(album)
    assert first.paths[0].name == "1_00002.png"
    (album / "out/2.png").write_bytes(b"retouched")
    (album / "out/job.csv").write_bytes(b"notes")
    second = job(album)
    assert (album / "out/1.png").read_bytes() == b"mine"
    assert (album / "out/2.png").read_bytes() == b"retouched"
    assert (album / "out/job.csv").read_bytes() == b"notes"
    assert second.table.name == "job_00002.csv"
    assert [one.status for one in second.outcomes] == ["known", "done", "known", "known"]
    assert second.paths[1].name == "2_00002.png"


def test_a_moved_output_folder_is_known(album):
    job(album)
    shutil.move(album / "out", album / "moved")
    assert job(album, out=album / "moved").tally.known == len(SIZES)


def test_another_metadata_setting_is_another_job(album):
    job(album)
    assert job(album, metadata=False).tally.done == len(SIZES)


def test_failures_do_not_stop_the_rest(album):
    (album / "in/2.png").write_bytes((album / "in/2.png").read_bytes()[:100])
    hole(album / "masks/10_mask.png", (9, 9))
    result = job(album)
    assert [one.status for one in result.outcomes] == ["done", "failed", "failed", "done"]
    damaged, wrong = result.failed
    assert damaged.problems[0].node == "photo"
    assert "2.png" in damaged.problems[0].found
    assert isinstance(result.results[1], NodeError | WorkflowError)
    assert wrong.problems[0].node == "fill"
    assert wrong.problems[0].port == "mask"
    assert "9×9" in wrong.problems[0].found
    assert all(problem.fix and problem.expected for one in result.failed for problem in one.problems)
    picture(album / "in/2.png", SIZES["2"])
    hole(album / "masks/10_mask.png", SIZES["10"])
    mended = job(album)
    assert [one.status for one in mended.outcomes] == ["known", "done", "done", "known"]


def test_a_node_that_fails_or_crashes_is_the_failure_of_its_picture(album, monkeypatch):
    from inlay.pictures import fill

    make = fill.noise_like

    def broken(image, seed):
        if image.shape[1:3] == (40, 12):
            raise RuntimeError("a bug")
        return make(image, seed)

    monkeypatch.setattr("inlay.nodes.image.fill.noise_like", broken)
    result = job(album)
    assert [one.name for one in result.failed] == ["2"]
    assert "RuntimeError: a bug" in result.failed[0].problems[0].found
    assert result.failed[0].type == "image.fill"


def test_nothing_runs_if_the_settings_are_wrong(album):
    with pytest.raises(WorkflowError) as caught:
        job(album, seed=-1)
    assert [(one.node, one.port) for one in caught.value.problems] == [("fill", "seed")]
    assert not (album / "out").exists()


def test_nothing_runs_if_a_mask_is_missing(album):
    (album / "masks/2_mask.png").unlink()
    with pytest.raises(WorkflowError, match=r"no mask for 2\.png"):
        job(album)
    assert not (album / "out").exists()


def test_if_every_picture_fails_before_its_first_step_nothing_could_start(album):
    for name in SIZES:
        (album / f"in/{name}.png").write_bytes(b"no picture")
    with pytest.raises(WorkflowError) as caught:
        job(album)
    assert len(caught.value.problems) == len(SIZES)
    assert "(picture sub/x)" in str(caught.value)


def test_one_mask_serves_all_and_one_picture_takes_many_masks(album):
    for name in SIZES:
        picture(album / f"in/{name}.png", (20, 20), len(name))
    hole(album / "one.png", (20, 20))
    assert job(album, mask=album / "one.png").tally.done == len(SIZES)
    shutil.rmtree(album / "masks")
    for name in ("left", "right"):
        hole(album / f"masks/{name}.png", (31, 17))
    picture(album / "photo.png", (31, 17))
    result = job(album, image=album / "photo.png", out=album / "many")
    assert [path.name for path in result.paths] == ["left.png", "right.png"]


def test_lists_from_python(album):
    result = job(
        album,
        image=[album / "in/2.png", str(album / "in/1.png")],
        mask=[album / "masks/2_mask.png", album / "masks/1_mask.png"],
    )
    assert [path.name for path in result.paths] == ["2.png", "1.png"]


def test_a_folder_in_the_file_itself_stays_a_batch_of_one_run(album):
    for name in ("a", "b"):
        picture(album / f"batch/{name}.png", (20, 20))
        hole(album / f"holes/{name}.png", (20, 20))
    flow = json.loads(json.dumps(FLOW))
    flow["nodes"]["photo"]["params"]["path"], flow["nodes"]["hole"]["params"]["path"] = "batch", "holes"
    (album / "flow.json").write_text(json.dumps(flow))
    result = inlay.run(album / "flow.json", out=album / "out")
    assert [path.name for path in result.paths] == ["image_00001.png", "image_00002.png"]
    assert result["image"].shape[0] == 2
    by_setting = inlay.run(FLOW, set={"photo.path": album / "batch", "hole.path": album / "holes"}, out=album / "set")
    assert by_setting["image"].shape[0] == 2


def test_the_table_has_a_row_for_each_file_and_no_formula(album):
    picture(album / "in/=1+1.png", (20, 20))
    hole(album / "masks/=1+1.png", (9, 9))
    result = job(album, image=[*(album / f"in/{name}.png" for name in SIZES), album / "in/=1+1.png"],
                 mask=[*(album / f"masks/{name}_mask.png" for name in SIZES), album / "masks/=1+1.png"])  # fmt: skip
    rows = list(csv.DictReader(result.table.open(encoding="utf-8", newline="")))
    assert list(rows[0]) == ["input", "mask", "output", "sha256", "seconds", "status", "message"]
    import hashlib

    for row, name in zip(rows, SIZES, strict=False):
        assert row["input"] == str(album / f"in/{name}.png")
        assert hashlib.sha256((album / "out" / row["output"]).read_bytes()).hexdigest() == row["sha256"]
        assert row["status"] == "done"
        assert float(row["seconds"]) >= 0
    assert rows[-1]["status"] == "failed"
    assert rows[-1]["output"] == ""
    assert "fill.mask" in rows[-1]["message"]


@pytest.mark.parametrize("text", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1"])
def test_a_cell_is_no_formula(text):
    from inlay.graph_runtime.front.jobs.table import inert

    assert inert(text)[0] not in "=+-@\t\r\n"
    assert "\n" not in inert("a\nb")


def test_sheets_have_48_pairs_at_most(tmp_path):
    for number in range(50):
        picture(tmp_path / f"in/{number}.png", (8, 8), number)
    hole(tmp_path / "hole.png", (8, 8))
    (tmp_path / "in/3.png").write_bytes(b"")
    result = job(tmp_path, mask=tmp_path / "hole.png")
    assert [path.name for path in result.sheets] == ["contact-sheet-1.jpg", "contact-sheet-2.jpg"]
    sizes = [Image.open(path).size for path in result.sheets]
    assert all(width < 2500 and height < 2000 for width, height in sizes)


def test_a_sheet_shows_before_and_after(album):
    Image.new("RGB", (90, 60), (250, 10, 10)).save(album / "in/1.png")
    hole(album / "masks/1_mask.png", (90, 60))
    result = job(album, image=[album / "in/1.png"], mask=[album / "masks/1_mask.png"])
    sheet = Image.open(result.sheets[0]).convert("RGB")
    reds = [
        x for x in range(sheet.width) if sheet.getpixel((x, 6 + 30 + 26))[0] > 200 > 90 > sheet.getpixel((x, 62))[1]
    ]
    assert len(reds) > 150  # two pictures, side by side


def test_events_count_the_pictures(album):
    seen = []
    job(album, listeners=[seen.append])
    started = [event for event in seen if isinstance(event, ItemStarted)]
    ended = [event for event in seen if isinstance(event, ItemFinished)]
    assert [event.name for event in started] == list(SIZES)
    assert [(event.number, event.total, event.status) for event in ended] == [
        (number, len(SIZES), "done") for number in range(1, len(SIZES) + 1)
    ]


def test_cancelling_keeps_what_is_done(album):
    token = CancelToken()

    def stop(event):
        if isinstance(event, ItemFinished) and event.number == 2:
            token.cancel()

    with pytest.raises(Cancelled, match="2 done of 4"):
        job(album, listeners=[stop], cancel=token)
    assert sorted(files(album / "out")) == ["1.png", "2.png"]
    assert len((album / "out/job.csv").read_text().splitlines()) == 3
    assert job(album).tally.known == 2


def test_notes_come_first(album):
    (album / "in/readme.txt").write_text("hello")
    seen = []
    job(album, listeners=[seen.append])
    first = next(event for event in seen if isinstance(event, Warned))
    assert "readme.txt" in first.message


def test_a_job_has_no_outputs_of_its_own(album):
    result = job(album)
    assert result
    with pytest.raises(KeyError, match="this is a job"):
        result["image"]


def test_check_names_every_picture_that_would_fail(album):
    (album / "in/2.png").write_bytes(b"")
    hole(album / "masks/10_mask.png", (9, 9))
    report = inlay.check(FLOW, image=album / "in", mask=album / "masks", out=album / "out")
    assert len(report) == 2
    assert "(picture 2)" in report[0].found
    assert "(picture 10)" in report[1].found
    wrong = inlay.check(FLOW, image=album / "in", mask=album / "masks", seed=-1)
    assert [(one.node, one.port) for one in wrong if one.port == "seed"] == [("fill", "seed")]


def test_check_looks_at_the_beginnings_of_the_others(album, monkeypatch):
    monkeypatch.setattr("inlay.graph_runtime.front.jobs.check_job.DEPTH_SECONDS", 0.0)
    (album / "in/sub/x.png").write_bytes(b"no picture")
    report = inlay.check(FLOW, image=album / "in", mask=album / "masks")
    assert [problem.port for problem in report] == ["inputs.image"]
    assert "(picture sub/x)" in report[0].found
    assert "3 of 4 pictures were checked in depth" in str(report.warnings[-1])


def test_pictures_in_memory_are_a_job_too(album):
    photos = [Image.open(album / f"in/{name}.png") for name in ("1", "2")]
    masks = [Image.open(album / f"masks/{name}_mask.png") for name in ("1", "2")]
    result = job(album, image=photos, mask=masks, seed=5)
    whole = job(album, seed=5, out=album / "whole")
    for one, other in zip(result.results, whole.results, strict=False):
        assert (one["image"] == other["image"]).all()
        assert one.pil().tobytes() == other.pil().tobytes()
    without = job(album, image=photos, mask=masks, seed=5, out=None)
    assert without.paths == []
    assert [one.pil().tobytes() for one in without.results] == [one.pil().tobytes() for one in result.results]
    assert without.table is None


def test_a_known_result_still_has_its_picture_and_its_outputs(album):
    first, second = job(album), job(album)
    assert second.tally.known == len(SIZES)
    for one, other in zip(first.results, second.results, strict=True):
        assert one.pil().tobytes() == other.pil().tobytes()
        assert (one["image"] == other["image"]).all()
    assert sorted(files(album / "out")) == sorted(f"{name}.png" for name in SIZES)


def test_without_a_home_a_job_runs_and_says_that_it_cannot_be_known_again(album, monkeypatch):
    (album / "home").write_text("a file")
    monkeypatch.setenv("INLAY_HOME", str(album / "home"))
    with pytest.warns(inlay.InlayWarning, match="the next start does it again"):
        assert job(album, cache=False).tally.done == len(SIZES)
    with pytest.warns(inlay.InlayWarning):
        again = job(album, cache=False)
    assert [path.name for path in again.paths] == ["1_00002.png", "2_00002.png", "10_00002.png", "x_00002.png"]


def test_an_output_folder_that_cannot_be_written_is_refused(album):
    (album / "out").write_text("a file")
    with pytest.raises(WorkflowError, match="--out"):
        job(album)


def test_metadata_and_formats_are_those_of_one_picture(album):
    photo = Image.open(album / "in/1.png")
    exif = Image.Exif()
    exif[0x010E] = "a description"
    photo.save(album / "in/1.png", exif=exif, dpi=(300, 300))
    result = job(album, set={"save.format": "webp"})
    assert [path.suffix for path in result.paths] == [".webp"] * len(SIZES)
    assert Image.open(result.paths[0]).getexif()[0x010E] != ""
    flow = json.loads(json.dumps(FLOW))
    flow["nodes"]["save"]["params"] = {"format": "jpeg"}
    with pytest.warns(inlay.InlayWarning, match="JPEG is not exact"):
        made = inlay.run(flow, image=album / "in", mask=album / "masks", out=album / "jpeg")
    assert {path.suffix for path in made.paths} == {".jpg"}


def test_paths_of_another_folder_are_not_told(album):
    for path in job(album).paths:
        assert str(album) not in json.dumps(Image.open(path).info, default=str)
