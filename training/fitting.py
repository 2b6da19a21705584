"""The training loop with inputs prepared ahead."""

from collections.abc import Callable, Iterator

from ..graph_runtime import Context
from ..graph_runtime.core.light.later import Tensor, nn, torch
from ..methods.paint_by_example import ExemplarDenoiser
from .encoding import Batch, require_finite
from .errors import TrainingFailed
from .example_source import ExampleSource
from .objective import Objective, StepInputs, recompute_activations
from .prefetch import Prefetcher
from .trainer import Progress, Trainer


def spare(ctx: Context, model: ExemplarDenoiser) -> bool:
    """Make do with less memory, for the same bits: weights that nobody uses leave, then activations are recomputed.

    Returns:
        False: there is nothing left to do.
    """
    return ctx.models.evict_idle("a training ran out of memory") > 0 or recompute_activations(model.unet)


def fit(
    trainer: Trainer,
    objective: Objective,
    source: ExampleSource,
    on_step: Callable[[Progress], None],
    warn: Callable[[str], None],
) -> None:
    """Train, while threads make the inputs of the next steps.

    Raises:
        TrainingFailed: the loss is not finite; the message names the cause, an encoding model or the learning rate.
    """
    device, now = trainer.workers.device, trainer.step
    batches: list[Batch] = []  # of the current step

    def later(step: int, rows: range) -> Iterator[tuple[int, int, int]]:
        for at in range(step, trainer.options.steps):
            for one in trainer.rows():
                if at > step or one.start > rows.start:
                    yield at, one.start, one.stop

    def make(key: tuple[int, int, int]) -> StepInputs:
        return objective.inputs(source, key[0], range(*key[1:]))

    def loss_of(module: nn.Module, step: int, rows: range) -> Tensor:
        nonlocal now
        inputs = ahead.take((step, rows.start, rows.stop), later(step, rows))
        with torch.autocast(device.type, enabled=False):
            batch = source.encoded(inputs.batch)
        if step != now:
            batches.clear()
        now = step
        batches.append(batch)
        return objective.of(module, batch, inputs.draws, device)

    with Prefetcher(make, device, trainer.workers.count) as ahead:
        try:
            trainer.fit(loss_of, on_step, warn)
        except TrainingFailed as error:
            if error.port == "learning_rate":
                for batch in batches:
                    require_finite(batch, source.encoders)
            raise
