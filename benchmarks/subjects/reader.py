"""The pattern and colours of a thing: a small network reads the pattern, a closed form the two colours."""

from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from inlay.dollhouse._loop import Plan, fit
from inlay.dollhouse.world import (
    PATTERNS,
    SUBJECT_COLOURS,
    Scene,
    draw,
    sample_scene,
)
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

COLOURS = tuple(SUBJECT_COLOURS)


SHOWN = 5  # every fifth drawing is also passed through the autoencoder


class Pattern(NamedTuple):
    """Pattern and colours of a thing."""

    pattern: str
    colour: str
    second_colour: str


class Reader(nn.Module):
    """b × 3 × 128 × 128 in [-1, 1] -> logits of pattern (3), colour (8) and second colour (8)."""

    def __init__(self) -> None:
        super().__init__()

        def layer(inside: int, outside: int, stride: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1), nn.GroupNorm(8, outside), nn.SiLU())

        self.body = nn.Sequential(
            layer(3 + len(COLOURS), 32, 2),
            layer(32, 48, 1),
            layer(48, 64, 2),
            layer(64, 64, 1),
            layer(64, 96, 2),
            layer(96, 128, 2),
        )
        self.register_buffer("palette", torch.tensor(list(SUBJECT_COLOURS.values())) / 127.5 - 1)
        self.head = nn.Linear(256, len(PATTERNS) + 2 * len(COLOURS))

    def forward(self, images: Tensor) -> Tensor:
        """Logits, concatenated."""
        named: Tensor = self.head(self.features(images))
        return named

    def features(self, images: Tensor) -> Tensor:
        """Features, b × 256, from the pictures and the distance of each pixel to each colour of the palette."""
        near = (images[:, None] - self.palette[None, :, :, None, None]).square().sum(2)
        seen = self.body(torch.cat([images, (-near / NEAR**2).exp()], dim=1))
        return torch.cat([seen.mean((2, 3)), seen.amax((2, 3))], dim=1)


#: Of `read_colours`, chosen on val: RGB distance from which a pixel belongs to neither colour, weight of the ends.
FAR, ENDS = 50.0, 12.0


NEAR = 0.35  # distance in [-1, 1] at which a colour counts little


PARTS = (len(PATTERNS), len(COLOURS), len(COLOURS))


def lesson(index: int) -> Scene:
    """Training scene of the reader: any kind; a third are plain."""
    scene = sample_scene("train", 300_000 + index)
    others = [name for name in COLOURS if name != scene.colour]
    return replace(scene, pattern=PATTERNS[index % 3], second_colour=others[index // 3 % len(others)])


def _lessons(start: int, stop: int) -> NDArray[np.uint8]:
    return np.stack([np.asarray(draw(lesson(index))) for index in range(start, stop)])


def load_reader(folder: Path, vae: Any, *, count: int = 6000, steps: int = 1200) -> Reader:
    """Load the reader, or train it if the folder has none: on drawings, a third of them autoencoded."""
    from safetensors.torch import load_file, save_file

    path, reader = folder / "reader.safetensors", Reader()
    if not path.exists():
        torch.manual_seed(9)
        reader = Reader()
        with ProcessPoolExecutor() as pool:
            starts = range(0, count, 500)
            drawn = np.concatenate(list(pool.map(_lessons, starts, [min(start + 500, count) for start in starts])))
        shown = np.concatenate([_through(vae, drawn[start : start + 50]) for start in range(0, count // SHOWN, 50)])
        rows = [lesson(index) for index in range(count)]
        wanted = torch.tensor(
            [
                [
                    PATTERNS.index(row.pattern),
                    COLOURS.index(row.colour),
                    COLOURS.index(row.colour if row.pattern == "plain" else row.second_colour),
                ]
                for row in rows
            ]
        )

        def loss_of(module: nn.Module, step: int, generator: torch.Generator) -> Tensor:
            some = torch.cat(
                [
                    torch.randint(count, (21,), generator=generator),
                    torch.randint(len(shown), (11,), generator=generator),
                ]
            )
            seen = np.concatenate([drawn[some[:21].numpy()], shown[some[21:].numpy()]])
            images = torch.from_numpy(seen).permute(0, 3, 1, 2).float() / 127.5 - 1
            images = torch.where(torch.rand(32, 1, 1, 1, generator=generator) < 0.5, images.flip(3), images)
            shift = 0.06 * torch.randn(32, 3, 1, 1, generator=generator)
            images = (images + shift + 0.03 * torch.randn(images.shape, generator=generator)).clamp(-1, 1)
            with torch.autocast("cpu", torch.bfloat16):
                named = module(images.contiguous(memory_format=torch.channels_last))
            losses = [
                F.cross_entropy(part.float(), wanted[some, number])
                for number, part in enumerate(named.split(PARTS, dim=1))
            ]
            return torch.stack(losses).sum()

        found = fit(
            Plan("reader", steps, learning_rate=2e-3, ema=0.995), folder, reader, loss_of, device=torch.device("cpu")
        )
        save_file({name: value.contiguous() for name, value in found.items()}, path)
    reader.load_state_dict(load_file(path))
    return reader.eval()


@torch.no_grad()
def _through(vae: Any, pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pass pictures through the autoencoder."""
    images = torch.from_numpy(pictures.copy()).permute(0, 3, 1, 2).float() / 127.5 - 1
    back = vae.decode(vae.encode(images).latent_dist.mean).sample.clamp(-1, 1)
    return ((back + 1) * 127.5).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()


@torch.no_grad()
def read_patterns(reader: Reader, fills: Tensor, regions: Sequence[NDArray[np.bool_]]) -> list[Pattern]:
    """Pattern and colours of the things in pictures `[b h w 3]` in [0, 1], at these regions."""
    named = torch.cat([reader(part.permute(0, 3, 1, 2) * 2 - 1)[:, : len(PATTERNS)] for part in fills.split(50)])
    return [
        Pattern(PATTERNS[number], *read_colours(255 * fill.double().numpy()[inner(region)]))
        for number, fill, region in zip(named.argmax(1).tolist(), fills, regions, strict=True)
    ]


def inner(region: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A region without its border pixels, which mix with what is behind."""
    found = region.copy()
    found[1:] &= region[:-1]
    found[:-1] &= region[1:]
    found[:, 1:] &= region[:, :-1]
    found[:, :-1] &= region[:, 1:]
    return found


def read_colours(pixels: NDArray[np.float64]) -> tuple[str, str]:
    """The two palette colours of a thing, n × 3 in 0…255, the larger part's first.

    Blurred patterns mix their colours, so the pair is wanted whose line in RGB, at one of four brightnesses, passes
    nearest to the pixels while they reach both of its ends; what is far from it (legs, eyes) counts as far at most.
    """
    palette = np.array([SUBJECT_COLOURS[name] for name in COLOURS], float)
    best = (np.inf, 0, 0, 0.0)
    for one, other in combinations(range(len(palette)), 2):
        away, along = [], []
        for light in (0.78, 0.88, 0.98, 1.06):
            start, line = light * palette[one], light * (palette[other] - palette[one])
            place = np.clip((pixels - start) @ line / (line @ line), 0, 1)
            away.append(np.linalg.norm(pixels - start - place[:, None] * line, axis=1))
            along.append(place)
        rows = np.argmin(away, axis=0)
        distance, place = (np.stack(values)[rows, np.arange(len(rows))] for values in (away, along))
        near = place[distance < FAR] if (distance < FAR).sum() > 20 else np.array([0.5])
        low, high = np.quantile(near, 0.1), np.quantile(near, 0.9)
        cost = np.minimum(distance, FAR).mean() + ENDS * (max(0, low - 0.1) + max(0, 0.9 - high))
        best = min(best, (cost, one, other, near.mean()))
    _, one, other, middle = best
    return (COLOURS[one], COLOURS[other]) if middle < 0.5 else (COLOURS[other], COLOURS[one])
