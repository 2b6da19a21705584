"""What a person should know, said by code that has no context: a description of a model, a check hook, a file reader.

Such code runs while a workflow is checked, before there is a run to report to. It calls `notice`; whoever runs it
listens with `hearing`: the checker (so that `inlay check` says it), the executor, another host's adapter. With nobody
listening the words go to the log.

A check hook may also `mark` what its node brings in, such as a person's own picture: a model's description that is
wired to a node anywhere behind it is asked whether it doubts that (`ModelDescription.doubt`).
"""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

MARKS = 16  # that are kept of one node's: enough to name some and to know that there are more

_heard: ContextVar[list[str] | None] = ContextVar("inlay_notices", default=None)
_marks: ContextVar[dict[str, None] | None] = ContextVar("inlay_marks", default=None)


def notice(message: str) -> None:
    """Say `message` once to whoever runs this code; the node's name is added there."""
    heard = _heard.get()
    if heard is None:
        logging.getLogger("inlay").warning("%s", message)
    elif message not in heard:
        heard.append(message)


@contextmanager
def hearing() -> Iterator[list[str]]:
    """Collect what `notice` is given inside the block, each message once."""
    heard: list[str] = []
    token = _heard.set(heard)
    try:
        yield heard
    finally:
        _heard.reset(token)


def mark(what: str) -> None:
    """Note that this node brings something in, for all nodes behind it; nothing while nobody checks."""
    marks = _marks.get()
    if marks is not None and len(marks) < MARKS:
        marks[what] = None


@contextmanager
def marking(behind: Iterable[str]) -> Iterator[dict[str, None]]:
    """Collect what `mark` is given inside the block, after what the nodes behind have brought in."""
    marks = dict.fromkeys(behind)
    token = _marks.set(marks)
    try:
        yield marks
    finally:
        _marks.reset(token)
