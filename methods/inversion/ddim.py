"""DDIM inversion: from a picture's latent back to the noise that generates it.

Song, Meng & Ermon, "Denoising Diffusion Implicit Models", ICLR 2021; as the first step of an edit: Mokady et al. 2023.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ...graph_runtime.core.light.later import Tensor, torch
from ...graph_runtime.core.values import without_gradients
from ..sampling.ddim import DdimSchedule
from ..sampling.unet import Model, UNetDescription


@dataclass(frozen=True, eq=False)
class Trajectory:
    """The latents of an inversion, on the CPU.

    Attributes:
        latents: z*_0 … z*_T `[T+1 b c lh lw]`.
        timesteps: of the schedule, noisiest first.
        inversion_key: identifies the inversion, see `trajectory_key`.
        text_hash: hash of the text's embeddings.
    """

    latents: Tensor
    timesteps: tuple[int, ...]
    inversion_key: str = ""
    text_hash: str = ""

    @property
    def nbytes(self) -> int:
        """Bytes of its latents."""
        return self.latents.nbytes

    @property
    def start(self) -> Tensor:
        """z*_T `[b c lh lw]`, from which edits begin."""
        return self.latents[-1]


def trajectory_key(denoiser: UNetDescription, schedule: DdimSchedule, shape: Sequence[int]) -> str:
    """A key of everything that an inversion depends on: model, prediction type, timesteps, noise levels, size."""
    state = (
        denoiser.fingerprint,
        schedule.prediction,
        schedule.timesteps,
        schedule.alpha_bars,
        schedule.final_alpha_bar,
        tuple(shape[-3:]),
    )
    return hashlib.sha256(repr(state).encode()).hexdigest()


@without_gradients
def invert_ddim(
    model: Model,
    schedule: DdimSchedule,
    z: Tensor,
    embeddings: Tensor | None,
    progress: Callable[[int, int], None] = lambda step, total: None,
    *,
    done: Sequence[Tensor] = (),
    keep: Callable[[Tensor], None] = lambda latent: None,
) -> Tensor:
    """The deterministic reverse process run backwards, with guidance 1.

    From the level below t up to t, the model is evaluated at (z, t), as in published code and in diffusers'
    DDIMInverseScheduler.

    Args:
        model: frozen.
        schedule: deterministic (eta 0).
        z: a clean latent `[b c lh lw]`.
        embeddings: of the text `[b n d]`.
        progress: called after each step with (steps done, of how many).
        done: z*_1 and those that follow it, if an earlier start has made them.
        keep: called with each latent that is made.

    Returns:
        z*_0 … z*_T `[T+1 b c lh lw]`.
    """
    steps = schedule.denoising_steps()
    latents = [z, *done]
    z = latents[-1]
    timesteps = torch.tensor([step.timestep for step in steps], device=z.device)
    for number, step in list(enumerate(reversed(steps)))[len(done) :]:
        output = model(z, timesteps[step.index], embeddings)
        x0, e = schedule.predict(output, z, step.alpha_bar_next)
        z = (step.alpha_bar**0.5) * x0 + ((1 - step.alpha_bar) ** 0.5) * e
        latents.append(z)
        keep(z)
        progress(number + 1, len(steps))
    return torch.stack(latents)
