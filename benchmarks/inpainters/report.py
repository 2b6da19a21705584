"""Figures of each method, and the page made of them."""

from dataclasses import dataclass, field

import numpy as np
import torch
from inlay.benchmarks.inpainters.methods import OURS
from inlay.benchmarks.inpainters.tasks import (
    SIZE,
    Task,
    edge_jumps,
    interval,
)
from inlay.benchmarks.shared import as_picture
from inlay.pictures.sheet import draw_label
from PIL import Image as Pil
from torch import Tensor

KINDS = {"skirting": "across the skirting", "window": "across a window's edge", "nothing": "on plain wall or floor"}


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
    return as_picture(page)


PAGE = """# Filling a hole without a prompt, measured

Made by `{command}`.
[benchmarks/README.md](../../benchmarks/README.md#inpainters) explains the measures. The sheet shows the first scenes of
the split, not chosen ones. Jumps are measured in each method's own picture: a method that does not paste back has no
seam, but changes pixels everywhere, as the column of known pixels shows.

![inpainters](../images/inpainters.png)

{text}"""
