"""Who fills a hole best when nothing is said? On held-out drawn rooms, where the truth is known to the pixel.

    python benchmarks/inpainters/run.py [--split test] [--scenes 100] [--source FOLDER] [--write]

Each scene is a room of the drawn world at 128×128 that no training saw; a rectangle or an ellipse of 28–44 px a side
over background is cut out, 3 px clear of subject and shadow: across the skirting board or over 10–60 % of a window
where one fits, else on plain wall or floor. Scene, hole and noise (seed = number) follow from the scene's number.
Every method sees the picture with a grey hole, never what was there. Tune on --split val; run test once.

Measured inside the hole: PSNR against the truth. At its edge: mean |difference| of the pixel pairs that the edge
separates, over the same of the pairs one pixel further out, the neighbours' own jump (truth itself: about 1). 95 %
intervals by bootstrap over scenes, paired where two methods are compared. --write updates docs/results/inpainters.md.
"""

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inlay.benchmarks.inpainters.tasks import (
    SIZE,
    Picture,
    Plane,
    Task,
    edge_jumps,
    harmonic,
    interval,
    make_task,
    mean_colour,
)
from inlay.graph_runtime import Context
from inlay.methods.sampling.noise import GaussianNoise, Noise, NoiseStream
from inlay.nodes import condition, constraint, image, latent, mask, model, sample, schedule
from inlay.pictures.sheet import draw_label
from PIL import Image as Pil
from torch import Tensor

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"skirting": "across the skirting", "window": "across a window's edge", "nothing": "on plain wall or floor"}


# Fills with the model -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RowNoise(Noise):
    """Row i draws from a generator of its own seed: a batch sees what each picture alone would see."""

    shape: tuple[int, ...]
    seeds: tuple[int, ...]

    def stream(self) -> NoiseStream:
        """One stream for every row."""
        return _RowStream([GaussianNoise((1, *self.shape[1:]), seed).stream() for seed in self.seeds])


class _RowStream(NoiseStream):
    def __init__(self, rows: list[NoiseStream]):
        self.rows = rows

    def start(self) -> Tensor:
        return torch.cat([row.start() for row in self.rows])

    def posterior(self) -> Tensor:
        return torch.cat([row.posterior() for row in self.rows])

    def step(self) -> Tensor:
        return torch.cat([row.step() for row in self.rows])


@dataclass(frozen=True)
class Diffusion:
    """Settings of one way to sample; the defaults are those of workflows/zero_shot_inpaint.json."""

    constraint: str = "null_space"
    reduce: Any = "max"
    dilate: int = 2
    eta: float = 0.85
    travel_length: int = 1
    travel_repeat: int = 1
    paste: bool = True
    color_match: Any = "none"
    fill: Any = "neutral"
    even: bool = False

    def __call__(self, bench: "Bench", truth: Tensor, hole: Tensor, seeds: tuple[int, ...]) -> Tensor:
        """Pictures `[b h w 3]` with the holes filled, by the nodes themselves."""
        ctx, parts = bench.ctx, bench.parts
        seen = image.fill(truth, hole, "neutral").image  # what was in the hole is gone from here on
        filled = image.fill(seen, hole, self.fill).image
        known = latent.encode(filled, parts.vae, ctx).latent
        cells = mask.to_latent(hole, parts.vae, ctx, dilate=self.dilate, reduce=self.reduce).latent_mask
        rule = getattr(constraint, self.constraint)(known, cells).constraint
        steps = schedule.ddim(
            parts.scheduler,
            steps=bench.steps,
            eta=self.eta,
            travel_length=self.travel_length,
            travel_repeat=self.travel_repeat,
        ).schedule
        told = condition.text(parts.text_encoder, ctx).conditioning
        noise = RowNoise(tuple(known.shape), seeds)
        clean = sample.denoise(parts.denoiser, steps, noise, ctx, conditioning=told, constraint=rule).latent
        decoded = latent.decode(clean, parts.vae, ctx).image
        if not self.paste:
            return decoded
        if self.even:
            decoded = even_out(decoded, seen, hole)
        return image.paste_back(seen, decoded, hole, color_match=self.color_match).image


def vae_alone(bench: "Bench", truth: Tensor, hole: Tensor, seeds: tuple[int, ...]) -> Tensor:
    """The truth itself through the VAE, pasted back: what no sampler in this latent space can be expected to beat."""
    decoded = latent.decode(latent.encode(truth, bench.parts.vae, bench.ctx).latent, bench.parts.vae, bench.ctx).image
    return image.paste_back(truth, decoded, hole).image


def by_pixels(function: Callable[[Picture, Plane], Picture]) -> Callable[..., Tensor]:
    """A fill without a model as a method."""

    def method(bench: "Bench", truth: Tensor, hole: Tensor, seeds: tuple[int, ...]) -> Tensor:
        seen = image.fill(truth, hole, "neutral").image
        pairs = zip(seen.double().numpy(), hole.numpy() > 0, strict=True)
        return torch.from_numpy(np.stack([function(*pair) for pair in pairs])).float()

    return method


def even_out(decoded: Tensor, seen: Tensor, hole: Tensor) -> Tensor:
    """The patch plus the membrane over its error at the hole's edge: seamless cloning (Pérez et al. 2003)."""
    planes = zip((seen - decoded).double().numpy(), hole.numpy() > 0, strict=True)
    return (decoded + torch.from_numpy(np.stack([harmonic(*plane) for plane in planes])).float()).clamp(0, 1)


OURS = "null space, pasted back"
METHODS: dict[str, Callable[..., Tensor]] = {
    "mean colour": by_pixels(mean_colour),
    "harmonic membrane": by_pixels(harmonic),
    "latent blending": Diffusion(constraint="blended"),
    OURS: Diffusion(),
    "null space, strict": Diffusion(reduce="nearest", paste=False),
    "… with time travel 10×3": Diffusion(travel_length=10, travel_repeat=3),
}
VARIATIONS: dict[str, Callable[..., Tensor]] = {
    "… with dilate 0": Diffusion(dilate=0),
    "… with dilate 1": Diffusion(dilate=1),
    "… with dilate 1, encoded over a membrane": Diffusion(dilate=1, fill="blur"),
    "… with dilate 1, edge evened out": Diffusion(dilate=1, even=True),
    "… with edge evened out": Diffusion(even=True),
    "… with color_match=mean": Diffusion(color_match="mean"),
    "… with eta 0": Diffusion(eta=0.0),
    "… with eta 1": Diffusion(eta=1.0),
}
REFERENCES: dict[str, Callable[..., Tensor]] = {
    "the truth through the VAE": vae_alone,
    "the truth": lambda bench, truth, hole, seeds: truth.clone(),
}


# Measuring ----------------------------------------------------------------------------------------------------------


class Bench:
    """Models in memory, and a count of what the UNet was asked."""

    def __init__(self, source: str, steps: int):
        self.ctx, self.parts, self.steps, self.rows = Context(), model.stable_diffusion(source), steps, 0

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Hold the weights, and count rows of every UNet call."""

        def count(module: Any, args: tuple[Any, ...]) -> None:
            self.rows += args[0].shape[0]

        with self.ctx.lease(self.parts.denoiser) as unet, self.ctx.lease(self.parts.vae):
            hook = unet.register_forward_pre_hook(count)
            try:
                yield
            finally:
                hook.remove()


@dataclass
class Score:
    """Figures of one method, one entry per scene."""

    psnr: list[float] = field(default_factory=list)
    jump: list[float] = field(default_factory=list)  # mean over the pairs that the edge separates, of 255
    own: list[float] = field(default_factory=list)  # the same, one pixel further out
    changed: list[float] = field(default_factory=list)  # largest change of a known pixel, of 255
    cpu: float = 0.0
    evaluations: float = 0.0
    pictures: list[Tensor] = field(default_factory=list)

    def add(self, result: Tensor, task: Task) -> None:
        """Measure one picture, as an 8-bit file would hold it."""
        result = (result * 255).round().clamp(0, 255) / 255
        hole = task.hole > 0
        error = float((result - task.truth)[hole].double().square().mean())
        jump, own = edge_jumps(result, hole)
        self.psnr.append(-10 * np.log10(max(error, 1e-10)))
        self.jump.append(jump)
        self.own.append(own)
        self.changed.append(float((result - task.truth)[~hole].abs().max()) * 255)
        self.pictures.append(result)


def measure(name: str, method: Callable[..., Tensor], bench: Bench, tasks: list[Task], batch: int) -> Score:
    """Run a method over all tasks."""
    score, spent, before = Score(), 0.0, bench.rows
    for first in range(0, len(tasks), batch):
        part = tasks[first : first + batch]
        truth, hole = torch.stack([task.truth for task in part]), torch.stack([task.hole for task in part])
        began = time.process_time()
        results = method(bench, truth, hole, tuple(task.number for task in part))
        spent += time.process_time() - began
        for result, task in zip(results, part, strict=True):
            score.add(result, task)
        print(f"\r{name}: {first + len(part)} of {len(tasks)}", end="", file=sys.stderr)
    print(file=sys.stderr)
    score.cpu, score.evaluations = spent / len(tasks), (bench.rows - before) / len(tasks)
    return score


# Telling ------------------------------------------------------------------------------------------------------------


def table(scores: dict[str, Score], tasks: list[Task]) -> str:
    """All figures as Markdown."""
    across = np.array([task.across for task in tasks])
    ours = np.array(scores[OURS].psnr)
    heads = [
        "method",
        "PSNR in the hole, dB",
        *KINDS.values(),
        "better than ours by, dB (95 %)",
        "jump at the edge, of 255",
        "… over the neighbours' own (95 %)",
        "known pixels change by up to, of 255",
        "UNet evaluations",
        "CPU s a picture",
    ]
    lines = [f"| {' | '.join(heads)} |", "|---|" + "---:|" * (len(heads) - 1)]
    for name, score in scores.items():
        psnr, jump, own = np.array(score.psnr), np.array(score.jump), np.array(score.own)
        gain = psnr - ours
        low, high = interval(lambda draws, gain=gain: gain[draws].mean(1), len(tasks))
        least, most = interval(lambda draws, jump=jump, own=own: jump[draws].sum(1) / own[draws].sum(1), len(tasks))
        exact = name == "the truth"
        lines.append(
            f"| {f'**{name}**' if name == OURS else name} | "
            + " | ".join(
                "∞" if exact else f"{part.mean():.2f}" if len(part) else "–"
                for part in (psnr, *(psnr[across == what] for what in KINDS))
            )
            + f" | {'–' if exact or name == OURS else f'{gain.mean():+.2f} ({low:+.2f} … {high:+.2f})'}"
            + f" | {jump.mean():.2f} | {jump.sum() / own.sum():.2f} ({least:.2f} … {most:.2f})"
            + f" | {max(score.changed):.0f} | {score.evaluations:.0f} | {'–' if exact else f'{score.cpu:.2f}'} |"
        )
    return "\n".join(lines)


def verdict(scores: dict[str, Score], names: list[str], tasks: list[Task]) -> str:
    """Who wins, in words that follow from the figures."""
    across = np.array([task.across for task in tasks])
    lines = []
    for what, rows in (("all holes", across != ""), *((KINDS[name], across == name) for name in KINDS)):
        if rows.any():
            ranked = sorted(names, key=lambda name, rows=rows: -np.array(scores[name].psnr)[rows].mean())
            figures = ", ".join(f"{name} {np.array(scores[name].psnr)[rows].mean():.2f}" for name in ranked)
            lines.append(f"- PSNR, {what} ({int(rows.sum())}): {figures}.")
    ranked = sorted(names, key=lambda name: abs(np.log(sum(scores[name].jump) / sum(scores[name].own))))
    lines.append(
        "- Jump at the edge, nearest to the neighbours' own first: "
        + ", ".join(f"{name} {sum(scores[name].jump) / sum(scores[name].own):.2f}×" for name in ranked)
        + "."
    )
    return "\n".join(lines)


def sheet(scores: dict[str, Score], tasks: list[Task], names: list[str], count: int = 8) -> Pil.Image:
    """The first scenes × methods, one row a scene; the first column shows the hole, the last the truth."""
    columns = [
        ("the hole", [torch.where(t.hole[..., None] > 0, 0.5, t.truth) for t in tasks[:count]]),
        *((name.lstrip("… "), scores[name].pictures[:count]) for name in names),
        ("the truth", [t.truth for t in tasks[:count]]),
    ]
    gap, head = 6, 26
    page = torch.ones(head + len(columns[0][1]) * (SIZE + gap), gap + len(columns) * (SIZE + gap), 3)
    for number, (name, pictures) in enumerate(columns):
        left = gap + number * (SIZE + gap)
        page[:head, left : left + SIZE] = draw_label(name, SIZE, head, 12)
        for row, picture in enumerate(pictures):
            page[head + row * (SIZE + gap) :, left : left + SIZE][:SIZE] = picture
    return Pil.fromarray((page * 255).round().to(torch.uint8).numpy())


def main() -> None:
    """Measure, print, and write on request."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("val", "test"), default="test")
    parser.add_argument("--scenes", type=int, default=100)
    parser.add_argument("--source", default="dollhouse", help="dollhouse, or a diffusers folder")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--variations", action="store_true", help="also other settings of ours (twice the time)")
    parser.add_argument("--only", nargs="*", help="methods whose names hold one of these words, beside ours")
    parser.add_argument(
        "--write", action="store_true", help="update docs/results/inpainters.md and docs/images/inpainters.png"
    )
    given = parser.parse_args()
    tasks, number = [], 0
    while len(tasks) < given.scenes:
        if (task := make_task(given.split, number)) is not None:
            tasks.append(task)
        number += 1
    local = given.source != "dollhouse" and Path(given.source).is_dir()  # the embedded name is a folder here too
    source = str(Path(given.source).resolve()) if local else given.source
    bench = Bench(source, given.steps)
    methods = METHODS | (VARIATIONS if given.variations else {}) | REFERENCES
    if given.only is not None:
        methods = {
            name: method for name, method in methods.items() if name == OURS or any(word in name for word in given.only)
        }
    with bench.ready():
        scores = {name: measure(name, method, bench, tasks, given.batch) for name, method in methods.items()}
    rivals = [name for name in METHODS if name in scores]
    counts = ", ".join(f"{sum(task.across == name for task in tasks)} {KINDS[name]}" for name in KINDS)
    holes = (
        f"{len(tasks)} holes in the first {number} scenes of the {given.split} split "
        f"({counts}), {given.steps} steps, no prompt."
    )
    text = f"{holes}\n\n{table(scores, tasks)}\n\n{verdict(scores, rivals, tasks)}\n"
    print(text)
    if given.write:
        flags = [flag for flag in sys.argv[1:] if flag != "--write"]
        command = " ".join(["python benchmarks/inpainters/run.py", *flags, "--write"])
        (ROOT / "docs" / "results" / "inpainters.md").write_text(
            PAGE.format(command=command, text=text), encoding="utf-8"
        )
        sheet(scores, tasks, rivals).save(ROOT / "docs" / "images" / "inpainters.png", optimize=True)


PAGE = """# Filling a hole without a prompt, measured

Made by `{command}`.
[benchmarks/README.md](../../benchmarks/README.md#inpainters) explains the measures. The sheet shows the first scenes of
the split, not chosen ones. Jumps are measured in each method's own picture: a method that does not paste back has no
seam, but changes pixels everywhere, as the column of known pixels shows.

![inpainters](../images/inpainters.png)

{text}"""


if __name__ == "__main__":
    main()
