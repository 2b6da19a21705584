"""Warnings from code that has no context: a description of a model, a node's check, a file reader.

Such code runs while a workflow is checked, before there is a run to report to. It calls `notice`; whoever runs it
collects with `collect_notices`: the checker (so that `inlay check` shows it), the executor, another host's adapter.
Where nobody collects, the message goes to the log.

A node's check may also `mark` what its node brings in, such as a person's own picture. A model that is wired to any
node downstream is asked whether it suits what is marked (`ModelDescription.doubt`).
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MARKS = 16  # kept of one node's: enough to name some and to know that there are more

_notices: ContextVar[list[str] | None] = ContextVar("inlay_notices", default=None)
_marks: ContextVar[dict[str, None] | None] = ContextVar("inlay_marks", default=None)


def notice(message: str) -> None:
    """Warn whoever runs this code, once; the node's name is added there."""
    notices = _notices.get()
    if notices is None:
        logging.getLogger("inlay").warning("%s", message)
    elif message not in notices:
        notices.append(message)


@contextmanager
def collect_notices() -> Iterator[list[str]]:
    """Collect what `notice` is given inside the block, each message once."""
    notices: list[str] = []
    token = _notices.set(notices)
    try:
        yield notices
    finally:
        _notices.reset(token)


def mark(what: str) -> None:
    """Note, for all nodes downstream, that this node brings something in; nothing while nobody checks."""
    marks = _marks.get()
    if marks is not None and len(marks) < MARKS:
        marks[what] = None


@contextmanager
def collect_marks(upstream: Iterable[str]) -> Iterator[dict[str, None]]:
    """Collect what `mark` is given inside the block, after what the nodes upstream have marked."""
    marks = dict.fromkeys(upstream)
    token = _marks.set(marks)
    try:
        yield marks
    finally:
        _marks.reset(token)
