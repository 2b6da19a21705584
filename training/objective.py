"""Self-supervised training of Paint by Example (Yang et al. 2022): a picture's own box is the exemplar for its hole.

The exemplar is cut from the picture itself and augmented, so that copying it does not pay; one CLIP token is all that
the denoiser hears of it; the hole is larger than the box and often of an arbitrary shape.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..methods.attention.single_token import OneTokenProcessor
from ..methods.paint_by_example import denoising_loss
from .examples import Batch, Made, Place, Source
from .processes import to_device
from .trainer import generator_of


def prepare(unet: Any, *, one_token: bool, plain_attention: bool, checkpointing: bool) -> None:
    """Attention processors for training, and gradient checkpointing where asked for.

    Plain attention: on a CPU the backward pass of torch's fused one costs a quarter of the whole step.
    """
    from diffusers.models.attention_processor import AttnProcessor

    processors = dict(unet.attn_processors)
    for name in processors:
        if one_token and ".attn2." in name:
            processors[name] = OneTokenProcessor()
        elif plain_attention:
            processors[name] = AttnProcessor()
    unet.set_attn_processor(processors)
    if checkpointing:
        unet.enable_gradient_checkpointing()


class Drawn(NamedTuple):
    """What is random in some rows of a step: timesteps and their ᾱ `[b]`, whose condition is dropped, noise."""

    times: Tensor
    dropped: Tensor
    noise: Tensor
    alphas: Tensor


class Inputs(NamedTuple):
    """All that some rows of a step need beside the model."""

    made: Made | Batch
    drawn: Drawn


@dataclass(frozen=True)
class Objective:
    """The loss: mean squared error of ε (or v), at random timesteps, the condition dropped now and then.

    Attributes:
        alphas: ᾱ of every training timestep `[N]`.
        prediction: what the model predicts.
        dropout: probability that the learned vector stands in for the exemplar.
        seed: of noise, timesteps and choice.
        snr_limit: weights a step by min(SNR, limit) / SNR (Hang et al. 2023); 0 leaves all steps equal.
    """

    alphas: Tensor
    prediction: str
    dropout: float
    seed: int
    snr_limit: float = 0.0

    def loss(self, module: nn.Module, source: Source, step: int, rows: range, device: torch.device) -> Tensor:
        """Mean loss of the rows of a step's batch; everything random comes from (seed, step, row)."""
        generators, places = self._begun(step, rows)
        with torch.autocast(device.type, enabled=False):
            batch = source.batch(places)
        return self.of(module, batch, self._drawn(generators, batch.latent.shape[1:], batch.latent.dtype), device)

    def inputs(self, source: Source, step: int, rows: range) -> Inputs:
        """What `loss` begins with, as far as the CPU alone can make it: for threads that work ahead."""
        generators, places = self._begun(step, rows)
        with_ = source.encoders
        return Inputs(source.made(places), self._drawn(generators, with_.latent, with_.dtype))

    def _begun(self, step: int, rows: range) -> tuple[list[torch.Generator], list[Place]]:
        """The rows' generators, and the two numbers by which each has chosen its example."""
        generators = [generator_of(self.seed, "step", step, row) for row in rows]
        pairs = [torch.randint(2**40, (2,), generator=generator).tolist() for generator in generators]
        return generators, [(one, other) for one, other in pairs]

    def _drawn(self, generators: Sequence[torch.Generator], shape: Sequence[int], dtype: torch.dtype) -> Drawn:
        times = torch.cat([torch.randint(len(self.alphas), (1,), generator=g) for g in generators])
        dropped = torch.cat([torch.rand(1, generator=g) for g in generators]) < self.dropout
        noise = torch.stack([torch.randn(tuple(shape), generator=g) for g in generators])
        return Drawn(times, dropped, noise.to(dtype), self.alphas[times].to(dtype))

    def of(self, module: nn.Module, batch: Batch, drawn: Drawn, device: torch.device) -> Tensor:
        """Mean loss of encoded examples."""
        (latent, masked, keep, token), (times, dropped, noise, a) = to_device(batch, device), to_device(drawn, device)
        return denoising_loss(
            module,
            latent,
            masked,
            keep,
            token,
            timesteps=times,
            alpha_bars=a,
            noise=noise,
            dropped=dropped,
            prediction=self.prediction,
            snr_limit=self.snr_limit,
        )


@contextmanager
def averaged(values: dict[str, Tensor], average: dict[str, Tensor]) -> Iterator[None]:
    """Put the averaged weights in place of the last ones for the length of the block."""
    before = {name: values[name].detach().clone() for name in average}
    with torch.no_grad():
        for name, value in average.items():
            values[name].copy_(value)
    try:
        yield
    finally:
        with torch.no_grad():
            for name, value in before.items():
                values[name].copy_(value)
