"""The settings of `train.exemplar`."""

from typing import Annotated, ClassVar

from pydantic import Field

from ..pictures.augmentation import Augment
from .examples import ExampleOptions
from .settings import Share, TrainingSettings
from .trainer import TrainerOptions

Count = Annotated[int, Field(ge=1, le=10**7)]


class ExemplarSettings(TrainingSettings):
    """Settings of `train.exemplar`.

    Attributes:
        steps: optimizer steps in all; more than a finished training had continues it.
        variations: examples made of each box once and kept encoded, much faster; 0 makes new ones at each step.
        elastic: probability that an exemplar is warped.
        warmup: steps over which the learning rate rises.
        ema: decay of the moving average of the weights, which is the result; 0 takes the last weights.
        snr_limit: weights noise levels by min(SNR, limit) / SNR; 0 leaves them equal, as published.
        precision: precision of the computation; the weights stay in float32. auto: bfloat16 on a GPU that has it.
        half: write the model in half precision.
    """

    FREE = TrainingSettings.FREE | {"half"}
    LENGTH = "steps"
    KEY_NAMES: ClassVar = {"mask_jitter": "extend_mask"}
    ORDER = (
        *("steps", "batch_size", "learning_rate", "condition_dropout", "size", "variations", "flip", "rotate", "blur"),
        *("elastic", "arbitrary_mask", "mask_jitter", "warmup", "decay", "weight_decay", "ema", "snr_limit"),
        *("precision", "micro_batch", "checkpointing", "seed", "resume", "save_every", "sample_every", "half"),
        "prefix",
    )

    steps: Count = 20_000
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-5
    variations: Annotated[int, Field(ge=0, le=10_000)] = 0
    elastic: Share = 0.3
    warmup: Annotated[int, Field(ge=0)] = 0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.9999
    snr_limit: Annotated[float, Field(ge=0)] = 0.0
    save_every: Count = 250
    sample_every: Annotated[int, Field(ge=0)] = 500
    half: bool = True
    prefix: str = "paint-by-example"

    def trainer_options(self) -> TrainerOptions:
        """The options of the loop."""
        return TrainerOptions(
            steps=self.steps,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            warmup=self.warmup,
            decay=self.decay,
            ema=self.ema,
            micro_batch=self.micro_batch,
            precision=self.precision,
            save_every=self.save_every,
        )

    def example_options(self, side: int, exemplar_size: int) -> ExampleOptions:
        """The options of the examples, for cut-outs and exemplars of these sides in pixels."""
        augment = Augment(flip=self.flip, rotate=self.rotate, blur=self.blur, elastic=self.elastic)
        return ExampleOptions(side, exemplar_size, augment, self.arbitrary_mask, self.mask_jitter)
