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

from .examples import Batch, Made, Place, Source
from .processes import to_device
from .trainer import generator_of

EXTRA = 5  # channels beside the latent: the masked picture's latent and the mask


class ExemplarDenoiser(nn.Module):
    """UNet and exemplar encoder as they train: joined latents and CLIP tokens in, the model's output out."""

    unet: Any
    encoder: Any

    def __init__(self, unet: nn.Module, encoder: nn.Module):
        super().__init__()
        self.unet, self.encoder = unet, encoder

    def forward(self, joined: Tensor, timesteps: Tensor, token: Tensor, dropped: Tensor) -> Tensor:
        """`[b 9 lh lw]`, `[b]`, `[b n d]` and `[b]` (True: the learned vector instead) -> `[b 4 lh lw]`."""
        told = self.encoder.project(token)
        unconditional = self.encoder.uncond_vector.expand_as(told)
        told = torch.where(dropped[:, None, None], unconditional.to(told.dtype), told)
        output: Tensor = self.unet(joined, timesteps, encoder_hidden_states=told, return_dict=False)[0]
        return output

    def trainable(self) -> list[str]:
        """Names of what learns: UNet, mapper, last norm, projection and learned vector.

        What one token makes inert is left out (queries, keys and their norm): it gets no gradient, and weight decay
        would shrink it.
        """
        one_token = bool(self.encoder.one_token)
        inert = {f"encoder.{name}" for name in self.encoder.inert()} if one_token else set()
        names = []
        for name, _ in self.named_parameters():
            if name.startswith("encoder.model.") or name in inert:
                continue
            if (
                one_token
                and any(part in name for part in (".attn2.to_q.", ".attn2.to_k.", ".norm2."))
                and ".transformer_blocks." in name
            ):
                continue
            names.append(name)
        return names


class OneTokenProcessor:
    """Cross-attention to one token: Wo(Wv(e)) for every query, whatever queries and keys are."""

    def __call__(self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, **_: Any) -> Tensor:
        """`[b q d]` queries (only their number counts) and `[b 1 d]` -> `[b q d]`."""
        value = attn.to_out[1](attn.to_out[0](attn.to_v(encoder_hidden_states)))
        return value.expand(-1, hidden_states.shape[1], -1)


def widen(unet: Any, extra: int = EXTRA) -> None:
    """Give a UNet `extra` more input channels, all zero, so that it begins as it was (methods: initialise from SD)."""
    old = unet.conv_in
    new = nn.Conv2d(old.in_channels + extra, old.out_channels, old.kernel_size, old.stride, old.padding)
    new = new.to(old.weight)
    assert new.bias is not None
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        new.bias.copy_(old.bias)
    unet.conv_in = new
    unet.register_to_config(in_channels=old.in_channels + extra)


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
        a = a[:, None, None, None]
        noisy = a.sqrt() * latent + (1 - a).sqrt() * noise
        wanted = {"epsilon": noise, "sample": latent, "v_prediction": a.sqrt() * noise - (1 - a).sqrt() * latent}[
            self.prediction
        ]
        guess = module(torch.cat([noisy, masked, keep], dim=1), times, token, dropped)
        error = (guess[:, : latent.shape[1]].float() - wanted).square().flatten(1).mean(dim=1)
        if self.snr_limit:
            snr = (a / (1 - a)).flatten().clamp(min=1e-6)  # that of pure noise is 0; its weight is 1
            error = error * snr.clamp(max=self.snr_limit) / snr
        return error.mean()


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
