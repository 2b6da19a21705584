"""The folder of a training: its name contains the training's key, so that the same settings find it again."""

import contextlib
import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from ..graph_runtime import BadInput, Context
from ..graph_runtime.core.context import safe_prefix
from .checkpoint import CHECKPOINT
from .processes import Workers
from .settings import TrainingSettings


class TrainingFolder(NamedTuple):
    """The place of a training.

    Attributes:
        path: `<out>/<prefix>-<first 8 digits of the key>`.
        key: a hash of everything that the result depends on.
    """

    path: Path
    key: str

    @classmethod
    def open(cls, ctx: Context, settings: TrainingSettings, key: str, workers: Workers) -> "TrainingFolder":
        """Make the folder; without `resume`, its checkpoint is set aside.

        Raises:
            BadInput: the prefix would leave the output folder, or the folder cannot be made.
        """
        prefix, root = settings.prefix, ctx.out.resolve()
        path = (root / f"{prefix}-{key[:8]}").resolve()
        if not safe_prefix(prefix) or not path.is_relative_to(root):
            raise BadInput(
                "prefix",
                found=repr(prefix),
                expected="a name below the output folder",
                fix="use a plain name such as 'paint-by-example'",
            )
        if workers.main:
            try:
                path.mkdir(parents=True, exist_ok=True)
                if settings.resume and not (path / CHECKPOINT).exists():
                    _name_others(path, ctx)
                if not settings.resume and (path / CHECKPOINT).exists():
                    os.replace(path / CHECKPOINT, path / f"checkpoint-{time.time_ns()}.safetensors")
            except OSError as error:
                raise BadInput(
                    "prefix",
                    found=f"{path}: {error.strerror or error}",
                    expected="a folder to write to",
                    fix="use another --out",
                ) from error
        workers.wait()
        return cls(path, key)


def _name_others(path: Path, ctx: Context) -> None:
    """Warn if a new training begins although others have its prefix: a changed setting starts a new one."""
    pattern = re.compile(re.escape(path.name[:-8]) + "[0-9a-f]{8}")
    names = (checkpoint.parent.name for checkpoint in path.parent.glob(f"*/{CHECKPOINT}"))
    others = sorted(name for name in names if pattern.fullmatch(name))
    if others:
        ctx.warn(
            f"a new training begins in {path.name}: {', '.join(others[:3])}"
            f"{' …' * (len(others) > 3)} used other photos, models or settings, and is kept; "
            "to continue that one, restore its settings"
        )


def append_line(path: Path, line: Mapping[str, JsonValue]) -> None:
    """Add one JSON object to a log; a log that cannot be written never stops a training."""
    text = (json.dumps(line) + "\n").encode()
    with contextlib.suppress(OSError), path.open("a+b") as file:
        if file.tell():
            file.seek(-1, os.SEEK_END)
            text = text if file.read(1) == b"\n" else b"\n" + text  # a kill has cut the last line
        file.write(text)
