"""The context of one step that runs beside others: its own name, warnings, device and wish to stop."""

from collections.abc import Callable

from ..context import Context
from ..events import CancelToken, Event, Warned
from ..memory.manager import ModelManager


class Branch(Context):
    """A context for one step.

    Args:
        ctx: of the run.
        node: the step's name.
        stopped: true once the step is of no use any more.
        hear: receives its events; None if nobody listens.
        lend: gives a device, when the step first asks for one.
    """

    def __init__(
        self,
        ctx: Context,
        node: str,
        stopped: Callable[[], bool],
        hear: Callable[[Event], None] | None,
        lend: Callable[[], ModelManager],
    ) -> None:
        self._lend = lend
        self.__dict__.update({name: value for name, value in vars(ctx).items() if name != "models"})
        self.node, self.said, self._warned = node, [], set[Warned]()
        self.cancel = _Stop(ctx.cancel, stopped)
        self.listeners = (_Line(hear, ctx.shows_previews),) if hear is not None else ()

    @property
    def models(self) -> ModelManager:  # type: ignore[override]  # of a device that the step has from then on
        """The models on the step's device."""
        return self._lend()


class _Line:
    """A listener that passes events on to whoever puts them in order."""

    def __init__(self, hear: Callable[[Event], None], shows_previews: bool) -> None:
        self._hear, self.shows_previews = hear, shows_previews

    def __call__(self, event: Event) -> None:
        self._hear(event)


class _Stop(CancelToken):
    """Set with that of the run, and when another step has failed first."""

    __slots__ = ("_run", "_stopped")

    def __init__(self, run: CancelToken, stopped: Callable[[], bool]) -> None:
        super().__init__()
        self._run, self._stopped = run, stopped

    def cancel(self) -> None:
        """Ask the whole run to stop."""
        self._run.cancel()

    @property
    def cancelled(self) -> bool:
        """True once the run or this step is to stop."""
        return self._run.cancelled or self._stopped()
