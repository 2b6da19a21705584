"""What Python opens, unpickles and connects to while some code runs, by its own audit events (PEP 578)."""

import os
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field

_open = []  # an audit hook cannot be taken away again, so one hook serves every block


@dataclass
class Heard:
    """What happened in a block.

    Attributes:
        files: last parts of the names of opened files; files opened below a descriptor have no other.
        unpickled: classes and functions that a pickle asked for.
        network: events about sockets.
    """

    files: set = field(default_factory=set)
    unpickled: list = field(default_factory=list)
    network: list = field(default_factory=list)


def _hook(event, args):
    for heard in _open:
        if event == "open" and isinstance(args[0], str | bytes):
            heard.files.add(os.path.basename(os.fsdecode(args[0])))
        elif event == "pickle.find_class":
            heard.unpickled.append(args)
        elif event.startswith("socket."):
            heard.network.append((event, args))


sys.addaudithook(_hook)


@contextmanager
def audited():
    """Record what happens in the block."""
    heard = Heard()
    _open.append(heard)
    try:
        yield heard
    finally:
        _open.remove(heard)
