"""The host's newer API (V3): its schema of a node, its extension of a pack, and its replacements of renamed nodes."""

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Protocol

from .modules import host_module

Widget = tuple[str | list[str], Mapping[str, object]]  # the type, or the choices; and the options
SWITCH = "INLAY_COMFY_SCHEMA"  # `v3` gives the host that schema in place of the older one
_NAMES = {"INT": "Int", "FLOAT": "Float", "STRING": "String", "BOOLEAN": "Boolean"}
_OPTIONS = {  # of a widget: the older API's name → the newer one's
    "default": "default",
    "min": "min",
    "max": "max",
    "step": "step",
    "round": "round",
    "multiline": "multiline",
    "control_after_generate": "control_after_generate",
    "forceInput": "force_input",
}


class OlderClass(Protocol):
    """A class of the older API, as far as the newer needs it."""

    CATEGORY: str
    DESCRIPTION: str
    SEARCH_ALIASES: Sequence[str]
    OUTPUT_NODE: bool
    RETURN_TYPES: Sequence[str]
    RETURN_NAMES: Sequence[str]
    OUTPUT_TOOLTIPS: Sequence[str]

    @classmethod
    def INPUT_TYPES(cls) -> Mapping[str, Mapping[str, Widget]]:
        """Sockets and widgets by group."""

    def execute(self, **inputs: object) -> object:
        """Run the node."""


def _io() -> ModuleType | None:
    found = getattr(host_module("comfy_api.latest"), "io", None)
    return found if isinstance(found, ModuleType) else None


def newer_class(older: type[OlderClass], title: str) -> type:
    """A class of the newer API around one of the older: the same inputs, outputs and values.

    Raises:
        RuntimeError: this host has no such API.
    """
    io = _io()
    if io is None:
        raise RuntimeError(f"this ComfyUI has no newer API: unset {SWITCH}")
    hidden = older.INPUT_TYPES().get("hidden", {})

    def define_schema(cls: type) -> object:
        groups = older.INPUT_TYPES()
        return io.Schema(
            node_id=older.__name__,
            display_name=title,
            category=older.CATEGORY,
            description=older.DESCRIPTION,
            search_aliases=list(older.SEARCH_ALIASES),
            is_output_node=bool(older.OUTPUT_NODE),
            inputs=[
                _input(io, name, entry, optional=group == "optional")
                for group in ("required", "optional")
                for name, entry in groups.get(group, {}).items()
            ],
            outputs=[
                io.Custom(kind).Output(display_name=name, tooltip=tip)  # no id: it may not be that of an input
                for kind, name, tip in zip(older.RETURN_TYPES, older.RETURN_NAMES, older.OUTPUT_TOOLTIPS, strict=True)
            ],
            hidden=[getattr(io.Hidden, str(kind).lower()) for kind in hidden.values()],
        )

    def execute(cls: type, /, **inputs: object) -> object:
        held = getattr(cls, "hidden", None)
        asked = {name: getattr(held, str(kind).lower()) for name, kind in hidden.items()}
        return older().execute(**inputs, **asked)

    attributes: dict[str, object] = {
        "define_schema": classmethod(define_schema),
        "execute": classmethod(execute),
        "__doc__": older.__doc__,
        "__module__": older.__module__,
    }
    for old, new in (("IS_CHANGED", "fingerprint_inputs"), ("VALIDATE_INPUTS", "validate_inputs")):
        if hasattr(older, old):
            attributes[new] = classmethod(getattr(older, old).__func__)
    return type(older.__name__, (io.ComfyNode,), attributes)


def _input(io: ModuleType, name: str, entry: Widget, *, optional: bool) -> object:
    kind, options = entry[0], dict(entry[1])
    common = {"optional": optional, "tooltip": options.pop("tooltip", None) or None}
    if isinstance(kind, list):
        default = options.pop("default", None)
        return io.Combo.Input(name, options=kind, default=default, extra_dict=options, **common)
    if kind not in _NAMES:
        return io.Custom(kind).Input(name, **common, extra_dict=options)
    known = {_OPTIONS[key]: options.pop(key) for key in list(options) if key in _OPTIONS}
    if known.get("round") is False:  # that it rounds nothing is said beside: it takes numbers alone
        options["round"] = known.pop("round")
    return getattr(io, _NAMES[kind]).Input(name, **common, **known, extra_dict=options)


def extension(classes: Callable[[], list[type]]) -> object:
    """What the host's loader takes from `comfy_entrypoint`.

    Raises:
        RuntimeError: this host has no such API.
    """
    base = getattr(host_module("comfy_api.latest"), "ComfyExtension", None)
    if base is None:
        raise RuntimeError(f"this ComfyUI has no newer API: unset {SWITCH}")

    async def get_node_list(self: object) -> list[type]:
        return classes()

    return type("Inlay", (base,), {"get_node_list": get_node_list})()


def register_renamed(renamed: Mapping[str, str], classes: Mapping[str, type[OlderClass]]) -> int:
    """Tell the host which class took the place of which, so that older graphs run; how many were told.

    Hosts before 0.14 do not replace nodes. The host takes over what is mapped alone, and fails on what a graph lacks:
    the required inputs are.

    Args:
        renamed: former name of a class → its name.
        classes: by name.
    """
    server = getattr(getattr(host_module("server"), "PromptServer", None), "instance", None)
    manager, replace = getattr(server, "node_replace_manager", None), getattr(_io(), "NodeReplace", None)
    if manager is None or replace is None:
        return 0
    for old, new in renamed.items():
        required = [{"new_id": name, "old_id": name} for name in classes[new].INPUT_TYPES().get("required", {})]
        manager.register(replace(new_node_id=new, old_node_id=old, input_mapping=required))
    return len(renamed)
