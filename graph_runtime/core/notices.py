"""Warnings from code that has no context: a description of a model, a node's check, a file reader.

Such code runs while a workflow is checked, before there is a run to report to. It calls `notice`; whoever runs it
collects with `collect_notices`: the checker (so that `inlay check` shows it), the executor, another host's adapter.
Where nobody collects, the message goes to the log.

A node's check may also `mark` what the node brings in, such as the user's own picture. Any model connected to a node
downstream is then asked whether it suits what is marked (`ModelDescription.doubt`).
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MARKS = 16  # marks kept per node: enough to list some and to know that there are more

_notices: ContextVar[list[str] | None] = ContextVar("inlay_notices", default=None)
_marks: ContextVar[dict[str, None] | None] = ContextVar("inlay_marks", default=None)


def notice(message: str) -> None:
    """Emit a warning once; whoever collects it adds the node's name."""
    notices = _notices.get()
    if notices is None:
        logging.getLogger("inlay").warning("%s", message)
    elif message not in notices:
        notices.append(message)


@contextmanager
def collect_notices() -> Iterator[list[str]]:
    """Collect the warnings emitted inside the block, each message once."""
    notices: list[str] = []
    token = _notices.set(notices)
    try:
        yield notices
    finally:
        _notices.reset(token)


def mark(what: str) -> None:
    """Mark what this node brings in, for all nodes downstream; without effect outside a check."""
    marks = _marks.get()
    if marks is not None and len(marks) < MARKS:
        marks[what] = None


@contextmanager
def collect_marks(upstream: Iterable[str]) -> Iterator[dict[str, None]]:
    """Collect the marks made inside the block, after those of the nodes upstream."""
    marks = dict.fromkeys(upstream)
    token = _marks.set(marks)
    try:
        yield marks
    finally:
        _marks.reset(token)
