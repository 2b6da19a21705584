"""Noise: lazy streams from a CPU generator, or exactly the tensors of a file."""

from pathlib import Path
from typing import Annotated, NamedTuple

from pydantic import Field

from ..graph_runtime import BadInput, ReadPath, node
from ..methods.sampling.noise import GivenNoise, gaussian_noise
from ..models.files.tensors import read_tensors
from .checks.before_run import Facts, Known, Params, rehearse
from .checks.latent import given_noise
from .checks.latent import load_noise as check_load_noise
from .ports import Latent, NoisePort, TrajectoryPort

Seed = Annotated[int, Field(ge=0, le=2**64 - 1)]


class Noisy(NamedTuple):
    """A source of noise."""

    noise: NoisePort


def _require_pick(pick: int | None, batch: int, count: int | None) -> None:
    if count is not None and (pick is not None or count > batch):
        raise BadInput(
            "count",
            found=f"the first {count} of {batch} variations" if pick is None else "pick and count",
            expected="one of them" if pick is not None else f"a number from 1 to {batch}",
            fix="leave the other out" if pick is not None else f"use a smaller number, or batch={count} or more",
        )
    if pick is not None and pick >= batch:
        raise BadInput(
            "pick",
            found=f"{pick} of {batch} variation{'s' if batch > 1 else ''}",
            expected=f"a number from 0 to {batch - 1}",
            fix=f"use a smaller number, or batch={pick + 1} or more",
        )


def _check_gaussian(known: Known, params: Params) -> Facts:
    _require_pick(params["pick"], params["batch"], params["count"])
    return rehearse(gaussian, known, params)


@node("noise.gaussian", version=1, check=_check_gaussian)
def gaussian(
    latent: Latent,
    seed: Seed = 0,
    batch: Annotated[int, Field(ge=1, le=256)] = 1,
    pick: Annotated[int, Field(ge=0, le=255)] | None = None,
    count: Annotated[int, Field(ge=1, le=256)] | None = None,
) -> Noisy:
    """Standard normal noise from one CPU generator, so that every device sees the same.

    Drawn in float32 in this order: z_T; the VAE posterior's, only where condition.inpaint uses it; one tensor
    per reverse step (any eta, also the last); one per step back up.

    Args:
        latent: gives the shape; its values are not used.
        seed: random seed.
        batch: number of variations of each picture; those of one picture follow each other in the result.
        pick: only this variation of each picture, from 0; its noise has the bits that it has among all of `batch`.

        count: only the first so many variations of each picture; their noise has the bits that it has among all.

    Raises:
        BadInput: a pick that is not below batch, a count above it, or both of them.
    """
    _require_pick(pick, batch, count)
    return Noisy(gaussian_noise(tuple(latent.shape), seed, batch, pick, count))


@node("noise.load", version=1, check=check_load_noise)
def load(path: ReadPath, start: str = "z_T", steps: str = "noises", posterior: str = "posterior_noise") -> Noisy:
    """Read the noise tensors of a safetensors file, used exactly as they are.

    A missing key is an error only when a run needs it.

    Args:
        path: the .safetensors file.
        start: key of z_T, `[b, c, lh, lw]`.
        steps: key of one tensor per step, `[steps, b, c, lh, lw]`, in the order of noise.gaussian.
        posterior: key of the VAE posterior's, `[b, c, lh, lw]`.

    Raises:
        BadInput: the file is not safetensors, holds none of the keys, or a tensor has another number of axes.
    """
    wanted = (start, steps, posterior)
    tensors = read_tensors(Path(path), wanted, "path")
    return Noisy(given_noise(Path(path), tensors, wanted))


def _check_from_trajectory(known: Known, params: Params) -> Facts:
    return rehearse(from_trajectory, known, params)


@node("noise.from_trajectory", version=1, check=_check_from_trajectory)
def from_trajectory(trajectory: TrajectoryPort) -> Noisy:
    """Begin where an inversion ended: z*_T instead of random noise.

    Edits are deterministic (eta 0), so the noise of the steps is zero.

    Args:
        trajectory: from invert.ddim.
    """
    start = trajectory.start
    still = start.new_zeros(()).expand(len(trajectory.timesteps), *start.shape)
    return Noisy(GivenNoise(start, still, name="the trajectory", inversion_key=trajectory.inversion_key))
