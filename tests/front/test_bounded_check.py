"""`check` answers any file of at most 16 MiB within seconds and a gigabyte, with problems or none, and never raises."""

import json
import subprocess
import sys
import time

import numpy as np
import pytest
from hostile_workflows import PROMPTS, TEXTS, loader, node
from inlay import check
from inlay.graph_runtime.core.bounded import effort, limits

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


def burn(seconds):
    began = time.thread_time()
    while time.thread_time() - began < seconds:
        pass


def test_a_first_import_takes_none_of_the_checks_time(tmp_path, monkeypatch):
    """Also one within another; what the check itself does counts."""
    work = "import time\nbegan = time.thread_time()\nwhile time.thread_time() - began < 0.3: pass\n"
    (tmp_path / "inlay_slow_inner.py").write_text(work)
    imports = "from inlay.graph_runtime.core.bounded.effort import imported\nimported('inlay_slow_inner')\n"
    (tmp_path / "inlay_slow_outer.py").write_text(imports + work)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(effort, "SECONDS", 0.2)
    with effort.checking() as check_of_one:
        effort.imported("inlay_slow_outer")
        assert effort.affords(1)
        burn(0.1)
        assert not check_of_one.late
        burn(0.15)
        assert check_of_one.late
        assert effort.affords(1)  # masks are looked at on a slow machine too: pixels are counted for them
        assert not effort.affords(limits.VALUES)
    for name in ("inlay_slow_inner", "inlay_slow_outer"):
        sys.modules.pop(name)


def test_what_needs_torch_in_a_check_hides_no_problem_after_it(folder):
    """The import alone takes longer than nodes are checked."""
    graph = {
        "start": {"type": "latent.load", "params": {"path": "start.safetensors"}},
        "photo": {"type": "image.load", "params": {"path": "solid.png"}},
        "crop": {"type": "image.crop_to_mask", "inputs": {"image": "photo.image", "mask": "photo.mask"}},
    }
    from PIL import Image
    from safetensors.numpy import save_file

    Image.new("RGB", (64, 48)).save(folder / "solid.png")
    save_file({"latent": np.zeros((1, 4, 8, 8), np.float32)}, folder / "start.safetensors")
    outputs = {"latent": "start.latent", "image": "crop.image"}
    (folder / "job.json").write_text(json.dumps({"format": 1, "nodes": graph, "outputs": outputs}))
    slow = "from inlay.graph_runtime.core.bounded import effort; effort.SECONDS = 0.0"  # as on a busy machine
    code = f"import inlay; {slow}; print(*inlay.check('job.json'))"
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=120)
    assert "crop.mask: found an empty mask" in said.stdout, said
