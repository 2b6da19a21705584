"""`inlay samples`: a folder with all that the documents use, and no file ever overwritten."""

import json
import re
from pathlib import Path

import inlay
import pytest
from inlay.graph_runtime.core import files
from inlay.graph_runtime.front.cli import main, samples
from inlay.graph_runtime.front.installed import shipped_samples
from inlay.models.embedded import is_sample
from PIL import Image


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


SAMPLES = shipped_samples()
SHIPPED = {name: path.read_bytes() for name, path in SAMPLES.items()}


def test_all_samples_are_written_and_named(tmp_path, capsys):
    assert main.main(["samples", str(tmp_path / "new" / "folder")]) == 0
    assert contents(tmp_path / "new" / "folder") == SHIPPED
    said = capsys.readouterr().out
    named = {name for names, _ in samples.CONTENTS for name in names.split(", ")}
    assert named == {name.split("/")[0] for name in SHIPPED}
    assert all(name in said for name in named)
    assert f"wrote {len(SHIPPED)} files to" in said


def test_the_next_command_works(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main.main(["samples", ".", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["status"] == "done"
    assert answer["written"] == list(SHIPPED)
    for command in answer["next"]:
        words = command.split()
        assert main.main(["check" if words[1] == "run" else words[1], *words[2:]]) == 0


def test_the_same_folder_again_changes_nothing_and_completes_what_is_missing(tmp_path, capsys):
    assert main.main(["samples", str(tmp_path)]) == 0
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")}
    (tmp_path / "photo.jpg").unlink()
    capsys.readouterr()
    assert main.main(["samples", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["written"] == ["photo.jpg"]
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.png")} == before


def file(path):
    path.write_bytes(b"mine")


def folder(path):
    path.mkdir()


def dangling_link(path):
    path.symlink_to("nowhere")


@pytest.mark.parametrize("make", [file, folder, dangling_link])
@pytest.mark.parametrize("name", ["photo.jpg", "subject/sofa-2.png"])
def test_what_is_there_is_named_and_nothing_is_written(tmp_path, capsys, make, name):
    taken = tmp_path / name
    taken.parent.mkdir(exist_ok=True)
    make(taken)
    before = sorted(path.name for path in tmp_path.rglob("*"))
    assert main.main(["samples", str(tmp_path)]) == 2
    assert name in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


def test_a_file_in_the_place_of_a_folder_is_explained(tmp_path, capsys):
    (tmp_path / "album").write_bytes(b"mine")
    assert main.main(["samples", str(tmp_path)]) == 2
    assert contents(tmp_path) == {"album": b"mine"}
    (tmp_path / "file").write_bytes(b"mine")
    assert main.main(["samples", str(tmp_path / "file")]) == 2
    assert main.main(["samples", "a\0b"]) == 2
    assert "bug" not in capsys.readouterr().err


def test_a_file_that_appears_meanwhile_stays(tmp_path):
    (tmp_path / "a").write_bytes(b"mine")
    assert not files.write_new(tmp_path / "a", b"ours")
    assert files.write_new(tmp_path / "b", b"ours")
    assert contents(tmp_path) == {"a": b"mine", "b": b"ours"}


def test_photos_are_small_credited_and_fit_their_masks():
    notice = (Path(inlay.__file__).parent / "NOTICE").read_text("utf-8")
    photos = [name for name in SHIPPED if name.endswith(".jpg")]
    assert len(photos) >= 2
    for name in photos:
        assert name in notice
        assert len(SHIPPED[name]) <= 150_000
        mask = "hole.png" if name == "photo.jpg" else re.sub(r"album/(.*)\.jpg", r"album-masks/\1.png", name)
        with Image.open(SAMPLES[name]) as photo, Image.open(SAMPLES[mask]) as hole:
            assert photo.size == hole.size
            assert (
                0.01
                < hole.convert("L").point(lambda value: value > 127).histogram()[1] / (hole.width * hole.height)
                < 0.2
            )


def test_the_embedded_model_knows_the_drawings_and_no_photo():
    assert is_sample(SAMPLES["room.png"])
    assert not is_sample(SAMPLES["photo.jpg"])
