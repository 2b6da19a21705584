"""What an attention control is to the loop: a run of its own, processors on the model, and branches beside the edit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..sampling.branch import Chain
from ..sampling.schedule import Move


class AttentionRun:
    """One run of an attention control; this one changes nothing."""

    @contextmanager
    def installed(self, denoiser: Any) -> Iterator[None]:
        """Put processors on the denoiser, and take them off again whatever happens."""
        yield

    def companions(self, picture: Chain, steps: int) -> list[Chain]:
        """Chains that run along with the picture's, for a run of so many reverse steps."""
        return []

    def before_step(self, move: Move, layout: Sequence[tuple[str, str]]) -> None:
        """Called before each evaluation with the (chain, half) of every group of rows in the batch, in order."""


class AttentionControl:
    """Base of attention controls: what travels between nodes, and holds no state of a run."""

    def begin(self) -> AttentionRun:
        """The control for one run."""
        return AttentionRun()
