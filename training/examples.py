"""Training examples of Paint by Example (Yang et al. 2022): made of pictures with boxes, then encoded.

Making an example needs the CPU alone, so threads can do it ahead (`prefetch.py`);
encoding it needs the models, on their device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..graph_runtime import BadInput, code_digest
from ..pictures.augmentation import Augment, cut_reference
from ..pictures.boxes import Box
from ..pictures.masks.brush import brush_mask, crop_around
from ..pictures.photos.photo import PhotoSet
from .prefetch import Ahead
from .processes import Workers, to_device
from .trainer import TrainingFailed, generator_of, write_tensors

FOR_EVERY_PROCESS = 2**63  # processes that train together agree on a digest, whatever is edited meanwhile
CACHE_PART = 256
CHUNK = 16  # examples that are encoded at once; what is kept depends on it, by rounding
Place = tuple[int, int]  # number of the (photo, box) pair, number of the variation


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
    inner = _inside(
        ((box[0] - left) * across, (box[1] - top) * down, (box[2] - left) * across, (box[3] - top) * down), how.size
    )
    hole = brush_mask(inner, (how.size, how.size), generator, arbitrary=how.arbitrary, amount=how.extend)
    exemplar = cut_reference(planes, box, how.exemplar_size, how.augment, generator)
    return Example(cut, 1 - hole[None], exemplar)


def _inside(box: Sequence[float], size: int) -> Box:
    left, top = (min(max(int(value), 0), size - 1) for value in box[:2])
    right, bottom = (min(max(round(value), low + 1), size) for value, low in zip(box[2:], (left, top), strict=True))
    return left, top, right, bottom


class Made(NamedTuple):
    """Examples on the CPU, not encoded yet.

    Attributes:
        picture: `[b 3 s s]` in [0, 1].
        keep: `[b 1 s s]`, 1 = kept.
        cells: `keep` on the latent grid, `[b 1 lh lw]`.
        exemplar: `[b 3 r r]`, normalised as CLIP sees it.
        noise: of both posteriors, the whole picture's first, `[b 2 c lh lw]`.
    """

    picture: Tensor
    keep: Tensor
    cells: Tensor
    exemplar: Tensor
    noise: Tensor


class Encoders(NamedTuple):
    """What turns examples into latents and tokens.

    Attributes:
        vae: on its device, in a precision of its own.
        scale: what a posterior is multiplied by.
        shift: what is taken off before.
        clip: exemplars, normalised, to tokens.
        mean: of CLIP's pictures, `[3 1 1]`.
        std: of CLIP's pictures.
        device: where `clip` is, and where what comes out goes.
        latent: channels, height and width of a latent.
        dtype: precision of what comes out: that of the weights that learn, whatever the VAE computes in.
        casting: what autocast computes in, or None.
    """

    vae: nn.Module
    scale: float
    shift: float
    clip: Callable[[Tensor], Tensor]
    mean: Tensor
    std: Tensor
    device: torch.device
    latent: tuple[int, int, int]
    dtype: torch.dtype = torch.float32
    casting: torch.dtype | None = None


def collate(examples: Sequence[Example], generators: Sequence[torch.Generator], with_: Encoders) -> Made:
    """Examples joined; each posterior's noise comes from its example's generator."""
    keep = torch.stack([example.keep for example in examples])
    exemplar = torch.stack([example.exemplar for example in examples])
    return Made(
        torch.stack([example.picture for example in examples]),
        keep,
        F.interpolate(keep, with_.latent[1:]),
        (exemplar - with_.mean) / with_.std,
        torch.stack([torch.randn((2, *with_.latent), generator=generator) for generator in generators]),
    )


@torch.no_grad()
def encode(made: Made, with_: Encoders) -> Batch:
    """Latents and tokens of examples, posteriors sampled, in the precision of what learns."""
    place = next(with_.vae.parameters())
    made = to_device(made, place.device)
    pictures = made.picture.to(torch.promote_types(place.dtype, torch.float32)) * 2 - 1
    both = torch.cat([pictures, pictures * made.keep.to(pictures)]).to(place.dtype)
    with torch.autocast(place.device.type, with_.casting, enabled=with_.casting is not None):
        posterior = with_.vae.encode(both, return_dict=False)[0]  # type: ignore[operator]
        token = with_.clip(made.exemplar.to(with_.device))
    mean, std = (value.to(with_.dtype) for value in (posterior.mean, posterior.std))
    drawn = mean + std * torch.cat(made.noise.to(mean).unbind(1))
    latent, masked = ((drawn - with_.shift) * with_.scale).to(with_.device).chunk(2)
    return Batch(latent, masked, made.cells.to(latent), token.to(with_.dtype))


class Source:
    """Encoded examples of some photos: made anew at each step, or a fixed number made once and kept.

    Args:
        photos: pictures with their boxes.
        how: how an example is made.
        encoders: what encodes it.
        seed: of crops, holes and augmentation.
        variations: examples made of each box and kept; 0 makes new ones every time.
    """

    def __init__(self, photos: PhotoSet, how: Recipes, encoders: Encoders, seed: int, variations: int):
        self.photos, self.how, self.encoders, self.seed = photos, how, encoders, seed
        self.pairs = photos.pairs()
        if not self.pairs:
            raise BadInput(
                "photos",
                found="no box in any picture",
                expected="at least one box to learn from",
                fix="give subject.photos a boxes file, masks or a detector",
            )
        self.kept: Batch | None = None
        self.variations = variations

    def examples(self, places: Sequence[Place]) -> tuple[list[Example], list[torch.Generator]]:
        """The examples at (pair, variation), and their generators as they are then."""
        made, generators = [], []
        for pair, variation in places:
            photo, box = self.pairs[pair]
            generator = generator_of(self.seed, "example", pair, variation)
            made.append(make_example(self.photos.photos[photo].picture(), box, self.how, generator))
            generators.append(generator)
        return made, generators

    def made(self, draws: Sequence[Place]) -> Made | Batch:
        """The examples that two random numbers each stand for: kept ones, or new ones, not encoded yet.

        The CPU alone is needed, and no state is changed: threads may call it.
        """
        if self.kept is not None:
            rows = torch.tensor([one % len(self.kept.latent) for one, _ in draws])
            return Batch(*(value[rows] for value in self.kept))
        return collate(*self.examples([(one % len(self.pairs), other) for one, other in draws]), self.encoders)

    def encoded(self, made: Made | Batch) -> Batch:
        """Examples as the model learns from them."""
        return made if isinstance(made, Batch) else encode(made, self.encoders)

    def batch(self, draws: Sequence[Place]) -> Batch:
        """The encoded examples that two random numbers each stand for."""
        return self.encoded(self.made(draws))

    def keep(self, folder: Path, workers: Workers, progress: Callable[[int, int], None]) -> None:
        """Make every variation of every box once, in parts that a later run of the same code finds again."""
        places = [(pair, variation) for variation in range(self.variations) for pair in range(len(self.pairs))]
        starts = range(0, len(places), CACHE_PART)
        made_by = code_digest(Source, since=FOR_EVERY_PROCESS)
        files = [folder / f"{start // CACHE_PART:05d}-{made_by}.safetensors" for start in starts]
        counts = [min(CACHE_PART, len(places) - start) for start in starts]
        parts = [_kept(file, count) for file, count in zip(files, counts, strict=True)]
        for number, (start, file, count) in enumerate(zip(starts, files, counts, strict=True)):
            if number % workers.count == workers.rank and parts[number] is None:
                batches = self._encoded(places[start : start + count], workers)
                whole = Batch(*(torch.cat(values).cpu() for values in zip(*batches, strict=True)))
                require_finite(whole, self.encoders)
                write_tensors(whole._asdict(), file)
            progress(number + 1, len(files))
        workers.wait()
        parts = [part or _kept(file, count) for part, file, count in zip(parts, files, counts, strict=True)]
        if workers.rank == 0:
            for other in folder.glob("*.safetensors"):
                if made_by not in other.name:  # by another version of the code
                    other.unlink(missing_ok=True)
        found = [part for part in parts if part is not None]
        if len(found) < len(files):
            raise TrainingFailed(
                None,
                found=f"encoded examples in {folder} that changed during the run",
                expected="the folder for this training alone",
                fix="run again",
            )
        self.kept = Batch(*(torch.cat(values).to(self.encoders.dtype) for values in zip(*found, strict=True)))

    def _encoded(self, places: Sequence[Place], workers: Workers) -> list[Batch]:
        """Examples, encoded a few at a time while threads make the next."""
        chunks = [tuple(places[at : at + CHUNK]) for at in range(0, len(places), CHUNK)]
        ahead: Ahead[tuple[Place, ...]] = Ahead(
            lambda chunk: collate(*self.examples(chunk), self.encoders), workers.device, workers.count
        )
        with ahead:
            return [
                encode(ahead.take(chunk, chunks[number + 1 :]), self.encoders) for number, chunk in enumerate(chunks)
            ]


def require_finite(batch: Batch, with_: Encoders) -> None:
    """Raise TrainingFailed, naming the model at fault, where an example did not survive its encoding."""
    for port, node, value in (
        ("vae", "the VAE", torch.cat([batch.latent, batch.masked])),
        ("exemplar_encoder", "the exemplar encoder", batch.token),
    ):
        if not torch.isfinite(value).all():
            kind = str(next(with_.vae.parameters()).dtype if port == "vae" else with_.dtype).removeprefix("torch.")
            raise TrainingFailed(
                port,
                found=f"NaN or infinity from {node}, which computes in {kind}",
                expected="finite numbers",
                fix="set dtype to float32 in its model node"
                + ("; if it is so already, its weights are damaged" if kind == "float32" else ""),
            )


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
