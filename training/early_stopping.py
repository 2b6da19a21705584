"""End a training when its samples no longer improve."""

import contextlib
import json
from pathlib import Path

from .training_folder import append_line

GAIN = 1e-3  # likeness by which a sheet must improve to count


class EarlyStopping:
    """Tracks whether the samples become more like the subject, also across a resumed training.

    Args:
        path: the log of likenesses, one JSON object a line.
        patience: sheets to wait for a better one; 0 waits forever.
        step: from which training continues; later lines of the log do not count.
    """

    def __init__(self, path: Path, patience: int, step: int) -> None:
        self._path, self._patience = path, patience
        self._likenesses = sorted((at, likeness) for at, likeness in _logged(path).items() if at <= step)

    def knows(self, step: int) -> bool:
        """True if the likeness at this step is recorded."""
        return any(at == step for at, _ in self._likenesses)

    def note(self, step: int, likeness: float) -> None:
        """Record the likeness of a sheet."""
        self._likenesses = [*(earlier for earlier in self._likenesses if earlier[0] < step), (step, likeness)]
        append_line(self._path, {"step": step, "likeness": likeness})

    @property
    def due(self) -> bool:
        """True if the best sheet was `patience` sheets ago."""
        if not self._patience or len(self._likenesses) <= self._patience:
            return False
        values = [likeness for _, likeness in self._likenesses]
        return max(values[-self._patience :]) < max(values[: -self._patience]) + GAIN


def _logged(path: Path) -> dict[int, float]:
    """The likenesses of a log by step; a kill may have cut a line, and steps taken again are logged again."""
    found: dict[int, float] = {}
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return found
    for line in lines:
        with contextlib.suppress(ValueError, TypeError, KeyError):
            entry = json.loads(line)
            found[int(entry["step"])] = float(entry["likeness"])
    return found
