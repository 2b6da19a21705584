"""What a person may set on a node, read from its parameter model: kind, default, bounds, choices, one line of doc.

The host adapter makes widgets of it, the reference makes tables of it; nobody else needs to understand annotations.
"""

import types
import typing
from dataclasses import dataclass, replace
from functools import cache
from typing import Annotated, Any, Literal, Union

import annotated_types
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from ..core.spec import NodeSpec

Kind = Literal["integer", "number", "boolean", "text", "choice", "other"]
_KINDS: dict[Any, Kind] = {int: "integer", float: "number", bool: "boolean", str: "text"}


@dataclass(frozen=True)
class Setting:
    """One parameter of a node that is not a socket.

    Attributes:
        kind: what a widget must hold; `other` (lists, mixtures) is written as JSON.
        type: the same for people, e.g. `integer or null`.
        required: it has no default.
        above, below: exclusive bounds; minimum, maximum: inclusive ones.
        path: `file`, `files` or `model` where the text names something that is read.
    """

    name: str
    kind: Kind = "other"
    type: str = "any"
    required: bool = False
    default: Any = None
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[Any, ...] = ()
    path: str | None = None
    doc: str = ""

    @property
    def bounds(self) -> str:
        """`0 … 64`, `≥ 1`, `> 0`, or nothing."""
        if self.minimum is not None and self.maximum is not None:
            return f"{number(self.minimum)} … {number(self.maximum)}"
        parts = [
            f"{sign} {number(value)}"
            for sign, value in ((">", self.above), ("≥", self.minimum), ("<", self.below), ("≤", self.maximum))
            if value is not None
        ]
        return " and ".join(parts)


def number(value: float) -> str:
    """A bound or default without a needless `.0`."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else str(value)


@cache
def settings_of(spec: NodeSpec) -> tuple[Setting, ...]:
    """Every setting of a node, in the order of its signature."""
    return tuple(_setting(spec, name, info) for name, info in spec.params.model_fields.items())


def doc_of(spec: NodeSpec, name: str) -> str:
    """The `Args:` line of a socket or setting; numbered names (`image_3`) share the line of their list."""
    docs = spec.parameter_docs()
    if name in docs:
        return docs[name]
    for parameter, repeat in spec.repeats.items():
        if name in repeat.names():
            return docs.get(parameter) or docs.get(repeat.name) or ""
    return ""


def _setting(spec: NodeSpec, name: str, info: FieldInfo) -> Setting:
    role = spec.path_roles.get(name)
    required = info.default is PydanticUndefined and info.default_factory is None
    setting = Setting(
        name,
        required=required,
        path=role.kind if role else None,
        doc=doc_of(spec, name),
        default=None if required else info.get_default(call_default_factory=True),
    )
    return _annotated(setting, info.annotation, info.metadata)


def _annotated(setting: Setting, hint: Any, metadata: typing.Iterable[Any]) -> Setting:
    for item in metadata:
        setting = _bounded(setting, item)
    if typing.get_origin(hint) is Annotated:
        return _annotated(setting, typing.get_args(hint)[0], hint.__metadata__)
    if typing.get_origin(hint) in (Union, types.UnionType):
        arms = typing.get_args(hint)
        rest = [arm for arm in arms if arm is not type(None)]
        if len(rest) < len(arms):
            setting = replace(setting, nullable=True)
        if len(rest) > 1:
            return replace(setting, type=_with_null(" or ".join(_type_text(arm) for arm in rest), setting))
        return _annotated(setting, rest[0], ())
    if typing.get_origin(hint) is Literal:
        choices = tuple(choice for choice in typing.get_args(hint) if choice is not None)
        return replace(setting, kind="choice", choices=choices, type=_with_null(_type_text(hint), setting))
    return replace(setting, kind=_KINDS.get(hint, "other"), type=_with_null(_type_text(hint), setting))


def _with_null(text: str, setting: Setting) -> str:
    return f"{text} or null" if setting.nullable else text


def _bounded(setting: Setting, item: Any) -> Setting:
    if isinstance(item, FieldInfo):
        for inner in item.metadata:
            setting = _bounded(setting, inner)
    elif isinstance(item, annotated_types.Interval):
        for bound in item:
            setting = _bounded(setting, bound)
    for kind, name, attribute in (
        (annotated_types.Ge, "minimum", "ge"),
        (annotated_types.Le, "maximum", "le"),
        (annotated_types.Gt, "above", "gt"),
        (annotated_types.Lt, "below", "lt"),
    ):
        if isinstance(item, kind):
            setting = replace(setting, **{name: getattr(item, attribute)})
    return setting


def _type_text(hint: Any) -> str:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _type_text(arguments[0])
    if origin is Literal:
        return " | ".join(str(choice) for choice in arguments if choice is not None)
    if origin in (Union, types.UnionType):
        return " or ".join("null" if arm is type(None) else _type_text(arm) for arm in arguments)
    if origin in (list, tuple, set) and arguments:
        return "list of " + " or ".join(dict.fromkeys(_type_text(arm) for arm in arguments if arm is not Ellipsis))
    return str(_KINDS.get(hint) or getattr(hint, "__name__", None) or hint)
