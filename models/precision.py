"""Precisions of weights by name, and quantised weights: 8 bits for each weight of linear layers.

The latter come through diffusers' own quantizer for torchao. Each row of a weight W [n, k] has a scale s, and
y = (x·Qᵀ)·s + b with Q in 8 bits: int8 with s = max|W|/127.5 of the row and Q = round(W/s), or float8 (e4m3) with
s = max|W|/448. What goes into a layer stays as it is. Convolutions, norms and biases keep their precision.
"""

import functools
import importlib.util
import math
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Literal, cast

from packaging.version import Version

from ..graph_runtime import ModelError
from ..graph_runtime.core.light.later import nn, torch

if TYPE_CHECKING:
    from diffusers.quantizers.quantization_config import QuantizationConfigMixin
    from torchao.core.config import AOBaseConfig

DType = Literal["auto", "float16", "bfloat16", "float32", "float64"]
Quantize = Literal["none", "int8", "float8"]
OLDEST = {"torchao": "0.18", "diffusers": "0.37"}
INSTALL = "pip install 'torchao>=0.18', without a change of torch: inlay's extra `quantized`"


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


def require_quantizer(how: Quantize, dtype: DType) -> None:
    """Refuse a quantisation for which a package is missing or too old, or that has not the precision.

    No package is imported.

    Raises:
        ModelError: names the setting, and the command that mends it.
    """
    if how == "none":
        return
    if dtype == "float64":
        raise ModelError(
            "quantize",
            found=f"{how} with dtype float64",
            expected="a dtype of 16 or 32 bits beside quantised weights",
            fix="set quantize to none, or dtype to float32",
        )
    for package, oldest in OLDEST.items():
        if importlib.util.find_spec(package) is None:
            raise ModelError(
                "quantize",
                found=f"{how}, and no package {package}",
                expected=f"{package} {oldest} or newer",
                fix=INSTALL,
            )
        try:
            installed = version(package)
        except PackageNotFoundError:  # a source folder on the path: let it try
            continue
        if Version(installed) < Version(oldest):
            raise ModelError(
                "quantize",
                found=f"{how}, and {package} {installed}",
                expected=f"{package} {oldest} or newer",
                fix=f"pip install -U '{package}>={oldest}', or set quantize to none",
            )


def require_device(how: Quantize, device: str) -> None:
    """Refuse a quantisation that a device does not have.

    Raises:
        ModelError: float8 on an Apple GPU.
    """
    if how == "float8" and str(device).startswith("mps"):
        raise ModelError(
            "quantize",
            found=f"float8 on {device}",
            expected="none or int8: this GPU has no float8",
            fix="set quantize to int8 in the model node, or use --device cpu",
        )


@functools.cache
def quantizer() -> str:
    """What quantises, and its release: another may round otherwise."""
    try:
        return f"torchao {version('torchao')}"
    except PackageNotFoundError:  # a source folder on the path
        return "torchao"


def quantize(module: nn.Module, how: Quantize) -> None:
    """Quantise the weights of a module's linear layers where they are; each leaves memory before the next comes."""
    from diffusers import TorchAoConfig
    from diffusers.quantizers.auto import DiffusersAutoQuantizer

    quantizer = DiffusersAutoQuantizer.from_config(
        cast("QuantizationConfigMixin", TorchAoConfig(_config(how))), pre_quantized=False
    )
    quantizer.validate_environment()
    quantizer.preprocess_model(module, device_map=None)
    with torch.no_grad():
        for name, weight in list(module.named_parameters()):
            if quantizer.check_if_quantized_param(module, weight, name, {}):
                quantizer.create_quantized_param(module, weight, name, weight.device, {}, [])
    module.requires_grad_(False)


def _config(how: Quantize) -> "AOBaseConfig":
    from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig

    kind = Int8WeightOnlyConfig if how == "int8" else Float8WeightOnlyConfig
    return kind(set_inductor_config=False)  # which would change settings of the whole process


def quantized_sizes(shapes: Mapping[str, Sequence[int]], how: Quantize, itemsize: int) -> dict[str, int]:
    """Bytes of each tensor that a UNet of these stored tensors has in memory, by name; a weight's parts after a colon.

    Args:
        shapes: by name; weights with two axes are those of linear layers.
        how: they are quantised.
        itemsize: bytes of a number of the others.
    """
    found = {}
    for name, shape in shapes.items():
        count = math.prod(shape)
        if len(shape) != 2 or not name.endswith(".weight"):
            found[name] = count * itemsize
            continue
        found[f"{name}:numbers"], found[f"{name}:scale"] = count, 4 * shape[0]
        if how == "int8":
            found[f"{name}:zero"] = shape[0]
    return found
