"""Widgets under the names that they had before: older graphs still hold them, and the host passes on what it knows."""

from collections.abc import Mapping
from typing import TypeVar

from ...core.definition.migrations import Renamed, current_name
from ...core.spec import NodeSpec

V = TypeVar("V")


def former_names(spec: NodeSpec) -> dict[str, str]:
    """Former name of a setting → its name."""
    found = [name for step in spec.migrations.values() if isinstance(step, Renamed) for name in step.names]
    return {name: current_name(spec, name) for name in found if name not in spec.params.model_fields}


class WithFormer(dict[str, V]):
    """Inputs by name; those under a former name are in it too, though nothing lists them.

    Args:
        inputs: by name.
        former: former name → name.
    """

    def __init__(self, inputs: Mapping[str, V], former: Mapping[str, str]) -> None:
        super().__init__(inputs)
        self._former = former

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (
            isinstance(name, str) and super().__contains__(self._former.get(name, ""))
        )

    def __missing__(self, name: str) -> V:
        if name not in self._former:
            raise KeyError(name)
        return self[self._former[name]]


def by_current_name(spec: NodeSpec, inputs: Mapping[str, object]) -> dict[str, object]:
    """Inputs under their names of today; of two for one setting, that under its own name counts."""
    former = former_names(spec)
    return {former.get(name, name): value for name, value in inputs.items() if former.get(name, name) not in inputs} | {
        name: value for name, value in inputs.items() if name not in former
    }
