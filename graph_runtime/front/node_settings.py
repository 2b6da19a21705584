"""A node's settings as a form shows them (kind, default, bounds, choices, documentation), from its JSON Schema."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from pydantic import JsonValue

from ..core.spec import NodeSpec

Kind = Literal["integer", "number", "boolean", "text", "choice", "other"]
Schema = Mapping[str, JsonValue]
_KINDS: dict[JsonValue, Kind] = {"integer": "integer", "number": "number", "boolean": "boolean", "string": "text"}
_BOUNDS = {
    "minimum": "minimum",
    "maximum": "maximum",
    "exclusiveMinimum": "above",
    "exclusiveMaximum": "below",
}


@dataclass(frozen=True)
class Setting:
    """One parameter of a node that is not a socket.

    Attributes:
        kind: what a widget must hold; `other` (lists, mixtures) is written as JSON.
        type: the same for readers, e.g. `integer or null`.
        required: it has no default.
        above, below: exclusive bounds; minimum, maximum: inclusive ones.
        path: `file`, `files` or `model` where the text names something that is read.
    """

    name: str
    kind: Kind = "other"
    type: str = "any"
    required: bool = False
    default: JsonValue = None
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    choices: tuple[JsonValue, ...] = ()
    path: str | None = None
    doc: str = ""

    @property
    def default_number(self) -> float | None:
        """The default of a number; None if there is none."""
        return self.default if isinstance(self.default, (int, float)) else None

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
    schema: dict[str, Schema] = spec.schema.get("properties", {})
    return tuple(_setting(spec, name, entry) for name, entry in schema.items())


def _setting(spec: NodeSpec, name: str, schema: Schema) -> Setting:
    role = spec.path_roles.get(name)
    setting = Setting(
        name,
        type=_type_text(schema),
        required="default" not in schema,
        default=schema.get("default"),
        path=role.kind if role else None,
        doc=str(schema.get("description", "")),
    )
    arms = _arms(schema)
    rest = [arm for arm in arms if arm.get("type") != "null"]
    setting = replace(setting, nullable=len(rest) < len(arms))
    numbers = [arm for arm in rest if arm.get("type") in ("integer", "number")]
    if len(rest) != 1:  # a number or a word: its bounds are the number's
        return replace(setting, **_bounds(numbers[0])) if len(numbers) == 1 else setting
    (arm,) = rest
    if choices := _choices(arm):
        named = tuple(choice for choice in choices if choice is not None)
        return replace(setting, kind="choice", choices=named, nullable=setting.nullable or None in choices)
    return replace(setting, kind=_KINDS.get(arm.get("type"), "other"), **_bounds(arm))


def _bounds(arm: Schema) -> dict[str, Any]:  # Any: JSON of numbers
    return {field: arm[key] for key, field in _BOUNDS.items() if key in arm}


def _arms(schema: Schema) -> list[Schema]:
    """The alternatives of a schema; the schema itself where there is only one."""
    arms = schema.get("anyOf")
    return [arm for arm in arms if isinstance(arm, dict)] if isinstance(arms, list) else [schema]


def _choices(schema: Schema) -> list[JsonValue]:
    choices = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return choices if isinstance(choices, list) else []


def _type_text(schema: Schema) -> str:
    arms = sorted(_arms(schema), key=lambda arm: arm.get("type") == "null")
    if len(arms) > 1:
        return " or ".join("null" if arm.get("type") == "null" else _type_text(arm) for arm in arms)
    if choices := _choices(schema):
        return " | ".join(str(choice) for choice in choices if choice is not None)
    if schema.get("type") == "array":
        items = schema.get("prefixItems") or [schema.get("items")]
        named = [_type_text(item) for item in items if isinstance(item, dict)] if isinstance(items, list) else []
        return "list of " + " or ".join(dict.fromkeys(named)) if named else "list"
    return _KINDS.get(schema.get("type"), str(schema.get("type", "any")))
