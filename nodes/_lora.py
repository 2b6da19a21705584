"""LoRA files: h = W₀x + (α/r)·B·A·x for some layers of a UNet (Hu et al. 2022), in the key layouts they are shared in.

Read are diffusers/peft (`unet.….lora_A.weight`, older `….lora.down.weight` and `….processor.to_q_lora.down.weight`,
peft's own `base_model.model.…`) and kohya (`lora_unet_….lora_down.weight`, `.alpha`). Parts for text encoders are left
out.
"""

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..graph_runtime import ModelError
from ..graph_runtime.errors import clean, shorten
from ._model_readers import read_header

Layout = Literal["diffusers", "kohya"]
DOWN = re.compile(r"^(.*?)[._]lora(?:_|\.)(?:A|down)(?:\.default)?\.weight$")
UP = re.compile(r"^(.*?)[._]lora(?:_|\.)(?:B|up)(?:\.default)?\.weight$")
PREFIXES = ("base_model.model.", "unet.", "diffusion_model.")
TEXT = ("text_encoder", "lora_te_", "lora_te1_", "lora_te2_", "te_model")
DTYPES = ("F16", "BF16", "F32", "F64")
MAX_ALPHA = 1e6
OTHERS = {"hada_w1": "a LoHa", "lokr_w": "a LoKr", "dora_scale": "a DoRA", "lora_mid": "a LoCon with a middle part",
          "oft_": "an OFT", "ia3": "an (IA)³"}


class Pair(NamedTuple):
    """One layer's update: A `[r, in, …]`, B `[out, r, …]`, and α (r where the file says nothing)."""

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """Columns of B."""
        return int(self.down.shape[0])

    @property
    def delta(self) -> Tensor:
        """(α/r)·B·A, of the layer's own shape."""
        product = self.up.flatten(1) @ self.down.flatten(1)
        return (self.alpha / self.rank) * product.reshape(self.up.shape[0], *self.down.shape[1:])


@dataclass(frozen=True, eq=False)
class LoraFile:
    """A LoRA as it lies on the disk.

    Attributes:
        name: of the file, for messages.
        pairs: by the file's own name of the layer: dotted, or kohya's with underscores.
        about: what inlay wrote into the header when it made the file; empty for others'.
        text_keys: how many tensors belong to text encoders, which nobody asked for.
    """

    name: str
    pairs: Mapping[str, Pair]
    about: Mapping[str, Any] = field(default_factory=dict)
    text_keys: int = 0


def about_of(path: Path) -> dict[str, Any]:
    """What inlay wrote into a LoRA's header; empty for files made elsewhere. No weights are read."""
    try:
        about = json.loads(read_header(path).get("__metadata__", {}).get("inlay", "{}"))
    except (ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) and isinstance(about.get("base", ""), str) else {}


def made_for(about: Mapping[str, Any]) -> str:
    """The base that a header names, in a readable length."""
    return clean(str(about.get("base", "")))[:80]


class _Names(NamedTuple):
    """The tensors of a LoRA for a UNet: names in the file by the layer's."""

    downs: dict[str, str]
    ups: dict[str, str]
    alphas: dict[str, str]


def check_header(path: Path) -> _Names:
    """Refuse, from the header alone, what is no LoRA for a UNet; where its tensors are.

    Raises:
        ModelError: another kind of file or of adapter, half a pair, a pair that does not fit together, a tensor twice,
            or numbers that are not floating point.
    """
    header = {name: entry for name, entry in read_header(path).items() if name != "__metadata__"}
    names = list(header)
    for mark, what in OTHERS.items():
        if any(mark in name for name in names):
            raise _no_lora(path.name, f"{what}", "a plain LoRA: down and up weights")
    if not any(DOWN.match(name) and not name.startswith(TEXT) for name in names):
        found = "a LoRA for text encoders alone" if any(DOWN.match(name) for name in names) else (
            f"no LoRA weights in it ({len(names)} tensors, such as {min(names)!r})" if names else "nothing in it")
        raise _no_lora(path.name, found, "LoRA weights for a UNet, in diffusers' or kohya's layout")
    sorted_ = _by_layer(path.name, [name for name in names if not name.startswith(TEXT)])
    for name in (name for part in sorted_ for name in part.values()):
        if header[name]["dtype"] not in DTYPES:
            raise _no_lora(path.name, f"{name} of type {clean(header[name]['dtype'])[:20]}",
                           f"one of {', '.join(DTYPES)}")
    if odd := set(sorted_.downs) ^ set(sorted_.ups):
        raise _no_lora(path.name, f"half a pair for {min(odd)}", "a down and an up weight for each layer")
    if odd := set(sorted_.alphas) - set(sorted_.downs):
        raise _no_lora(path.name, f"an alpha for {min(odd)}, which has no weights", "alphas of its own layers")
    for layer, name in sorted_.downs.items():
        down, up = header[name]["shape"], header[sorted_.ups[layer]]["shape"]
        if len(down) < 2 or len(up) < 2 or down[0] != up[1] or down[0] == 0:
            raise _no_lora(path.name, f"{down} and {up} for {layer}", "[r, in] and [out, r]")
    for layer, name in sorted_.alphas.items():
        if prod(header[name]["shape"]) != 1:
            raise _no_lora(path.name, f"an alpha of shape {header[name]['shape']} for {layer}", "one number")
    return sorted_


def _by_layer(where: str, names: list[str]) -> _Names:
    found = _Names({}, {}, {})
    for name in names:
        if match := DOWN.match(name):
            kind, layer = found.downs, _layer(match[1])
        elif match := UP.match(name):
            kind, layer = found.ups, _layer(match[1])
        elif name.endswith(".alpha"):
            kind, layer = found.alphas, _layer(name.removesuffix(".alpha"))
        else:
            raise _no_lora(where, f"the tensor {shorten(name)}", "down and up weights, and their alphas")
        if layer in kind:
            raise _no_lora(where, f"{kind[layer]} and {name}", "each layer once")
        kind[layer] = name
    return found


def _no_lora(name: str, found: str, expected: str) -> ModelError:
    return ModelError("source", found=f"{name}: {found}", expected=expected,
                      fix="name a LoRA of Stable Diffusion 1.x or 2.x, or one that train.subject_lora wrote")


def read_lora(path: Path) -> LoraFile:
    """Every pair of a LoRA file, in full precision.

    Raises:
        ModelError: the file is damaged, or no LoRA for a UNet (see check_header); a number is not finite.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    names = check_header(path)
    try:
        stored = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise _no_lora(path.name, f"a file that cannot be read ({error})", "a whole .safetensors file") from error
    pairs = {}
    for layer, name in sorted(names.downs.items()):
        down, up = stored[name], stored[names.ups[layer]]
        alpha = float(stored[names.alphas[layer]]) if layer in names.alphas else float(down.shape[0])
        if not (torch.isfinite(down).all() and torch.isfinite(up).all()):
            raise _no_lora(path.name, f"NaN or infinity in {layer}", "finite numbers")
        if not 0 <= alpha <= MAX_ALPHA:
            raise _no_lora(path.name, f"an alpha of {alpha} for {layer}", f"a number from 0 to {MAX_ALPHA:g}")
        pairs[layer] = Pair(down, up, alpha)
    return LoraFile(path.name, pairs, about_of(path), len(stored) - sum(map(len, names)))


def _layer(name: str) -> str:
    """A layer's name without what the layout puts before and into it."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    name = name.replace(".processor.", ".")
    return re.sub(r"\.to_out$", ".to_out.0", name) if not name.startswith("lora_unet_") else name


def by_module(lora: LoraFile, unet: nn.Module) -> dict[str, Pair]:
    """The pairs under the names of a UNet's own layers, their shapes checked.

    Raises:
        ModelError: a layer that the UNet has not, or of another size.
    """
    modules = {name: module for name, module in unet.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    kohya = {f"lora_unet_{name.replace('.', '_')}": name for name in modules}
    kohya |= {name.removesuffix("_0"): real for name, real in kohya.items() if name.endswith("to_out_0")}
    found = {}
    for name, pair in lora.pairs.items():
        real = name if name in modules else kohya.get(name)
        if real is None:
            raise _misfit(lora, f"a layer {name!r}", "layers that the UNet has")
        if real in found:
            raise _misfit(lora, f"{real} in two layouts", "each layer once")
        weight = modules[real].weight
        down, up = (_like(value, weight.ndim) for value in pair[:2])
        wanted = (weight.shape[0], pair.rank, *[1] * (weight.ndim - 2))
        if tuple(up.shape) != wanted or down.shape[1:] != weight.shape[1:]:
            raise _misfit(lora, f"{list(down.shape)} and {list(up.shape)} for {real}, a layer of {list(weight.shape)}",
                          "the UNet's own sizes")
        found[real] = Pair(down, up, pair.alpha)
    return found


def _like(value: Tensor, axes: int) -> Tensor:
    """A linear layer's pair as a 1 × 1 convolution's, and the reverse."""
    if value.ndim == 2 and axes == 4:
        return value[..., None, None]
    return value.flatten(1) if value.ndim == 4 and axes == 2 and value.shape[2:] == (1, 1) else value


def _misfit(lora: LoraFile, found: str, expected: str) -> ModelError:
    made = f", which was made for {made_for(lora.about)}" if "base" in lora.about else ""
    return ModelError("lora", found=f"{lora.name}{made}, with {found}", expected=expected,
                      fix="a LoRA works with the kind of model that it was made for: name that one")


def attach(unet: nn.Module, loras: list[tuple[LoraFile, float]]) -> nn.Module:
    """A UNet that shares every weight with `unet` and has these LoRAs beside its layers, each at its weight.

    `unet` itself is not touched: others may be using it. What is added is in its precision.
    """
    import copy

    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict

    shared = {id(value): value for value in [*unet.parameters(), *unet.buffers()]}
    clone = copy.deepcopy(unet, shared)
    like = next(unet.parameters())
    for number, (lora, weight) in enumerate(loras):
        pairs, name = by_module(lora, unet), f"lora{number}"
        config = LoraConfig(
            r=1, lora_alpha=1, target_modules=list(pairs), init_lora_weights=False,
            rank_pattern={f"^{re.escape(key)}$": pair.rank for key, pair in pairs.items()},
            alpha_pattern={f"^{re.escape(key)}$": pair.alpha for key, pair in pairs.items()})
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Already found a `peft_config`")  # several are meant
            inject_adapter_in_model(config, clone, name)
        values = {f"{key}.lora_{half}.weight": value.to(like.device, like.dtype) for key, pair in pairs.items()
                  for half, value in (("A", pair.down), ("B", pair.up))}
        set_peft_model_state_dict(clone, values, adapter_name=name)
        for key in pairs:
            layer = clone.get_submodule(key)
            layer.set_scale(name, weight)  # type: ignore[operator]
    names = [f"lora{number}" for number in range(len(loras))]
    for module in clone.modules():
        if hasattr(module, "set_adapter") and hasattr(module, "lora_A"):
            module.set_adapter([name for name in names if name in module.lora_A])  # type: ignore[operator,operator]
    cast = nn.Module.to(clone, like.device, like.dtype)  # diffusers' own .to warns about precisions that nobody set
    return cast.eval().requires_grad_(False)


def stored_names(pairs: Mapping[str, Pair], layout: Layout) -> dict[str, Tensor]:
    """Tensors of a LoRA file by the names of a layout; keys of `pairs` are a UNet's own, dotted."""
    tensors: dict[str, Tensor] = {}
    for name, pair in pairs.items():
        if layout == "kohya":
            stem = f"lora_unet_{name.replace('.', '_')}"
            tensors |= {f"{stem}.lora_down.weight": pair.down, f"{stem}.lora_up.weight": pair.up,
                        f"{stem}.alpha": torch.tensor(pair.alpha)}
            continue
        share = pair.alpha / pair.rank  # this layout has no place for α that every reader looks at
        tensors |= {f"unet.{name}.lora_A.weight": pair.down,
                    f"unet.{name}.lora_B.weight": (share * pair.up.double()).to(pair.up.dtype)}
    return tensors
