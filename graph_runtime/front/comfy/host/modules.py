"""The host's modules, looked up in `sys.modules` when a node runs, and never imported before the host did.

Without a host, nodes run on the CPU, without a progress bar, and use paths as they are given.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

HostObject = Any  # the host has no types


def host_module(name: str) -> ModuleType | None:
    """A module of the host, if the host has been started in this process."""
    if name in sys.modules:
        return sys.modules[name]
    if "comfy" not in sys.modules or not name.startswith("comfy."):
        return None
    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def ask(module: str, function: str, *arguments: object) -> HostObject:
    """Call a function of the host; None if there is none (another module may have the same name)."""
    found = getattr(host_module(module), function, None)
    return found(*arguments) if callable(found) else None
