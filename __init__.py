"""inlay: exact image inpainting and editing, as typed nodes on a small graph runtime.

What the mask does not cover does not change by one bit. `import inlay` is light: everything is looked up when it is
first used, so neither torch nor a model is touched by the import alone.

    import inlay
    result = inlay.run("zero_shot_inpaint", image="room.png", mask="hole.png", seed=7, out="out")
    result["image"]

The folder is also a node pack: ComfyUI finds `NODE_CLASS_MAPPINGS` here when it lies in `custom_nodes/`.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

WEB_DIRECTORY = "./web"  # help pages, one for each node

#: public name -> (module, attribute), imported when first used
_LAZY: dict[str, tuple[str, str]] = {
    "run": (".graph_runtime.api", "run"),
    "check": (".graph_runtime.api", "check"),
    "Workflow": (".graph_runtime.workflow", "Workflow"),
    "Result": (".graph_runtime.api", "Result"),
    "Problem": (".graph_runtime.errors", "Problem"),
    "InlayError": (".graph_runtime.errors", "InlayError"),
    "WorkflowError": (".graph_runtime.errors", "WorkflowError"),
    "NodeError": (".graph_runtime.errors", "NodeError"),
    "Cancelled": (".graph_runtime.errors", "Cancelled"),
    "NODE_CLASS_MAPPINGS": (".graph_runtime.comfy", "NODE_CLASS_MAPPINGS"),
    "NODE_DISPLAY_NAME_MAPPINGS": (".graph_runtime.comfy", "NODE_DISPLAY_NAME_MAPPINGS"),
}

__all__ = ["WEB_DIRECTORY", "__version__", *_LAZY]


def __getattr__(name: str) -> Any:
    """Import what `name` stands for (PEP 562)."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _LAZY[name]
    value = getattr(import_module(module, __name__), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, also those that are not imported yet."""
    return sorted({*globals(), *_LAZY})
