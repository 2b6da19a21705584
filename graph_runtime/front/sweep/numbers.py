"""Evenly spaced numbers, exact in decimal and never written out: `0..9`, `0..1..0.25`, `9..0..-1`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal, localcontext

NUMBER = r"[+-]?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2})?"
_SPREAD = re.compile(rf"({NUMBER})\.\.((?:{NUMBER})?)(?:\.\.((?:{NUMBER})?))?")
LONGEST = 40  # letters of one number
EXACT = Context(prec=200)  # digits; more than any two numbers of `LONGEST` letters need


class NoSpread(ValueError):
    """What is wrong with `a..b`: what was expected, and how to mend it."""

    def __init__(self, expected: str, fix: str) -> None:
        self.expected, self.fix = expected, fix
        super().__init__(expected)


@dataclass(frozen=True)
class Spread:
    """`count` numbers from `start` on, `step` apart."""

    start: Decimal
    step: Decimal
    count: int

    @property
    def last(self) -> Decimal:
        """The last one."""
        return self[self.count - 1]

    def __getitem__(self, number: int) -> Decimal:
        with localcontext(EXACT):
            return self.start + self.step * number

    def __contains__(self, value: object) -> bool:
        if not isinstance(value, Decimal) or not value.is_finite():
            return False
        with localcontext(EXACT):
            number, rest = divmod(value - self.start, self.step) if self.step else (value - self.start, Decimal(0))
        return not rest and 0 <= number < self.count

    def overlaps(self, other: "Spread") -> bool:
        """True if the numbers from the first to the last of both have some in common."""
        (low, high), (lower, higher) = (sorted((one.start, one.last)) for one in (self, other))
        return low <= higher and lower <= high

    def texts(self) -> Iterator[str]:
        """All of them, as they are written."""
        return (written(self[number]) for number in range(self.count))


def written(value: Decimal) -> str:
    """A number without an exponent where that is short, and without needless zeros."""
    if not value:
        return "0"
    with localcontext(EXACT):
        plain = value.normalize()
    return format(plain, "f") if -10 < plain.adjusted() < 20 else str(plain)


def spread(text: str) -> Spread | None:
    """The numbers that `a..b` or `a..b..step` stands for; None for a text that has no `..` between numbers.

    Raises:
        NoSpread: it has, and stands for none.
    """
    found = _SPREAD.fullmatch(text.strip())
    if found is None:
        return None
    if max(map(len, filter(None, found.groups()))) > LONGEST:
        raise NoSpread(f"numbers of at most {LONGEST} letters", "write it shorter")
    if not found[2] or found[3] == "":
        raise NoSpread("both ends, as in 0..9, and a step after two more dots, as in 0..1..0.25", "write it so")
    start, end = Decimal(found[1]), Decimal(found[2])
    step = Decimal(found[3]) if found[3] else Decimal(1)
    with localcontext(EXACT):
        return _spread(start, end, step, stepped=bool(found[3]))


def _spread(start: Decimal, end: Decimal, step: Decimal, *, stepped: bool) -> Spread:
    if not step:
        raise NoSpread("a step that is not 0", "leave the step out, or write one such as 0.5")
    if (end - start) * step < 0:
        down = f"{written(start)}..{written(end)}..{written(-step)}"
        up = f"{written(end)}..{written(start)}" + (f"..{written(step)}" if stepped else "")
        raise NoSpread(
            "a first number that is not above the last" if step > 0 else "a first number that is not below the last",
            f"write {up}, or {down} to count the other way",
        )
    count, rest = divmod(end - start, step)
    if rest:
        near = start + step * count
        raise NoSpread(
            f"both ends: with a step of {written(step)} the last one is {written(near)}, not {written(end)}",
            f"write {written(start)}..{written(near)}..{written(step)}, or another step",
        )
    return Spread(start, step, int(count) + 1)
