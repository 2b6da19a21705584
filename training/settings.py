"""The settings that all training nodes share."""

import json
from collections.abc import Iterable
from typing import Annotated, ClassVar

from pydantic import Field

from ..graph_runtime import NodeSettings
from ..graph_runtime.core.digests import sha256
from .precision import Precision

Share = Annotated[float, Field(ge=0, le=1)]
CHUNK = 16  # views encoded at once where nothing is said; it affects the rounding of stored results


class TrainingSettings(NodeSettings):
    """Settings of a training on pictures with boxes.

    Attributes:
        batch_size: examples a step, over all devices.
        learning_rate: learning rate of AdamW.
        condition_dropout: probability that the learned vector replaces the exemplar; guidance needs some.
        size: side of the square cut-outs in pixels; null: the size that the UNet was trained on.
        flip: probability that an exemplar is mirrored.
        rotate: largest rotation of an exemplar, degrees.
        blur: probability that an exemplar is blurred.
        arbitrary_mask: share of holes of an arbitrary shape; the others are rectangles.
        mask_jitter: how far a hole may reach beyond its box, as a share of the free space on each side.
        decay: last share of the steps, over which the learning rate falls to zero; 0 keeps it constant.
        weight_decay: of AdamW.
        micro_batch: examples that go through at once, gradients accumulate; 0 is all, halved when memory runs out all
            the same. Another number rounds in another way.
        checkpointing: recompute activations in the backward pass: slower, less memory.
        seed: random seed.
        resume: continue from the checkpoint in the folder; false starts again.
        save_every: steps between checkpoints.
        sample_every: steps between sample sheets; 0 makes none.
        prefix: start of the folder's name.
    """

    #: Settings that may change between two runs of one training, because they do not affect the result.
    FREE: ClassVar[frozenset[str]] = frozenset(
        {"resume", "save_every", "sample_every", "micro_batch", "checkpointing", "prefix"}
    )
    #: The setting for the length; it may change too, unless the learning rate falls towards the end.
    LENGTH: ClassVar[str]
    #: Old names of renamed settings, still used in the key so that earlier trainings can resume.
    KEY_NAMES: ClassVar[dict[str, str]] = {}

    batch_size: Annotated[int, Field(ge=1, le=4096)] = 16
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    condition_dropout: Share = 0.2
    size: Annotated[int, Field(ge=16, le=2048)] | None = None
    variations: Annotated[int, Field(ge=0, le=10_000)]
    flip: Share = 0.5
    rotate: Annotated[float, Field(ge=0, le=180)] = 20.0
    blur: Share = 0.3
    arbitrary_mask: Share = 0.5
    mask_jitter: Share = 0.4
    decay: Share = 0.0
    weight_decay: Share = 0.01
    precision: Precision = "auto"
    micro_batch: Annotated[int, Field(ge=0)] = 0
    checkpointing: bool = False
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0
    resume: bool = True
    save_every: int
    sample_every: Annotated[int, Field(ge=0)]
    prefix: str

    @property
    def chunk(self) -> int:
        """Views that are encoded at once."""
        return min(CHUNK, self.micro_batch or CHUNK)

    def key(self, side: int, fingerprints: Iterable[str]) -> str:
        """A hash of everything that the result depends on: settings (except the free ones), models and pictures.

        Args:
            side: of the cut-outs, pixels.
            fingerprints: of models and pictures.
        """
        free = self.FREE if self.decay else self.FREE | {self.LENGTH}
        fixed = {self.KEY_NAMES.get(name, name): value for name, value in self.values().items() if name not in free}
        return sha256(json.dumps([dict(sorted(fixed.items())), side, *fingerprints]))
