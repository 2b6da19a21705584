"""Warnings of a run as Python has them: through `warnings`, at the line that called inlay."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ...core.errors import Cancelled, clean
from ...core.events import CancelToken, Event, ItemFinished, ItemStarted, Noted, Warned
from ..cli.pace import Pace

_INLAY = __name__.rsplit(".", 4)[0]  # the package; a host imports it under another name


class InlayWarning(UserWarning):
    """Something about a run that the user should know.

    Attributes:
        node: that it concerns; None: the run as a whole.
        message: the text, without the node's name.
    """

    __module__ = _INLAY  # as people name it

    def __init__(self, node: str | None, message: str) -> None:
        self.node, self.message = node, message
        super().__init__(node, message)

    def __str__(self) -> str:
        return clean(f"{self.node}: {self.message}" if self.node else self.message)


def warn(warning: InlayWarning, caller: FrameType | None = None) -> None:
    """Warn at the line of the caller: the nearest one outside inlay, or `caller`.

    Raises:
        InlayWarning: where a filter turns warnings into errors.
    """
    frame = caller or calling_frame()
    names = frame.f_globals
    warnings.warn_explicit(
        warning,
        category=InlayWarning,
        filename=frame.f_code.co_filename,
        lineno=frame.f_lineno,
        module=str(names.get("__name__", "<string>")),
        registry=names.setdefault("__warningregistry__", {}),
    )


def calling_frame() -> FrameType:
    """The nearest frame outside inlay."""
    frame = sys._getframe(1)
    while frame.f_back is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(f"{_INLAY}."):
        frame = frame.f_back
    return frame


class WarningsRelay(CancelToken):
    """A listener that passes warnings on as they come, and a token that also stops where one of them is an error.

    What many pictures of a job have in common but for their names is said once.

    Args:
        token: the caller's own.
    """

    __slots__ = ("_caller", "_pace", "_said", "_token", "error")
    shows_previews = False

    def __init__(self, token: CancelToken | None) -> None:
        super().__init__()
        self._token, self._caller = token, calling_frame()
        self._pace: Pace | None = None  # of a job
        self._said: set[str] = set()
        self.error: Warning | None = None

    def __call__(self, event: Event) -> None:
        """Warn, if the event is a warning, or if a picture of a job failed, which does not stop the others."""
        if isinstance(event, ItemStarted):
            self._pace = self._pace or Pace()
            self._pace.starts(event)
        elif isinstance(event, ItemFinished) and event.status == "failed":
            self._warn(InlayWarning(None, f"{event.name} failed: {event.message}"))
        elif isinstance(event, Warned) and not isinstance(event, Noted) and not self._is_known(str(event)):
            self._warn(InlayWarning(event.node, event.message))

    def _is_known(self, warning: str) -> bool:
        if self._pace is None:
            return False
        common = self._pace.without_name(warning)
        known = common in self._said
        self._said.add(common)
        return known

    def _warn(self, warning: InlayWarning) -> None:
        if self.error is not None:
            return
        try:
            warn(warning, self._caller)
        except InlayWarning as error:  # a filter made it an error: the run stops at the next step
            self.error = error
            self.cancel()

    @contextmanager
    def stopping(self) -> Iterator[None]:
        """In the block, a warning that a filter made an error ends the run.

        Raises:
            InlayWarning: that warning.
        """
        try:
            yield
        except Cancelled:
            if self.error is None:
                raise
        if self.error is not None:
            raise self.error

    @property
    def cancelled(self) -> bool:
        """True once this token or the caller's own was cancelled."""
        return super().cancelled or (self._token is not None and self._token.cancelled)
