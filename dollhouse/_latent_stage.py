"""Stage latents: every training picture is encoded once, and the latents are scaled alike."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from ._draw_stage import pictures
from ._loop import save_beside
from ._vae_stage import averaged_vae, encode
from ._workers import in_workers, place


@torch.no_grad()
def centre_latents(vae: AutoencoderKL, means: Tensor) -> Tensor:
    """Give every latent channel mean 0 and the same spread, in place, by the 1 × 1 convolutions around the latents.

    `means`: n × 4 × h × w posterior means before the change. Decoded pictures stay the same. Sets the scaling factor,
    1 / standard deviation of the latents, and returns the means as they are now, times that factor.
    """
    centre, spread = means.mean(dim=(0, 2, 3)), means.std(dim=(0, 2, 3))
    target = spread.square().mean().sqrt()
    gain = target / spread
    enter, leave = vae.quant_conv, vae.post_quant_conv
    channels = len(gain)
    enter.weight[:channels] *= gain[:, None, None, None]
    enter.bias[:channels] = (enter.bias[:channels] - centre) * gain
    enter.bias[channels:] += 2 * gain.log()
    leave.bias += (leave.weight[:, :, 0, 0] * centre).sum(dim=1)
    leave.weight /= gain[None, :, None, None]
    factor = round(1 / target.item(), 5)
    vae.register_to_config(scaling_factor=factor)
    return (means - centre[:, None, None]) * gain[:, None, None] * factor


def _encode_share(work: Path, drawn: int, count: int, device: str) -> None:
    rank, workers = place()
    share = pictures(work, drawn)[:count][rank::workers]
    means = encode(averaged_vae(work), share, torch.device(device)).numpy()
    with open(work / f"means-{rank}.npy", "wb") as file:
        np.save(file, means)


def make_latents(work: Path, drawn: int, count: int, device: torch.device, workers: int) -> None:
    """Write latents.pt (count × 4 × 16 × 16, scaled) and vae-final/ (diffusers, float32) into `work`."""
    in_workers(workers, _encode_share, work, drawn, count, str(device))
    means = torch.empty(count, 4, 16, 16)
    for rank in range(workers):
        means[rank::workers] = torch.from_numpy(np.load(work / f"means-{rank}.npy"))
        (work / f"means-{rank}.npy").unlink()
    vae = averaged_vae(work)
    latents = centre_latents(vae, means)
    vae.save_pretrained(work / "vae-final")
    save_beside(lambda beside: torch.save(latents, beside), work / "latents.pt")
