"""The values of a node's widgets by name, from a UI file that keeps them by position, by name, or as an object."""

from collections.abc import Mapping, Sequence

from ....core.pack import CONTROL, CONTROLS, UPLOAD


def widget_values(raw: Mapping[str, object], order: Sequence[str] | None) -> dict[str, object]:
    """The values by name.

    Args:
        raw: a node of the file.
        order: the type's widgets in the order in which an editor saves them; None for a type that is not known.
    """
    for key in ("widgets_values_named", "widgets_values"):
        named = raw.get(key)
        if isinstance(named, dict):
            return dict(named)
    values = raw.get("widgets_values")
    if not isinstance(values, list):
        return {}
    return _by_position(values, _inputs_with_widgets(raw) if order is None else order)


def _inputs_with_widgets(raw: Mapping[str, object]) -> list[str]:
    """Names of the widgets that the file lists as inputs: for a type that is not known, the best order there is."""
    names = []
    inputs = raw.get("inputs")
    for item in inputs if isinstance(inputs, list) else ():
        widget = item.get("widget") if isinstance(item, dict) else None
        if isinstance(widget, dict) and isinstance(widget.get("name"), str):
            names.append(widget["name"])
    return names


def _by_position(values: list[object], order: Sequence[str]) -> dict[str, object]:
    """Values by position. The widget after a seed and the upload button are only taken where their value is there:
    files of older editors lack them, or have them where today's have none.
    """
    found: dict[str, object] = {}
    at = 0
    for number, name in enumerate(order):
        if at >= len(values):
            break
        value = values[at]
        if name == CONTROL:
            at += isinstance(value, str) and value in CONTROLS
        elif name == UPLOAD:
            rest = sum(other not in (CONTROL, UPLOAD) for other in order[number:])
            at += value == "image" or (value in ("", None) and len(values) - at > rest)
        else:
            found[name] = value
            at += 1
    return found
