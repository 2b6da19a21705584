"""What can be wrong with a node by itself: its type, its version, its settings, and the files it names."""

import re
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from .context import safe_prefix
from .errors import BadInput, shorten
from .findings import Findings
from .migrations import migrate_node
from .paths import Reader
from .spec import NodeSpec, PathRole, Registry
from .workflow import NAME, Node, Workflow

Override = tuple[str, str]  # (node, parameter)


class NodeChecks:
    """Looks at each node of a workflow; what it learns of them stays in its attributes.

    Attributes:
        specs: types of the known nodes.
        settings: validated settings, paths resolved.
        digests: per node, of the files it reads; None when one of them will only exist during the run.
        files: what is read: name, digest, path.
    """

    def __init__(
        self,
        found: Findings,
        workflow: Workflow,
        registry: Registry,
        roots: list[Path],
        out: Path | None,
        trusted: dict[Override, Any],
    ):
        self.found, self.workflow, self.registry, self.trusted = found, workflow, registry, trusted
        self.reader = Reader(roots, out)
        self.specs: dict[str, NodeSpec] = {}
        self.settings: dict[str, dict[str, Any]] = {}
        self.digests: dict[str, list[str] | None] = {}
        self.files: dict[Override, dict[str, str]] = {}

    def look(self, name: str, entry: Node) -> None:
        """Check one node, bringing its entry to the version that is installed."""
        if not NAME.fullmatch(name):
            self.found.add(None, "nodes", f"a node called {shorten(name)}", "letters, digits and _", "rename the node")
        spec = self.registry.get(entry.type)
        if spec is None:
            self._unknown(name, entry.type)
            return
        self.specs[name] = spec
        if entry.version > spec.version:
            self.found.add(
                name,
                "version",
                f"version {entry.version} of {spec.id}",
                f"version {spec.version} or older",
                "this file was made by a newer inlay: update inlay",
            )
        migrate_node(self.workflow, name, entry, spec)
        if entry.version < spec.version:
            self.found.add(
                name,
                "version",
                f"version {entry.version} of {spec.id}",
                f"version {spec.version}",
                f"this node changed and has no migration: see `inlay nodes {spec.id}`",
            )
        self._settings(name, spec, entry.params)

    def _unknown(self, name: str, kind: str) -> None:
        if package := self.workflow.packages.get(kind):
            distribution = package.split()[0]
            self.found.add(
                name,
                None,
                f"the node type {shorten(kind)} of the package {shorten(package)}, which is not installed here",
                "the packages that this workflow was made with",
                f"pip install {shorten(package.replace(' ', '==')).strip(chr(39))}"
                if re.fullmatch(r"[\w.-]+", distribution)
                else "install the package that brings it",
            )
            return
        self.found.add(
            name,
            None,
            f"an unknown node type {shorten(kind)}",
            "a type from `inlay nodes`",
            self.found.suggest(kind, self.registry) + " Or install the package that brings this node.",
        )

    def _settings(self, name: str, spec: NodeSpec, params: dict[str, Any]) -> None:
        try:
            model = spec.params.model_validate(params, strict=True)
        except ValidationError as error:
            for item in error.errors():
                self._setting_problem(name, spec, item)
            return
        settings = {key: getattr(model, key) for key in spec.params.model_fields}
        digests: list[str] | None = []
        for parameter, role in spec.path_roles.items():
            if isinstance(value := settings[parameter], (str, list)):
                settings[parameter], found = self._path(name, parameter, value, role)
                digests = None if found is None or digests is None else [*digests, found]
        if spec.effects and isinstance(prefix := settings.get("prefix"), str) and not safe_prefix(prefix):
            self.found.add(
                name,
                "prefix",
                shorten(prefix),
                "a name below the output folder",
                "use a plain name such as 'image' or 'tests/image'",
            )
        self.settings[name], self.digests[name] = settings, digests

    def _setting_problem(self, name: str, spec: NodeSpec, item: Any) -> None:
        setting = str(item["loc"][0]) if item["loc"] else None
        if item["type"] == "extra_forbidden":
            wire = setting in spec.sockets
            self.found.add(
                name,
                setting,
                f"an unknown setting {shorten(setting)}",
                f"a setting of {spec.id}",
                'this is a socket: wire it under "inputs"'
                if wire
                else self.found.suggest(setting or "", spec.params.model_fields),
            )
        elif item["type"] == "missing":
            self.found.add(
                name,
                setting,
                "nothing",
                f"a value for {setting!r}",
                f'add "{setting}" to the node\'s params' + self._exposed_hint(name, setting),
            )
        else:
            self.found.add(
                name,
                setting,
                shorten(item["input"]),
                item["msg"].removeprefix("Input should be ").lower(),
                f"change {setting!r} (see `inlay nodes {spec.id}`)" + self._exposed_hint(name, setting),
            )

    def _exposed_hint(self, node: str, setting: str | None) -> str:
        for name in self.workflow.inputs:
            if f"{node}.{setting}" in self.workflow.targets(name):
                return f"; set it with --{name}"
        return ""

    def _path(self, node: str, parameter: str, value: Any, role: PathRole) -> tuple[Any, str | None]:
        """The path (or list of them) to open and the digest of what is there (None: it is written during the run)."""
        if isinstance(value, list):
            looked = [self._path(node, parameter, item, role) for item in value]
            self.files.pop((node, parameter), None)  # a record names one file for each setting
            seen = [found for _, found in looked if found is not None]
            return [path for path, _ in looked], f"list:{' '.join(seen)}" if len(seen) == len(value) else None
        try:
            path, found = self.reader.look(value, role, trusted=(node, parameter) in self.trusted)
        except BadInput as error:
            fix = error.fix + self._exposed_hint(node, parameter)
            self.found.add(node, parameter, error.found, error.expected, fix)
            return value, ""
        if path is None:
            return value, ""
        if found is not None:
            size = str(path.stat().st_size) if path.is_file() else ""
            self.files[node, parameter] = {
                "name": path.name,
                "digest": found,
                "path": str(path),
                "kind": role.kind,
                "size": size,
            }
        return str(path), found
