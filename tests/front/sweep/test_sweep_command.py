"""`inlay sweep`: what is typed, printed and asked, the exit status, kills, and a full disk."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from inlay.graph_runtime.front.cli import sweep as command_of_sweep
from inlay.graph_runtime.front.sweep.size import LIMIT
from PIL import Image

FLOW = {
    "format": 1,
    "title": "Noise in a hole",
    "inputs": {"image": "photo.path", "seed": "fill.seed", "fill": "fill.fill"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "photo.png"}},
        "hole": {"type": "mask.shape", "inputs": {"image": "photo.image"}},
        "fill": {
            "type": "image.fill",
            "params": {"fill": "noise"},
            "inputs": {"image": "photo.image", "mask": "hole.mask"},
        },
        "score": {"type": "metric.psnr", "inputs": {"image": "fill.image", "reference": "photo.image"}},
    },
    "outputs": {"image": "fill.image"},
}


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "flow.json").write_text(json.dumps(FLOW))
    Image.linear_gradient("L").resize((24, 16)).convert("RGB").save(tmp_path / "photo.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(folder):
    with (folder / "table.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_paths_go_to_stdout_and_the_rest_to_stderr(here, command):
    (here / "words.txt").write_text("noise\nblur\n")
    done = command(
        "sweep", "flow.json", "--grid", "seed=0..2", "--list", "fill=words.txt", "--best", "score", "--out", "made"
    )
    assert done.returncode == 0, done.stderr
    paths = [os.path.join("made", name) for name in ("sheet.png", "table.csv", "table.parquet", "best.png")]
    assert [path for path in done.stdout.splitlines() if "parquet" not in path] == [
        p for p in paths if "parquet" not in p
    ]
    assert "sweep: 6 combinations (3 of seed × 2 of fill)" in done.stderr
    assert "6 done of 6" in done.stderr
    assert "best: seed=" in done.stderr
    assert [row["seed"] + row["fill"] for row in rows_of(here / "made")] == [
        f"{s}{f}" for s in "012" for f in ("noise", "blur")
    ]
    again = command("sweep", "flow.json", "--grid", "seed=0..2", "--list", "fill=words.txt", "--out", "made")
    assert "6 known from an earlier start of 6" in again.stderr


def test_json_is_one_object(here, command):
    done = command("sweep", "flow.json", "--grid", "seed=0,1", "--best", "score.value:min", "--json")
    found = json.loads(done.stdout)
    assert (found["status"], found["combinations"], found["done"], found["failed"]) == ("done", 2, 2, 0)
    assert found["best"]["values"]["seed"] in (0, 1)
    assert found["best"]["numbers"]["score.value"] > 0


def test_failures_are_listed_with_their_combination_and_status_1(here, command):
    (here / "in").mkdir()
    (here / "in/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.new("RGB", (9, 9)).save(here / "in/good.png")
    done = command("sweep", "flow.json", "--images", "in", "--grid", "seed=1..2", "--out", "made")
    assert done.returncode == 1
    assert "failed: image=bad seed=1" in done.stderr
    assert "2 done, 2 failed of 4" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_large_sweep_is_refused_without_yes_and_says_how_large_it_is(here, command):
    began = time.monotonic()
    done = command("sweep", "flow.json", "--grid", "seed=0..999999999", "--out", "made")
    assert done.returncode == 2
    for word in ("1,000,000,000 combinations", "years", "--yes"):
        assert word in done.stderr
    assert not (here / "made").exists()
    assert time.monotonic() - began < 60  # nothing was written out
    command("sweep", "flow.json", "--grid", "seed=0..1", "--out", "made")
    assert "took" in command("sweep", "flow.json", "--grid", "seed=0..999999999", "--out", "made").stderr


@pytest.mark.parametrize(("answer", "status"), [("y\n", 0), ("n\n", 2), ("", 2)])
def test_a_person_is_asked(here, command, monkeypatch, answer, status):
    class Terminal:
        def isatty(self):
            return True

        def readline(self):
            return answer

    monkeypatch.setattr(command_of_sweep, "LIMIT", 1)
    monkeypatch.setattr("inlay.graph_runtime.front.sweep.size.LIMIT", 1)
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True, raising=False)
    done = command("sweep", "flow.json", "--grid", "seed=0..1", "--out", "made")
    assert done.returncode == status, done.stderr
    assert "make them all? [y/N]" in done.stderr
    assert LIMIT == 1_000


def test_help_teaches_and_help_of_a_file_lists_its_inputs(here, command):
    general = command("sweep", "--help").stdout
    for word in (
        "--grid seed=0..9",
        "both ends count",
        "--list prompt=words.txt",
        "--images",
        "Every flag multiplies",
        "--best",
    ):
        assert word in general
    assert "--seed" in command("sweep", "flow.json", "--help").stdout


WRONG = {
    "no values": ["--grid", "seed"],
    "no name": ["--grid", "=1,2"],
    "twice": ["--grid", "seed=1", "--grid", "seed=2"],
    "a flag too": ["--grid", "seed=1", "--seed", "2"],
    "a file that is none": ["--list", "seed=nowhere.txt"],
    "a folder that is none": ["--images", "nowhere"],
    "images twice": ["--images", ".", "--image", "photo.png"],
    "an engine": ["--grid", "seed=1", "--engine", "cloud"],
    "open quotes": ["--grid", 'fill="noise'],
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_status_2_and_nothing_is_written(here, command, case):
    done = command("sweep", "flow.json", *WRONG[case], "--out", "made")
    assert done.returncode == 2, done.stderr
    assert "fix " in done.stderr
    assert "Traceback" not in done.stderr
    assert not (here / "made").exists() or not list((here / "made").iterdir())


def test_a_picture_of_a_sweep_is_swept_again_and_runs_again(here, command):
    command("sweep", "flow.json", "--grid", "seed=3", "--out", "made")
    first = here / "made/seed=3.png"
    assert command("run", first, "--out", "again").returncode == 0
    assert next((here / "again").glob("*.png")).read_bytes() == first.read_bytes()
    assert command("sweep", first, "--grid", "seed=3..4", "--out", "more").returncode == 0
    assert len(rows_of(here / "more")) == 2


def _start(here, *words):
    code = "import sys; from inlay.graph_runtime.front.cli.main import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *words], cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL")
def test_a_sweep_that_is_killed_goes_on_and_makes_nothing_twice(here):
    words = ("sweep", "flow.json", "--grid", "seed=0..39", "--quiet", "--out", "made")
    inodes = {}
    for wanted in (3, 12):
        process = _start(here, *words)
        while process.poll() is None and len(list((here / "made").glob("seed=*.png"))) < wanted:
            time.sleep(0.02)
        process.kill()
        process.communicate()
        found = {path.name: path.stat().st_ino for path in (here / "made").glob("seed=*.png")}
        assert {name: found.get(name) for name in inodes} == inodes
        inodes = found
    process = _start(here, *words)
    _, err = process.communicate()
    assert process.returncode == 0, err
    found = {path.name: path.stat().st_ino for path in (here / "made").glob("seed=*.png")}
    assert {name: found.get(name) for name in inodes} == inodes
    assert set(found) == {f"seed={number}.png" for number in range(40)}
    assert [row["status"] for row in rows_of(here / "made")].count("failed") == 0
    assert not [path.name for path in (here / "made").iterdir() if path.name.startswith(".")]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the size of files that is an error")
def test_a_full_disk_stops_the_sweep_and_the_same_command_goes_on(here, command, monkeypatch):
    from inlay.graph_runtime.core import context

    real, made = context.named, []

    def full(folder, name, suffix, publish, published):
        made.append(name)
        if len(made) > 2:
            raise OSError(28, "No space left on device")
        return real(folder, name, suffix, publish, published)

    monkeypatch.setattr(context, "named", full)
    done = command("sweep", "flow.json", "--grid", "seed=0..9", "--out", "made")
    assert done.returncode == 1
    assert "the disk is full" in done.stderr
    assert "no space is left on the disk" in done.stderr
    assert len(made) == 3  # it does not go on to fail seven times more
    monkeypatch.setattr(context, "named", real)
    done = command("sweep", "flow.json", "--grid", "seed=0..9", "--out", "made")
    assert "8 done, 2 known from an earlier start of 10" in done.stderr


def test_flags_that_tell_of_one_run_are_refused_all_at_once_and_nothing_runs(here, command):
    flags = ["--profile", "--dry-run", "--explain-memory"]
    done = command("sweep", "flow.json", "--grid", "seed=0..2", "--out", "made", *flags)
    assert done.returncode == 2
    assert [flag for flag in flags if flag in done.stderr] == flags
    assert "a run for each combination" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (here / "made").exists()
