"""How a UNet is evaluated: as it is, or as compiled code. Another way is step_cache.py."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

from ...graph_runtime.core.light.later import Tensor
from ...graph_runtime.core.memory.compiled import Compiled
from ...graph_runtime.core.memory.leases import watched

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


class Evaluate(Protocol):
    """One evaluation of a UNet in its own precision."""

    def __call__(self, z: Tensor, t: Tensor, **inputs: Tensor) -> Tensor:
        """The output `[b c' lh lw]` for latents `[b c lh lw]` at timestep `t` `[]`."""


class Plain:
    """The UNet as it is."""

    def __init__(self, unet: "UNet2DConditionModel") -> None:
        self._unet = unet

    def __call__(self, z: Tensor, t: Tensor, **inputs: Tensor) -> Tensor:
        """The output."""
        return cast(Tensor, self._unet(z, t, return_dict=False, **inputs)[0])


class AsCompiled:
    """The UNet as compiled code; where gradients are computed, as it is.

    Args:
        unet: as it is.
        code: its compiled copy.
        label: of the model, for a profile.
        tell: called before a new size is compiled, with a line about that.
    """

    def __init__(self, unet: "UNet2DConditionModel", code: Compiled, label: str, tell: Callable[[str], None]) -> None:
        self._plain, self._code, self._label, self._tell = Plain(unet), code, label, tell

    def __call__(self, z: Tensor, t: Tensor, **inputs: Tensor) -> Tensor:
        """The output."""
        if any(value.requires_grad for value in (z, *inputs.values())):
            return self._plain(z, t, **inputs)
        z, t = z.contiguous(), t.clone()  # a number among others lies at an offset, for which code would be made anew
        inputs = {name: value.contiguous() for name, value in inputs.items()}
        with watched(self._label, self._code):
            if not self._code.knows(z, t, **inputs):
                self._tell(f"compiling for {'×'.join(map(str, z.shape))}")
                self._code.compile(z, t, **inputs)
            return self._code.forward(z, t, **inputs)
