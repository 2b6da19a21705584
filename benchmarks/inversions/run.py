"""Target-text inversion against null-text inversion: what is left of the picture, against what was spent.

    python benchmarks/inversions/run.py --out FOLDER [--share 0/2]     twenty pictures, several numbers of iterations
    python benchmarks/inversions/run.py --report FOLDER [--plot FILE]  table; --plot draws the curves (extra "bench")

Target-text inversion gets the target prompt, null-text inversion the source prompt; no step stops early. Spent
are evaluations of the denoiser, a forward and a backward pass counting as one each, and CPU seconds; ten pictures go
together.
"""

import argparse
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from inlay.benchmarks.editors.tasks import Pair, pairs
from inlay.benchmarks.shared import as_tensor, share_of
from inlay.dollhouse.world import draw
from inlay.graph_runtime import Context
from inlay.methods.conditioning import Conditioning
from inlay.nodes import condition, invert, latent, model, schedule

STEPS, SCALE, BATCH = 50, 7.5, 10
#: (name, node, learning rate, numbers of iterations): at the published rate, and at one that suits this model.
CURVES = (
    ("TTIS, rate 0.001 as published", "target_text", 1e-3, (1, 2, 5)),
    ("TTIS, rate 0.03", "target_text", 3e-2, (1, 2, 3, 5)),
    ("null-text, rate 0.01 as published", "null_text", 1e-2, (1, 3, 5, 10)),
    ("null-text, rate 0.03", "null_text", 3e-2, (1, 3, 5, 10)),
)


def spent(iterations: int) -> tuple[int, int]:
    """Forward and backward passes of a whole inversion: the fixed half, each update, and the step that follows."""
    return STEPS * (2 + iterations), STEPS * iterations


def measure(out: Path, share: tuple[int, int], count: int) -> None:
    """One file for ten pictures; one line a picture, curve and number of iterations."""
    out.mkdir(parents=True, exist_ok=True)
    chosen = pairs("val", -(-count // 4))[:count]
    for number, start in enumerate(range(0, count, BATCH)):
        path = out / f"{number:03d}.jsonl"
        if number % share[1] != share[0] or path.exists():
            continue
        lines = [json.dumps(line) for line in _curves(chosen[start : start + BATCH])]
        path.write_text("\n".join(lines) + "\n")


def _curves(batch: list[Pair]) -> Iterator[dict[str, Any]]:
    ctx, parts = Context(), model.stable_diffusion("dollhouse")
    plan = schedule.ddim(parts.scheduler, steps=STEPS, eta=0.0).schedule
    images = torch.cat([as_tensor(draw(pair.before))[None] for pair in batch])
    z = latent.encode(images, parts.vae, ctx).latent
    for name, node, rate, numbers in CURVES:
        texts = [pair.texts[1 if node == "target_text" else 0] for pair in batch]
        each = [condition.text(parts.text_encoder, ctx, prompt=text).conditioning for text in texts]
        conditioning = Conditioning(torch.cat([one.cond for one in each]), torch.cat([one.uncond for one in each]))
        trajectory = invert.ddim(parts.denoiser, conditioning, plan, z, ctx).trajectory
        for iterations in (0, *numbers):
            began = time.process_time()
            made = getattr(invert, node)(
                parts.denoiser,
                conditioning,
                plan,
                trajectory,
                ctx,
                guidance_scale=SCALE,
                iterations=iterations,
                learning_rate=rate,
                stop_start=0.0,
                stop_step=0.0,
            )
            seconds = (time.process_time() - began) / len(batch)
            seen = latent.decode(made.latent, parts.vae, ctx).image.clamp(0, 1)
            forward, backward = spent(iterations)
            for row in range(len(batch)):
                yield {
                    "curve": name,
                    "iterations": iterations,
                    "forward": forward,
                    "backward": backward,
                    "seconds": seconds,
                    "loss": float((made.latent[row] - z[row]).square().mean()),
                    "psnr": float(-10 * torch.log10((seen[row] - images[row]).square().mean())),
                }
            print(f"{name}, {iterations} iterations", flush=True)


def read(folder: Path) -> list[dict[str, Any]]:
    """Every line."""
    return [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.open()]


def quartiles(values: list[float]) -> tuple[float, float, float]:
    """Lower quartile, median, upper quartile."""
    low, middle, high = statistics.quantiles(values, n=4)
    return low, middle, high


def report(lines: list[dict[str, Any]]) -> str:
    """A row for each curve and number of iterations."""
    rows = [
        "| | updates a step | evaluations | CPU s | loss of the reconstruction, median (quartiles) | PSNR, dB |",
        "|---|---|---|---|---|---|",
    ]
    for name, _, _, numbers in CURVES:
        for iterations in (0, *numbers):
            mine = [line for line in lines if line["curve"] == name and line["iterations"] == iterations]
            low, middle, high = quartiles([line["loss"] for line in mine])
            evaluations = mine[0]["forward"] + mine[0]["backward"]
            seconds, psnr = (statistics.median(line[key] for line in mine) for key in ("seconds", "psnr"))
            loss = f"{middle:.2g} ({low:.2g}–{high:.2g})"
            rows.append(f"| {name} | {iterations} | {evaluations} | {seconds:.1f} | {loss} | {psnr:.1f} |")
    count = len(lines) // sum(len(numbers) + 1 for *_, numbers in CURVES)
    return "\n".join([f"{count} pictures", "", *rows])


def plot(lines: list[dict[str, Any]], path: Path) -> None:
    """Loss against evaluations and against time; medians, quartiles shaded."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.8), sharey=True)
    for axis, key, title in ((axes[0], "evaluations", "evaluations of the denoiser"), (axes[1], "seconds", "CPU s")):
        for name, _, _, numbers in CURVES:
            points = []
            for iterations in (0, *numbers):
                mine = [line for line in lines if line["curve"] == name and line["iterations"] == iterations]
                spending = [
                    line["forward"] + line["backward"] if key == "evaluations" else line["seconds"] for line in mine
                ]
                points.append((statistics.median(spending), *quartiles([line["loss"] for line in mine])))
            x, low, middle, high = zip(*points, strict=True)
            axis.plot(x, middle, marker="o", label=name)
            axis.fill_between(x, low, high, alpha=0.2)
        axis.set(xlabel=title, yscale="log")
    axes[0].set_ylabel("mean squared error of the latent")
    axes[0].legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    """Measure or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("inversions"))
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--share", default="0/1")
    parser.add_argument("--report", type=Path)
    parser.add_argument("--plot", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.report is None:
        measure(args.out, share_of(args.share), args.count)
        return
    lines = read(args.report)
    print(report(lines))
    if args.plot is not None:
        plot(lines, args.plot)


if __name__ == "__main__":
    main()
