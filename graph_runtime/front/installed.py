"""Installed nodes, of inlay and other packages, and the shipped workflows."""

from functools import cache
from pathlib import Path

from ..core.definition.index import read_index
from ..core.errors import WorkflowError, missing_package
from ..core.spec import Registry

_ROOT = Path(__file__).resolve().parents[2]
SAMPLE_SUFFIXES = (".csv", ".jpg", ".png", ".safetensors")


@cache
def installed_nodes() -> Registry:
    """The nodes that ship with inlay, and those of installed packages with an `inlay.nodes` entry point."""
    from importlib import metadata

    try:
        registry = pack()
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


def pack() -> Registry:
    """The nodes that ship with inlay, as the index has them: their code is imported when it is needed.

    Where the index is missing, or older than a declaration in the code, the nodes come from the code.

    Raises:
        ImportError: a node file is broken.
        ValueError: see `load_pack`.
    """
    from ...nodes import INDEX, load_pack, node_files

    declared = [path.resolve().relative_to(_ROOT).as_posix() for path in node_files()]
    indexed = read_index(INDEX, __package__.rsplit(".", 2)[0], _ROOT.joinpath, declared)
    return load_pack() if indexed is None else indexed


def shipped_workflows() -> dict[str, Path]:
    """The workflows that come with inlay, by bare name.

    They lie in one folder a task, `workflows/TASK/NAME.json`: a host that takes all of `workflows/*.json` for graphs of
    its own editor does not see them.
    """
    return {path.stem: path for path in sorted((_ROOT / "workflows").glob("*/*.json"), key=lambda path: path.name)}


def shipped_samples() -> dict[str, Path]:
    """The pictures and other files that the shipped workflows read, by their path from the workflow."""
    found = {}
    for folder in {path.parent for path in shipped_workflows().values()}:
        for path in folder.rglob("*"):
            if path.suffix in SAMPLE_SUFFIXES and path.is_file():
                found[path.relative_to(folder).as_posix()] = path
    return dict(sorted(found.items()))
