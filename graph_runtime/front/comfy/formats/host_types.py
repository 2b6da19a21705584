"""Which node of ours a node of the host is, and in which order an editor keeps its widgets.

Ours follow from their definitions. Of the host's own nodes the table has those whose work a node of ours does, and the
primitives, which are folded into what reads them.
"""

from collections.abc import Mapping
from functools import cache

from .....nodes.pack import PACK
from ....core.definition.migrations import current_name
from ....core.pack import CONTROL, UPLOAD, HostType
from ....core.spec import NodeSpec
from ..input_types import input_types, model_settings, typed_name
from ..node_names import display_name, host_id


def types_of(registry: Mapping[str, NodeSpec]) -> Mapping[str, HostType]:
    """Every type that can be converted, by the host's name of it."""
    ours = {host_id(name): _ours(spec) for name, spec in registry.items()}
    former = {host_id(old): ours[host_id(new)] for old, new in PACK.renamed.items() if host_id(new) in ours}
    return {**former, **ours, **PACK.host_types}


@cache
def _ours(spec: NodeSpec) -> HostType:
    groups = input_types(spec)
    widgets: list[str] = []
    upload = next(iter(spec.outputs.values()), None)
    for group, entries in groups.items():
        shows_files = False
        for name, (_, options) in entries.items():
            if name in spec.sockets:
                continue
            widgets.append(name)
            if options.get("control_after_generate"):
                widgets.append(CONTROL)
            role = spec.path_roles.get(name)
            shows_files |= role is not None and role.kind != "model"
        if group == "required" and shows_files and upload is not None and upload.socket in ("IMAGE", "MASK"):
            widgets.append(UPLOAD)
    return HostType(
        spec.id,
        tuple(widgets),
        {name: name for name in spec.sockets},
        {name: name for name in spec.params.model_fields},
        tuple(spec.outputs),
        titles=frozenset({display_name(spec.id)}),
        spec=spec,
    )


def socket_of_setting(spec: NodeSpec, name: str) -> str | None:
    """The socket that a computed text goes to where the host connects it to this widget."""
    return "text" if name == "prompt" and "text" in spec.sockets else None


def setting_of_socket(spec: NodeSpec, name: str) -> str | None:
    """The setting that a constant goes to where the host connects it to this socket."""
    return "prompt" if name == "text" and "prompt" in spec.params.model_fields else None


def saved_widgets(kind: HostType) -> tuple[str, ...]:
    """The widgets in the order in which the host's editor saves them: texts beside lists of models come last."""
    return kind.widgets if kind.spec is None else (*kind.widgets, *map(typed_name, model_settings(kind.spec)))


def setting_name(kind: HostType, name: str) -> str | None:
    """Our setting for a widget of the host, whatever it was called when the file was written."""
    if name in kind.settings:
        return kind.settings[name]
    if kind.spec is not None and (typed := [one for one in model_settings(kind.spec) if name == typed_name(one)]):
        return typed[0]
    if kind.spec is not None and (now := current_name(kind.spec, name)) in kind.settings:
        return kind.settings[now]
    return None
