"""What the editor is told about every node (`object_info`): made from the classes that the host gets, without torch."""

import json
import os
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pydantic import JsonValue

from .....nodes.pack import PACK
from ....core.spec import NodeSpec
from ...comfy.expander_node import ExpanderNode, expander_class
from ...comfy.host.samples import FOLDER, sample_pictures
from ...comfy.node_classes import HostNode, node_class
from ...comfy.node_names import display_name, host_id
from ...installed import installed_nodes
from ...node_settings import settings_of
from ..settings import Settings
from .host_nodes import host_nodes

Definition = dict[str, JsonValue]
_FACTS = ("RETURN_TYPES", "RETURN_NAMES", "OUTPUT_TOOLTIPS", "DESCRIPTION", "CATEGORY", "OUTPUT_NODE")
_MOST = 2000  # pictures in a list


class Definitions:
    """The definitions of all nodes; made once, but for the lists of pictures.

    Args:
        settings: of the server, whose folders hold the pictures.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._made: tuple[tuple[str, ...], Mapping[str, Definition], bytes] | None = None

    def all(self) -> Mapping[str, Definition]:
        """By the host's name of the node."""
        return self._now()[1]

    def json(self) -> bytes:
        """All of them, as they are sent."""
        return self._now()[2]

    def _now(self) -> tuple[tuple[str, ...], Mapping[str, Definition], bytes]:
        names = pictures(self._settings)
        made = self._made
        if made is None or made[0] != names:
            found = {name: with_pictures(spec, _own(spec), names) for name, spec in _specs().items()}
            whole: dict[str, Definition] = {**_expanders(), **found, **_host(names)}
            made = self._made = names, whole, json.dumps(whole, separators=(",", ":")).encode()
        return made


@cache
def _specs() -> Mapping[str, NodeSpec]:
    return {host_id(spec.id): spec for spec in installed_nodes().values()}


def spec_of(name: str) -> NodeSpec | None:
    """Our node of that name of the host, also of the host's own node that becomes one."""
    if name in _specs():
        return _specs()[name]
    kind = PACK.host_types.get(name)
    return None if kind is None else installed_nodes().get(kind.node)


def _host(names: tuple[str, ...]) -> dict[str, Definition]:
    return {name: definition for name, definition in host_nodes(names).items() if isinstance(definition, dict)}


@cache
def _own(spec: NodeSpec) -> Definition:
    return _of_class(node_class(spec), display_name(spec.id))


@cache
def _expanders() -> Mapping[str, Definition]:
    """The nodes that stand for a workflow."""
    made = {name: expander_class(name, expander) for name, expander in PACK.expanders.items()}
    return {host_id(name): _of_class(cls, display_name(name)) for name, cls in made.items()}


@cache
def replacements() -> JsonValue:
    """The nodes that were renamed, as the editor replaces them: by former name."""
    found: dict[str, JsonValue] = {}
    for old, new in renamed_types().items():
        required = spec_of(new)
        groups = {} if required is None else node_class(required).INPUT_TYPES()
        mapping: list[JsonValue] = [{"new_id": name, "old_id": name} for name in groups.get("required", {})]
        one: dict[str, JsonValue] = {"new_node_id": new, "old_node_id": old, "old_widget_ids": None}
        found[old] = [{**one, "input_mapping": mapping, "output_mapping": None}]
    return found


@cache
def renamed_types() -> Mapping[str, str]:
    """Former name of a type → its name, as the host has them."""
    return {host_id(old): host_id(new) for old, new in PACK.renamed.items()}


def _of_class(cls: type[HostNode] | type[ExpanderNode], title: str) -> Definition:
    """What the editor is told about a class of the host."""
    facts = {name: getattr(cls, name) for name in _FACTS}
    groups = {group: dict(entries) for group, entries in cls.INPUT_TYPES().items() if group != "hidden"}
    types, names = list(facts["RETURN_TYPES"]), list(facts["RETURN_NAMES"])
    order = {group: list(entries) for group, entries in groups.items()}
    plain: Definition = json.loads(json.dumps({"input": groups, "order": order, "types": types, "names": names}))
    return {
        "input": plain["input"],
        "input_order": plain["order"],
        "is_input_list": False,
        "output": plain["types"],
        "output_is_list": [False] * len(types),
        "output_name": plain["names"],
        "output_tooltips": list(facts["OUTPUT_TOOLTIPS"]),
        "name": cls.__name__,
        "display_name": title,
        "description": facts["DESCRIPTION"],
        "python_module": "custom_nodes.inlay",
        "category": facts["CATEGORY"],
        "output_node": bool(facts["OUTPUT_NODE"]),
        "search_aliases": list(getattr(cls, "SEARCH_ALIASES", ())),
    }


def with_pictures(spec: NodeSpec, definition: Definition, names: tuple[str, ...]) -> Definition:
    """A definition whose settings that name pictures let the user choose, or send one; a text connects to them too."""
    first = next(iter(spec.outputs.values()), None)
    chosen = [
        setting
        for setting in settings_of(spec)
        if setting.path in ("file", "files") and first is not None and first.socket in ("IMAGE", "MASK")
    ]
    if not chosen:
        return definition
    made = json.loads(json.dumps(definition))
    for setting in chosen:
        group = made["input"]["required" if setting.required else "optional"]
        folders = [name for name in sample_pictures(folders=True) if name not in names]
        listed = [*names, *(folders if setting.path == "files" else ())]
        more = {"tooltip": group[setting.name][1].get("tooltip", ""), "image_upload": True, "takes_text": True}
        group[setting.name] = [listed, more]
    return dict(made)


def pictures(settings: Settings) -> tuple[str, ...]:
    """The names of pictures that a node can be given: sent ones, those in `--inputs`, samples."""
    sent = [name for root in (settings.pictures, settings.inputs) if root is not None for name in _names(root)]
    samples = sample_pictures(folders=False)
    plain = [name.removeprefix(f"{FOLDER}/") for name in samples]  # as workflows beside them have them
    return tuple(dict.fromkeys([*sent, *samples, *plain]))[:_MOST]


def _names(folder: Path) -> list[str]:
    try:
        return sorted(
            entry.name
            for entry in os.scandir(folder)
            if os.path.splitext(entry.name)[1].lower() in PACK.picture_suffixes and entry.is_file()
        )
    except OSError:
        return []
