"""What became of each combination, kept on disk, because there may be more than memory holds."""

import json
import tempfile
from collections.abc import Iterator
from typing import Self

from ..jobs.outcome import Outcome, Tally

HELD = 16 * 2**20  # bytes that are kept in memory before a file is begun
LISTED = 1_000  # failures that are kept at hand


class Rows:
    """The outcomes by the number of their combination.

    Attributes:
        tally: how many there are of each kind.
        failed: the first failures, by number.
        numbers: names of the numbers that outcomes gave, in the order in which they appeared.
        most_files: that one of them saved.
    """

    def __init__(self, total: int) -> None:
        self.tally = Tally(total)
        self.failed: dict[int, Outcome] = {}
        self.numbers: dict[str, None] = {}
        self.most_files = 0
        self._places: dict[int, int] = {}
        self._file = tempfile.SpooledTemporaryFile(HELD)  # noqa: SIM115 - open as long as the rows are
        self._end = 0

    def add(self, number: int, outcome: Outcome) -> None:
        """Keep one."""
        line = json.dumps(outcome.as_json()).encode() + b"\n"
        self._file.seek(self._end)
        self._file.write(line)
        self._places[number] = self._end
        self._end += len(line)
        self.tally.add(outcome.status)
        self.most_files = max(self.most_files, len(outcome.files))
        if outcome.status == "failed" and len(self.failed) < LISTED:
            self.failed[number] = outcome
        for name, value in outcome.values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self.numbers[name] = None

    def get(self, number: int) -> Outcome | None:
        """What became of a combination; None if nothing did yet."""
        place = self._places.get(number)
        if place is None:
            return None
        self._file.seek(place)
        return Outcome.from_json(json.loads(self._file.readline()))

    def __iter__(self) -> Iterator[tuple[int, Outcome]]:
        """All, in the order of their numbers."""
        for number in sorted(self._places):
            outcome = self.get(number)
            assert outcome is not None
            yield number, outcome

    def __len__(self) -> int:
        return len(self._places)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
