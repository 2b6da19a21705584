"""The axes of a sweep: what varies, over which values, and how each value is called."""

import json
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import PurePath
from typing import TypeAlias

from pydantic import JsonValue

from ..jobs.pairs import Item
from .numbers import Spread

Value: TypeAlias = JsonValue
Part: TypeAlias = Spread | tuple[Value, ...]


@dataclass(frozen=True)
class Values:
    """Values in order: some written out, some as evenly spaced numbers, which never are.

    Attributes:
        parts: of which they consist.
        read: makes a value of a number's text.
    """

    parts: tuple[Part, ...]
    read: Callable[[str], Value] = json.loads

    @cached_property
    def _ends(self) -> list[int]:
        return list(accumulate(part.count if isinstance(part, Spread) else len(part) for part in self.parts))

    @property
    def count(self) -> int:
        """How many there are."""
        return self._ends[-1] if self.parts else 0

    def __getitem__(self, number: int) -> Value:
        where = bisect_right(self._ends, number)
        part = self.parts[where]
        place = number - (self._ends[where - 1] if where else 0)
        if isinstance(part, Spread):
            return self.read(next(Spread(part[place], part.step, 1).texts()))
        return part[place]

    def telling(self, most: int) -> Iterator[int]:
        """The numbers of values to look at: all that are written out; of a spread, the ends and some at its start."""
        start = 0
        for part in self.parts:
            count = part.count if isinstance(part, Spread) else len(part)
            few = range(min(count, most)) if isinstance(part, Spread) else range(count)
            yield from (start + place for place in few)
            if len(few) < count:
                yield start + count - 1
            start += count


@dataclass(frozen=True)
class Axis:
    """One thing that varies.

    Attributes:
        name: of the input, or `node.setting`.
        flag: that asked for it, for messages.
        targets: the settings that it sets, as `node.setting`.
    """

    name: str
    flag: str
    targets: tuple[str, ...]

    @property
    def count(self) -> int:
        """How many values it has."""
        raise NotImplementedError

    def given(self, number: int, item: "Given") -> None:
        """Write value `number` into what a run is given."""
        raise NotImplementedError

    def label(self, number: int) -> str:
        """What value `number` is called; of a path, nothing about the folders that it lies in."""
        raise NotImplementedError

    def value(self, number: int) -> Value:
        """Value `number` for a table."""
        raise NotImplementedError


@dataclass
class Given:
    """What one run is given besides what all share."""

    values: dict[str, Value] = field(default_factory=dict)
    settings: dict[str, Value] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ValueAxis(Axis):
    """Values of an input or of a setting.

    Attributes:
        values: in order.
        is_input: it is an input of the workflow, not a setting of a node.
        is_path: each value names a file.
    """

    values: Values
    is_input: bool
    is_path: bool = False

    @property
    def count(self) -> int:
        """How many values it has."""
        return self.values.count

    def given(self, number: int, item: Given) -> None:
        """Write value `number` into what a run is given."""
        (item.values if self.is_input else item.settings)[self.name] = self.values[number]

    def label(self, number: int) -> str:
        """What value `number` is called."""
        return shown(self.value(number))

    def value(self, number: int) -> Value:
        """Value `number`, of a path without its folders."""
        value = self.values[number]
        if self.is_path:
            paths = value if isinstance(value, list) else [value]
            return ", ".join(_file_name(str(path)) for path in paths)
        return value


@dataclass(frozen=True)
class FilesAxis(Axis):
    """Pictures, each perhaps with the mask that belongs to it.

    Attributes:
        items: the files of each.
    """

    items: Sequence[Item]

    @property
    def count(self) -> int:
        """How many pictures there are."""
        return len(self.items)

    def given(self, number: int, item: Given) -> None:
        """Write picture `number` into what a run is given."""
        item.files.update(self.items[number].files)

    def label(self, number: int) -> str:
        """The name below the folder that was given."""
        return self.items[number].name

    def value(self, number: int) -> Value:
        """The name below the folder that was given."""
        return self.items[number].name


def shown(value: Value) -> str:
    """A value as a person would write it."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _file_name(path: str) -> str:
    return PurePath(path.replace("\\", "/")).name or path
