"""A workflow while it is checked: what it is checked against, and what the checks have found out so far."""

from collections.abc import Collection
from dataclasses import dataclass, field

from ..paths import Reader
from ..spec import NodeSpec, Registry
from ..workflow import Link, Override, Workflow
from .findings import Findings


@dataclass
class Draft:
    """What the checks share.

    Attributes:
        workflow: what is checked; its nodes are brought to the installed versions.
        registry: the node types.
        reader: decides which files may be read.
        trusted: path parameters that the user typed, which may point anywhere.
        found: problems and warnings.
        specs: types of the nodes whose type is known.
        settings: validated settings, paths resolved.
        digests: per node, of the files it reads; None when one of them will only exist during the run.
        files: what is read: name, digest, path, kind, size.
        links: per node whose type is known, its links without a problem.
        targets: per output of the workflow without a problem, (node, output).
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

    def flag_hint(self, node: str, setting: str | None) -> str:
        """How to set a setting from outside, as the end of a fix; empty where no workflow input sets it."""
        for name in self.workflow.inputs:
            if f"{node}.{setting}" in self.workflow.targets(name):
                return f"; set it with --{name}"
        return ""
