"""`inlay run` and `inlay check` of a folder: what is printed, and the exit status."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from inlay.graph_runtime.front.cli.main import main
from PIL import Image

FLOW = {
    "format": 1,
    "inputs": {"image": "photo.path", "seed": "fill.seed"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "photo.png"}},
        "hole": {"type": "mask.shape", "inputs": {"image": "photo.image"}},
        "fill": {
            "type": "image.fill",
            "params": {"fill": "noise"},
            "inputs": {"image": "photo.image", "mask": "hole.mask"},
        },
    },
    "outputs": {"image": "fill.image"},
}


@pytest.fixture
def album(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    for number in range(4):
        Image.linear_gradient("L").rotate(number).resize((20 + number, 30)).save(tmp_path / f"in/{number}.png")
    (tmp_path / "flow.json").write_text(json.dumps(FLOW))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def printed(capsys, *words):
    status = main(list(words))
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_paths_go_to_stdout_and_the_rest_to_stderr(album, capsys):
    status, out, err = printed(capsys, "run", "flow.json", "--image", "in", "--out", "made")
    assert status == 0
    assert out.splitlines() == [os.path.join("made", f"{number}.png") for number in range(4)]
    assert "4 of 4" in err
    assert "4 done of 4" in err
    assert os.path.join("made", "job.csv") in err
    status, _, err = printed(capsys, "run", "flow.json", "--image", "in", "--out", "made")
    assert status == 0
    assert "0 done, 4 known from an earlier start of 4" in err


def test_failures_are_listed_at_the_end_with_status_1(album, capsys):
    (album / "in/2.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    status, out, err = printed(capsys, "run", "flow.json", "--image", "in", "--out", "made")
    assert status == 1
    assert len(out.splitlines()) == 3
    end = err[err.rindex("failed: ") :]
    assert os.path.join("in", "2.png") in end
    for word in ("photo.path", "found", "expected", "fix", "3 done, 1 failed of 4"):
        assert word in end
    assert "Traceback" not in err


def test_json_is_one_object_with_an_entry_for_each_picture(album, capsys):
    (album / "in/2.png").write_bytes(b"")
    status, out, _ = printed(capsys, "run", "flow.json", "--image", "in", "--json", "--out", "made")
    assert status == 1
    found = json.loads(out)
    assert found["status"] == "failed"
    assert (found["done"], found["known"], found["failed"]) == (3, 0, 1)
    assert [one["status"] for one in found["pictures"]] == ["done", "done", "failed", "done"]
    (problem,) = found["pictures"][2]["problems"]
    assert problem["node"] == "photo"
    assert set(problem) == {"node", "port", "found", "expected", "fix"}
    assert found["paths"] == [os.path.join("made", f"{number}.png") for number in (0, 1, 3)]


def test_what_could_not_start_has_status_2(album, capsys):
    assert printed(capsys, "run", "flow.json", "--image", "in", "--seed", "-1")[0] == 2
    assert printed(capsys, "run", "flow.json", "--image", "in", "--out", "in")[0] == 2
    assert printed(capsys, "run", "flow.json", "--image", "in", "--jobs", "0")[0] == 2
    assert printed(capsys, "run", "flow.json", "--image", "in", "--device", "cuda:77")[0] == 2
    (album / "empty").mkdir()
    status, out, err = printed(capsys, "run", "flow.json", "--image", "empty", "--json")
    assert (status, json.loads(out)["status"]) == (2, "error")
    assert "no picture" in err
    assert not (album / "inlay-out").exists()


def test_check_of_a_folder(album, capsys):
    assert printed(capsys, "check", "flow.json", "--image", "in")[0] == 0
    (album / "in/3.png").write_bytes(b"")
    status, out, _ = printed(capsys, "check", "flow.json", "--image", "in", "--json")
    assert status == 2
    assert "(picture 3)" in json.loads(out)["problems"][0]["found"]


def test_jobs_without_a_folder_says_so(album, capsys):
    status, _, err = printed(capsys, "run", "flow.json", "--image", "in/1.png", "--jobs", "2")
    assert status == 0
    assert "--jobs is for a folder" in err


def test_a_workflow_that_saves_nothing_saves_its_outputs_under_the_pictures_names(album, capsys):
    flow = json.loads(json.dumps(FLOW))
    flow["outputs"] = {"image": "fill.image", "other": "photo.image"}
    (album / "flow.json").write_text(json.dumps(flow))
    assert printed(capsys, "run", "flow.json", "--image", "in/[01].png", "--out", "made")[0] == 0
    assert sorted(path.name for path in (album / "made").glob("*.png")) == [
        "0.png", "0_other.png", "1.png", "1_other.png",
    ]  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="no signals between processes")
@pytest.mark.parametrize("jobs", ["1", pytest.param("2", marks=pytest.mark.slow)])
def test_ctrl_c_stops_at_once_and_the_next_start_goes_on(album, jobs):
    for number in range(4, 400):
        Image.linear_gradient("L").rotate(number).resize((60, 60)).save(album / f"in/{number}.png")
    words = [sys.executable, "-m", "inlay", "run", "flow.json", "--image", "in", "--out", "made", "--jobs", jobs]
    process = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 60
    while not (album / "made/2.png").exists() and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=20)[1]
    assert process.returncode == 130, said
    assert "the same command goes on from there" in said
    assert "Traceback" not in said
    kept = sorted((album / "made").glob("*.png"))
    assert 0 < len(kept) < 400
    assert len((album / "made/job.csv").read_text().splitlines()) - 1 <= len(kept)
    assert not [path for path in (album / "made").iterdir() if path.name.startswith(".")]
