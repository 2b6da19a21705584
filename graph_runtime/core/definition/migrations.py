"""Migrate nodes of older files one version at a time; a migration is a function of params and inputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..spec import NodeSpec
    from ..workflow import Node, Workflow

Values = dict[str, Any]  # Any: whatever JSON a file holds
Migration = Callable[[Values, Values], tuple[Values, Values]]


@dataclass(frozen=True)
class Renamed:
    """A migration that renames settings, each `old: new`. A value under the new name is newer, and wins."""

    names: Mapping[str, str]

    def __call__(self, params: Values, inputs: Values) -> tuple[Values, Values]:
        """The params under their new names; inputs as they are."""
        renamed = {self.names.get(name, name): value for name, value in params.items()}
        return renamed | {name: params[name] for name in self.names.values() if name in params}, inputs


def current_name(spec: "NodeSpec | None", setting: str) -> str:
    """The current name of a setting, from any name that it ever had."""
    if spec is not None and setting not in spec.params.model_fields:
        for _, migration in sorted(spec.migrations.items()):
            if isinstance(migration, Renamed):
                setting = migration.names.get(setting, setting)
    return setting


def migrate_node(workflow: "Workflow", name: str, entry: "Node", spec: "NodeSpec") -> None:
    """Migrate one node, and the workflow inputs that set it, to the installed version, or as far as possible."""
    if entry.version < spec.version and (names := _migrated(name, entry, spec)):
        _rename_targets(workflow, names)


def _migrated(name: str, entry: "Node", spec: "NodeSpec") -> dict[str, str]:
    """Migrate one node; returns the targets that were renamed, `node.old: node.new`.

    A migration that fails, because a value is not of the kind that it was written for, leaves the node as it is.
    """
    params, inputs = dict(entry.params), dict(entry.inputs)
    renamed: dict[str, str] = {}
    while entry.version < spec.version and (migration := spec.migrations.get(entry.version)) is not None:
        try:
            params, inputs = migration(dict(params), dict(inputs))
        except Exception:  # noqa: BLE001 - the check names the node, with its version
            break
        entry.version += 1
        if isinstance(migration, Renamed):
            now = {f"{name}.{old}": f"{name}.{new}" for old, new in migration.names.items()}
            renamed = {old: now.get(new, new) for old, new in renamed.items()} | now
    entry.params, entry.inputs = params, inputs
    return renamed


def _rename_targets(workflow: "Workflow", names: Mapping[str, str]) -> None:
    for key, target in workflow.inputs.items():
        renamed = [names.get(one, one) for one in ([target] if isinstance(target, str) else target)]
        workflow.inputs[key] = renamed[0] if isinstance(target, str) else renamed


def migrate(
    workflow: "Workflow", registry: Mapping[str, "NodeSpec"], renamed: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Migrate every node of a known type to the installed version, or until a migration is missing.

    Args:
        workflow: is changed.
        registry: the installed nodes.
        renamed: former id of a node → its id.
    """
    names: dict[str, str] = {}
    for name, entry in workflow.nodes.items():
        if entry.type not in registry:
            entry.type = renamed.get(entry.type, entry.type)
        spec = registry.get(entry.type)
        if spec is not None and entry.version < spec.version:
            names |= _migrated(name, entry, spec)
    if names:
        _rename_targets(workflow, names)
