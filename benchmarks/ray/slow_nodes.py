"""A node whose runs take a known time: asleep, or at work."""

import time
from typing import NamedTuple

import torch
from inlay.graph_runtime import node
from inlay.nodes.ports import Image


class Slow(NamedTuple):
    """What the node gives."""

    image: Image


@node("bench.slow")
def slow(image: Image, number: int = 0, seconds: float = 0.0, products: int = 0) -> Slow:
    """The picture, a little darker, after a sleep and some products of matrices."""
    time.sleep(seconds)
    found = torch.full((512, 512), 1 / 512)
    for _ in range(products):
        found = found @ found
    return Slow((image * (1 - number / 1000) * found.sum() / 512).clamp(0, 1))
