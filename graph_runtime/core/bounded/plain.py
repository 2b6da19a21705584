"""A Python value as a workflow file could hold it, or a list of what no file could hold.

The value comes from a caller and may be anything: containers that hold themselves, objects whose methods raise. It is
read once; what comes out consists of exact dicts, lists, texts and numbers, and shares nothing with it.
"""

import math
import os
from collections.abc import Callable, Iterable, Mapping

from ..errors import Problem, WorkflowError
from .limits import DEPTH, DIGITS, ITEMS, NAME, PROBLEMS, TEXT

At = tuple[str | int, ...]  # the keys that lead to a value


def plain(value: object, locate: Callable[[At], tuple[str | None, str | None]]) -> object:
    """The value as JSON would hold it: paths as text, numpy's numbers as numbers, tuples as lists.

    Args:
        value: any Python value.
        locate: (node, port) of a place in it, for messages.

    Raises:
        WorkflowError: every value that no file could hold, at most as many as are listed.
    """
    copier = _Copier(locate)
    copied = copier.copy(value, ())
    if copier.problems:
        raise WorkflowError(copier.problems)
    return copied


class _Unfit(Exception):
    """A value that no file could hold: found, expected, fix."""


class _Stop(Exception):
    """There is more of the value than a file could hold: it is not read any further."""


class _Copier:
    """Copies one value; notes what cannot be copied."""

    def __init__(self, locate: Callable[[At], tuple[str | None, str | None]]) -> None:
        self.locate = locate
        self.problems: list[Problem] = []
        self.items = 0

    def copy(self, value: object, at: At) -> object:
        try:
            return self._copy(value, at)
        except _Stop:
            return None

    def _copy(self, value: object, at: At) -> object:
        self.items += 1
        try:
            if self.items > ITEMS:
                raise _Unfit(f"more than {ITEMS:,} values", "fewer", "split it; does it contain itself?")
            return self._as_json(value, at)
        except _Stop:
            raise
        except _Unfit as unfit:
            self._note(at, *unfit.args)
        except Exception as error:  # noqa: BLE001 - methods of a caller's object may raise anything
            self._note(at, f"{_kind(value)} that raises {type(error).__name__} when it is read", *_JSON)
        if self.items > ITEMS:
            raise _Stop
        return None

    def _as_json(self, value: object, at: At) -> object:
        if value is None or value is True or value is False:
            return value
        if isinstance(value, str):
            return _text(value, TEXT)
        if isinstance(value, int):
            return _whole(int.__int__(value))
        if isinstance(value, float):
            return _number(float.__float__(value))
        if len(at) >= DEPTH:
            raise _Unfit(f"more than {DEPTH} levels of nesting", f"at most {DEPTH}", _FLATTEN)
        if isinstance(value, Mapping):
            return self._mapping(value.items(), at)
        if isinstance(value, (list, tuple)):
            return [self._copy(item, (*at, number)) for number, item in enumerate(value)]
        if isinstance(value, os.PathLike):
            return _text(os.fsdecode(value), TEXT)
        item = getattr(value, "item", None)  # of numpy and torch
        if callable(item) and getattr(value, "ndim", 1) == 0 and isinstance(number := item(), (bool, int, float)):
            return self._copy(number, at)
        raise _Unfit(_kind(value), *_JSON)

    def _mapping(self, items: Iterable[tuple[object, object]], at: At) -> dict[str, object]:
        copied: dict[str, object] = {}
        for key, item in items:
            try:
                if not isinstance(key, str):
                    raise _Unfit(f"a key that is {_kind(key)}", "keys that are text", "write it as text")
                name = _text(key, NAME)
            except _Unfit as unfit:
                self._note(at, *unfit.args)
            else:
                copied[name] = self._copy(item, (*at, name))
        return copied

    def _note(self, at: At, found: str, expected: str, fix: str) -> None:
        self.problems.append(Problem(*self.locate(at), found, expected, fix))
        if len(self.problems) >= PROBLEMS:
            raise _Stop


def _text(given: str, most: int) -> str:
    value = str.__str__(given)
    if len(value) > most:
        raise _Unfit(f"{len(value):,} characters in one text", f"at most {most:,}", "shorten it")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise _Unfit(f"{ascii(value)[:60]}, which is not valid UTF-8", "text", "correct its encoding") from None
    return value


def _whole(value: int) -> int:
    if abs(value) >= 10**DIGITS:
        raise _Unfit(f"a number of more than {DIGITS} digits", "a smaller number", "shorten it")
    return value


def _number(value: float) -> float:
    if not math.isfinite(value):
        raise _Unfit(f"the number {value}", "a finite number", "use another number")
    return value


_JSON = "what JSON can hold: an object, a list, a text, a number, true, false or null", "convert it"
_FLATTEN = "flatten it; does it contain itself?"


def _kind(value: object) -> str:
    return f"a value of the type {type(value).__name__[:60]}"
