"""Load weights by name into a module of transformers, whichever version of it made the file or the module.

Version 5 dropped `text_model.` and `vision_model.` from the names in a lone CLIP text or vision model. Published files
have these prefixes, newer files do not; whether a module has them depends on the installed version.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from torch import Tensor, nn

from ..graph_runtime import ModelError

M = TypeVar("M", bound=nn.Module)


def read_stored(files: Sequence[Path]) -> dict[str, Tensor]:
    """All tensors of some safetensors files."""
    from safetensors.torch import load_file

    stored: dict[str, Tensor] = {}
    for path in files:
        stored |= load_file(str(path))
    return stored


def fit_names(stored: Mapping[str, Tensor], module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Stored tensors under the module's own names, with or without `prefix` in either; position numbers are dropped."""
    wanted = {name.removeprefix(prefix): name for name in module.state_dict()}
    return {
        wanted.get(name.removeprefix(prefix), name): value
        for name, value in stored.items()
        if not name.endswith("position_ids")
    }


def fill(module: M, found: Mapping[str, Tensor], what: str) -> M:
    """Put tensors into a module on the meta device.

    Raises:
        ModelError: tensors are missing, left over, or of another shape.
    """
    wanted = {name: value for name, value in module.state_dict().items() if not name.endswith("position_ids")}
    for kind, names in (
        ("missing", set(wanted) - set(found)),
        ("unexpected", set(found) - set(wanted)),
        ("mismatched", {n for n in found if n in wanted and found[n].shape != wanted[n].shape}),
    ):
        if names:
            raise ModelError(
                None,
                found=f"{len(names)} {kind} weights in the {what}, e.g. {min(names)}",
                expected="exactly the weights that its configuration describes",
                fix="the config.json and the weights belong to different models: download them again",
            )
    module.load_state_dict(dict(found), strict=False, assign=True)
    return module
