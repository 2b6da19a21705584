"""The random numbers and the loss of a training step of Paint by Example (Yang et al. 2022).

The formulas are in `methods/paint_by_example.py`; here, each row's position in the batch determines its random
numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..graph_runtime.core.light.later import Tensor, nn, torch
from ..methods.attention.single_token import OneTokenProcessor
from ..methods.paint_by_example import denoising_loss
from .encoding import Batch, UnencodedBatch
from .example_source import ExampleSource, Place
from .randomness import generator_of
from .transfer import to_device

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

PLAIN_ATTENTION = 1024  # latent cells up to which plain attention trains faster on a CPU


def small_enough_for_plain_attention(device: torch.device, cells: int) -> bool:
    """True if plain attention trains faster: on a CPU, with few latent cells a side."""
    return device.type == "cpu" and cells**2 <= PLAIN_ATTENTION


def prepare(unet: "UNet2DConditionModel", *, one_token: bool, plain_attention: bool, checkpointing: bool) -> None:
    """Set the attention processors for training, and gradient checkpointing if requested.

    Plain attention: on a CPU the backward pass of torch's fused one takes a quarter of the whole step.
    """
    from diffusers.models.attention_processor import AttnProcessor

    processors = dict(unet.attn_processors)
    for name in processors:
        if one_token and ".attn2." in name:
            processors[name] = OneTokenProcessor()  # type: ignore[assignment]  # diffusers lists its own alone
        elif plain_attention:
            processors[name] = AttnProcessor()
    unet.set_attn_processor(processors)
    if checkpointing:
        unet.enable_gradient_checkpointing()


def recompute_activations(unet: "UNet2DConditionModel") -> bool:
    """Have the backward pass recompute activations: more slowly, in less memory, to the same bits; False if it does."""
    if unet.is_gradient_checkpointing:
        return False
    unet.enable_gradient_checkpointing()
    return True


class StepDraws(NamedTuple):
    """The random numbers of some rows of a step.

    Attributes:
        timesteps: `[b]`.
        dropped: `[b]`, True where the learned vector replaces the exemplar.
        noise: as the latents, `[b 4 lh lw]`.
        alpha_bars: ᾱ of the timesteps, `[b]`.
    """

    timesteps: Tensor
    dropped: Tensor
    noise: Tensor
    alpha_bars: Tensor


class StepInputs(NamedTuple):
    """Everything that some rows of a step need besides the model."""

    batch: UnencodedBatch | Batch
    draws: StepDraws


@dataclass(frozen=True)
class Objective:
    """The loss: mean squared error of ε (or v) at random timesteps, with the condition dropped now and then.

    Attributes:
        alphas: ᾱ of every training timestep `[N]`.
        prediction: what the model predicts: `epsilon`, `sample` or `v_prediction`.
        dropout: probability that the learned vector replaces the exemplar.
        seed: of noise, timesteps and choice of examples.
        snr_limit: weights a step by min(SNR, limit) / SNR (Hang et al. 2023); 0 leaves all steps equal.
    """

    alphas: Tensor
    prediction: str
    dropout: float
    seed: int
    snr_limit: float = 0.0

    def loss(self, module: nn.Module, source: ExampleSource, step: int, rows: range, device: torch.device) -> Tensor:
        """Mean loss of the rows of a step's batch; everything random comes from (seed, step, row)."""
        generators, places = self._places(step, rows)
        with torch.autocast(device.type, enabled=False):
            batch = source.batch(places)
        return self.of(module, batch, self._draw(generators, batch.latent.shape[1:], batch.latent.dtype), device)

    def inputs(self, source: ExampleSource, step: int, rows: range) -> StepInputs:
        """The part of the inputs of `loss` that needs only the CPU, for threads that work ahead."""
        generators, places = self._places(step, rows)
        encoders = source.encoders
        return StepInputs(source.take(places), self._draw(generators, encoders.latent, encoders.dtype))

    def _places(self, step: int, rows: range) -> tuple[list[torch.Generator], list[Place]]:
        """The generators of the rows, and the two numbers with which each selects its example."""
        generators = [generator_of(self.seed, "step", step, row) for row in rows]
        pairs = [torch.randint(2**40, (2,), generator=generator).tolist() for generator in generators]
        return generators, [(one, other) for one, other in pairs]

    def _draw(self, generators: Sequence[torch.Generator], shape: Sequence[int], dtype: torch.dtype) -> StepDraws:
        timesteps = torch.cat([torch.randint(len(self.alphas), (1,), generator=g) for g in generators])
        dropped = torch.cat([torch.rand(1, generator=g) for g in generators]) < self.dropout
        noise = torch.stack([torch.randn(tuple(shape), generator=g) for g in generators])
        return StepDraws(timesteps, dropped, noise.to(dtype), self.alphas[timesteps].to(dtype))

    def of(self, module: nn.Module, batch: Batch, draws: StepDraws, device: torch.device) -> Tensor:
        """Mean loss of encoded examples."""
        batch, draws = to_device(batch, device), to_device(draws, device)
        return denoising_loss(
            module,
            batch.latent,
            batch.masked,
            batch.keep,
            batch.token,
            timesteps=draws.timesteps,
            alpha_bars=draws.alpha_bars,
            noise=draws.noise,
            dropped=draws.dropped,
            prediction=self.prediction,
            snr_limit=self.snr_limit,
        )
