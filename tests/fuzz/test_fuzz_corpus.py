"""Every file that once did what no file may do: read by the public doors again, under watch."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fuzzing.case import from_json, to_json

ROOT = Path(__file__).resolve().parents[2]
CORPUS = sorted((ROOT / "tests" / "fuzz" / "corpus").glob("*.json"))


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Findings by corpus file."""
    if sys.platform != "linux":
        pytest.skip("the harness needs Linux: fork, inotify, /proc")
    folder = tmp_path_factory.mktemp("fuzz")
    words = ["--corpus", "--quick", "--save", str(folder / "found"), "--report", str(folder / "report.json")]
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "fuzz.py", *words], capture_output=True, text=True, check=False
    )
    assert done.returncode in (0, 1), done.stderr[-3000:]
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


@pytest.mark.xdist_group("fuzz")
@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_a_file_of_the_corpus_does_nothing_that_no_file_may_do(report, file):
    assert report[file.name] == []


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_a_file_of_the_corpus_is_a_case_and_says_why(file):
    text = file.read_text(encoding="utf-8")
    assert json.loads(text)["why"]
    case = from_json(text)
    if sum(map(len, case.files.values())) < 100_000:  # packing more takes long
        assert from_json(to_json(case)) == case


def test_the_corpus_is_small():
    assert 0 < sum(file.stat().st_size for file in CORPUS) < 2**20
