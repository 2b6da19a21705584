"""Random numbers that depend on their place in a training, never on earlier draws."""

from ..graph_runtime.core.digests import sha256
from ..graph_runtime.core.light.later import torch


def generator_of(*place: int | str) -> torch.Generator:
    """A CPU generator seeded by a place such as (seed, step, row): the same on every machine and after every stop."""
    return torch.Generator("cpu").manual_seed(int(sha256(repr(place))[:16], 16) >> 1)
