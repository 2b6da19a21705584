"""Installed nodes, of inlay and other packages, and the shipped workflows."""

from functools import cache
from pathlib import Path

from ..core.errors import WorkflowError, missing_package
from ..core.spec import Registry


@cache
def installed_nodes() -> Registry:
    """The nodes that ship with inlay, and those of installed packages with an `inlay.nodes` entry point."""
    from importlib import metadata

    from ...nodes import load_pack

    try:
        registry = load_pack()
    except ImportError as error:
        if (missing := missing_package(error)) is None:
            raise
        raise WorkflowError.of(None, found=missing[0], expected=missing[1], fix=missing[2]) from error
    for entry in metadata.entry_points(group="inlay.nodes"):
        try:
            registry.add_module(entry.load())
        except Exception as error:
            raise WorkflowError.of(
                None,
                found=f"the node package {entry.value!r} ({entry.name}) is broken: {type(error).__name__}: {error}",
                expected="a package of nodes that imports",
                fix="update or uninstall it",
            ) from error
    return registry


def shipped_workflows() -> dict[str, Path]:
    """The workflows that come with inlay, by bare name."""
    folder = Path(__file__).resolve().parents[2] / "workflows"
    return {path.stem: path for path in sorted(folder.glob("*.json"))}
