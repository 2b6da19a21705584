"""The sockets and widgets of a node in a node editor, and the way back from the value of a widget to a setting.

Editors have widgets for numbers, text, switches and choices, but none for `null`. If a number may be null, the value
just below its range stands for null (`0` if the minimum is 1, `-1` if it is 0), as its tooltip says; for text, the
empty text stands for null. Nothing here depends on a particular editor.
"""

import json
import math
import re
from collections.abc import Mapping

from pydantic import JsonValue

from ...core.spec import NodeSpec
from ..node_settings import Setting, number, settings_of

NONE = "none"
MULTILINE = frozenset({"prompt", "negative", "text"})
SAFE_INTEGER = 2**53 - 1  # the editors use the numbers of JavaScript
PRIMITIVES = frozenset({"STRING", "INT", "FLOAT", "BOOLEAN"})

Widget = tuple[str | list[str], dict[str, JsonValue]]  # the type, or the choices; and the options
InputTypes = dict[str, dict[str, Widget]]  # by group, then by name


def input_types(spec: NodeSpec) -> InputTypes:
    """Sockets and widgets by group. What has a default is optional, so that older graphs without it still run."""
    groups: InputTypes = {"required": {}, "optional": {}}
    for socket in spec.sockets.values():
        options: dict[str, JsonValue] = {"tooltip": socket.doc}
        if socket.port.socket in PRIMITIVES:
            options["forceInput"] = True
        groups["optional" if socket.optional else "required"][socket.name] = (socket.port.socket, options)
    for setting in settings_of(spec):
        groups["required" if setting.required else "optional"][setting.name] = widget(setting)
    return groups


def widget(setting: Setting) -> Widget:
    """The widget of one setting: its type (or list of choices) and its options."""
    kind, options = _widget(setting)
    doc = setting.doc
    if setting.nullable and kind == "STRING":
        doc = f"{doc} (empty: none)".strip()
    elif (null := null_value(setting)) is not None:
        doc = f"{doc} ({number(null)}: none)".strip()
    return kind, {"tooltip": doc, **options}


def _widget(setting: Setting) -> Widget:
    default = setting.default
    if setting.kind == "choice" or (setting.kind == "boolean" and setting.nullable):
        choices = [str(choice) for choice in setting.choices] or ["true", "false"]
        names = [NONE, *choices] if setting.nullable else choices
        return names, {} if setting.required else {"default": NONE if default is None else _text(default)}
    if setting.kind == "boolean":
        return "BOOLEAN", {"default": bool(default)}
    if setting.kind == "integer" and _has_widget_range(setting):
        return "INT", _integer(setting)
    if setting.kind == "number" and _has_widget_range(setting):
        return "FLOAT", _float(setting)
    return "STRING", {
        "default": "" if default is None else _text(default),
        "multiline": setting.name in MULTILINE and setting.path is None,
    }


def _has_widget_range(setting: Setting) -> bool:
    return not setting.nullable or null_value(setting) is not None


def null_value(setting: Setting) -> float | None:
    """The number that stands for null in a widget, or None if there is none.

    Also of a number that may be a word: its widget takes text, but older graphs hold that number.
    """
    if not setting.nullable or setting.kind not in ("integer", "number", "other"):
        return None
    if setting.above is not None:
        return min(0, setting.above)
    if setting.minimum is not None:
        return 0 if setting.minimum > 0 else setting.minimum - 1
    return None


def _integer(setting: Setting) -> dict[str, JsonValue]:
    null = null_value(setting)
    seed = setting.name == "seed" or setting.name.endswith("_seed")
    lowest = setting.minimum if setting.minimum is not None else None if setting.above is None else setting.above + 1
    highest = setting.maximum if setting.maximum is not None else None if setting.below is None else setting.below - 1
    least = null if null is not None else lowest if lowest is not None else 0 if seed else -SAFE_INTEGER
    default = (
        setting.default_number if setting.default_number is not None else (null if null is not None else max(least, 0))
    )
    options: dict[str, JsonValue] = {
        "default": int(default),
        "min": int(least),
        "max": int(highest) if highest is not None else 2**64 - 1 if seed else SAFE_INTEGER,
        "step": 1,
    }
    return options | ({"control_after_generate": True} if seed else {})


def _float(setting: Setting) -> dict[str, JsonValue]:
    null = null_value(setting)
    low = next((value for value in (null, setting.minimum, setting.above) if value is not None), -1e12)
    high = next((value for value in (setting.maximum, setting.below) if value is not None), 1e12)
    default = (
        setting.default_number if setting.default_number is not None else (null if null is not None else max(low, 0.0))
    )
    size = abs(float(default))
    step = 10.0 ** (math.floor(math.log10(size)) - 1) if 0 < size < 0.1 else 0.01 if size <= 1 else 0.1
    return {"default": float(default), "min": float(low), "max": float(high), "step": round(step, 12), "round": False}


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def to_widget(setting: Setting, value: object) -> object:
    """What the widget of a setting shows for one of its values; the way back is `from_widget`."""
    kind, _ = _widget(setting)
    if value is None and setting.nullable:
        null = null_value(setting)
        return NONE if isinstance(kind, list) else "" if kind == "STRING" or null is None else _whole(null)
    if isinstance(kind, list) or kind == "STRING":
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return value


def _whole(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def typed_name(setting: str) -> str:
    """The name of the text widget that an editor may have beside its list of models for a setting."""
    return f"other_{setting}"


def model_settings(spec: NodeSpec) -> tuple[str, ...]:
    """The settings that name a model."""
    return tuple(name for name, role in spec.path_roles.items() if role.kind == "model")


def settings_from_widgets(spec: NodeSpec, values: Mapping[str, object]) -> dict[str, object]:
    """The settings of a node from the values of its widgets; sockets are left out."""
    return {
        setting.name: from_widget(setting, values[setting.name])
        for setting in settings_of(spec)
        if setting.name in values
    }


def from_widget(setting: Setting, value: object) -> object:
    """One widget's value as the setting's own: `none`, the empty text and the number below the range become null."""
    listed = setting.kind in ("choice", "boolean") or setting.path == "model"
    if setting.nullable and value in (None, "", NONE if listed else ""):
        return None
    if (null := null_value(setting)) is not None and value in (null, number(null)):
        return None  # as text too: the host turns the number that an older graph holds into text for a text widget
    if setting.kind == "choice":
        return next((choice for choice in setting.choices if choice == value or str(choice) == value), value)
    if not isinstance(value, str) or setting.kind == "text":
        return value
    if setting.kind == "boolean":
        return {"true": True, "false": False}.get(value, value)
    return _parsed(setting, value)


def _parsed(setting: Setting, text: str) -> object:
    """Numbers and JSON that an editor shows as text; other words stay text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if setting.type.startswith("list of text"):
            return [item.strip() for item in re.split(r"[,\n]", text) if item.strip()]
        return text
