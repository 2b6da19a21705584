"""The engine: a checked, typed graph of nodes. It knows nothing about diffusion.

Names are imported when first used (PEP 562), so that `inlay --help` does not wait for pydantic.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .core.context import Context as Context
    from .core.definition.migrations import Renamed as Renamed
    from .core.definition.needed import Needed as Needed
    from .core.definition.node_settings import NodeSettings as NodeSettings
    from .core.definition.socket_roles import Better as Better
    from .core.definition.socket_roles import FromUpstream as FromUpstream
    from .core.definition.socket_roles import SocketRole as SocketRole
    from .core.definition.sockets import Repeat as Repeat
    from .core.errors import BadInput as BadInput
    from .core.errors import Cancelled as Cancelled
    from .core.errors import InlayError as InlayError
    from .core.errors import ModelError as ModelError
    from .core.errors import NodeError as NodeError
    from .core.errors import Problem as Problem
    from .core.errors import WorkflowError as WorkflowError
    from .core.notices import notice as notice
    from .core.port_types import Port as Port
    from .core.source_code import code_digest as code_digest
    from .core.spec import ModelSource as ModelSource
    from .core.spec import NodeSpec as NodeSpec
    from .core.spec import PathRole as PathRole
    from .core.spec import ReadEach as ReadEach
    from .core.spec import ReadMany as ReadMany
    from .core.spec import ReadPath as ReadPath
    from .core.spec import ReadPaths as ReadPaths
    from .core.spec import ReadPicture as ReadPicture
    from .core.spec import Registry as Registry
    from .core.spec import node as node

_HOMES = {
    "source_code": ("code_digest",),
    "context": ("Context",),
    "errors": ("BadInput", "Cancelled", "InlayError", "ModelError", "NodeError", "Problem", "WorkflowError"),
    "definition.migrations": ("Renamed",),
    "definition.needed": ("Needed",),
    "definition.node_settings": ("NodeSettings",),
    "notices": ("notice",),
    "port_types": ("Port",),
    "definition.sockets": ("Repeat",),
    "definition.socket_roles": ("Better", "FromUpstream", "SocketRole"),
    "spec": (
        "ModelSource",
        "NodeSpec",
        "PathRole",
        "ReadEach",
        "ReadPicture",
        "ReadMany",
        "ReadPath",
        "ReadPaths",
        "Registry",
        "node",
    ),
}
_LAZY = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    """Import what `name` stands for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".core.{_LAZY[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Public names, also those that are not imported yet."""
    return sorted({*globals(), *_LAZY})
