"""The settings of `train.subject_lora`."""

import math
from typing import Annotated

from pydantic import Field

from ..methods.subject_lora import Targets
from ..models.lora.file import LoraLayout
from ..pictures.augmentation import Augment
from .examples import ExampleOptions
from .settings import TrainingSettings
from .trainer import TrainerOptions

Count = Annotated[int, Field(ge=1, le=10**6)]
VIEWS = 100  # augmented views of each photo in an epoch


class SubjectSettings(TrainingSettings):
    """Settings of `train.subject_lora`.

    Attributes:
        rank: rank of the LoRA, usually 1 to 64; the file grows with it.
        alpha: scale of the LoRA; null is the rank, which is a scale of 1.
        targets: attention, or the feed-forward layers too.
        epochs: length of the training; an epoch is 100 augmented views of each photo. More of them continue a finished
            training, unless decay is set: then another number is another training.
        variations: views of each photo made once and kept encoded; 0 makes new ones at each step, which takes more
            than twice as long.
        precision: precision of the computation; the LoRA is trained in float32. auto: bfloat16 on a GPU that has it.
        patience: sample sheets without more likeness to the subject after which training ends; 0 trains to the last
            epoch.
        layout: names of the tensors in the file, as diffusers or as kohya writes them.
    """

    FREE = TrainingSettings.FREE | {"patience", "layout"}
    LENGTH = "epochs"
    ORDER = (
        *("rank", "alpha", "targets", "epochs", "batch_size", "learning_rate", "condition_dropout", "size"),
        *("variations", "flip", "rotate", "blur", "mask_jitter", "arbitrary_mask", "decay", "weight_decay"),
        *("precision", "micro_batch", "checkpointing", "seed", "resume", "save_every", "sample_every", "patience"),
        *("layout", "prefix"),
    )

    rank: Annotated[int, Field(ge=1, le=1024)] = 4
    alpha: Annotated[float, Field(gt=0, le=4096)] | None = None
    targets: Targets = "attention"
    epochs: Count = 40
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 3e-5
    variations: Annotated[int, Field(ge=0, le=10_000)] = 100
    save_every: Count = 100
    sample_every: Annotated[int, Field(ge=0)] = 100
    patience: Annotated[int, Field(ge=0)] = 0
    layout: LoraLayout = "diffusers"
    prefix: str = "subject"

    @property
    def scale(self) -> float:
        """Alpha of the LoRA: the setting, or the rank."""
        return float(self.alpha or self.rank)

    def steps(self, photos: int) -> int:
        """Optimizer steps: an epoch is 100 augmented views of each photo."""
        return math.ceil(self.epochs * VIEWS * photos / self.batch_size)

    def trainer_options(self, steps: int) -> TrainerOptions:
        """The options of the loop."""
        return TrainerOptions(
            steps=steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            decay=self.decay,
            ema=0.0,
            micro_batch=self.micro_batch,
            precision=self.precision,
            save_every=self.save_every,
        )

    def example_options(self, side: int, exemplar_size: int) -> ExampleOptions:
        """The options of the examples, for cut-outs and exemplars of these sides in pixels."""
        augment = Augment(flip=self.flip, rotate=self.rotate, blur=self.blur, elastic=0.0)
        return ExampleOptions(side, exemplar_size, augment, self.arbitrary_mask, self.mask_jitter)
