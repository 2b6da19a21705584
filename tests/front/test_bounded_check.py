"""`check` answers any file of at most 16 MiB within seconds and a gigabyte, with problems or none, and never raises."""

import json
import sys
import time

import pytest
from hostile_workflows import PROMPTS, TEXTS, loader, node
from inlay import check
from inlay.graph_runtime.core.bounded import limits

SECONDS = 8.0  # of processor time: four times what is promised, because tests run on any machine, beside others


@pytest.fixture
def folder(tmp_path, monkeypatch):
    from PIL import Image

    Image.effect_noise((64, 48), 80).convert("RGBA").save(tmp_path / "room.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def answer(text, folder):
    file = folder / "hostile.json"
    file.write_text(text, encoding="utf-8")
    assert file.stat().st_size <= limits.BYTES
    began = time.process_time()
    report = check(file, out=folder / "out")
    assert time.process_time() - began < SECONDS
    assert not any("unforeseen" in problem.found for problem in report)
    return report


@pytest.mark.parametrize("case", TEXTS)
def test_check_answers_any_file_within_seconds(case, folder):
    report = answer(TEXTS[case](), folder)
    assert len(report) <= limits.PROBLEMS + 1
    assert all(len(str(problem)) < 2000 for problem in report)


@pytest.mark.parametrize("case", PROMPTS)
def test_check_reads_any_prompt_within_seconds(case, folder):
    assert answer(PROMPTS[case](), folder) == []


@pytest.mark.skipif(sys.platform != "linux", reason="a process's own peak, without that of its parent, is Linux's")
def test_check_takes_less_than_a_gigabyte(folder):
    import subprocess

    program = (
        "import sys; from inlay import check; check(sys.argv[1]);"
        "print(next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')))"
    )
    for case in ("unknown settings", "as many nodes as allowed", "an editor's data"):
        (folder / "hostile.json").write_text(TEXTS[case](), encoding="utf-8")
        found = subprocess.run([sys.executable, "-c", program, "hostile.json"], capture_output=True, text=True)
        assert found.returncode == 0, found.stderr
        assert int(found.stdout) * 1024 < 2**30


def test_batches_of_billions_of_pictures_are_checked_by_their_shape(folder):
    nodes = {"n0": loader()}
    for number in range(1, 7):
        nodes[f"n{number}"] = node("image.augment", {"count": 64, "size": 64}, image=f"n{number - 1}.image")
    nodes["shape"] = node("mask.shape", None, image="n6.image")
    nodes["sheet"] = node("image.grid", None, image_1="n6.image", image_2="n6.image")
    flow = {"format": 1, "nodes": nodes, "outputs": {"mask": "shape.mask", "image": "sheet.image"}}
    assert answer(json.dumps(flow), folder) == []
