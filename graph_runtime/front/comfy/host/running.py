"""While a node runs: the host's cancel button, its progress bar, its log, and whether pictures carry their graph."""

import logging
import sys
import time
from itertools import pairwise
from typing import Protocol

from ....core.errors import clean
from ....core.events import CancelToken, Event, ModelMoved, NodeProgress, Saved, Warned
from .modules import ask, host_module

PREVIEW_SIDE = 512
NOTE_SECONDS = 0.5  # between two notes on a node
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


class _OneLine(logging.Filter):
    """Makes one line of what the host logs about an error: its message and a traceback; is gone after that.

    Args:
        message: the error's.
        line: what is logged.
    """

    def __init__(self, message: str, line: str) -> None:
        super().__init__()
        self._message, self._line = message, clean(line)

    def filter(self, record: logging.LogRecord) -> bool:
        """False for the traceback of that error alone."""
        text = record.getMessage().rstrip()
        if not text.endswith(self._message):
            return True
        if text.startswith("Traceback "):
            logging.getLogger().removeFilter(self)
            return False
        record.msg, record.args = self._line, ()
        return True


def log_one_line(message: str, line: str) -> None:
    """Have the host log one line for an error whose message says all there is to say."""
    root = logging.getLogger()
    for old in [one for one in root.filters if isinstance(one, _OneLine)]:
        root.removeFilter(old)  # a host that logged nothing
    root.addFilter(_OneLine(message, line))


def show_text(text: str) -> None:
    """Show a text on the node that runs, where the host has a preview of text."""
    node = getattr(ask("comfy_execution.utils", "get_executing_context"), "node_id", None)
    server = getattr(getattr(host_module("server"), "PromptServer", None), "instance", None)
    send = getattr(server, "send_progress_text", None)
    if callable(send) and node is not None:
        send(text, node, getattr(server, "client_id", None))


def _wants_previews() -> bool:
    """False if previews are switched off in the settings of the page, or with `--preview-method none`."""
    server = getattr(getattr(host_module("server"), "PromptServer", None), "instance", None)
    running = getattr(getattr(server, "prompt_queue", None), "currently_running", None)
    for item in list(running.values()) if isinstance(running, dict) else ():
        extra = next((part for part in item[3:4] if isinstance(part, dict)), {})
        if (chosen := extra.get("preview_method")) not in (None, "", "default"):
            return bool(chosen != "none")
    words = " ".join(sys.argv).replace("=", " ").split()
    return ("--preview-method", "none") not in pairwise(words)


class ProgressBar(Protocol):
    """The host's progress bar."""

    def update_absolute(self, value: int, total: int, preview: tuple[str, object, int] | None) -> None:
        """Show `value` of `total`, with a preview picture if there is one."""


class HostListener:
    """Forwards events: progress and previews to the host's bar, the rest to the log."""

    def __init__(self) -> None:
        self.bar: ProgressBar | None = None
        self.shows_previews = _wants_previews()
        self._told = 0.0  # when a note was last shown

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, NodeProgress):
            self.bar = self.bar or ask("comfy.utils", "ProgressBar", event.total)
            if self.bar is not None:
                preview = None if event.preview is None else ("JPEG", event.preview, PREVIEW_SIDE)
                self.bar.update_absolute(event.step, event.total, preview)
            if event.note and time.monotonic() - self._told >= NOTE_SECONDS:
                self._told = time.monotonic()
                show_text(clean(event.note))
        elif isinstance(event, Warned):
            logger.warning("%s: %s", event.node or "inlay", clean(event.message))
        elif isinstance(event, ModelMoved):
            logger.info("%s", clean(event.message))
        elif isinstance(event, Saved):
            logger.info("%s saved %s", event.node or "inlay", clean(event.path))
