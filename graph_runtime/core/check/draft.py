"""The state of a check: the workflow, what it is checked against, and the findings so far."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from ..memory.descriptions import AnyDescription
from ..reading.reader import Reader
from ..spec import NodeSpec, Registry
from ..workflow import Link, Override, Workflow
from .findings import Findings

_GIVERS = 40  # outputs of a type that a fix chooses from


@dataclass
class Draft:
    """The state that all checks share.

    Attributes:
        workflow: what is checked; its nodes are brought to the installed versions.
        registry: the node types.
        reader: decides which files may be read.
        trusted: path parameters that the user typed, which may point anywhere.
        found: problems and warnings.
        specs: types of the nodes whose type is known.
        settings: validated settings, paths resolved.
        digests: for each node, those of the files it reads; None if one of them will only exist during the run.
        files: what is read: name, digest, path, kind, size.
        links: the valid links of each node whose type is known.
        targets: (node, output) of each valid output of the workflow.
        beside: for each node, the models that the values at its sockets ask for.
        seen: for each node, what is known before the run of its inputs and of its outputs.
        paths: how many files the settings have named so far.
    """

    workflow: Workflow
    registry: Registry
    reader: Reader
    trusted: Collection[Override]
    found: Findings = field(default_factory=Findings)
    specs: dict[str, NodeSpec] = field(default_factory=dict)
    settings: dict[str, dict[str, object]] = field(default_factory=dict)
    digests: dict[str, list[str] | None] = field(default_factory=dict)
    files: dict[Override, dict[str, str]] = field(default_factory=dict)
    links: dict[str, list[Link]] = field(default_factory=dict)
    targets: dict[str, tuple[str, str]] = field(default_factory=dict)
    beside: dict[str, tuple[AnyDescription, ...]] = field(default_factory=dict)
    paths: int = 0
    seen: dict[str, tuple[Mapping[str, object], Mapping[str, object]]] = field(default_factory=dict)

    def flag_hint(self, node: str, setting: str | None) -> str:
        """The flag that sets a setting, as the end of a fix; empty if no workflow input sets it."""
        name = self._flags.get(f"{node}.{setting}")
        return "" if name is None else f"; set it with --{name}"

    @cached_property
    def _flags(self) -> dict[str, str]:
        """The first input that sets each setting."""
        workflow = self.workflow
        return {target: name for name in reversed(workflow.inputs) for target in workflow.targets(name)}

    @cached_property
    def givers(self) -> dict[str, list[tuple[str, str]]]:
        """For each socket type, the first (node, output) of this workflow; complete once the types are known."""
        found: dict[str, list[tuple[str, str]]] = {}
        for name, spec in self.specs.items():
            for output, port in spec.outputs.items():
                known = found.setdefault(port.socket, [])
                if len(known) < _GIVERS:
                    known.append((name, output))
        return found
