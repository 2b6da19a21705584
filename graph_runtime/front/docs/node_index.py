"""The index of node definitions, and which source files it is made from."""

import ast
import importlib
from collections.abc import Iterator
from pathlib import Path

from ....nodes import node_files
from ...core.definition.index import index_text
from ...core.definition.node_settings import NodeSettings
from ...core.spec import Registry

_PACKAGE = __package__.rsplit(".", 3)[0]
_ROOT = Path(__file__).resolve().parents[3]


def node_index(registry: Registry) -> str:
    """The text of the index.

    Args:
        registry: the nodes of the pack, from their code.

    Raises:
        ValueError: a definition has something that an index cannot hold.
    """
    files = {path.resolve() for path in node_files()}
    behind = {file for path in sorted(files) for file in _values_behind(path)}
    sources = {path.relative_to(_ROOT).as_posix(): path for path in files | behind}
    return index_text(registry, _PACKAGE, sources)


def _values_behind(path: Path) -> Iterator[Path]:
    """The files that give the types, settings and constants in the signatures of a file's nodes, such as `Literal`s."""
    seen: set[tuple[Path, str]] = set()
    for statement in _tree(path).body:
        if isinstance(statement, ast.FunctionDef) and statement.decorator_list:
            for part in (statement.args, *([statement.returns] if statement.returns else [])):
                for name in _names(part):
                    yield from _behind(path, name, seen)


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def _names(part: ast.AST) -> Iterator[str]:
    return (node.id for node in ast.walk(part) if isinstance(node, ast.Name))


def _behind(path: Path, name: str, seen: set[tuple[Path, str]]) -> Iterator[Path]:
    """The file in which a name of a module gets its value, and those behind that value."""
    if (path, name) in seen:
        return
    seen.add((path, name))
    for statement in _tree(path).body:
        if isinstance(statement, ast.ImportFrom) and statement.level:
            for alias in statement.names:
                if (alias.asname or alias.name) == name and (source := _imported(path, statement, alias.name)):
                    yield from _behind(source, alias.name, seen)
        elif name in _bound(statement) and _matters(path, name):
            yield path
            for other in _names(statement):
                yield from _behind(path, other, seen)


def _bound(statement: ast.stmt) -> set[str]:
    """Names that an assignment or a class statement gives a value."""
    if isinstance(statement, ast.ClassDef):
        return {statement.name}
    if not isinstance(statement, ast.Assign | ast.AnnAssign):
        return set()
    targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
    return {target.id for target in targets if isinstance(target, ast.Name)}


def _imported(path: Path, statement: ast.ImportFrom, name: str) -> Path | None:
    """The file that `from … import name` reads; None for a package's own names."""
    folder = path.parents[statement.level - 1]
    base = folder.joinpath(*(statement.module or "").split("."))
    return next((file for file in (base.with_suffix(".py"), base / f"{name}.py") if file.is_file()), None)


def _matters(path: Path, name: str) -> bool:
    """False for a class that is known by its name alone; the fields of settings are part of a definition."""
    module = ".".join((_PACKAGE, *path.relative_to(_ROOT).with_suffix("").parts))
    value = getattr(importlib.import_module(module), name, None)
    return not isinstance(value, type) or issubclass(value, NodeSettings)
