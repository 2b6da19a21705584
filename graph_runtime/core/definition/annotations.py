"""What the annotations of a node's function carry."""

import types
import typing
from typing import TypeVar, Union

from pydantic.fields import FieldInfo

K = TypeVar("K")  # of what an annotation carries


def without_none(hint: object) -> tuple[object, bool]:
    """`X` of `X | None`, and true; any other annotation as it is, and false."""
    if typing.get_origin(hint) in (Union, types.UnionType):
        rest = [arm for arm in typing.get_args(hint) if arm is not type(None)]
        if len(rest) == 1 and len(typing.get_args(hint)) == 2:
            return rest[0], True
    return hint, False


def carried(hint: object, kind: type[K]) -> K | None:
    """What an annotation carries of a kind: a Port, a role; None if it carries none."""
    metadata = getattr(hint, "__metadata__", ())
    for item in metadata:
        if isinstance(item, kind):
            return item
        if isinstance(item, FieldInfo):
            for inner in item.metadata:
                if isinstance(inner, kind):
                    return inner
    return None
