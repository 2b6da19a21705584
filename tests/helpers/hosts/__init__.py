"""Parts of a ComfyUI that is not there, for `sys.modules`."""

import types
from pathlib import Path


def folder_paths(place: Path, *kinds: str) -> types.ModuleType:
    """The host's module of folders; makes one below `place` for each kind ("input", "output", "temp")."""
    module = types.ModuleType("folder_paths")
    for kind in kinds:
        (place / kind).mkdir(parents=True, exist_ok=True)
        setattr(module, f"get_{kind}_directory", lambda kind=kind: str(place / kind))
    module.models_dir = str(place / "models")
    return module
