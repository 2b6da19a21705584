"""inlay: exact image inpainting and editing, as typed nodes on a small graph runtime.

What the mask does not cover does not change by one bit. `import inlay` is light: names are imported when first used,
so the import alone loads neither torch nor a model.

    import inlay
    inlay.inpaint("photo.jpg", "hole.png").save("filled.png")  # paths, Pillow pictures, arrays, tensors
    result = inlay.run("zero_shot_inpaint", image="room.png", mask="room-mask.png", seed=7, out="out")
    result["image"]

The folder is also a node pack: ComfyUI finds `NODE_CLASS_MAPPINGS` here when it lies in `custom_nodes/`.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers; `__getattr__` imports them
    from .graph_runtime.core.errors import Cancelled as Cancelled
    from .graph_runtime.core.errors import InlayError as InlayError
    from .graph_runtime.core.errors import NodeError as NodeError
    from .graph_runtime.core.errors import Problem as Problem
    from .graph_runtime.core.errors import WorkflowError as WorkflowError
    from .graph_runtime.core.events import CancelToken as CancelToken
    from .graph_runtime.core.workflow import Workflow as Workflow
    from .graph_runtime.front.python.api import check as check
    from .graph_runtime.front.python.api import run as run
    from .graph_runtime.front.python.inpaint import inpaint as inpaint
    from .graph_runtime.front.python.result import Result as Result
    from .graph_runtime.front.python.warn import InlayWarning as InlayWarning
    from .graph_runtime.front.sweep.api import sweep as sweep

__version__ = "0.1.0"

WEB_DIRECTORY = "./web"  # help pages, one for each node

#: public name -> (module, attribute), imported when first used
_LAZY: dict[str, tuple[str, str]] = {
    "run": (".graph_runtime.front.python.api", "run"),
    "check": (".graph_runtime.front.python.api", "check"),
    "inpaint": (".graph_runtime.front.python.inpaint", "inpaint"),
    "sweep": (".graph_runtime.front.sweep.api", "sweep"),
    "Workflow": (".graph_runtime.core.workflow", "Workflow"),
    "Result": (".graph_runtime.front.python.result", "Result"),
    "InlayWarning": (".graph_runtime.front.python.warn", "InlayWarning"),
    "Problem": (".graph_runtime.core.errors", "Problem"),
    "InlayError": (".graph_runtime.core.errors", "InlayError"),
    "WorkflowError": (".graph_runtime.core.errors", "WorkflowError"),
    "NodeError": (".graph_runtime.core.errors", "NodeError"),
    "Cancelled": (".graph_runtime.core.errors", "Cancelled"),
    "CancelToken": (".graph_runtime.core.events", "CancelToken"),
}

#: what ComfyUI asks for; it takes the newer API (V3) only from a pack that has nothing of the older
_FOR_THE_HOST: dict[str, tuple[str, str]] = {
    name: (".graph_runtime.front.comfy.pack_classes", name)
    for name in (
        ("comfy_entrypoint",)
        if os.environ.get("INLAY_COMFY_SCHEMA", "").strip().lower() == "v3"
        else ("NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS")
    )
}

#: every package inside, outermost first
ROOMS = (
    "graph_runtime",
    "graph_runtime.core",
    "graph_runtime.core.bounded",
    "graph_runtime.core.check",
    "graph_runtime.core.definition",
    "graph_runtime.core.light",
    "graph_runtime.core.memory",
    "graph_runtime.core.reading",
    "graph_runtime.core.run",
    "graph_runtime.core.store",
    "graph_runtime.front",
    "graph_runtime.front.cli",
    "graph_runtime.front.comfy",
    "graph_runtime.front.comfy.formats",
    "graph_runtime.front.comfy.host",
    "graph_runtime.front.docs",
    "graph_runtime.front.draw",
    "graph_runtime.front.jobs",
    "graph_runtime.front.profile",
    "graph_runtime.front.python",
    "graph_runtime.front.ray",
    "graph_runtime.front.recipe",
    "graph_runtime.front.rerun",
    "graph_runtime.front.serve",
    "graph_runtime.front.serve.editor",
    "graph_runtime.front.serve.rest",
    "graph_runtime.front.sweep",
    "pictures",
    "pictures.colour",
    "pictures.containers",
    "pictures.files",
    "pictures.masks",
    "pictures.memory",
    "pictures.patches",
    "pictures.photos",
    "models",
    "models.checkpoint",
    "models.detr",
    "models.files",
    "models.fast",
    "models.given",
    "models.hub",
    "models.known_keys",
    "models.lora",
    "models.paint_by_example",
    "models.tokens",
    "methods",
    "methods.attention",
    "methods.baret",
    "methods.inversion",
    "methods.sampling",
    "training",
    "nodes",
    "nodes.checks",
    "nodes.everyday",
    "nodes.image",
    "nodes.mask",
)

# A host imports this folder under its path. Where that has a dot in it (`inlay-1.0`), Python finds a module only if the
# packages around it are there already; they hold docstrings alone, so this costs next to nothing.
for _room in ROOMS:
    import_module(f".{_room}", __name__)

__all__ = ["__version__", *_LAZY]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - functions, classes and dicts are looked up by name
    """Import what `name` stands for (PEP 562)."""
    known = _LAZY | _FOR_THE_HOST
    if name not in known:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in _FOR_THE_HOST:  # all that is missing at once, before the first of it is imported
        import_module(".graph_runtime.front.comfy.installation", __name__).require_packages()
    module, attribute = known[name]
    value = getattr(import_module(module, __name__), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, imported or not."""
    return sorted(__all__)
