"""Make a finding small: fewer mutations, then smaller files, as long as the finding stays the same."""

import json
import time
from dataclasses import replace

from . import targets
from .case import Plan

_SECONDS = 25.0  # for one finding
_WHOLE = 200_000  # bytes of JSON that is taken apart


class Shrinker:
    """Tries smaller cases; `same` tells whether a case still shows the finding."""

    def __init__(self, same, seconds=_SECONDS):
        self.same, self.end = same, time.monotonic() + seconds

    def _holds(self, case):
        return time.monotonic() < self.end and self.same(case)

    def plan(self, plan):
        """The plan without the mutations that the finding does not need."""
        mutations = list(plan.mutations)
        for number in reversed(range(len(mutations))):
            fewer = mutations[:number] + mutations[number + 1 :]
            smaller = Plan(plan.target, plan.base, tuple(fewer))
            if self._holds(targets.build(smaller)):
                mutations = fewer
        return Plan(plan.target, plan.base, tuple(mutations))

    def case(self, case):
        """The case with smaller files."""
        for name in list(case.files):
            if self._holds(smaller := case.without_file(name)):
                case = smaller
        for name in list(case.files):
            case = self._json(case, name) if _tree(case.files[name]) is not None else self._bytes(case, name)
        for field, plain in (("folder", "job"), ("links", {}), ("pipes", [])):
            smaller = replace(case, **{field: plain})
            if getattr(case, field) != plain and self._holds(smaller):
                case = smaller
        return self._words(case)

    def _words(self, case):
        for number in reversed(range(len(case.words))):
            smaller = replace(case, words=case.words[:number] + case.words[number + 1 :])
            if self._holds(smaller):
                case = smaller
        return case

    def _json(self, case, name):
        tree = _tree(case.files[name])

        def holds():
            return self._holds(case.with_file(name, json.dumps(tree).encode()))

        if not holds():  # what matters is in the text, not in the tree
            return self._bytes(case, name)
        changed = True
        while changed:
            changed = False
            for container, key in _places(tree):
                if (isinstance(container, dict) and key in container) or (
                    isinstance(container, list) and key < len(container)
                ):
                    changed |= _without(container, key, holds)
        return case.with_file(name, json.dumps(tree).encode())

    def _bytes(self, case, name):
        data = case.files[name]
        size = len(data) // 2
        while size:
            at = 0
            while at < len(data):
                shorter = data[:at] + data[at + size :]
                if self._holds(case.with_file(name, shorter)):
                    data = shorter
                else:
                    at += size
                if time.monotonic() > self.end:
                    break
            size //= 2
        return case.with_file(name, data)


def _without(container, key, holds):
    old = list(container) if isinstance(container, list) else dict(container)
    if isinstance(container, list) and len(container) > 8:  # half of it at once
        del container[len(container) // 2 :]
        if holds():
            return True
        container[:] = old
    del container[key]
    if holds():
        return True
    container.clear()
    container.extend(old) if isinstance(container, list) else container.update(old)
    return False


def _tree(data):
    if len(data) > _WHOLE:
        return None
    try:
        tree = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, (dict, list)) else None


def _places(tree):
    """Every (container, key), outermost and last first."""
    found, level = [], [tree]
    while level:
        inner = []
        for item in level:
            keys = list(item) if isinstance(item, dict) else list(range(len(item)))
            for key in reversed(keys):
                found.append((item, key))
                if isinstance(item[key], (dict, list)):
                    inner.append(item[key])
        level = inner
    return found
