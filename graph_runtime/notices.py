"""What a person should know, said by code that has no context: a description of a model, a check hook, a file reader.

Such code runs while a workflow is checked, before there is a run to report to. It calls `notice`; whoever runs it
listens with `hearing`: the checker (so that `inlay check` says it), the executor, another host's adapter. With nobody
listening the words go to the log.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_heard: ContextVar[list[str] | None] = ContextVar("inlay_notices", default=None)


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
