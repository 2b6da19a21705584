"""Stage patterns: the autoencoder learns stripes and dots, while the latents of everything else stay in place.

The stage `vae` shows plain subjects only, and an autoencoder that never saw a stripe blurs it. Here half of the
pictures have patterns. The latent means of plain pictures are held in place, so denoisers that were trained on them
stay valid. No denoiser has seen a patterned subject; those are left for other methods to learn.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor, nn

from ._draw_stage import in_chunks
from ._loop import Plan, averaged, fit
from ._vae_stage import KL_WEIGHT, AutoencoderModule, to_tensor
from .world import SUBJECT_COLOURS, Scene, draw, sample_scene

FIRST = 100_000  # patterned scenes follow those of the training split
#: Weight of the plain latents' movement, per value; they vary by about 1 / scaling factor.
ANCHOR = 4.0


def patterned_scene(index: int, split: str = "train") -> Scene:
    """Scene `index` in a pattern and a second colour."""
    scene = sample_scene(split, FIRST + index)
    others = [name for name in SUBJECT_COLOURS if name != scene.colour]
    return replace(scene, pattern=("striped", "dotted")[index % 2], second_colour=others[index // 2 % len(others)])


def _chunk(start: int, stop: int) -> NDArray[np.uint8]:
    return np.stack([np.asarray(draw(patterned_scene(index))) for index in range(start, stop)])


def patterned(work: Path, count: int) -> NDArray[np.uint8]:
    """The first `count` patterned pictures, uint8, count × 128 × 128 × 3; drawn when missing."""
    path = work / f"patterned-{count}.npy"
    in_chunks(path, _chunk, count)
    return np.load(path, mmap_mode="r")


def train_patterns(
    work: Path,
    vae: AutoencoderKL,
    plain: NDArray[np.uint8],
    worn: NDArray[np.uint8],
    device: torch.device,
    *,
    steps: int,
    batch: int = 4,
) -> AutoencoderKL:
    """Continue to train `vae` on plain and patterned pictures, half of each; averaged weights, float32."""
    first = deepcopy(vae).to(device).requires_grad_(False)
    model = AutoencoderModule(deepcopy(vae).requires_grad_(True)).to(device, memory_format=torch.channels_last)
    half = batch // 2
    plan = Plan("patterns", steps, learning_rate=3e-4, warmup=100, decay=0.5, ema=0.998, save_every=100)

    def loss_of(module: nn.Module, step: int, generator: torch.Generator) -> Tensor:
        rows = [sorted(torch.randint(len(part), (half,), generator=generator).tolist()) for part in (plain, worn)]
        images = torch.cat([to_tensor(plain[rows[0]]), to_tensor(worn[rows[1]])])
        noise = torch.randn(len(images), 4, images.shape[2] // 8, images.shape[3] // 8, generator=generator)
        images = images.to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            decoded, mean, logvar = module(images, noise.to(device))
            with torch.no_grad():
                kept = first.quant_conv(first.encoder(images[:half])).float().chunk(2, dim=1)[0]
        divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
        moved = (mean[:half] - kept).square().mean()
        return (decoded - images).square().mean() + KL_WEIGHT * divergence + ANCHOR * moved

    model.load_state_dict(fit(plan, work, model, loss_of, device=device))
    return model.vae.eval().requires_grad_(False)


def patterned_vae(work: Path, vae: AutoencoderKL) -> AutoencoderKL:
    """`vae` with the averaged weights of this stage's checkpoint."""
    model = AutoencoderModule(deepcopy(vae))
    model.load_state_dict(averaged(work, "patterns"))
    return model.vae.eval().requires_grad_(False)
