"""The nodes: one family per file, whose name is the prefix of their ids. `ports.py` holds the types of sockets."""

import importlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..graph_runtime.core.spec import Registry


def load_pack() -> "Registry":
    """Import every family beside this file and collect its nodes.

    Raises:
        ImportError: a family file is broken; the message names it.
        ValueError: a node's id does not begin with its file's name (`mask.py`, `mask_detect.py`), or two share an id.
    """
    from ..graph_runtime.core.spec import Registry

    registry = Registry()
    for path in sorted(Path(__file__).parent.glob("[a-z]*.py")):
        try:
            module = importlib.import_module(f".{path.stem}", __package__)
        except Exception as error:
            raise ImportError(f"inlay: node file {path.name} is broken: {type(error).__name__}: {error}") from error
        before = set(registry)
        registry.add_module(module)
        for node_id in set(registry) - before:
            if node_id.split(".")[0] != path.stem.partition("_")[0]:
                raise ValueError(
                    f"node {node_id!r} is defined in {path.name}: it belongs in {node_id.split('.')[0]}.py, "
                    f"or {node_id.replace('.', '_')}.py"
                )
    return registry
