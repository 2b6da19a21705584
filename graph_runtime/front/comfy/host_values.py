"""Values that pass between the host's nodes and ours: their layout, what no node of ours can work with, and back.

The host's pictures may have transparency or one channel, its masks may lack the batch axis, and its loader gives a
mask of 64×64 zeros for a picture that has none.
"""

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from ...core.errors import BadInput
from ...core.notices import notice
from ...core.port_types import on_cpu

if TYPE_CHECKING:
    import torch

_NO_MASK = (64, 64)  # of the zeros that the host's loader gives for a picture without transparency


def owned(value: object) -> object:
    """`value` with every inference tensor in it cloned, also inside lists, dicts and dataclasses."""
    import torch

    if isinstance(value, torch.Tensor):
        return value.clone() if value.is_inference() else value
    if isinstance(value, Mapping):
        parts = {key: owned(item) for key, item in value.items()}
        return value if all(parts[key] is item for key, item in value.items()) else parts
    if isinstance(value, (list, tuple)):
        items = [owned(item) for item in value]
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        make: Callable[..., object] = type(value)
        return make(*items) if hasattr(value, "_fields") else make(items)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        old = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        changed = {name: new for name, item in old.items() if (new := owned(item)) is not item}
        if changed:
            value = copy.copy(value)
            for name, item in changed.items():
                object.__setattr__(value, name, item)
    return value


def from_host(name: str, socket: str, value: object) -> object:
    """A value from a wire, as our nodes take it.

    A picture loses its transparency (with a warning, if there is any) and a grey one gets three channels; a picture and
    a mask get the batch axis that some nodes leave out.

    Raises:
        BadInput: a picture or mask with NaN or infinity in it.
    """
    import torch

    value = owned(on_cpu(value))
    if isinstance(value, torch.Tensor) and socket in ("IMAGE", "MASK"):
        value = _as_picture(name, value) if socket == "IMAGE" else _as_mask(value)
        _require_finite(name, "picture" if socket == "IMAGE" else "mask", value)
    return value


def _as_picture(name: str, value: "torch.Tensor") -> "torch.Tensor":
    if value.ndim == 3 and value.shape[-1] in (1, 3, 4):
        value = value.unsqueeze(0)
    if value.ndim != 4:
        return value  # the socket says what it expects
    if value.shape[-1] == 4:
        if bool((value[..., 3] < 1).any()):
            notice(
                f"{name}: this picture has transparency, which is left out: its colours alone are used; connect the "
                "mask of the node that loads it where transparent pixels are the hole"
            )
        return value[..., :3].contiguous()
    return value.expand(-1, -1, -1, 3).contiguous() if value.shape[-1] == 1 else value


def _as_mask(value: "torch.Tensor") -> "torch.Tensor":
    if value.ndim == 2:
        return value.unsqueeze(0)
    if value.ndim == 4 and 1 in (value.shape[1], value.shape[3]):
        return value[:, 0] if value.shape[1] == 1 else value[..., 0]
    return value


def _require_finite(name: str, what: str, value: "torch.Tensor") -> None:
    import torch

    if not value.is_floating_point() or bool(torch.isfinite(value.sum())):  # one sum is quicker than each value
        return
    wrong = int((~torch.isfinite(value)).sum())
    if wrong:
        raise BadInput(
            name,
            found=f"{wrong:,} of {value.numel():,} values of the {what} are no numbers (NaN) or infinite",
            expected="numbers from 0 to 1",
            fix=f"look at the node that made the {what}"
            + ("; if it is a VAE, start ComfyUI with its option fp32-vae" if what == "picture" else ""),
        )


def require_masks(wired: Mapping[str, tuple[str, object]]) -> None:
    """Refuse what the host's loader gives in place of a mask, where it does not fit what else is connected.

    Args:
        wired: by input, the kind of its socket and its value.

    Raises:
        BadInput: for the first such mask.
    """
    import torch

    sizes = {}
    for name, (socket, value) in wired.items():
        if isinstance(value, torch.Tensor) and socket in ("IMAGE", "MASK") and value.ndim == (4, 3)[socket == "MASK"]:
            sizes[name] = (int(value.shape[1]), int(value.shape[2]))
    others = [size for size in sizes.values() if size != _NO_MASK]
    for name, size in sizes.items():
        socket, value = wired[name]
        if others and socket == "MASK" and size == _NO_MASK and isinstance(value, torch.Tensor) and not value.any():
            raise BadInput(
                name,
                found="this picture has no mask: 64×64 zeros, which ComfyUI gives for a picture without transparency",
                expected=f"a mask of {others[0][1]}×{others[0][0]} pixels",
                fix="paint one: right-click the node that loads the picture, Open in MaskEditor, and save; or load a "
                "mask from a file",
            )


def to_host(socket: str, value: object) -> object:
    """Pictures and masks as the host expects them: float32 on the CPU."""
    import torch

    if socket in ("IMAGE", "MASK") and isinstance(value, torch.Tensor):
        return value.detach().to("cpu", torch.float32)
    return value
