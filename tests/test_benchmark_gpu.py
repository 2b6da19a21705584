"""benchmarks/gpu.py: what it says without a GPU, a rehearsal, and its own way on a simulated card."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from simulated_gpu import SimulatedGpu

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu

    return gpu


def test_without_a_gpu_it_says_so_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "gpu.py"), "--out", str(tmp_path / "out")],
        text=True,
        capture_output=True,
        check=False,
        env={"CUDA_VISIBLE_DEVICES": "", "PATH": ""},
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no CUDA device" in done.stderr
    assert not (tmp_path / "out").exists()


def test_floors_are_those_of_the_card(gpu):
    from gpu_jobs import Row, peak_of

    assert peak_of("NVIDIA H100 80GB HBM3") == pytest.approx(790, rel=0.01)
    assert peak_of("NVIDIA A100-SXM4-80GB") == pytest.approx(250, rel=0.01)
    assert peak_of("NVIDIA GeForce RTX 4090") == pytest.approx(132, rel=0.01)
    assert peak_of("a card of tomorrow") == peak_of("NVIDIA RTX A1000 Laptop GPU") == 0
    row = Row("null-space", 0.07, tflop=28.0).against(790)
    assert row.floor == pytest.approx(0.0354, rel=0.01)
    assert row.share == pytest.approx(0.506, rel=0.01)
    assert Row("unknown", 1.0, tflop=28.0).against(0).share == 0


def test_tests_whose_time_is_over_tell_what_they_had_found(gpu):
    said = """collected 47 items
tests/test_cuda.py::test_one[real-float32] PASSED        [  2%]
tests/test_cuda.py::test_one[real-float16] FAILED        [  4%]
tests/test_cuda.py::test_two PASSED                      [  6%]
tests/test_cuda.py::test_three """
    found = gpu.unfinished(said, 120)
    assert not found["passed"]
    assert found["summary"] == "not finished after 120 s: 2 passed, 1 failed so far"
    assert found["failures"] == ["tests/test_cuda.py::test_one[real-float16] FAILED        [  4%]"]
    assert gpu.unfinished(said.replace("FAILED", "PASSED"), 120)["passed"]
    assert not gpu.unfinished("", 1)["passed"]  # none had its turn


def test_what_was_measured_is_written_though_the_models_of_the_jobs_fail(gpu, tmp_path, monkeypatch):
    import gpu_jobs
    import gpu_workflows

    def broken(*_):
        raise NotImplementedError

    monkeypatch.setattr(gpu_jobs, "random_model", broken)
    row = gpu_workflows.Compared("zero_shot_inpaint", "float32", 1.5, 50.0, 0, same=False)
    monkeypatch.setattr(gpu_workflows, "compare_all", lambda *_: [row])
    monkeypatch.setattr(gpu, "run_tests", lambda rehearse, seconds: {"passed": True, "summary": "3 passed"})
    assert gpu.main(["--out", str(tmp_path), "--rehearse"]) == 1
    text = (tmp_path / "gpu.md").read_text()
    assert "| failed: NotImplementedError: |" in text
    assert "| zero_shot_inpaint | float32 | 1.5 | 50.0 | 0 | no |  |" in text


def test_a_job_that_was_short_of_memory_says_so(gpu, monkeypatch):
    import gpu_jobs
    import gpu_shapes

    def job(self, name, z):
        """short: of memory."""
        self.ctx.warn("memory is short: activations are computed twice")
        self.ctx.warn("the reconstruction misses the picture")
        return gpu_jobs.Row(name, 1.0, note="median of 2 steps")

    for name in ("null_space", "guided", "by_example", "tuning", "edit", "lora"):
        monkeypatch.setattr(gpu_jobs.Bench, name, job)
    rows = gpu_jobs.Bench(gpu_shapes.TINY, "cpu", "float32", lambda: 60.0, False).run()
    assert {row.note for row in rows} == {"median of 2 steps; memory is short: activations are computed twice"}


@pytest.mark.slow
def test_its_own_way_on_a_simulated_card(gpu, tmp_path, monkeypatch, capsys):
    """Every part in turn: jobs, two precisions of a workflow and a training; no row fails, floors beside the times."""
    import gpu_shapes
    import gpu_workflows

    monkeypatch.setattr(gpu_shapes, "SD15", gpu_shapes.TINY)
    compare = gpu_workflows.compare_all
    few = {"zero_shot_inpaint": ("auto", "bfloat16")}
    monkeypatch.setattr(
        gpu_workflows, "compare_all", lambda device, out, left, names, steps: compare(device, out, left, few, 2)
    )
    monkeypatch.setattr(gpu, "run_tests", lambda rehearse, seconds: {"passed": True, "summary": "3 passed"})
    with SimulatedGpu(name="Simulated H100") as card:
        assert gpu.main(["--out", str(tmp_path)]) == 0, capsys.readouterr().out
    assert not card.mixes
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["card"] == "Simulated H100"
    assert found["peak_tflops"] == pytest.approx(790, rel=0.01)
    assert len(found["jobs"]) == 6
    assert all(
        row["seconds"] > 0 and row["floor"] > 0 and not row["note"].startswith(("failed", "not run"))
        for row in found["jobs"]
    )
    by_name = {row["job"].split(",")[0]: row["evaluations"] for row in found["jobs"]}
    assert by_name["Paint by Example"] == 102
    assert by_name["TTIS"] == 50 + 50 + 250  # unconditional, the step itself, iterations
    assert by_name["BAM edit"] == 175  # 300 in three whole chains
    assert [(row["dtype"], row["outside"]) for row in found["workflows"]] == [("auto", 0), ("bfloat16", 0)]
    assert [row["same"] for row in found["workflows"]] == [True, None]
    text = (tmp_path / "gpu.md").read_text()
    assert text.startswith("# Simulated H100")
    assert "null-space, 30 steps, no prompt | " in text


@pytest.mark.slow
def test_a_rehearsal_runs_every_part_and_what_has_no_time_is_named(gpu, tmp_path):
    assert gpu.main(["--out", str(tmp_path), "--rehearse", "--minutes", "0.000001"]) == 1  # no time for the tests
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert all("no time left" in row["note"] for row in [*found["jobs"], *found["workflows"]])
    assert gpu.main(["--out", str(tmp_path), "--rehearse"]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert all(row["seconds"] > 0 for row in [*found["jobs"], *found["workflows"]])
    assert found["workflows"][0]["psnr"] == float("inf")
