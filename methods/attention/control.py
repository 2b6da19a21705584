"""The interface of attention controls to the loop: processors on the UNet, and branches beside the edit."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from ...graph_runtime.core.light.later import nn
from ..conditioning import Conditioning
from ..sampling.branch import Branch
from ..sampling.guidance import Half
from ..sampling.schedule import DenoisingStep

if TYPE_CHECKING:
    from .branches import ExpectedInputs

RowGroup = tuple[str, Half]  # (name of a branch, half of its guidance): neighbouring rows of the batch


class AttentionRun:
    """One run of an attention control; this base class changes nothing."""

    @contextmanager
    def installed(self, unet: nn.Module) -> Iterator[None]:
        """Put processors on the UNet for the length of the block, and always remove them."""
        yield

    def companions(self, edit: Branch, steps: int) -> list[Branch]:
        """Branches to sample beside the edit, in a run of that many reverse steps."""
        return []

    def before_step(self, step: DenoisingStep, layout: Sequence[RowGroup]) -> None:
        """Called before each evaluation with the groups of rows in the batch, in order."""


class AttentionControl:
    """An attention control as nodes pass it on, without the state of a run. This base class changes nothing."""

    @property
    def expects(self) -> "ExpectedInputs | None":
        """The other inputs that the sampler needs with it; None if any will do."""
        return None

    @property
    def conditionings(self) -> Mapping[str, Conditioning]:
        """The conditionings of the branches that it samples, by the control's own names."""
        return {}

    def require_steps(self, steps: int) -> None:
        """Raise BadInput if a run of that many steps is too short for it."""

    def begin(self) -> AttentionRun:
        """The control for one run."""
        return AttentionRun()
