"""The methods that fill a hole: with the model, from pixels alone, and references."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from inlay.benchmarks.inpainters.tasks import (
    Picture,
    Plane,
    harmonic,
    mean_colour,
)
from inlay.graph_runtime import Context
from inlay.methods.sampling.noise import GaussianNoise, Noise, NoiseStream
from inlay.nodes import condition, constraint, latent, model, sample, schedule
from inlay.nodes.image.fill import fill
from inlay.nodes.image.paste import paste_back
from inlay.nodes.mask.latent import to_latent
from torch import Tensor


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
    """Settings of one way to sample; the defaults are those of workflows/inpaint/zero_shot_inpaint.json."""

    constraint: str = "null_space"
    reduce: Any = "max"
    dilate: int = 0
    dilate_end: int | None = None
    projections: int = 1  # onto the known pixels, spread over the last two thirds of the steps
    blend: Any = "gradients"
    eta: float = 0.85
    travel_length: int = 1
    travel_repeat: int = 1
    paste: bool = True
    color_match: Any = "none"
    fill: Any = "neutral"

    def __call__(self, bench: "Bench", truth: Tensor, hole: Tensor, seeds: tuple[int, ...]) -> Tensor:
        """Pictures `[b h w 3]` with the holes filled, by the nodes themselves."""
        ctx, parts = bench.ctx, bench.parts
        seen = fill(truth, hole, "neutral").image  # what was in the hole is gone from here on
        filled = fill(seen, hole, self.fill).image
        known = latent.encode(filled, parts.vae, ctx).latent
        cells = to_latent(hole, parts.vae, ctx, dilate=self.dilate, reduce=self.reduce).latent_mask
        pixels = None
        if self.projections:
            pixels = constraint.pixel_space(
                seen, hole, parts.vae, share=2 / 3, times=self.projections, blend="membrane"
            ).constraint
        more = {} if self.dilate_end is None else {"dilate_end": self.dilate_end}
        rule = getattr(constraint, self.constraint)(known, cells, then=pixels, **more).constraint
        steps = schedule.ddim(
            parts.scheduler,
            steps=bench.steps,
            eta=self.eta,
            travel_length=self.travel_length,
            travel_repeat=self.travel_repeat,
        ).schedule
        conditioning = condition.text(parts.text_encoder, ctx).conditioning
        noise = RowNoise(tuple(known.shape), seeds)
        clean = sample.denoise(parts.denoiser, steps, noise, ctx, conditioning=conditioning, constraint=rule).latent
        decoded = latent.decode(clean, parts.vae, ctx).image
        if not self.paste:
            return decoded
        return paste_back(seen, decoded, hole, color_match=self.color_match, blend=self.blend).image


def vae_alone(bench: "Bench", truth: Tensor, hole: Tensor, seeds: tuple[int, ...]) -> Tensor:
    """The truth itself through the VAE, pasted back: what no sampler in this latent space can be expected to beat."""
    decoded = latent.decode(latent.encode(truth, bench.parts.vae, bench.ctx).latent, bench.parts.vae, bench.ctx).image
    return paste_back(truth, decoded, hole).image


def by_pixels(function: Callable[[Picture, Plane], Picture]) -> Callable[..., Tensor]:
    """A fill without a model as a method."""

    def method(bench: "Bench", truth: Tensor, hole: Tensor, seeds: tuple[int, ...]) -> Tensor:
        seen = fill(truth, hole, "neutral").image
        pairs = zip(seen.double().numpy(), hole.numpy() > 0, strict=True)
        return torch.from_numpy(np.stack([function(*pair) for pair in pairs])).float()

    return method


def by_patches(bench: "Bench", truth: Tensor, hole: Tensor, seeds: tuple[int, ...]) -> Tensor:
    """Patches of the picture itself, without a model."""
    return fill(fill(truth, hole, "neutral").image, hole, "patches").image


@dataclass(frozen=True)
class Former(Diffusion):
    """The null-space method as it was before seams were hidden: encoded over grey, two cells of ring painted anew."""

    dilate: int = 2
    projections: int = 0
    blend: Any = "none"


OURS = "null space, seamless"


METHODS: dict[str, Callable[..., Tensor]] = {
    "mean colour": by_pixels(mean_colour),
    "harmonic membrane": by_pixels(harmonic),
    "patches": by_patches,
    "latent blending": Former(constraint="blended"),
    "null space, pasted back": Former(),
    OURS: Diffusion(),
    "… quality=best": Diffusion(projections=3, eta=1.0),
    "null space, strict": Former(reduce="nearest", paste=False),
}


VARIATIONS: dict[str, Callable[..., Tensor]] = {
    "… without a projection": Diffusion(projections=0),
    "… without a projection, over a harmonic fill": Diffusion(projections=0, fill="harmonic"),
    "… with two projections": Diffusion(projections=2),
    "… with four projections": Diffusion(projections=4),
    "… with blend=membrane": Diffusion(blend="membrane"),
    "… with blend=none": Diffusion(blend="none"),
    "… over a harmonic fill": Diffusion(fill="harmonic"),
    "… over patches": Diffusion(fill="patches"),
    "… with a growth from 2 to 0": Diffusion(dilate_end=0),
    "… with eta 0": Diffusion(eta=0.0),
    "… with eta 1": Diffusion(eta=1.0),
    "null space, pasted back, dilate 1": Former(dilate=1),
    "null space, pasted back, blend=membrane": Former(blend="membrane"),
    "null space, pasted back, time travel 10×3": Former(travel_length=10, travel_repeat=3),
}


REFERENCES: dict[str, Callable[..., Tensor]] = {
    "the truth through the VAE": vae_alone,
    "the truth": lambda bench, truth, hole, seeds: truth.clone(),
}


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
