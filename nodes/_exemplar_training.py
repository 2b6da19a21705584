"""Self-supervised training of Paint by Example (Yang et al. 2022): a picture's own box is the exemplar for its hole.

The exemplar is cut from the picture itself and augmented, so that copying it does not pay; one CLIP token is all that
the denoiser hears of it; the hole is larger than the box and often of an arbitrary shape.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..graph_runtime import BadInput
from ._augment import Augment, cut_reference
from ._brush import Box, brush, crop_around
from ._photos import Photos
from ._trainer import TrainingFailed, generator_of, write_tensors
from ._workers import Workers

EXTRA = 5  # channels beside the latent: the masked picture's latent and the mask
CACHE_PART = 256


class Example(NamedTuple):
    """One training example: picture `[3 s s]` in [0, 1], what is kept of it `[1 s s]` in {0, 1}, exemplar `[3 r r]`."""

    picture: Tensor
    keep: Tensor
    exemplar: Tensor


class Batch(NamedTuple):
    """Encoded examples: latents `[b 4 lh lw]`, masked pictures' latents, keep masks `[b 1 lh lw]`, tokens `[b n d]`."""

    latent: Tensor
    masked: Tensor
    keep: Tensor
    token: Tensor


@dataclass(frozen=True)
class Recipes:
    """How an example is made of a picture and a box.

    Attributes:
        size: side of the square that is cut out around the box, after resizing, pixels.
        exemplar_size: side of the exemplar, pixels.
        augment: what happens to the exemplar.
        arbitrary: share of holes that are of an arbitrary shape instead of a rectangle.
        extend: how far the hole may reach beyond the box, as a share of the free space on each side.
    """

    size: int
    exemplar_size: int
    augment: Augment
    arbitrary: float = 0.5
    extend: float = 0.4


def make_example(picture: Tensor, box: Box, how: Recipes, generator: torch.Generator) -> Example:
    """One example of a picture `[h w 3]` in [0, 1] and a box in it; draws crop, hole, exemplar in this order."""
    height, width = picture.shape[:2]
    left, top, right, bottom = crop_around(box, (height, width), generator)
    planes = picture.permute(2, 0, 1)
    cut = planes[:, top:bottom, left:right]
    if cut.shape[1:] != (how.size, how.size):
        cut = F.interpolate(cut[None], (how.size, how.size), mode="bicubic", antialias=True)[0].clamp(0, 1)
    across, down = how.size / (right - left), how.size / (bottom - top)
    inner = _inside(((box[0] - left) * across, (box[1] - top) * down, (box[2] - left) * across,
                     (box[3] - top) * down), how.size)
    hole = brush(inner, (how.size, how.size), generator, arbitrary=how.arbitrary, amount=how.extend)
    exemplar = cut_reference(planes, box, how.exemplar_size, how.augment, generator)
    return Example(cut, 1 - hole[None], exemplar)


def _inside(box: Sequence[float], size: int) -> Box:
    left, top = (min(max(int(value), 0), size - 1) for value in box[:2])
    right, bottom = (min(max(round(value), low + 1), size) for value, low in zip(box[2:], (left, top), strict=True))
    return left, top, right, bottom


class Encoders(NamedTuple):
    """What turns examples into latents and tokens: modules on their device, and what the descriptions say of them."""

    vae: nn.Module
    scale: float
    shift: float
    clip: Callable[[Tensor], Tensor]  # exemplars, normalised, to tokens
    mean: Tensor
    std: Tensor
    device: torch.device
    casting: torch.dtype | None = None  # what autocast computes in


@torch.no_grad()
def encode(examples: Sequence[Example], generators: Sequence[torch.Generator], with_: Encoders) -> Batch:
    """Latents and tokens of examples; each posterior is sampled with its example's generator, the whole first."""
    place = next(with_.vae.parameters())
    pictures = torch.stack([example.picture for example in examples]).to(place.device, place.dtype) * 2 - 1
    keep = torch.stack([example.keep for example in examples])
    exemplars = torch.stack([example.exemplar for example in examples])
    both = torch.cat([pictures, pictures * keep.to(pictures)])
    with torch.autocast(place.device.type, with_.casting, enabled=with_.casting is not None):
        posterior = with_.vae.encode(both, return_dict=False)[0]  # type: ignore[operator]
        token = with_.clip(((exemplars - with_.mean) / with_.std).to(with_.device))
    mean, std = (value.to(place.dtype) for value in (posterior.mean, posterior.std))
    shape = mean.shape[1:]
    noise = [torch.randn((2, *shape), generator=generator) for generator in generators]
    drawn = mean + std * torch.cat([torch.stack([n[half] for n in noise]) for half in range(2)]).to(mean)
    latent, masked = ((drawn - with_.shift) * with_.scale).chunk(2)
    return Batch(latent, masked, F.interpolate(keep, shape[1:]).to(latent), token.to(place.dtype))


class Source:
    """Encoded examples of some photos: made anew at each step, or a fixed number made once and kept.

    Args:
        photos: pictures with their boxes.
        how: how an example is made.
        encoders: what encodes it.
        seed: of crops, holes and augmentation.
        variations: examples made of each box and kept; 0 makes new ones every time.
    """

    def __init__(self, photos: Photos, how: Recipes, encoders: Encoders, seed: int, variations: int):
        self.photos, self.how, self.encoders, self.seed = photos, how, encoders, seed
        self.pairs = photos.pairs()
        if not self.pairs:
            raise BadInput("photos", found="no box in any picture", expected="at least one box to learn from",
                           fix="give subject.photos a boxes file, masks or a detector")
        self.kept: Batch | None = None
        self.variations = variations

    def examples(self, places: Sequence[tuple[int, int]]) -> tuple[list[Example], list[torch.Generator]]:
        """The examples at (pair, variation), and their generators as they are then."""
        made, generators = [], []
        for pair, variation in places:
            photo, box = self.pairs[pair]
            generator = generator_of(self.seed, "example", pair, variation)
            made.append(make_example(self.photos.photos[photo].picture(), box, self.how, generator))
            generators.append(generator)
        return made, generators

    def keep(self, folder: Path, workers: Workers, progress: Callable[[int, int], None]) -> None:
        """Make every variation of every box once, in parts that a later run finds again."""
        places = [(pair, variation) for variation in range(self.variations) for pair in range(len(self.pairs))]
        starts = range(0, len(places), CACHE_PART)
        files = [folder / f"{start // CACHE_PART:05d}.safetensors" for start in starts]
        counts = [min(CACHE_PART, len(places) - start) for start in starts]
        parts = [_kept(file, count) for file, count in zip(files, counts, strict=True)]
        for number, (start, file, count) in enumerate(zip(starts, files, counts, strict=True)):
            if number % workers.count == workers.rank and parts[number] is None:
                batches = [encode(*self.examples(places[at:at + 16]), self.encoders)
                           for at in range(start, start + count, 16)]
                write_tensors({name: torch.cat([getattr(batch, name) for batch in batches])
                               for name in Batch._fields}, file)
            progress(number + 1, len(files))
        workers.wait()
        parts = [part or _kept(file, count) for part, file, count in zip(parts, files, counts, strict=True)]
        whole = [part for part in parts if part is not None]
        if len(whole) < len(files):
            raise TrainingFailed(None, found=f"encoded examples in {folder} that changed during the run",
                                 expected="the folder for this training alone", fix="run again")
        self.kept = Batch(*(torch.cat(values) for values in zip(*whole, strict=True)))

    def batch(self, draws: Sequence[tuple[int, int]]) -> Batch:
        """The examples that two random numbers each stand for."""
        if self.kept is not None:
            rows = torch.tensor([one % len(self.kept.latent) for one, _ in draws])
            return Batch(*(value[rows] for value in self.kept))
        return encode(*self.examples([(one % len(self.pairs), other) for one, other in draws]), self.encoders)


def _kept(file: Path, count: int) -> Batch | None:
    """The `count` examples that a run before left in a file; None where there are none, or damaged ones."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        batch = Batch(**load_file(str(file)))
    except (OSError, SafetensorError, TypeError):  # not there, cut off, or something else
        return None
    latent = batch.latent.shape
    fits = batch.masked.shape == latent and batch.keep.shape == (count, 1, *latent[2:])
    fits = fits and latent[0] == len(batch.token) == count
    return batch if fits and all(torch.isfinite(part).all() for part in batch) else None


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
            if one_token and any(part in name for part in (".attn2.to_q.", ".attn2.to_k.", ".norm2.")) \
                    and ".transformer_blocks." in name:
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
        new.weight[:, :old.in_channels] = old.weight
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
        generators = [generator_of(self.seed, "step", step, row) for row in rows]
        draws = [tuple(torch.randint(2**40, (2,), generator=g).tolist()) for g in generators]
        with torch.autocast(device.type, enabled=False):
            batch = source.batch(draws)
        times = torch.cat([torch.randint(len(self.alphas), (1,), generator=g) for g in generators])
        dropped = torch.cat([torch.rand(1, generator=g) for g in generators]) < self.dropout
        noise = torch.stack([torch.randn(batch.latent.shape[1:], generator=g) for g in generators])
        a = self.alphas[times].to(batch.latent)[:, None, None, None]
        latent, noise = batch.latent, noise.to(batch.latent)
        noisy = a.sqrt() * latent + (1 - a).sqrt() * noise
        wanted = {"epsilon": noise, "sample": latent,
                  "v_prediction": a.sqrt() * noise - (1 - a).sqrt() * latent}[self.prediction]
        joined = torch.cat([noisy, batch.masked, batch.keep], dim=1).to(device)
        guess = module(joined, times.to(device), batch.token.to(device), dropped.to(device))
        error = (guess[:, :latent.shape[1]].float() - wanted.to(device)).square().flatten(1).mean(dim=1)
        if self.snr_limit:
            snr = (a / (1 - a)).flatten().to(device)
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
