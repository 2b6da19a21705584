"""The engine: a checked, typed graph of nodes. It knows nothing of diffusion.

Names are imported when first used (PEP 562), so that `inlay --help` does not wait for pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .context import Context as Context
    from .errors import BadInput as BadInput
    from .errors import Cancelled as Cancelled
    from .errors import InlayError as InlayError
    from .errors import ModelError as ModelError
    from .errors import NodeError as NodeError
    from .errors import Problem as Problem
    from .errors import WorkflowError as WorkflowError
    from .marks import Implied as Implied
    from .marks import Role as Role
    from .notices import notice as notice
    from .source_code import code_digest as code_digest
    from .spec import ModelSource as ModelSource
    from .spec import NodeSpec as NodeSpec
    from .spec import PathRole as PathRole
    from .spec import Port as Port
    from .spec import ReadMany as ReadMany
    from .spec import ReadPath as ReadPath
    from .spec import ReadPaths as ReadPaths
    from .spec import Registry as Registry
    from .spec import Repeat as Repeat
    from .spec import node as node

_HOMES = {
    "source_code": ("code_digest",),
    "context": ("Context",),
    "errors": ("BadInput", "Cancelled", "InlayError", "ModelError", "NodeError", "Problem", "WorkflowError"),
    "notices": ("notice",),
    "marks": ("Implied", "Role"),
    "spec": ("ModelSource", "NodeSpec", "PathRole", "Port", "ReadMany", "ReadPath", "ReadPaths", "Registry", "Repeat",
             "node"),
}
_LAZY = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import what `name` stands for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, also those that are not imported yet."""
    return sorted({*globals(), *_LAZY})
