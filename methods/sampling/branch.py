"""A branch of a run: rows of the batch that are denoised together, alongside other branches."""

from collections.abc import Callable
from dataclasses import dataclass

from ...graph_runtime.core.light.later import Tensor
from .guidance import Guidance
from .schedule import ScheduleRun


@dataclass(eq=False)
class Branch:
    """The first branch of a run, `edit`, is the picture; an attention control may add others.

    Attributes:
        name: `edit`, `reconstruction`, `transition` or `source`.
        z: its latents `[b c lh lw]`.
        guidance: its conditioning.
        known_latents: its latents before each reverse step, if an inversion has kept them; None: it is sampled.
        until: reverse steps in which it takes part; None: all.
        x0: the clean latent that it predicted last.
        schedule: its own; set by the loop.
        model_input: its latents as the model took them last.
    """

    name: str
    z: Tensor
    guidance: Guidance
    known_latents: Callable[[int], Tensor] | None = None
    until: int | None = None
    x0: Tensor | None = None
    schedule: ScheduleRun | None = None
    model_input: Tensor | None = None
