"""The widgets of a model: a list of what is on this machine, and a text for anything else.

The host's lists take no typed text, so a second widget, the last one of the node, takes a hub id or a name that the
list lacks. A text in it wins over the list. Graphs without it, and graphs that hold any text where the list is, work.
"""

from collections.abc import Mapping

from pydantic import JsonValue

from ...core.spec import NodeSpec
from ..node_settings import settings_of
from .choices import Choices
from .host.models import choices
from .input_types import NONE, InputTypes, model_settings, typed_name

DOC = "a hub id such as owner/name, or another name below the host's folders for models; empty: what {} says"


def list_models(spec: NodeSpec, groups: InputTypes) -> None:
    """Put the two widgets of each model among a node's inputs; without a host or a model, its text widget stays."""
    for setting in settings_of(spec):
        names = choices(spec.id) if setting.name in model_settings(spec) else None
        if names is None:
            continue
        first = [NONE] if setting.nullable else []
        named = [setting.default] if isinstance(setting.default, str) and setting.default not in names else []
        if found := [*first, *named, *names]:
            group = groups["required" if setting.required else "optional"]
            options = {"tooltip": group[setting.name][1]["tooltip"], "takes_text": True}
            default = {} if setting.required else {"default": setting.default or found[0]}
            group[setting.name] = (Choices(found), {**options, **default})
            text: dict[str, JsonValue] = {"tooltip": DOC.format(setting.name), "default": ""}
            groups["optional"][typed_name(setting.name)] = ("STRING", text)


def chosen(spec: NodeSpec, inputs: Mapping[str, object]) -> dict[str, object]:
    """The inputs with one value for each model: the text if there is one, else what the list says."""
    found = dict(inputs)
    for name in model_settings(spec):
        text = found.pop(typed_name(name), None)
        if isinstance(text, str) and text.strip():
            found[name] = text.strip()
    return found
