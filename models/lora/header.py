"""A LoRA's header: its layers and their sizes, the family that it was made for, and what else it holds. No weights.

All of this is known during the check of a workflow, which refuses another family or other widths.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

from pydantic import JsonValue

from ...graph_runtime import ModelError
from ...graph_runtime.core.errors import clean, shorten
from ..checkpoint.layouts import original_names
from ..files.safetensors_header import Header, TensorInfo, read_header
from .metadata import FAMILIES, MAX_NAME, MAX_TEXT, LoraMetadata, config_beside, contradictions, read_lora_metadata

DOWN = re.compile(r"^(.*?)[._]lora(?:_|\.)(?:A|down)(?:\.default)?\.weight$")
UP = re.compile(r"^(.*?)[._]lora(?:_|\.)(?:B|up)(?:\.default)?\.weight$")
PEFT = "base_model.model."
PREFIXES = (PEFT, "unet.", "diffusion_model.")
TEXT = (
    "text_encoder",
    "lora_te_",
    "lora_te1_",
    "lora_te2_",
    "lora_te3_",
    "te_model",
    "text_model.",
    "text_encoders.",
    "clip_l.",
    "clip_g.",
    "bundle_emb.",
    f"{PEFT}text_model.",
)
DTYPES = ("F16", "BF16", "F32", "F64")
INTEGERS = ("I8", "U8", "I16", "I32", "I64")  # α is often stored as an integer
#: Other kinds of adapters, by names that only their tensors have.
OTHERS = tuple(
    (re.compile(pattern), what)
    for pattern, what in (
        ("hada_w1", "a LoHa"),
        ("lokr_[wt]", "a LoKr"),
        ("dora_scale|lora_magnitude_vector", "a DoRA"),
        ("lora_mid", "a LoCon with a middle part"),
        ("oft_", "an OFT"),
        (r"ia3|\.on_input$", "an (IA)³"),
        (r"\.diff(_b)?$", "whole differences of weights"),
        (r"\.[wb]_norm$", "changed norms"),
        (r"\.set_weight$", "weights that replace the base's"),
        ("scale_weight", "scaled weights of a quantised model"),
        (r"lora(_B|_A|_up|_down|\.up|\.down)\.bias$", "a LoRA with biases"),
        (r"glora|\.[ab][12]\.weight$", "a GLoRA"),
        ("lllite_", "a ControlNet-LLLite"),
    )
)
#: Names that only layers of other families have.
FOREIGN = (
    ("double_blocks", "Flux"),
    ("single_blocks", "Flux"),
    ("single_transformer_blocks", "Flux"),
    ("joint_blocks", "Stable Diffusion 3"),
    ("lora_te2_", "SDXL"),
    ("text_encoder_2", "SDXL"),
    ("lora_te3_", "Stable Diffusion 3"),
    ("lora_prior_unet", "Stable Cascade"),
    ("lora_transformer_", "a diffusion transformer"),
)
TRANSFORMER = re.compile(r"transformer\.|(base_model\.model\.|diffusion_model\.)?((transformer_)?blocks|layers)\.\d")
DEEP = re.compile(r"transformer_blocks[._]([1-9]\d*)[._]")  # Stable Diffusion 1.x and 2.x have one in each place
MAX_NAMES, MAX_PARTS = 2**21, 64  # characters of all names; parts of each, between points and underscores
CROSS = re.compile(r"attn2[._]to_[kv]$")


class TensorNames(NamedTuple):
    """The tensors of a LoRA for a UNet: names in the file by the layer's."""

    downs: dict[str, str]
    ups: dict[str, str]
    alphas: dict[str, str]


@dataclass(frozen=True)
class LoraHeader:
    """The contents of a LoRA's header.

    Attributes:
        name: of the file.
        names: its tensors by layer.
        shapes: of each layer's down and up weights.
        text: how many tensors belong to text encoders; they are left out.
        metadata: its configuration and metadata.
        family: the kind of model it was made for, by its layers, widths or metadata; None if unknown.
    """

    name: str
    names: TensorNames
    shapes: Mapping[str, tuple[list[int], list[int]]]
    text: int
    metadata: LoraMetadata
    family: str | None

    @property
    def ranks(self) -> dict[str, int]:
        """Rank by layer."""
        return {layer: down[0] for layer, (down, _) in self.shapes.items()}

    def notes(self) -> list[str]:
        """Contents that nothing uses."""
        left = [
            f"its {self.text} tensors for text encoders and words are left out: the base's own "
            "text encoder reads the prompt"
        ]
        return [
            *(left if self.text else []),
            *self.metadata.notes,
            *contradictions(self.metadata, self.ranks, bool(self.names.alphas)),
        ]


def files_of(path: Path) -> list[Path]:
    """The file, and the configuration in the same folder if the file depends on it."""
    beside = config_beside(path)
    return [path, beside] if beside is not None and _is_peft(path, read_header(path)) else [path]


def _is_peft(path: Path, header: Header) -> bool:
    """True for a file that peft saved, by its layers' names or the file's."""
    return path.name == "adapter_model.safetensors" or any(name.startswith(PEFT) for name in header.tensors)


def about_of(path: Path) -> dict[str, JsonValue]:
    """The header that inlay wrote into a LoRA; empty for files made elsewhere. No weights are read."""
    text = read_header(path).metadata.get("inlay", "{}")
    try:
        about = json.loads(text) if len(text) <= MAX_TEXT else {}
    except (ValueError, RecursionError):
        return {}
    return about if isinstance(about, dict) and isinstance(about.get("base", ""), str) else {}


def made_for(about: Mapping[str, object]) -> str:
    """The base that a header names, cut to a readable length."""
    return clean(str(about.get("base", "")))[:80]


def check_header(path: Path) -> LoraHeader:
    """Read the header, and refuse anything but a LoRA for a UNet of Stable Diffusion.

    Raises:
        ModelError: another kind of file or of adapter, another family, half a pair, a pair that does not fit together,
            a tensor twice, or numbers that are not floating point.
    """
    header = read_header(path)
    names = list(header.tensors)
    _require_short(path.name, names)
    for mark, what in OTHERS:
        odd = next((name for name in names if mark.search(name)), None)
        if odd is not None:
            raise no_lora(path.name, f"{what}: {shorten(odd)}", "a plain LoRA: down and up weights")
    metadata = read_lora_metadata(path, header, _is_peft(path, header))
    family = _family(names) or metadata.family
    if family is not None and family not in ("Stable Diffusion 1.x", "Stable Diffusion 2.x"):
        raise no_lora(path.name, f"a LoRA for {family}", "a LoRA for a UNet of Stable Diffusion 1.x or 2.x")
    if not any(DOWN.match(name) and not name.startswith(TEXT) for name in names):
        found = (
            "a LoRA for text encoders alone"
            if names and all(name.startswith(TEXT) for name in names)
            else (
                f"no LoRA weights in it ({len(names)} tensors, such as {shorten(min(names))})"
                if names
                else "nothing in it"
            )
        )
        raise no_lora(path.name, found, "LoRA weights for a UNet, in diffusers' or kohya's layout")
    by_layer = _by_layer(path.name, [name for name in names if not name.startswith(TEXT)])
    shapes = _pairs(path.name, header.tensors, by_layer)
    text = len(names) - sum(map(len, by_layer))
    cross = {down[1] for layer, (down, _) in shapes.items() if CROSS.search(layer)}
    width = FAMILIES.get(cross.pop()) if len(cross) == 1 else None
    return LoraHeader(path.name, by_layer, shapes, text, metadata, width or family)


def _require_short(where: str, names: list[str]) -> None:
    """Refuse names that no layer has, before patterns look for what they mean."""
    longest = max(map(len, names), default=0)
    parts = max((name.count(".") + name.count("_") for name in names), default=0)
    if longest > MAX_NAME or parts > MAX_PARTS or sum(map(len, names)) > MAX_NAMES:
        raise no_lora(
            where,
            f"names of up to {longest:,} characters for its {len(names):,} tensors",
            f"names of at most {MAX_NAME} characters and {MAX_PARTS} parts, {MAX_NAMES:,} characters together",
        )


def _family(names: list[str]) -> str | None:
    """The family that layers' names show."""
    for mark, family in FOREIGN:
        if any(mark in name for name in names):
            return family
    if any(TRANSFORMER.match(name) for name in names):
        return "a diffusion transformer"
    return "SDXL" if any(DEEP.search(name) and "text_model" not in name for name in names) else None


def _pairs(where: str, tensors: Mapping[str, TensorInfo], names: TensorNames) -> dict[str, tuple[list[int], list[int]]]:
    for part, types in ((names.downs, DTYPES), (names.ups, DTYPES), (names.alphas, DTYPES + INTEGERS)):
        for name in part.values():
            if tensors[name].dtype not in types:
                raise no_lora(where, f"{name} of type {clean(tensors[name].dtype)[:20]}", f"one of {', '.join(DTYPES)}")
    if odd := set(names.downs) ^ set(names.ups):
        raise no_lora(where, f"half a pair for {min(odd)}", "a down and an up weight for each layer")
    if odd := set(names.alphas) - set(names.downs):
        raise no_lora(where, f"an alpha for {min(odd)}, which has no weights", "alphas of its own layers")
    shapes = {}
    for layer, name in names.downs.items():
        down, up = tensors[name].shape, tensors[names.ups[layer]].shape
        if len(down) < 2 or len(up) < 2 or down[0] != up[1] or down[0] == 0:
            raise no_lora(where, f"{down} and {up} for {layer}", "[r, in] and [out, r]")
        if down[0] > max(prod(down[1:]), up[0]):
            raise no_lora(where, f"{down} and {up} for {layer}", "a rank that is no larger than the layer")
        shapes[layer] = (list(down), list(up))
    for layer, name in names.alphas.items():
        if prod(tensors[name].shape) != 1:
            raise no_lora(where, f"an alpha of shape {tensors[name].shape} for {layer}", "one number")
    return shapes


def _by_layer(where: str, names: list[str]) -> TensorNames:
    found = TensorNames({}, {}, {})
    for name in names:
        if match := DOWN.match(name):
            kind, layer = found.downs, _layer(match[1])
        elif match := UP.match(name):
            kind, layer = found.ups, _layer(match[1])
        elif name.endswith(".alpha"):
            kind, layer = found.alphas, _layer(re.sub(r"[._]lora$", "", name.removesuffix(".alpha")))
        else:
            raise no_lora(where, f"the tensor {shorten(name)}", "down and up weights, and their alphas")
        if layer in kind:
            raise no_lora(where, f"{kind[layer]} and {name}", "each layer once")
        kind[layer] = name
    return found


def _layer(name: str) -> str:
    """A layer's name without the prefix and infix of its layout."""
    for prefix in PREFIXES:
        name = name.removeprefix(prefix)
    name = name.replace(".processor.", ".")
    return re.sub(r"\.to_out$", ".to_out.0", name) if not name.startswith("lora_unet_") else name


def no_lora(name: str, found: str, expected: str) -> ModelError:
    """The message about a file that is not a LoRA for a UNet of Stable Diffusion 1.x or 2.x."""
    return ModelError(
        "source",
        found=f"{name}: {found}",
        expected=expected,
        fix="use a LoRA of Stable Diffusion 1.x or 2.x, or one that train.subject_lora wrote",
    )


def real_names(layers: list[str], sizes: Mapping[str, list[int]]) -> dict[str, str | None]:
    """The UNet's own name of each layer of a file (dotted, or with underscores); None if it has no such layer."""
    names = {name: name for name in sizes} | original_names(sizes)
    kohya = {f"lora_unet_{name.replace('.', '_')}": real for name, real in names.items()}
    kohya |= {name.removesuffix("_0"): real for name, real in kohya.items() if name.endswith("to_out_0")}
    return {layer: names.get(layer) or kohya.get(layer) for layer in layers}


def fits(down: list[int], up: list[int], weight: list[int]) -> bool:
    """True if a pair fits a layer of that shape; linear pairs fit 1 × 1 convolutions, and vice versa."""
    if len(down) == 2 and len(weight) == 4:
        down, up = [*down, 1, 1], [*up, 1, 1]
    elif len(down) == 4 and len(weight) == 2 and down[2:] == [1, 1]:
        down, up = down[:2], up[:2]
    return down[1:] == weight[1:] and up == [weight[0], down[0], *[1] * (len(weight) - 2)]


def require_fit(header: LoraHeader, sizes: Mapping[str, list[int]], base: str) -> None:
    """Refuse a LoRA with layers that the UNet does not have, or of other widths; the message names both.

    `sizes` are the shapes of the weights of the UNet's linear and convolution layers, by name.

    Raises:
        ModelError: it does not fit.
    """
    kind = f" ({header.family})" if header.family else ""

    def misfit(found: str, expected: str) -> ModelError:
        return ModelError(
            "source",
            found=f"{header.name}{kind}, with {found}",
            expected=expected,
            fix="a LoRA works with the kind of model that it was made for: use that one as the model, or another LoRA",
        )

    taken: set[str] = set()
    for layer, real in real_names(list(header.shapes), sizes).items():
        if real is None:
            raise misfit(f"a layer {shorten(layer)}", f"layers that the {base} has")
        if real in taken:
            raise misfit(f"{real} in two layouts", "each layer once")
        taken.add(real)
        down, up = header.shapes[layer]
        if not fits(down, up, list(sizes[real])):
            raise misfit(f"{down} and {up} for {real}", f"sizes of the {base}, where that layer is {list(sizes[real])}")
