"""α by layer, as `alpha_pattern` of peft's configuration states it: names of layers, or endings of names.

peft takes each key as a regular expression (`get_pattern_key`). Here a key is never compiled: endings are looked up in
a table, so that no key of a stranger's file can take long. Keys that are more than names with `^`, `$`, escapes and
alternatives are refused.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice, product
from types import MappingProxyType
from typing import Literal, NamedTuple

KOHYA = "lora_unet_"  # kohya's names begin with it, and have _ where others have a point
MAX_ALTERNATIVES = 64  # names that one key may stand for
_CHARACTER = r"(?:[\w.\-]|\\[.\-_])"
_PATTERN = re.compile(rf"(?:{_CHARACTER}|\((?:{_CHARACTER}|\|)+\))+")
_PART = re.compile(r"\(([^()]*)\)|([^()]+)")
_ANY_FRONT = (r".*\.", ".*.")  # what peft allows in front of a key anyway


Way = Literal["whole", "ending", "kohya"]


class Names(NamedTuple):
    """The layers that a key names: whole names, or endings of names after a point."""

    whole: bool
    names: tuple[str, ...]

    def ways(self) -> Iterator[tuple["Way", str]]:
        """How they may be found in a file."""
        for name in self.names:
            yield "whole" if self.whole else "ending", name
            if not self.whole:
                yield "kohya", name.replace(".", "_")


def names_of(key: str) -> Names | None:
    """The layers that a key of peft's patterns names; None if it is another regular expression."""
    whole, inner = key.startswith("^"), key.removeprefix("^")
    inner = inner[:-1] if inner.endswith("$") and not inner.endswith(r"\$") else inner
    for front in _ANY_FRONT:
        if inner.startswith(front):
            whole, inner = False, inner.removeprefix(front)
            break
    if not _PATTERN.fullmatch(inner):
        return None
    parts = [(match[1] or match[2]).split("|") for match in _PART.finditer(inner)]
    found = list(islice(product(*parts), MAX_ALTERNATIVES + 1))
    if len(found) > MAX_ALTERNATIVES:
        return None
    return Names(whole, tuple(re.sub(r"\\(.)", r"\1", "".join(pieces)) for pieces in found))


class Alphas:
    """α by layer: the first key that names a layer counts.

    Attributes:
        count: how many keys there are.
    """

    def __init__(self, keys: Mapping[str, float] = MappingProxyType({})) -> None:
        self.count = len(keys)
        self._alphas = list(keys.values())
        self._names = [found for key in keys if (found := names_of(key)) is not None]
        assert len(self._names) == self.count, "other keys were refused before"
        self._tables: dict[Way, dict[str, int]] = {"whole": {}, "ending": {}, "kohya": {}}
        for number, found in enumerate(self._names):
            for way, name in found.ways():
                self._tables[way].setdefault(name, number)

    def of(self, layer: str) -> float | None:
        """α of a layer, or None if no key names it."""
        found = [number for way, name in _ways(layer) if (number := self._tables[way].get(name)) is not None]
        return self._alphas[min(found)] if found else None

    def idle(self, layers: Iterable[str]) -> int:
        """How many keys name none of these layers."""
        if not self.count:
            return 0
        named = {(way, name) for layer in layers for way, name in _ways(layer) if name in self._tables[way]}
        return sum(named.isdisjoint(found.ways()) for found in self._names)


def _ways(layer: str) -> Iterator[tuple[Way, str]]:
    """How a key can name a layer: the whole name, the name, and what stands behind each point in it."""
    kohya = layer.startswith(KOHYA)
    way: Way = "kohya" if kohya else "ending"
    name, point = (layer.removeprefix(KOHYA), "_") if kohya else (layer, ".")
    yield "whole", layer
    yield way, name
    place = name.find(point)
    while place >= 0:
        yield way, name[place + 1 :]
        place = name.find(point, place + 1)
