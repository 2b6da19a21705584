"""Noise as a stream: the same tensors in the same order on every machine.

The order is part of the contract: z_T; the VAE posterior's, only where a conditioning drew it; one tensor per reverse
step (whatever eta is, also the last); one per step back up. All of a Gaussian stream comes from ONE CPU generator, so
a run on a GPU sees what a run on a CPU sees. A noise object holds no generator: each consumer begins a fresh stream.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor, torch


class NoiseStream(ABC):
    """The noise of one consumer: `start` first, then `posterior` if needed, then any number of `step`s."""

    @abstractmethod
    def start(self) -> Tensor:
        """z_T, `[b c lh lw]`, on the CPU."""

    @abstractmethod
    def posterior(self) -> Tensor:
        """The noise of a VAE posterior, of the same shape."""

    @abstractmethod
    def step(self) -> Tensor:
        """The noise of the next step, of the same shape."""


class Noise(ABC):
    """A source of noise. `shape` is the shape of all its tensors, `[b c lh lw]`."""

    shape: tuple[int, ...]

    @abstractmethod
    def stream(self) -> NoiseStream:
        """A fresh stream; two streams of one noise give equal tensors."""


@dataclass(frozen=True)
class GaussianNoise(Noise):
    """Standard normal noise, float32, from a CPU generator seeded by `seed`.

    Attributes:
        shape: of each tensor, `[b c lh lw]`.
        seed: of the generator.
        of: how many variations of each latent are drawn, of which only `count` from number `pick` on are used; so their
            bits are those that they have among the others.
        pick: from 0.
        count: how many.
    """

    shape: tuple[int, ...]
    seed: int
    of: int = 1
    pick: int = 0
    count: int = 1

    def stream(self) -> NoiseStream:
        """Start a new generator."""
        return _GaussianStream(self)


class _GaussianStream(NoiseStream):
    def __init__(self, noise: GaussianNoise) -> None:
        self._noise = noise
        self._drawn = (noise.shape[0] // noise.count * noise.of, *noise.shape[1:])
        self._generator = torch.Generator("cpu").manual_seed(noise.seed)

    def start(self) -> Tensor:
        drawn = torch.randn(self._drawn, generator=self._generator)
        first, count, of = self._noise.pick, self._noise.count, self._noise.of
        return drawn if count == of else drawn.unflatten(0, (-1, of))[:, first : first + count].flatten(0, 1).clone()

    posterior = start
    step = start


@dataclass(frozen=True, eq=False)
class GivenNoise(Noise):
    """Exactly these tensors; an absent one is an error only when it is drawn.

    Attributes:
        start: z_T `[b c lh lw]`, or None.
        steps: one for each step `[steps b c lh lw]`, or None.
        posterior: `[b c lh lw]`, or None.
        name: where they come from, for messages.
        keys: the names under which start, steps and posterior were looked for.
        inversion_key: identifies the inversion that it comes from; empty without one.
    """

    start: Tensor | None = None
    steps: Tensor | None = None
    posterior: Tensor | None = None
    name: str = "noise"
    keys: tuple[str, str, str] = ("z_T", "noises", "posterior_noise")
    inversion_key: str = ""

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Shape of the first tensor that is not None."""
        for tensor in (self.start, self.posterior, None if self.steps is None else self.steps[0]):
            if tensor is not None:
                return tuple(tensor.shape)
        raise BadInput(
            "noise",
            found=f"{self.name} with none of {', '.join(self.keys)}",
            expected="noise tensors",
            fix="give the keys that hold them",
        )

    def stream(self) -> NoiseStream:
        """A stream of these tensors, from the first."""
        return _GivenStream(self)

    def lacks(self, which: int) -> BadInput:
        """The error for tensor number `which` of start, steps, posterior, which is missing."""
        return BadInput(
            "noise",
            found=f"no {self.keys[which]!r} in {self.name}",
            expected="that tensor, which the run draws",
            fix="add it to the file, or give its key",
        )

    def ends(self) -> BadInput:
        """The error for fewer tensors than steps."""
        return BadInput(
            "noise",
            found=f"{0 if self.steps is None else len(self.steps)} noise tensors in {self.name}",
            expected="one for every step of the schedule",
            fix="use as many steps as there are tensors, or noise.gaussian",
        )


class _GivenStream(NoiseStream):
    def __init__(self, noise: GivenNoise) -> None:
        self._noise, self._next = noise, 0

    def start(self) -> Tensor:
        return self._need(self._noise.start, 0)

    def posterior(self) -> Tensor:
        return self._need(self._noise.posterior, 2)

    def step(self) -> Tensor:
        steps = self._need(self._noise.steps, 1)
        if self._next >= len(steps):
            raise self._noise.ends()
        self._next += 1
        return steps[self._next - 1]

    def _need(self, tensor: Tensor | None, which: int) -> Tensor:
        if tensor is None:
            raise self._noise.lacks(which)
        return tensor.clone()


def gaussian_noise(
    shape: tuple[int, ...], seed: int, batch: int = 1, pick: int | None = None, count: int | None = None
) -> GaussianNoise:
    """Noise for `batch` variations of each of the latents of `shape`: row i belongs to latent i // batch.

    With `pick`, for that one variation of each alone; with `count`, for the first so many of each.
    """
    if count is not None:
        return GaussianNoise((shape[0] * count, *shape[1:]), seed, batch, 0, count)
    if pick is None:
        return GaussianNoise((shape[0] * batch, *shape[1:]), seed)
    return GaussianNoise(tuple(shape), seed, batch, pick)
