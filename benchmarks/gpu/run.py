"""Tests, precision and speed on a GPU, in one command of at most eight minutes.

    python benchmarks/gpu/run.py --out DIR               writes DIR/gpu.md and DIR/gpu.json
    python benchmarks/gpu/run.py --out DIR --rehearse    tiny models on a CPU: shows only that the script runs

1. the tests that need a GPU;
2. every shipped workflow in each precision against the CPU in float32: PSNR, NaN, the largest change outside the mask;
3. the jobs at Stable Diffusion 1.5's shape, random weights: seconds, peak memory, evaluations a second, and the share
   that the counted floor has of the time.

What does not fit into the time is left out, and the table says so. Exit status: 0, 1 where something failed, 2 where
there is no GPU.
"""

import argparse
import dataclasses
import importlib.metadata
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
SHARES = {"tests": 0.25, "workflows": 0.35, "jobs": 0.4}  # of the time; unused time goes to the next part


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and write; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="a folder for gpu.md, gpu.json and the pictures")
    parser.add_argument("--minutes", type=float, default=8.0, help="time limit for everything (default: 8)")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--dtype", default="auto", help="precision of the models in part 3, as in the model nodes")
    parser.add_argument(
        "--peak",
        type=float,
        help="TFLOP/s that large bfloat16 products reach on the card, for the "
        "floors; known for H100, H200, A100, L40S, A10 and RTX 4090",
    )
    parser.add_argument("--rehearse", action="store_true", help="run with tiny models on a CPU")
    options = parser.parse_args(arguments)
    import torch

    if not options.rehearse and not torch.cuda.is_available():
        print(
            "no CUDA device here: torch finds none (--rehearse runs this script on a CPU with tiny models)",
            file=sys.stderr,
        )
        return 2
    options.out.mkdir(parents=True, exist_ok=True)
    found = measure(options)
    (options.out / "gpu.json").write_text(json.dumps(found, indent=1, default=str) + "\n", encoding="utf-8")
    text = as_markdown(found)
    (options.out / "gpu.md").write_text(text, encoding="utf-8")
    print(text)
    rows = [*found["workflows"], *found["jobs"]]
    return int(not found["tests"]["passed"] or any("failed" in row["note"] or "NaN" in row["note"] for row in rows))


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """All three parts."""
    import torch
    from inlay.benchmarks.gpu.jobs import Bench, Row, failed, peak_of
    from inlay.benchmarks.gpu.shapes import SD15, TINY
    from inlay.benchmarks.gpu.workflows import compare_all

    began = time.monotonic()
    device = "cpu" if options.rehearse else options.device
    name = "a CPU, rehearsing" if options.rehearse else torch.cuda.get_device_name(device)
    peak = options.peak or peak_of(name)

    def until(*parts: str) -> Callable[[], float]:
        """Seconds left for the parts up to these."""
        end = began + 60 * options.minutes * sum(SHARES[part] for part in parts)
        return lambda: end - time.monotonic()

    found: dict[str, Any] = {"card": name, "peak_tflops": peak, "dtype": options.dtype, **versions()}
    found["tests"] = run_tests(options.rehearse, until("tests")())
    few, steps = ({"zero_shot_inpaint": ("float32", "bfloat16")}, 2) if options.rehearse else (None, 10)
    rows = compare_all(device, options.out / "pictures", until("tests", "workflows"), few, steps)
    found["workflows"] = [dataclasses.asdict(row) for row in rows]
    try:
        bench = Bench(TINY if options.rehearse else SD15, device, options.dtype, until(*SHARES), not options.rehearse)
        found["jobs"] = [dataclasses.asdict(row.against(peak)) for row in bench.run()]
    except Exception as error:  # noqa: BLE001 - what was measured before is written all the same
        found["jobs"] = [dataclasses.asdict(Row("all", note=failed(error)))]
    found["seconds"] = round(time.monotonic() - began, 1)
    return found


def versions() -> dict[str, str]:
    """Libraries, and the commit."""
    import torch

    commit = subprocess.run(
        ["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    ).stdout.strip()
    tf32 = [
        name
        for name, on in (
            ("convolutions", torch.backends.cudnn.allow_tf32),
            ("products", torch.backends.cuda.matmul.allow_tf32),
        )
        if on
    ]
    return {
        "torch": torch.__version__,
        "cuda": str(torch.version.cuda),
        "tf32": " and ".join(tf32) or "nothing",
        **{name: importlib.metadata.version(name) for name in ("diffusers", "transformers", "peft")},
        "commit": commit or "unknown",
    }


def run_tests(rehearse: bool, seconds: float) -> dict[str, Any]:
    """The tests marked `cuda`; a rehearsal only collects them. Where time is short, what the first of them say."""
    command = [
        sys.executable,
        "-u",
        "-m",
        "pytest",
        "-v",
        "-m",
        "cuda",
        "-p",
        "no:cacheprovider",
        "tests/test_cuda.py",
        *(["--collect-only", "-q"] if rehearse else []),
    ]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=max(1.0, seconds), check=False)
    except subprocess.TimeoutExpired as late:
        output = late.stdout or b""
        return unfinished(output.decode(errors="replace") if isinstance(output, bytes) else output, seconds)
    lines = [line for line in done.stdout.splitlines() if line.strip()] or done.stderr.splitlines()[-1:] or ["nothing"]
    failures = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return {"passed": done.returncode == 0, "summary": lines[-1].strip("= "), "failures": failures}


def unfinished(output: str, seconds: float) -> dict[str, Any]:
    """The results of the tests that finished before their time was over."""
    ends = [(line, words[1]) for line in output.splitlines() if "::" in line and len(words := line.split()) > 1]
    passed = sum(end == "PASSED" for _, end in ends)
    failures = [line.strip() for line, end in ends if end in ("FAILED", "ERROR")]
    return {
        "passed": bool(passed) and not failures,
        "failures": failures,
        "summary": f"not finished after {seconds:.0f} s: {passed} passed, {len(failures)} failed so far",
    }


def as_markdown(found: dict[str, Any]) -> str:
    """The tables."""
    about = ", ".join(f"{name} {found[name]}" for name in ("torch", "cuda", "diffusers", "transformers", "peft"))
    known = found["peak_tflops"]
    floor = f"floors at {known:.0f} TFLOP/s" if known else "no floors: this card's peak is unknown, give --peak"
    lines = [
        f"# {found['card']}",
        "",
        f"{about}, commit {found['commit']}; {found['seconds']:.0f} s in all; {floor}.",
        f"float32 on the GPU is TF32 in {found['tf32']}. Models of the jobs: {found['dtype']}.",
        "",
        f"Tests that need a GPU: {found['tests']['summary']}.",
        *[f"- {line}" for line in found["tests"].get("failures", [])],
        "",
        "| job | seconds | peak GiB | evaluations | of them a second | floor, s | floor / seconds | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in found["jobs"]:
        rate = row["evaluations"] / row["seconds"] if row["evaluations"] and row["seconds"] else 0
        share = f"{row['share']:.0%}" if row["share"] else "–"
        lines.append(
            _line(
                row["job"],
                _number(row["seconds"], 3),
                _number(row["peak_gib"], 2),
                row["evaluations"] or "–",
                _number(rate, 1),
                _number(row["floor"], 3),
                share,
                row["note"],
            )
        )
    lines += [
        "",
        "PSNR is against the CPU in float32; the largest change outside the mask is in 8-bit levels.",
        "",
        "| workflow | precision | seconds | PSNR, dB | change outside the mask | the same pixels again | |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in found["workflows"]:
        psnr = row["psnr"]
        shown = "–" if psnr is None else "equal" if math.isinf(psnr) else f"{psnr:.1f}"
        lines.append(
            _line(
                row["workflow"],
                row["dtype"],
                _number(row["seconds"], 1),
                shown,
                "–" if row["outside"] is None else row["outside"],
                {None: "–", True: "yes", False: "no"}[row["same"]],
                row["note"],
            )
        )
    return "\n".join(lines) + "\n"


def _line(*cells: Any) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _number(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if value else "–"


if __name__ == "__main__":
    sys.exit(main())
