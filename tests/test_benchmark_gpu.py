"""benchmarks/gpu/run.py: what it prints without a GPU, a rehearsal, and a whole run on a simulated card."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from inlay.benchmarks.gpu import jobs, run, shapes, workflows
from simulated_gpu import SimulatedGpu

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu" / "run.py"


def test_without_a_gpu_it_prints_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--out", str(tmp_path / "out")],
        text=True,
        capture_output=True,
        check=False,
        env={"CUDA_VISIBLE_DEVICES": "", "PATH": ""},
    )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert "no CUDA device" in done.stderr
    assert not (tmp_path / "out").exists()


def test_floors_are_those_of_the_card():
    assert jobs.peak_of("NVIDIA H100 80GB HBM3") == pytest.approx(790, rel=0.01)
    assert jobs.peak_of("NVIDIA A100-SXM4-80GB") == pytest.approx(250, rel=0.01)
    assert jobs.peak_of("NVIDIA GeForce RTX 4090") == pytest.approx(132, rel=0.01)
    assert jobs.peak_of("a card of tomorrow") == jobs.peak_of("NVIDIA RTX A1000 Laptop GPU") == 0
    row = jobs.Row("null-space", 0.07, tflop=28.0).against(790)
    assert row.floor == pytest.approx(0.0354, rel=0.01)
    assert row.share == pytest.approx(0.506, rel=0.01)
    assert jobs.Row("unknown", 1.0, tflop=28.0).against(0).share == 0


def test_models_of_full_size_need_no_files():
    parts = shapes.random_model(shapes.SD15, "float32")
    for part in parts:
        part.check()
    assert parts.denoiser.nbytes() == pytest.approx(4 * 859.5e6, rel=0.001)  # Stable Diffusion 1.5's UNet


def test_tests_that_run_out_of_time_report_what_they_found():
    output = """collected 47 items
tests/test_cuda.py::test_one[real-float32] PASSED        [  2%]
tests/test_cuda.py::test_one[real-float16] FAILED        [  4%]
tests/test_cuda.py::test_two PASSED                      [  6%]
tests/test_cuda.py::test_three """
    found = run.unfinished(output, 120)
    assert not found["passed"]
    assert found["summary"] == "not finished after 120 s: 2 passed, 1 failed so far"
    assert found["failures"] == ["tests/test_cuda.py::test_one[real-float16] FAILED        [  4%]"]
    assert run.unfinished(output.replace("FAILED", "PASSED"), 120)["passed"]
    assert not run.unfinished("", 1)["passed"]  # none had its turn


def test_measurements_are_written_although_the_models_of_the_jobs_fail(tmp_path, monkeypatch):

    def broken(*_):
        raise NotImplementedError

    monkeypatch.setattr(jobs, "random_model", broken)
    row = workflows.Compared("zero_shot_inpaint", "float32", 1.5, 50.0, 0, same=False)
    monkeypatch.setattr(workflows, "compare_all", lambda *_: [row])
    monkeypatch.setattr(run, "run_tests", lambda rehearse, seconds: {"passed": True, "summary": "3 passed"})
    assert run.main(["--out", str(tmp_path), "--rehearse"]) == 1
    text = (tmp_path / "gpu.md").read_text()
    assert "| failed: NotImplementedError: |" in text
    assert "| zero_shot_inpaint | float32 | 1.5 | 50.0 | 0 | no |  |" in text


def test_a_job_that_ran_short_of_memory_notes_it(monkeypatch):

    def job(self, name, z):
        """short: of memory."""
        self.ctx.warn("memory is short: activations are computed twice")
        self.ctx.warn("the reconstruction misses the picture")
        return jobs.Row(name, 1.0, note="median of 2 steps")

    for name in ("null_space", "guided", "by_example", "tuning", "edit", "lora"):
        monkeypatch.setattr(jobs.Bench, name, job)
    rows = jobs.Bench(shapes.TINY, "cpu", "float32", lambda: 60.0, False).run()
    assert {row.note for row in rows} == {"median of 2 steps; memory is short: activations are computed twice"}


@pytest.mark.slow
def test_a_whole_run_on_a_simulated_card(tmp_path, monkeypatch, capsys):
    """Every part in turn: jobs, two precisions of a workflow and a training; no row fails, floors beside the times."""

    monkeypatch.setattr(shapes, "SD15", shapes.TINY)
    compare = workflows.compare_all
    few = {"zero_shot_inpaint": ("auto", "bfloat16")}
    monkeypatch.setattr(
        workflows, "compare_all", lambda device, out, left, names, steps: compare(device, out, left, few, 2)
    )
    monkeypatch.setattr(run, "run_tests", lambda rehearse, seconds: {"passed": True, "summary": "3 passed"})
    with SimulatedGpu(name="Simulated H100") as card:
        assert run.main(["--out", str(tmp_path)]) == 0, capsys.readouterr().out
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
def test_a_rehearsal_runs_every_part_and_names_what_had_no_time(tmp_path):
    assert run.main(["--out", str(tmp_path), "--rehearse", "--minutes", "0.000001"]) == 1  # no time for the tests
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert all("no time left" in row["note"] for row in [*found["jobs"], *found["workflows"]])
    assert run.main(["--out", str(tmp_path), "--rehearse"]) == 0
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert all(row["seconds"] > 0 for row in [*found["jobs"], *found["workflows"]])
    assert found["workflows"][0]["psnr"] == float("inf")
