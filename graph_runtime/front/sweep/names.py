"""What the files of a combination are called: the values, as every system can write them, and never two alike."""

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cached_property

from ...core.digests import sha256
from .axes import Axis, FilesAxis, ValueAxis
from .numbers import Spread

LETTERS = 40  # of one value in a name
_PLAIN = re.compile(r"[^\w.+() ,-]+")  # what is left out; `=` too, which parts a name from its value


class Names:
    """Names of combinations of the values of some axes."""

    def __init__(self, axes: Sequence[Axis]) -> None:
        self.axes = axes

    def name(self, digits: Sequence[int]) -> str:
        """The name of the combination with these numbers of values."""
        return "_".join(f"{axis.name}={self._value(at, digits[at])}" for at, axis in enumerate(self.axes))

    def _value(self, at: int, number: int) -> str:
        label = unicodedata.normalize("NFC", self.axes[at].label(number))
        plain = _PLAIN.sub("-", " ".join(label.split()))[:LETTERS].strip(" .-_")
        negative = label.startswith("-") and label[1:2].isdigit()
        plain = f"-{plain}" if negative else plain
        if plain == label and "_" not in plain and not self._alike[at][label.casefold()] > 1:
            return plain
        return f"{plain}-{sha256(self._whole(at, number))[:6]}".lstrip("-")

    def _whole(self, at: int, number: int) -> str:
        """A value that no other value of the axis has: of a path, with its folders."""
        axis = self.axes[at]
        return axis.label(number) if not isinstance(axis, ValueAxis) else repr(axis.values[number])

    @cached_property
    def _alike(self) -> list[Counter[str]]:
        """By axis, how many values have a name, where large and small letters are one."""
        return [Counter(unicodedata.normalize("NFC", label).casefold() for label in _texts(axis)) for axis in self.axes]


def _texts(axis: Axis) -> Sequence[str]:
    """The labels of an axis that may differ in case alone: those that are no evenly spaced numbers."""
    if isinstance(axis, FilesAxis):
        return [item.name for item in axis.items]
    assert isinstance(axis, ValueAxis)
    numbers: list[int] = []
    start = 0
    for part in axis.values.parts:
        count = part.count if isinstance(part, Spread) else len(part)
        numbers += [] if isinstance(part, Spread) else range(start, start + count)
        start += count
    return [axis.label(number) for number in numbers]
