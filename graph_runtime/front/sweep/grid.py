"""All combinations of the values of some axes, made one at a time, however many there are."""

from collections.abc import Iterator, Sequence
from math import prod
from typing import overload

from ..jobs.pairs import Item
from .axes import Axis, Given
from .names import Names

MOST = 2**62  # combinations


class Grid(Sequence[Item]):
    """The combinations by number: the first axis changes slowest.

    Attributes:
        axes: in the order in which they were given.
        slow: numbers of axes, the one that changes slowest in a run first.
    """

    def __init__(self, axes: Sequence[Axis], slow: Sequence[int] = ()) -> None:
        self.axes = tuple(axes)
        self.slow = tuple(slow) or tuple(range(len(axes)))
        self.total = prod(axis.count for axis in axes)
        self._names = Names(self.axes)

    def __len__(self) -> int:
        return self.total

    @overload
    def __getitem__(self, number: int) -> Item: ...
    @overload
    def __getitem__(self, number: slice) -> list[Item]: ...
    def __getitem__(self, number: int | slice) -> Item | list[Item]:
        """What the run of a combination is given."""
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(self.total))]
        if not 0 <= number < self.total:
            raise IndexError(number)
        digits, given = self.digits(number), Given()
        for axis, digit in zip(self.axes, digits, strict=True):
            axis.given(digit, given)
        return Item(self._names.name(digits), given.files, given.values, given.settings)

    def digits(self, number: int) -> tuple[int, ...]:
        """For each axis, which of its values combination `number` has."""
        found = []
        for axis in reversed(self.axes):
            number, digit = divmod(number, axis.count)
            found.append(digit)
        return tuple(reversed(found))

    def number(self, digits: Sequence[int]) -> int:
        """The number of a combination."""
        found = 0
        for axis, digit in zip(self.axes, digits, strict=True):
            found = found * axis.count + digit
        return found

    def with_one(self, at: int, digit: int) -> Item:
        """The first combination, but for value `digit` of axis `at`."""
        digits = [0] * len(self.axes)
        digits[at] = digit
        return self[self.number(digits)]

    def order(self, first: int = 0, last: int | None = None) -> Iterator[int]:
        """The combinations in the order of a run, from place `first` to before place `last`."""
        weights = [prod(axis.count for axis in self.axes[at + 1 :]) for at in range(len(self.axes))]
        counts = [self.axes[at].count for at in self.slow]
        for place in range(first, self.total if last is None else last):
            number = 0
            for at, count in zip(reversed(self.slow), reversed(counts), strict=True):
                place, digit = divmod(place, count)
                number += digit * weights[at]
            yield number

    def blocks(self, jobs: int) -> Iterator[Iterator[int]]:
        """The order in pieces for several processes: within one, what changes slowest stays the same where it can."""
        size = 1
        for at in reversed(self.slow):
            if size * self.axes[at].count * jobs * 4 > self.total:
                break
            size *= self.axes[at].count
        return (self.order(first, min(first + size, self.total)) for first in range(0, self.total, size))
