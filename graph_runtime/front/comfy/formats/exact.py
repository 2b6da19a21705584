"""The settings of a node as the values of its widgets, and back to the letter.

A widget cannot say everything: that a setting was left out, `null` apart from an empty text, numbers beyond those of
JavaScript, the layout of a list. What it cannot say is written beside it, in what inlay says of the node
(`layout.OWN`): `unset`, the settings that were left out, and `exact`, the values that would come back as others.
Where a widget was changed meanwhile, the widget counts.
"""

from collections.abc import Iterator, Mapping

from ....core.spec import NodeSpec
from ...node_settings import Setting, settings_of
from ..input_types import SAFE_INTEGER, to_widget, widget
from .values import setting_from_host

UNSET, EXACT = "unset", "exact"
_INTEGER = "integer"  # how `exact` writes an integer that JavaScript would round

Widgets = dict[str, object]
Facts = dict[str, object]


def widgets_of(spec: NodeSpec, params: Mapping[str, object]) -> tuple[Widgets, Facts]:
    """The values of all widgets by name, in order, and what they cannot say."""
    shown: Widgets = {}
    unset: list[str] = []
    exact: Facts = {}
    for setting in settings_of(spec):
        name = setting.name
        if name not in params:
            unset.append(name)
            shown[name] = default_of(setting)
            continue
        value = params[name]
        shown[name] = to_widget(setting, value)
        back = setting_from_host(spec, name, shown[name])
        if type(back) is not type(value) or back != value or _rounds(value):
            exact[name] = {_INTEGER: str(value)} if _rounds(value) else value
    return shown, ({UNSET: unset} if unset else {}) | ({EXACT: exact} if exact else {})


def restore(
    spec: NodeSpec, params: dict[str, object], shown: Mapping[str, object], facts: Mapping[str, object]
) -> None:
    """Put back into the settings of a node what was written beside its widgets, where these still show the same.

    Args:
        spec: the type of the node.
        params: the settings that the widgets say; changed.
        shown: the values of the widgets.
        facts: what inlay wrote about the node.
    """
    unset, exact = facts.get(UNSET), facts.get(EXACT)
    left_out = [name for name in unset if isinstance(name, str)] if isinstance(unset, list) else []
    beside = exact if isinstance(exact, Mapping) else {}
    for setting in settings_of(spec):
        name = setting.name
        if name not in shown:
            continue
        if name in left_out and _shows(shown[name], default_of(setting)):
            params.pop(name, None)
        elif name in beside and _shows(shown[name], to_widget(setting, kept := _restored(beside[name]))):
            params[name] = kept


def default_of(setting: Setting) -> object:
    """What the widget of a setting shows before anyone changes it."""
    kind, options = widget(setting)
    return options.get("default", next(iter(kind), "") if isinstance(kind, list) else "")


def _rounds(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) > SAFE_INTEGER


def _restored(value: object) -> object:
    if isinstance(value, Mapping) and list(value) == [_INTEGER] and isinstance(text := value[_INTEGER], str):
        return int(text) if text.removeprefix("-").isdecimal() and len(text) < 40 else value
    return value


def _shows(value: object, other: object) -> bool:
    """True if a widget with one value looks as with the other, also after JavaScript has read and written it."""
    return list(_as_javascript(value)) == list(_as_javascript(other))


def _as_javascript(value: object) -> Iterator[object]:
    if isinstance(value, (list, tuple)):
        yield len(value)
        for item in value:
            yield from _as_javascript(item)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield "number"
        yield float(value)
    else:
        yield type(value).__name__
        yield value
