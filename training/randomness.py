"""Randomness that depends on the place of a number in a training, never on what was drawn before it."""

import torch

from ..graph_runtime.core.digests import sha256


def generator_of(*place: int | str) -> torch.Generator:
    """A CPU generator seeded by a place such as (seed, step, row): the same on every machine and after every stop."""
    return torch.Generator("cpu").manual_seed(int(sha256(repr(place))[:16], 16) >> 1)
