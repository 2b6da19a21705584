"""The engine: a checked, typed graph of nodes. It knows nothing of diffusion."""

from .context import Context
from .errors import BadInput, Cancelled, InlayError, ModelError, NodeError, Problem, WorkflowError
from .spec import ModelSource, NodeSpec, PathRole, Port, ReadPath, ReadPaths, Registry, Repeat, node

__all__ = [
    "BadInput",
    "Cancelled",
    "Context",
    "InlayError",
    "ModelError",
    "ModelSource",
    "NodeError",
    "NodeSpec",
    "PathRole",
    "Port",
    "Problem",
    "ReadPath",
    "ReadPaths",
    "Registry",
    "Repeat",
    "WorkflowError",
    "node",
]
