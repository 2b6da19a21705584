"""The nodes: a family is a file or a folder, named as its ids begin. `ports.py` has the types of sockets."""

import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..graph_runtime.core.spec import Registry

INDEX = Path(__file__).with_name("index.jsonl")  # made by `make docs`


def node_files() -> list[Path]:
    """The files that nodes are defined in."""
    folder = Path(__file__).parent
    names = [name.split(".") for _, name in _modules(folder) if not name.startswith("checks.")]
    return [folder.joinpath(*name).with_suffix(".py") for name in names]


def load_pack() -> "Registry":
    """Import every family beside this file and collect its nodes.

    Raises:
        ImportError: a family file is broken; the message names it.
        ValueError: a node's id does not begin with the name of its file (`noise.py`, `model_lora.py`) or folder
            (`mask/detect.py`), or two share an id.
    """
    from ..graph_runtime.core.spec import Registry

    registry = Registry()
    for family, module_name in _modules(Path(__file__).parent):
        try:
            module = importlib.import_module(f".{module_name}", __package__)
        except Exception as error:
            name = module_name.replace(".", "/")
            raise ImportError(f"inlay: node file {name}.py is broken: {type(error).__name__}: {error}") from error
        before = set(registry)
        registry.add_module(module)
        for node_id in set(registry) - before:
            if node_id.split(".")[0] != family:
                raise ValueError(
                    f"node {node_id!r} is defined in {module_name.replace('.', '/')}.py: it belongs in "
                    f"{node_id.replace('.', '/')}.py or {node_id.replace('.', '_')}.py"
                )
    return registry


def _modules(folder: Path) -> Iterator[tuple[str, str]]:
    """The family and the dotted name of each file beside this one and in the folders of families."""
    for path in sorted(folder.glob("[a-z]*")):
        if path.suffix == ".py":
            yield path.stem.partition("_")[0], path.stem
        else:
            for inner in sorted(path.glob("[a-z]*.py")):
                yield path.name, f"{path.name}.{inner.stem}"
