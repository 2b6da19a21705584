"""End a training when its samples no longer improve."""

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
        self._likenesses: list[tuple[int, float]] = []
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            self._likenesses = [(line["step"], line["likeness"]) for line in lines if line["step"] <= step]
        except (OSError, ValueError, KeyError):
            pass  # a log that is missing or cut off only means a longer training

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
