"""While a node runs: the host's cancel button, its progress bar, its log, and whether pictures carry their graph."""

import logging
from typing import Protocol

from ....core.errors import clean
from ....core.events import CancelToken, Event, ModelMoved, NodeProgress, Saved, Warned
from .modules import ask, host_module

PREVIEW_SIDE = 512
logger = logging.getLogger("inlay")


def metadata_allowed() -> bool:
    """False when the host was started with `--disable-metadata`."""
    return not getattr(getattr(host_module("comfy.cli_args"), "args", None), "disable_metadata", False)


class HostCancel(CancelToken):
    """Asks the host, which raises its own exception (a BaseException) that no node catches."""

    __slots__ = ()

    @property
    def cancelled(self) -> bool:
        """True once cancelled here; raises the host's exception when it was cancelled there."""
        ask("comfy.model_management", "throw_exception_if_processing_interrupted")
        return super().cancelled


class ProgressBar(Protocol):
    """The host's progress bar."""

    def update_absolute(self, value: int, total: int, preview: tuple[str, object, int] | None) -> None:
        """Show `value` of `total`, with a preview picture if there is one."""


class HostListener:
    """Forwards events: progress and previews to the host's bar, the rest to the log."""

    def __init__(self) -> None:
        self.bar: ProgressBar | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, NodeProgress):
            self.bar = self.bar or ask("comfy.utils", "ProgressBar", event.total)
            if self.bar is not None:
                preview = None if event.preview is None else ("JPEG", event.preview, PREVIEW_SIDE)
                self.bar.update_absolute(event.step, event.total, preview)
        elif isinstance(event, Warned):
            logger.warning("%s: %s", event.node or "inlay", clean(event.message))
        elif isinstance(event, ModelMoved):
            logger.info("%s", clean(event.message))
        elif isinstance(event, Saved):
            logger.info("%s saved %s", event.node or "inlay", clean(event.path))
