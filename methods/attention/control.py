"""The interface of attention controls to the loop: processors on the UNet, and branches beside the edit."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import nn

from ..sampling.branch import Branch
from ..sampling.guidance import Half
from ..sampling.schedule import DenoisingStep

RowGroup = tuple[str, Half]  # (name of a branch, half of its guidance): neighbouring rows of the batch


class AttentionRun:
    """One run of an attention control; this one changes nothing."""

    @contextmanager
    def installed(self, unet: nn.Module) -> Iterator[None]:
        """Put processors on the UNet for the length of the block, and remove them whatever happens."""
        yield

    def companions(self, edit: Branch, steps: int) -> list[Branch]:
        """Branches to sample beside the edit, in a run of so many reverse steps."""
        return []

    def before_step(self, step: DenoisingStep, layout: Sequence[RowGroup]) -> None:
        """Called before each evaluation with the groups of rows in the batch, in order."""


class AttentionControl:
    """What travels between nodes: it holds no state of a run. This one changes nothing."""

    def begin(self) -> AttentionRun:
        """The control for one run."""
        return AttentionRun()
