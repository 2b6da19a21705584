"""The learning rate over a training."""

import math


def learning_rate(peak: float, step: int, *, steps: int, warmup: int = 0, decay: float = 0.0) -> float:
    """The rate of step number `step`, from 0: linear warm-up, plateau, cosine to zero.

    diffusers' schedules (`get_scheduler`) are not used: their warm-up begins with a rate of zero, and none of them has
    a plateau between warm-up and cosine. A test compares the two parts with theirs.

    Args:
        peak: the rate on the plateau.
        step: of the optimizer, from 0.
        steps: of the whole training.
        warmup: steps over which the rate rises from zero.
        decay: last share of the steps, over which the rate falls to zero; 0 keeps it constant.
    """
    rate = peak * min(1.0, (step + 1) / max(1, warmup))
    begin = steps * (1 - decay)
    if decay and step > begin:
        rate *= 0.5 + 0.5 * math.cos(math.pi * (step - begin) / (steps - begin))
    return rate
