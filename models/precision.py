"""Precisions of weights by name."""

from typing import Literal

from ..graph_runtime import ModelError
from ..graph_runtime.core.light.later import torch

DType = Literal["auto", "float16", "bfloat16", "float32", "float64"]


def torch_dtype(name: DType, device: str) -> torch.dtype:
    """The precision that a name stands for on a device: `auto` is float16 on CUDA, float32 elsewhere.

    Raises:
        ModelError: float64 on an Apple GPU, which does not support it.
    """
    if name == "float64" and str(device).startswith("mps"):
        raise ModelError(
            "dtype",
            found=f"float64 on {device}",
            expected="float16, bfloat16 or float32: this GPU has no float64",
            fix="set dtype to float32 in the model node, or use --device cpu",
        )
    if name == "auto":
        return torch.float16 if str(device).startswith("cuda") else torch.float32
    return {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}[
        name
    ]
