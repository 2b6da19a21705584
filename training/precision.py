"""The precision of the forward pass."""

from typing import Literal

from ..graph_runtime.core.light.later import torch

Precision = Literal["auto", "float32", "bfloat16", "float16"]


def autocast_dtype(precision: Precision, device: torch.device) -> torch.dtype | None:
    """The dtype for autocast, or None for full precision; auto is bfloat16 on a GPU that computes in it."""
    if precision == "auto":
        return torch.bfloat16 if device.type == "cuda" and _has_bfloat16() else None
    return {"float32": None, "bfloat16": torch.bfloat16, "float16": torch.float16}[precision]


def _has_bfloat16() -> bool:
    """True for a GPU with bfloat16 in hardware: emulation is slower than float32."""
    try:
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    except TypeError:  # torch before 2.5 has no such argument and does not report emulation
        return bool(torch.cuda.is_bf16_supported())
