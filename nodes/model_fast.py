"""How a denoiser is evaluated, as a description: what is faster, and whose outputs stay within a tolerance."""

from typing import Annotated, NamedTuple, cast

from pydantic import Field

from ..graph_runtime import node
from ..graph_runtime.core.light.later import nn
from ..graph_runtime.core.memory.descriptions import ModelDescription
from ..models.fast.component import Compile, faster
from .ports import Denoiser


class Fast(NamedTuple):
    """The denoiser, evaluated faster."""

    denoiser: Denoiser


@node("model.fast", version=1, static=True)
def fast(
    denoiser: Denoiser,
    compile: Compile = "off",
    channels_last: bool = False,
    step_cache: Annotated[int, Field(ge=1, le=10)] = 1,
) -> Fast:
    """Evaluate a denoiser faster, with outputs that stay within a tolerance. It replaces what an earlier one set.

    Applies where the model is evaluated as it is. Inversions that tune embeddings, training, edits with an attention
    control and weights that are streamed evaluate it in the plain way; a warning says so.

    Args:
        denoiser: the UNet, with its LoRAs.
        compile: `kernels` is torch.compile, within 1e-4 of the plain output at each step in float32; it takes from
            half a minute to minutes for each new size, and is kept for later. `cuda_graphs` also records the whole
            evaluation, on CUDA alone (reduce-overhead).
        channels_last: keep the kernels of convolutions channel by channel, within 1e-4 of the plain output; helps
            half precisions on GPUs and some processors.
        step_cache: evaluate all of the UNet at every so many steps only, and its outermost blocks at each (DeepCache,
            Ma et al. 2024). Changes the picture: see the guide for how much. 1 is off.

    Raises:
        BadInput: channels_last, and the weights belong to another program.
    """
    made = faster(cast(ModelDescription[nn.Module], denoiser), compile, channels_last, step_cache)
    return Fast(cast(Denoiser, made))
