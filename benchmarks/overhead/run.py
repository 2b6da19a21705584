"""What the graph adds to a hand-written diffusers loop of the same job on the same weights.

    python benchmarks/overhead/run.py [--source FOLDER] [--runs 9] [--processes 3] [--steps 30] [--threads 1] [--json]

Three comparisons, the two sides taking turns in one run:
  whole processes   `inlay run zero_shot_inpaint_strict` against `python hand_written.py`: start to end, models cold
  peak memory       of those processes (the kernel's own figure, ru_maxrss), and how much of it importing takes
  warm              `inlay.run(…, cache=False)` against `hand_written.inpaint(…)` in one process with weights in memory;
                    every call of UNet, VAE and text encoder is timed, so that what is left is the graph's own time
Figures are medians. On a busy machine read the CPU time. The two pictures are compared value by value.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HAND_WRITTEN = Path(__file__).with_name("hand_written.py")
CLI = "import sys; from inlay.graph_runtime.front.cli.main import main; sys.exit(main())"
IMPORTS = {
    "hand": "import hand_written",
    "graph": "from diffusers import AutoencoderKL, UNet2DConditionModel; from transformers import CLIPTextModel, "
    "CLIPTokenizer; from inlay.graph_runtime.front.cli import main, progress; "
    "from inlay.nodes import load_pack; load_pack()",
}
LIMIT_MS = 10.0
WORKFLOW = "zero_shot_inpaint_strict"  # the one that does what the hand-written loop does, and no more


def environment(home: str, threads: int) -> dict[str, str]:
    """A child's environment: the same number of threads on both sides, no network, a cache folder of its own."""
    return {
        **os.environ,
        "OMP_NUM_THREADS": str(threads),
        "INLAY_HOME": home,
        "HF_HUB_OFFLINE": "1",
        "TRANSFORMERS_OFFLINE": "1",
    }


def process(command: list[str], env: dict[str, str]) -> dict[str, float]:
    """Wall and CPU seconds and peak MiB of a process, from start to end.

    This process must not have imported torch yet: a child's peak begins at its parent's size.
    """
    assert "torch" not in sys.modules
    began = time.perf_counter()
    child = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    said = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed:\n{said}")
    per_mib = 1024 if sys.platform != "darwin" else 1024**2
    return {
        "wall": time.perf_counter() - began,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak": usage.ru_maxrss / per_mib,
    }


def processes(job: argparse.Namespace, work: Path) -> dict[str, dict[str, float]]:
    """Both programs as a user would start them, in turn; medians of each."""
    env = environment(str(work / "home"), job.threads)
    common = [f"--steps={job.steps}", "--seed=0"]
    commands = {
        "hand": [
            sys.executable,
            str(HAND_WRITTEN),
            job.source,
            job.image,
            job.mask,
            str(work / "hand.png"),
            *common,
        ],
        "graph": [
            sys.executable,
            "-c",
            CLI,
            "run",
            WORKFLOW,
            "--image",
            job.image,
            "--mask",
            job.mask,
            "--source",
            job.source,
            *common,
            "--out",
            str(work / "cold"),
            "--device",
            "cpu",
            "--no-cache",
        ],
    }
    found: dict[str, list[dict[str, float]]] = {name: [] for name in commands}
    for number in range(job.processes + 1):  # the first of each only fills the file system's cache
        for name, command in commands.items():
            figures = process(command, env)
            if number:
                found[name].append(figures)
    env["PYTHONPATH"] = str(HAND_WRITTEN.parent)
    return {
        name: medians(rows) | {"imports": process([sys.executable, "-c", IMPORTS[name]], env)["peak"]}
        for name, rows in found.items()
    }


class Stopwatch:
    """Wall and CPU seconds inside the models, and how often the UNet was asked for how many rows."""

    def __init__(self) -> None:
        self.wall = self.cpu = 0.0
        self.calls = self.rows = 0

    def timed(self, function: Callable[..., Any], unet: bool) -> Callable[..., Any]:
        """`function`, with this watch running while it does."""

        def call(*args: Any, **kwargs: Any) -> Any:
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.wall += time.perf_counter() - wall
                self.cpu += time.process_time() - cpu
                if unet:
                    self.calls += 1
                    self.rows += args[0].shape[0]

        return call

    @contextmanager
    def on(self, unet: Any, vae: Any, text: Any) -> Iterator[None]:
        """Time `forward` of UNet and text encoder, `encode` and `decode` of the VAE."""
        places = [(unet, "forward"), (text, "forward"), (vae, "encode"), (vae, "decode")]
        for module, name in places:
            setattr(module, name, self.timed(getattr(module, name), module is unet))
        try:
            yield
        finally:
            for module, name in places:
                delattr(module, name)


def watched(function: Callable[[], Any], modules: tuple[Any, Any, Any]) -> tuple[Any, dict[str, float]]:
    """What `function` returns, and where its time went (milliseconds)."""
    watch = Stopwatch()
    with watch.on(*modules):
        wall, cpu = time.perf_counter(), time.process_time()
        value = function()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return value, {
        "wall": wall * 1e3,
        "cpu": cpu * 1e3,
        "outside wall": (wall - watch.wall) * 1e3,
        "outside cpu": (cpu - watch.cpu) * 1e3,
        "calls": watch.calls,
        "rows": watch.rows,
    }


def warm(job: argparse.Namespace, work: Path) -> dict[str, Any]:
    """Both in this process, weights in memory, in turn; medians, and how far the pictures are apart."""
    os.environ |= {"INLAY_HOME": str(work / "home"), "HF_HUB_OFFLINE": "1"}
    import inlay
    import numpy as np
    import torch
    from inlay.benchmarks.overhead.hand_written import inpaint, load_models
    from inlay.graph_runtime.front.kept_between_runs import kept_between_runs
    from inlay.nodes.model import stable_diffusion
    from PIL import Image

    torch.set_num_threads(job.threads)
    models = load_models(job.source)
    parts = stable_diffusion(job.source)
    manager, _ = kept_between_runs("cpu", None)
    with (
        manager.lease(parts.denoiser) as unet,
        manager.lease(parts.vae) as vae,
        manager.lease(parts.text_encoder) as text,
    ):
        ours = (unet, vae, text.encoder)
    saved = {"hand": str(work / "warm.png"), "graph": ""}

    def hand() -> torch.Tensor:
        return inpaint(models, job.image, job.mask, saved["hand"], steps=job.steps, seed=0)

    def graph() -> torch.Tensor:
        result = inlay.run(
            WORKFLOW,
            image=job.image,
            mask=job.mask,
            source=job.source,
            steps=job.steps,
            seed=0,
            out=work / "warm",
            device="cpu",
            cache=False,
        )
        saved["graph"] = str(result.paths[0])
        return result["image"]

    sides = {"hand": (hand, (models.unet, models.vae, models.text)), "graph": (graph, ours)}
    found: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
    pictures = {}
    for number in range(job.runs + 1):  # the first of each warms up
        for name, (function, modules) in sides.items():
            pictures[name], figures = watched(function, modules)
            if number:
                found[name].append(figures)
    files = [np.asarray(Image.open(saved[name]), dtype=np.int16) for name in ("hand", "graph")]
    return {name: medians(rows) for name, rows in found.items()} | {
        "added": {
            key: statistics.median(g[key] - h[key] for g, h in zip(found["graph"], found["hand"], strict=True))
            for key in ("outside wall", "outside cpu")
        },
        "difference": float((pictures["hand"] - pictures["graph"]).abs().max()),
        "difference_saved": int(np.abs(files[0] - files[1]).max()),
    }


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    """The median of every figure."""
    return {key: statistics.median(row[key] for row in rows) for key in rows[0]}


def report(job: argparse.Namespace, cold: dict[str, Any], hot: dict[str, Any]) -> str:
    """The figures as Markdown."""

    def row(name: str, figure: Callable[[str], str]) -> str:
        return f"| {name} | {figure('hand')} | {figure('graph')} |"

    lines = [
        f"{job.steps} steps, no prompt, {job.threads} thread(s); medians of {job.runs} warm runs and "
        f"{job.processes} whole processes",
        "",
        "| | hand-written | graph |",
        "|---|---:|---:|",
    ]
    if cold:
        lines += [
            row("whole process, models cold: wall s", lambda side: f"{cold[side]['wall']:.2f}"),
            row("whole process, models cold: CPU s", lambda side: f"{cold[side]['cpu']:.2f}"),
            row("peak memory of the process, MiB", lambda side: f"{cold[side]['peak']:.0f}"),
            row("… of which the imported libraries", lambda side: f"{cold[side]['imports']:.0f}"),
            row("… above them: weights and work", lambda side: f"{cold[side]['peak'] - cold[side]['imports']:.0f}"),
        ]
    lines += [
        row("warm run: wall ms", lambda side: f"{hot[side]['wall']:.0f}"),
        row("warm run: CPU ms", lambda side: f"{hot[side]['cpu']:.0f}"),
        row("… outside model calls: wall ms", lambda side: f"{hot[side]['outside wall']:.1f}"),
        row("… outside model calls: CPU ms", lambda side: f"{hot[side]['outside cpu']:.1f}"),
        row("UNet evaluations", lambda side: f"{hot[side]['rows']:.0f}"),
    ]
    added = hot["added"]
    verdict = "within" if added["outside cpu"] <= LIMIT_MS else "ABOVE"
    lines += [
        "",
        f"the graph adds {added['outside wall']:.1f} ms wall, {added['outside cpu']:.1f} ms CPU outside "
        f"model calls (median of the pairs' differences; {verdict} the {LIMIT_MS:.0f} ms allowed)",
        f"largest difference of the two pictures: {hot['difference']:.3g} of 1; as saved: "
        f"{hot['difference_saved']} of 255",
    ]
    return "\n".join(lines)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default=str(ROOT / "dollhouse" / "weights"), help="a diffusers folder")
    parser.add_argument("--image", default=str(ROOT / "workflows" / "inpaint" / "room.png"))
    parser.add_argument("--mask", default=str(ROOT / "workflows" / "inpaint" / "room-mask.png"))
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--runs", type=int, default=9, help="warm runs of each side")
    parser.add_argument("--processes", type=int, default=3, help="whole processes of each side; 0 leaves them out")
    parser.add_argument("--threads", type=int, default=1, help="torch threads on both sides")
    parser.add_argument("--json", action="store_true", help="figures as one JSON object")
    job = parser.parse_args()
    job.source, job.image, job.mask = (str(Path(path).resolve()) for path in (job.source, job.image, job.mask))
    if not Path(job.source, "unet").is_dir():
        raise SystemExit(f"{job.source} is not a diffusers folder: name one with --source")
    os.environ["OMP_NUM_THREADS"] = str(job.threads)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        cold = processes(job, work) if job.processes else {}
        hot = warm(job, work)
    print(json.dumps({"cold": cold, "warm": hot}) if job.json else report(job, cold, hot))


if __name__ == "__main__":
    main()
