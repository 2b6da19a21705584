"""LoRA files: h = W₀x + (α/r)·B·A·x for some layers of a UNet (Hu et al. 2022), in the key layouts they are shared in.

Supported layouts: diffusers/peft (`unet.….lora_A.weight`, older `….lora.down.weight` and
    `….processor.to_q_lora.down.weight`, peft's own `base_model.model.…`) and kohya (`lora_unet_….lora_down.weight`,
    `.alpha`). Tensors for text encoders are left out.
"""

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

from ...graph_runtime import ModelError
from ...graph_runtime.core.light.later import Tensor, nn, torch
from ...graph_runtime.core.memory.inner_tensors import is_compound
from ...graph_runtime.core.processors import attentions, original_processors
from ...graph_runtime.core.quiet import no_loading
from ..weights import list_stored, read_all
from .header import about_of, check_header, fits, made_for, no_lora, real_names
from .metadata import MAX_ALPHA

LoraLayout = Literal["diffusers", "kohya"]


class Pair(NamedTuple):
    """One layer's update: A `[r, in, …]`, B `[out, r, …]`, and α (r if the file holds none)."""

    down: Tensor
    up: Tensor
    alpha: float

    @property
    def rank(self) -> int:
        """Columns of B."""
        return int(self.down.shape[0])


@dataclass(frozen=True, eq=False)
class LoraFile:
    """The contents of a LoRA file.

    Attributes:
        name: of the file, for messages.
        pairs: by the file's own name of the layer: dotted, or kohya's with underscores.
        about: the header that inlay wrote when it made the file; empty for files made elsewhere.
        text_keys: how many tensors belong to text encoders; they are left out.
    """

    name: str
    pairs: Mapping[str, Pair]
    about: Mapping[str, object] = field(default_factory=dict)
    text_keys: int = 0


def read_lora(path: Path) -> LoraFile:
    """Every pair of a LoRA file, in full precision.

    Raises:
        ModelError: the file is damaged, or not a LoRA for a UNet (see check_header), or a number is not finite.
    """
    header = check_header(path)
    names = header.names
    used = {*names.downs.values(), *names.ups.values(), *names.alphas.values()}
    stored = read_all({name: tensor for name, tensor in list_stored([path]).items() if name in used})
    pairs = {}
    for layer, name in sorted(names.downs.items()):
        down, up = stored[name], stored[names.ups[layer]]
        alpha = (
            float(stored[names.alphas[layer]])
            if layer in names.alphas
            else header.metadata.alpha_of(layer, int(down.shape[0]))
        )
        if not (torch.isfinite(down).all() and torch.isfinite(up).all()):
            raise no_lora(path.name, f"NaN or infinity in {layer}", "finite numbers")
        if not 0 <= alpha <= MAX_ALPHA:
            raise no_lora(path.name, f"an alpha of {alpha} for {layer}", f"a number from 0 to {MAX_ALPHA:g}")
        pairs[layer] = Pair(down, up, alpha)
    return LoraFile(path.name, pairs, about_of(path), header.text)


def by_module(lora: LoraFile, unet: nn.Module) -> dict[str, Pair]:
    """The pairs under the names of a UNet's own layers; their shapes are checked.

    Raises:
        ModelError: a layer is missing in the UNet, or has another size.
    """
    modules = {name: module for name, module in unet.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)}
    sizes = {name: list(module.weight.shape) for name, module in modules.items()}
    found = {}
    for name, real in real_names(list(lora.pairs), sizes).items():
        pair = lora.pairs[name]
        if real is None:
            raise _misfit(lora, f"a layer {name!r}", "layers that the UNet has")
        if real in found:
            raise _misfit(lora, f"{real} in two layouts", "each layer once")
        down, up = list(pair.down.shape), list(pair.up.shape)
        if not fits(down, up, sizes[real]):
            raise _misfit(lora, f"{down} and {up} for {real}, a layer of {sizes[real]}", "the UNet's own sizes")
        axes = len(sizes[real])
        found[real] = Pair(_like(pair.down, axes), _like(pair.up, axes), pair.alpha)
    return found


def _like(value: Tensor, axes: int) -> Tensor:
    """Reshape a linear layer's pair to that of a 1 × 1 convolution, or the reverse."""
    if value.ndim == 2 and axes == 4:
        return value[..., None, None]
    return value.flatten(1) if value.ndim == 4 and axes == 2 and value.shape[2:] == (1, 1) else value


def _misfit(lora: LoraFile, found: str, expected: str) -> ModelError:
    made = f", which was made for {made_for(lora.about)}" if "base" in lora.about else ""
    return ModelError(
        "lora",
        found=f"{lora.name}{made}, with {found}",
        expected=expected,
        fix="a LoRA works with the kind of model that it was made for: use that one",
    )


def attach(unet: nn.Module, loras: list[tuple[LoraFile, float]]) -> nn.Module:
    """A UNet that shares every weight with `unet` and has these LoRAs beside its layers, each at its weight.

    `unet` itself is not changed, because others may be using it. The LoRAs get its precision.
    """
    import copy

    from peft import LoraConfig, inject_adapter_in_model, set_peft_model_state_dict

    shared: dict[int, object] = {id(value): value for value in [*unet.parameters(), *unet.buffers()]}
    with original_processors(unet) as processors:  # another run may have attention controls on it
        shared |= {id(module.processor): processors[name] for name, module in attentions(unet)}
        clone = copy.deepcopy(unet, shared)
    like = next(unet.parameters())
    compound = _set_aside(clone)
    for number, (lora, weight) in enumerate(loras):
        pairs, name = by_module(lora, unet), f"lora{number}"
        config = LoraConfig(
            r=1,
            lora_alpha=1,
            target_modules=list(pairs),
            init_lora_weights=False,
            rank_pattern={f"^{re.escape(key)}$": pair.rank for key, pair in pairs.items()},
            alpha_pattern={f"^{re.escape(key)}$": pair.alpha for key, pair in pairs.items()},
        )
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Already found a `peft_config`")  # several are intended
            with no_loading():
                inject_adapter_in_model(config, clone, name)
        values = {
            f"{key}.lora_{half}.weight": value.to(like.device, like.dtype)
            for key, pair in pairs.items()
            for half, value in (("A", pair.down), ("B", pair.up))
        }
        set_peft_model_state_dict(clone, values, adapter_name=name)
        for key in pairs:
            layer = clone.get_submodule(key)
            layer.set_scale(name, weight)  # type: ignore[operator]
    names = [f"lora{number}" for number in range(len(loras))]
    for module in clone.modules():
        if hasattr(module, "set_adapter") and hasattr(module, "lora_A"):
            module.set_adapter([name for name in names if name in module.lora_A])  # type: ignore[operator,operator]
    cast = nn.Module.to(clone, like.device, like.dtype)  # diffusers' own .to warns about precisions that were never set
    for layer, whole in compound:
        layer.weight = whole
    return cast.eval().requires_grad_(False)


def _set_aside(unet: nn.Module) -> list[tuple[nn.Module, nn.Parameter]]:
    """Take quantised weights out of a UNet while LoRAs are put on it: what is there instead takes no memory.

    A LoRA lies beside its layer and has no use for the weight; peft would look for a way to merge them.
    """
    found = []
    for part in list(unet.modules()):
        weight = part._parameters.get("weight")
        if weight is not None and is_compound(weight.data):
            stand_in = torch.zeros((), dtype=weight.dtype, device=weight.device).expand(weight.shape)
            part.weight = nn.Parameter(stand_in, requires_grad=False)
            found.append((part, weight))
    return found


def stored_names(pairs: Mapping[str, Pair], layout: LoraLayout) -> dict[str, Tensor]:
    """Tensors of a LoRA file by the names of a layout; keys of `pairs` are a UNet's own, dotted."""
    tensors: dict[str, Tensor] = {}
    for name, pair in pairs.items():
        if layout == "kohya":
            stem = f"lora_unet_{name.replace('.', '_')}"
            tensors |= {
                f"{stem}.lora_down.weight": pair.down,
                f"{stem}.lora_up.weight": pair.up,
                f"{stem}.alpha": torch.tensor(pair.alpha),
            }
            continue
        share = pair.alpha / pair.rank  # not every reader of this layout reads α
        tensors |= {
            f"unet.{name}.lora_A.weight": pair.down,
            f"unet.{name}.lora_B.weight": (share * pair.up.double()).to(pair.up.dtype),
        }
    return tensors
