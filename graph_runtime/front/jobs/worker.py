"""A process that makes some runs of a job: told what to do line by line, and answering so.

It ends as soon as its parent does, whatever it is doing: what it saves is whole or not there.
"""

import importlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TextIO

from ...core.events import CancelToken
from ..environment import torch_numerics
from ..python.load_workflow import load
from .job import Job, Origin
from .pairs import Item
from .session import How, Session

Message = dict[str, Any]  # Any: JSON between two processes of one release


def main() -> None:
    """Read the job, then one run after the other; answer each on the real stdout, which nothing else writes to."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent too, which decides
    lines = _lines(sys.stdin)
    told = json.loads(next(lines))
    session = _session(told)
    _answer(answers, {"ready": torch_numerics()})
    for line in lines:
        number, *item = json.loads(line)
        outcome, _ = session.run(Item(*item))
        _answer(answers, {"number": number, "outcome": outcome.as_json()})


def _lines(stream: TextIO) -> Iterator[str]:
    """The lines that the parent writes; at their end, the process ends at once."""
    waiting: SimpleQueue[str] = SimpleQueue()

    def read() -> None:
        for line in stream:
            waiting.put(line)
        os._exit(0)

    threading.Thread(target=read, daemon=True).start()
    while True:
        yield waiting.get()


def _answer(answers: TextIO, message: Message) -> None:
    answers.write(json.dumps(message) + "\n")
    answers.flush()


def _session(told: Message) -> Session:
    import torch

    torch.set_num_threads(told["threads"])
    nodes = tuple(importlib.import_module(name) for name in told["nodes"])
    origin = Origin(told["source"], told["inputs"], nodes, told["partial"])
    out = Path(told["out"])
    loaded = load(origin.source, inputs=origin.inputs, out=out, nodes=nodes, partial=origin.partial)
    job = Job(
        origin,
        loaded,
        told["values"],
        told["settings"],
        tuple(told["names"]),
        (),
        asked=told["asked"],
        measures=told["measures"],
        room=told["room"],
        unshared=frozenset(told["unshared"]),
    )
    return Session(job, How(**told["how"]), (), CancelToken())
