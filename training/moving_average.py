"""The moving average of the weights, which is the result of a training.

diffusers' `EMAModel` is not used: after the first step it replaces the average by the weights, while this one already
weighs them 9 to 1, and it rounds differently (`s -= (1 - d) * (s - p)`), so trainings would no longer resume to the
same bits. From the second step on the formula is the same; a test compares them.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from ..graph_runtime.core.light.later import Tensor, torch
from ..graph_runtime.core.values import without_gradients


@without_gradients
def update_average(average: Mapping[str, Tensor], values: Mapping[str, Tensor], decay: float, step: int) -> None:
    """Move the average towards the weights, in place: a ← d·a + (1 − d)·w with d = min(decay, (1 + step)/(10 + step)).

    Args:
        average: by name; may be empty.
        values: the weights after the step, by the same names.
        decay: d in the long run.
        step: number of the step, from 0.
    """
    if average:
        keep = min(decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(average.values()), list(values.values()), 1 - keep)


@contextmanager
def averaged(values: Mapping[str, Tensor], average: Mapping[str, Tensor]) -> Iterator[None]:
    """Replace the last weights by the averaged ones for the length of the block."""
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
