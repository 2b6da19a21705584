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
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from ..graph_runtime import ModelError
from ._model_readers import read_header

Layout = Literal["diffusers", "kohya"]
DOWN = re.compile(r"^(.*?)[._]lora(?:_|\.)(?:A|down)(?:\.default)?\.weight$")
UP = re.compile(r"^(.*?)[._]lora(?:_|\.)(?:B|up)(?:\.default)?\.weight$")
PREFIXES = ("base_model.model.", "unet.", "diffusion_model.")
TEXT = ("text_encoder", "lora_te_", "lora_te1_", "lora_te2_", "te_model")
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
    except ValueError:
        return {}
    return about if isinstance(about, dict) else {}


def check_names(path: Path) -> None:
    """Refuse, from the header alone, what is no LoRA for a UNet.

    Raises:
        ModelError: another kind of file or of adapter.
    """
    names = [name for name in read_header(path) if name != "__metadata__"]
    for mark, what in OTHERS.items():
        if any(mark in name for name in names):
            raise _no_lora(path.name, f"{what}", "a plain LoRA: down and up weights")
    if not any(DOWN.match(name) and not name.startswith(TEXT) for name in names):
        found = "a LoRA for text encoders alone" if any(DOWN.match(name) for name in names) else (
            f"no LoRA weights in it ({len(names)} tensors, such as {min(names)!r})" if names else "nothing in it")
        raise _no_lora(path.name, found, "LoRA weights for a UNet, in diffusers' or kohya's layout")


def _no_lora(name: str, found: str, expected: str) -> ModelError:
    return ModelError("source", found=f"{name}: {found}", expected=expected,
                      fix="name a LoRA of Stable Diffusion 1.x or 2.x, or one that train.subject_lora wrote")


def read_lora(path: Path) -> LoraFile:
    """Every pair of a LoRA file, in full precision.

    Raises:
        ModelError: the file is damaged, or no LoRA for a UNet; half of a pair is missing.
    """
    from safetensors.torch import load_file

    check_names(path)
    stored = load_file(str(path))
    kept = {name: value for name, value in stored.items() if not name.startswith(TEXT)}
    downs: dict[str, Tensor] = {}
    ups: dict[str, Tensor] = {}
    alphas: dict[str, float] = {}
    for name, value in kept.items():
        if match := DOWN.match(name):
            downs[_layer(match[1])] = value
        elif match := UP.match(name):
            ups[_layer(match[1])] = value
        elif name.endswith(".alpha"):
            alphas[_layer(name.removesuffix(".alpha"))] = float(value)
        else:
            raise _no_lora(path.name, f"the tensor {name!r}", "down and up weights, and their alphas")
    if set(downs) != set(ups):
        raise _no_lora(path.name, f"half a pair for {min(set(downs) ^ set(ups))}",
                       "a down and an up weight for each layer")
    pairs = {}
    for name, down in sorted(downs.items()):
        up = ups[name]
        if down.ndim < 2 or up.ndim < 2 or down.shape[0] != up.shape[1] or down.shape[0] == 0:
            raise _no_lora(path.name, f"{list(down.shape)} and {list(up.shape)} for {name}", "[r, in] and [out, r]")
        if not (torch.isfinite(down).all() and torch.isfinite(up).all()):
            raise _no_lora(path.name, f"NaN or infinity in {name}", "finite numbers")
        pairs[name] = Pair(down, up, alphas.get(name, float(down.shape[0])))
    return LoraFile(path.name, pairs, about_of(path), len(stored) - len(kept))


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
        weight = modules[real].weight
        down, up = (_like(value, weight.ndim) for value in pair[:2])
        if up.shape[0] != weight.shape[0] or down.shape[1:] != weight.shape[1:]:
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
    made = f", which was made for {lora.about['base']}" if "base" in lora.about else ""
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
                    f"unet.{name}.lora_B.weight": pair.up if share == 1 else share * pair.up}
    return tensors
