"""A process of ours that is told what to do line by line on its stdin, and ends when that is closed."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

LEAVE = 3.0  # seconds that a process may take to end when it is told to
_MAIN = (
    "import importlib, json, sys; sys.path[:] = json.loads(sys.argv[1]); importlib.import_module(sys.argv[2]).main()"
)


def start(
    module: str,
    path: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start `main` of a module in a process that imports from `path`, with pipes for stdin and stdout."""
    command = [sys.executable, "-c", _MAIN, json.dumps(list(path)), module]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env, cwd=cwd)


def end(process: subprocess.Popen[bytes], seconds: float = LEAVE) -> None:
    """Let it end: at once, if it is making a run, or at most after some seconds."""
    assert process.stdin is not None
    with suppress(OSError):
        process.stdin.close()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def death(process: subprocess.Popen[bytes]) -> str:
    """How it ended, in words."""
    status = process.wait()
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    return how + (", perhaps because memory ran out" if status == -9 else "")
