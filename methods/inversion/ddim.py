"""DDIM inversion: from a picture's latent back to the noise that it would come from.

Song, Meng & Ermon, "Denoising Diffusion Implicit Models", ICLR 2021; as a first step of editing: Mokady et al. 2023.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...graph_runtime.core.digests import sha256
from ..sampling.ddim import DdimSchedule
from ..sampling.unet import Model


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Latents of an inversion, on the CPU.

    Attributes:
        latents: z*_0 … z*_T, `[T + 1, b, c, lh, lw]`.
        timesteps: of the schedule, noisiest first.
        key: what the trajectory was made with: model and schedule, for refusing another one's.
        told: what the text was, as a hash of its embedding.
    """

    latents: Tensor
    timesteps: tuple[int, ...]
    key: str = ""
    told: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes of its latents."""
        return self.latents.nbytes

    @property
    def start(self) -> Tensor:
        """z*_T, where edits begin."""
        return self.latents[-1]


def trajectory_key(denoiser: Any, schedule: DdimSchedule, shape: Sequence[int]) -> str:
    """What an inversion belongs to: model, what it predicts, timesteps, noise levels, size."""
    state = (
        denoiser.fingerprint,
        schedule.prediction,
        schedule.timesteps,
        schedule.alphas,
        schedule.final,
        tuple(shape[-3:]),
    )
    return sha256(repr(state))


@torch.no_grad()
def invert_ddim(
    model: Model,
    schedule: DdimSchedule,
    z: Tensor,
    told: Tensor | None,
    progress: Callable[[int, int], None] = lambda step, total: None,
) -> Tensor:
    """z*_0 … z*_T of a clean latent, `[T + 1, b, c, lh, lw]`: the deterministic reverse run backwards.

    ε is asked for at (z, t) on the way from the level below t up to t, as published code and diffusers'
    DDIMInverseScheduler do; guidance 1. z: `[b c lh lw]`; told: `[b n d]`.
    """
    moves = schedule.moves()
    latents = [z]
    times = torch.tensor([move.t for move in moves], device=z.device)
    for number, move in enumerate(reversed(moves)):
        output = model(z, times[move.index], told)
        x0, e = schedule.predict(output, z, move.ap)
        z = (move.a**0.5) * x0 + ((1 - move.a) ** 0.5) * e
        latents.append(z)
        progress(number + 1, len(moves))
    return torch.stack(latents)
