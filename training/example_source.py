"""The encoded examples of a training: made anew at each step, or once and stored on disk."""

from collections.abc import Callable, Sequence
from pathlib import Path

from ..graph_runtime import BadInput, code_digest
from ..graph_runtime.core.light.later import torch
from ..pictures.photos.photo import PhotoSet
from .checkpoint import write_tensors
from .encoding import Batch, Encoders, UnencodedBatch, collate, encode, require_finite
from .errors import TrainingFailed
from .examples import Example, ExampleOptions, make_example
from .prefetch import Prefetcher
from .processes import Workers
from .randomness import generator_of
from .settings import CHUNK

FOR_EVERY_PROCESS = 2**63  # processes that train together use the same digest, even if files are edited meanwhile
EXAMPLES_A_FILE = 256
Place = tuple[int, int]  # number of the (photo, box) pair, number of the variation


class ExampleSource:
    """Encoded examples of some photos: made anew at each step, or a fixed number made once and stored.

    Args:
        photos: pictures with their boxes.
        options: how an example is made.
        encoders: what encodes it.
        seed: of crops, holes and augmentation.
        variations: examples made of each box and kept; 0 makes new ones every time.
        chunk: of those that are kept, how many are encoded at once.
    """

    def __init__(
        self,
        photos: PhotoSet,
        options: ExampleOptions,
        encoders: Encoders,
        seed: int,
        variations: int,
        chunk: int = CHUNK,
    ) -> None:
        self.photos, self.options, self.encoders, self.seed = photos, options, encoders, seed
        self.pairs = photos.pairs()
        if not self.pairs:
            raise BadInput(
                "photos",
                found="no box in any picture",
                expected="at least one box to learn from",
                fix="give subject.photos a boxes file, masks or a detector",
            )
        self.kept: Batch | None = None
        self.variations, self.chunk = variations, chunk

    def examples(self, places: Sequence[Place]) -> tuple[list[Example], list[torch.Generator]]:
        """The examples at (pair, variation), and their generators after making them."""
        examples, generators = [], []
        for pair, variation in places:
            photo, box = self.pairs[pair]
            generator = generator_of(self.seed, "example", pair, variation)
            examples.append(make_example(self.photos.photos[photo].picture(), box, self.options, generator))
            generators.append(generator)
        return examples, generators

    def take(self, draws: Sequence[Place]) -> UnencodedBatch | Batch:
        """The examples that pairs of random numbers select: stored ones, or new ones that are not encoded yet.

        Runs on the CPU and changes no state: threads may call it.
        """
        if self.kept is not None:
            rows = torch.tensor([one % len(self.kept.latent) for one, _ in draws])
            return Batch(*(value[rows] for value in self.kept))
        return collate(*self.examples([(one % len(self.pairs), other) for one, other in draws]), self.encoders)

    def encoded(self, batch: UnencodedBatch | Batch) -> Batch:
        """The batch, encoded if it is not yet."""
        return batch if isinstance(batch, Batch) else encode(batch, self.encoders)

    def batch(self, draws: Sequence[Place]) -> Batch:
        """The encoded examples that pairs of random numbers select."""
        return self.encoded(self.take(draws))

    def keep(self, folder: Path, workers: Workers, progress: Callable[[int, int], None]) -> None:
        """Make every variation of every box once, in files that later runs of the same code reuse.

        Raises:
            TrainingFailed: a file cannot be written, or was removed meanwhile.
        """
        places = [(pair, variation) for variation in range(self.variations) for pair in range(len(self.pairs))]
        shares = [places[at : at + EXAMPLES_A_FILE] for at in range(0, len(places), EXAMPLES_A_FILE)]
        code = code_digest(ExampleSource, since=FOR_EVERY_PROCESS)
        files = [folder / f"{number:05d}-{code}.safetensors" for number in range(len(shares))]
        found = [_read(file, len(share)) for file, share in zip(files, shares, strict=True)]
        for number, (file, share) in enumerate(zip(files, shares, strict=True)):
            if number % workers.count == workers.rank and found[number] is None:
                write_tensors(self._encode(share, workers)._asdict(), file)
            progress(number + 1, len(files))
        workers.wait()
        if workers.main:
            for file in folder.glob("*.safetensors"):
                if code not in file.name:  # made by another version of the code
                    file.unlink(missing_ok=True)
        whole = []
        for batch, file, share in zip(found, files, shares, strict=True):
            if (batch := batch or _read(file, len(share))) is None:
                raise TrainingFailed(
                    None,
                    found=f"encoded examples in {folder} that changed during the run",
                    expected="the folder for this training alone",
                    fix="run again",
                )
            whole.append(batch)
        self.kept = Batch(*(torch.cat(values).to(self.encoders.dtype) for values in zip(*whole, strict=True)))

    def _encode(self, places: Sequence[Place], workers: Workers) -> Batch:
        """These examples on the CPU, encoded a few at a time while threads make the next.

        Raises:
            TrainingFailed: some of them are not finite.
        """
        chunks = [tuple(places[at : at + self.chunk]) for at in range(0, len(places), self.chunk)]

        def make(chunk: tuple[Place, ...]) -> UnencodedBatch:
            return collate(*self.examples(chunk), self.encoders)

        with Prefetcher(make, workers.device, workers.count) as ahead:
            batches = [encode(ahead.take(one, chunks[at + 1 :]), self.encoders) for at, one in enumerate(chunks)]
        joined = Batch(*(torch.cat(values).cpu() for values in zip(*batches, strict=True)))
        require_finite(joined, self.encoders)
        return joined


def _read(file: Path, count: int) -> Batch | None:
    """The `count` examples that an earlier run left in a file; None if there are none, or they are damaged."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        batch = Batch(**load_file(str(file)))
    except (OSError, SafetensorError, TypeError):  # missing, truncated, or something else
        return None
    latent = batch.latent.shape
    fits = batch.masked.shape == latent and batch.keep.shape == (count, 1, *latent[2:])
    fits = fits and latent[0] == len(batch.token) == count
    return batch if fits and all(torch.isfinite(part).all() for part in batch) else None
