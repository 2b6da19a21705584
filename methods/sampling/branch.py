"""A branch of a run: rows of the batch that are denoised together."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .guidance import Guidance


@dataclass(eq=False)
class Chain:
    """Rows that are denoised together. The first chain is the picture; an attention control may bring others.

    Attributes:
        name: e.g. `edit`, `transition`.
        z: its latents `[b c lh lw]`.
        guidance: what its rows are told.
        given: its latents before each step, where they are known already and need no update; None: its own.
        until: reverse steps it takes part in; None: all.
    """

    name: str
    z: Tensor
    guidance: Guidance
    given: Callable[[int], Tensor] | None = None
    until: int | None = None
    x0: Tensor | None = None
    run: Any = None  # its own schedule: solvers remember earlier steps
    shown: Tensor | None = None  # its latents as the model saw them last
