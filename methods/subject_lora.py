"""Learning one subject from two to four photos with a LoRA.

Lim & Kim, "Image-guided inpainting with parameter-efficient learning".

A Paint by Example model is trained further on photos of one subject, each photo the exemplar for its own hole. The
base weights stay frozen; only a low-rank update h = W₀x + (α/r)·BAx of the UNet's attention is trained, with r = 4 by
default (a file of 2 to 40 MB in the paper). Augmented exemplars and holes keep it from memorising the photos.

Here: which layers are trained, and their initial values. The loss is that of paint_by_example.py. Elsewhere: the
training run is training/subject.py (AdamW 3e-5, batches of 16, 40 epochs), the file and its use models/lora/, the
workflows subject_lora_train.json and subject_lora_inpaint.json.
"""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from ..graph_runtime import BadInput
from ..graph_runtime.core.light.later import Tensor
from ..graph_runtime.core.quiet import seeded_weights

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


Targets = Literal["attention", "attention_and_feedforward"]


#: Kind of layer -> pattern of its name. With one token the queries and keys of a cross-attention are inert.
PATTERNS = {
    "self": r"\.attn1\.(to_q|to_k|to_v|to_out\.0)",
    "one": r"\.attn2\.(to_v|to_out\.0)",
    "cross": r"\.attn2\.(to_q|to_k|to_v|to_out\.0)",
    "feedforward": r"\.ff\.net\.(0\.proj|2)",
}


def add_lora(unet: "UNet2DConditionModel", kinds: Sequence[str], rank: int, alpha: float | None, seed: int) -> None:
    """Add a LoRA named `subject` to layers of these kinds: A is Gaussian with deviation 1/r, B is zero.

    Args:
        unet: changed in place.
        kinds: keys of PATTERNS.
        rank: r.
        alpha: the update is scaled by alpha/r; None is r, a scale of 1.
        seed: of A.

    Raises:
        BadInput: the rank is larger than a layer, or there is no such layer.
    """
    from peft import LoraConfig, inject_adapter_in_model

    pattern = _pattern(kinds)
    require_rank(
        {
            name: module.weight.shape
            for name, module in unet.named_modules()
            if isinstance(getattr(module, "weight", None), Tensor)
        },
        kinds,
        rank,
    )
    config = LoraConfig(
        r=rank,
        lora_alpha=alpha or rank,  # type: ignore[arg-type]
        target_modules=pattern,
        init_lora_weights="gaussian",
    )
    with seeded_weights(seed):
        inject_adapter_in_model(config, unet, "subject")


def _pattern(kinds: Sequence[str]) -> str:
    return ".*(" + "|".join(PATTERNS[kind] for kind in kinds) + ")"


def require_rank(sizes: Mapping[str, Sequence[int]], kinds: Sequence[str], rank: int) -> None:
    """Refuse a rank that is larger than a layer of these kinds.

    Args:
        sizes: shapes of a UNet's weights by the names of their layers.
        kinds: keys of PATTERNS.
        rank: r.

    Raises:
        BadInput: the rank is larger, or there is no such layer.
    """
    found = [(min(shape), name) for name, shape in sizes.items() if re.fullmatch(_pattern(kinds), name)]
    if not found:
        raise BadInput(
            "denoiser",
            found="a UNet without the usual form of attention",
            expected="layers for a LoRA",
            fix="use a Paint-by-Example model",
        )
    least, name = min(found)
    if rank > least:
        raise BadInput("rank", found=str(rank), expected=f"at most {least}, the size of {name}", fix="4 is usual")


def kinds_of(one_token: bool, targets: Targets) -> list[str]:
    """Keys of PATTERNS: the kinds of layers that are trained."""
    return ["self", "one" if one_token else "cross", *(["feedforward"] * (targets == "attention_and_feedforward"))]
