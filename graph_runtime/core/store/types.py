"""Which types of values may be stored: an allow-list, from what the sockets of the installed nodes declare.

Frozen dataclasses and NamedTuples that an output declares, their subclasses, and those that their fields declare. A
model's description is none of them: it is made anew at each check.
"""

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, cached_property

from ..light.later import LaterType
from ..memory.descriptions import ModelDescription
from ..spec import NodeSpec


class NotStorable(ValueError):
    """A value that cannot be stored; says which and why."""


class StorableTypes:
    """The allow-list of some nodes, gathered when it is first needed."""

    def __init__(self, nodes: Callable[[], Mapping[str, NodeSpec]] | None = None) -> None:
        self._nodes = nodes or dict

    @cached_property
    def by_name(self) -> Mapping[str, type]:
        """The types by their names; two types of one name are both left out."""
        found: dict[str, set[type]] = {}
        for spec in self._nodes().values():
            for kind in _types_of_node(spec):
                found.setdefault(_name(kind), set()).add(kind)
        return {name: kinds.pop() for name, kinds in found.items() if len(kinds) == 1}

    @cached_property
    def names(self) -> Mapping[type, str]:
        """The names by type."""
        return {kind: name for name, kind in self.by_name.items()}


def is_named_tuple(kind: type) -> bool:
    """True for a class made by NamedTuple."""
    return issubclass(kind, tuple) and hasattr(kind, "_fields")


def _name(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}".removeprefix(__package__.rpartition(".graph_runtime.")[0] + ".")


@cache
def _types_of_node(spec: NodeSpec) -> frozenset[type]:
    returned = _hints(inspect.unwrap(spec.function)).get("return")
    found: set[type] = set()
    waiting = list(_hints(returned).values()) if isinstance(returned, type) else []
    while waiting:
        hint = waiting.pop()
        if isinstance(hint, LaterType):
            hint = hint.real()
        if not isinstance(hint, type) or typing.get_origin(hint) is not None:
            waiting += typing.get_args(hint)
            continue
        if hint in found or issubclass(hint, ModelDescription):
            continue
        if _is_plain(hint):
            found.add(hint)
            waiting += _hints(hint).values()
        if hint is not object and hint.__module__ != "builtins" and not is_named_tuple(hint):
            waiting += _subclasses(hint)
    return frozenset(found)


def _hints(of: Callable[..., object]) -> Mapping[str, object]:
    try:
        return typing.get_type_hints(of)
    except (NameError, TypeError, AttributeError):  # names that only a type checker imports
        return {}


def _subclasses(kind: type) -> Iterator[type]:
    direct: Iterable[type] = kind.__subclasses__() if hasattr(kind, "__subclasses__") else ()
    for one in direct:
        yield one
        yield from _subclasses(one)


def _is_plain(kind: type) -> bool:
    """True for what its fields make: a NamedTuple, or a frozen dataclass whose fields are its arguments."""
    if is_named_tuple(kind):
        return True
    settings = getattr(kind, "__dataclass_params__", None)
    own = settings is not None and "__dataclass_params__" in vars(kind) and settings.frozen and settings.init
    return own and all(one.init for one in dataclasses.fields(kind))
