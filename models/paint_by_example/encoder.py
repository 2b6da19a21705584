"""The exemplar encoder of Paint by Example (Yang et al. 2022): one CLIP token, a mapper, a projection.

The module keeps the names of the published weights, so diffusers' own class can read its files, and vice versa. On
one token the attention of the mapper's blocks is the identity of its values (softmax over one key is 1): queries and
keys are kept and saved, but never evaluated.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import torch
import torch.nn.functional as F
from pydantic import JsonValue
from torch import Tensor, nn

from ...graph_runtime.core.files import replacing, write_text
from ...graph_runtime.core.quiet import seeded_weights

if TYPE_CHECKING:
    from transformers import CLIPVisionConfig, CLIPVisionModel

T = TypeVar("T")
VISION_KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
    "attention_dropout",
    "initializer_range",
    "initializer_factor",
    "projection_dim",
)


class _Attention(nn.Module):
    """Attention over one token: Wo(Wv x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))
        self.to_out = nn.ModuleList([nn.Linear(width, width)])

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.to_out[0](self.to_v(x))
        return out


class _Gelu(nn.Module):
    """GELU after a linear layer, under diffusers' name `proj`."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        return F.gelu(self.proj(x))


class _FeedForward(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.ModuleList([_Gelu(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.net:
            x = layer(x)
        return x


class _Block(nn.Module):
    """x += Wo(Wv(LN1 x)); x += W2·gelu(W1·LN3 x)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.attn1 = nn.LayerNorm(width), _Attention(width)
        self.norm3, self.ff = nn.LayerNorm(width), _FeedForward(width)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn1(self.norm1(x))
        out: Tensor = x + self.ff(self.norm3(x))
        return out


class _Mapper(nn.Module):
    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([_Block(width) for _ in range((layers + 1) // 5)])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class ExemplarEncoder(nn.Module):
    """CLIP vision model, mapper, last norm, projection, and the learned vector that stands for "no exemplar".

    Args:
        vision_config: of transformers' CLIPVisionModel.
        proj_size: width of its single token, the input of the denoiser's cross-attention.
    """

    one_token = True

    def __init__(self, vision_config: "CLIPVisionConfig", proj_size: int) -> None:
        from transformers import CLIPVisionModel

        super().__init__()
        width = vision_config.hidden_size
        self.model = CLIPVisionModel(vision_config)
        self.mapper = _Mapper(width, vision_config.num_hidden_layers)
        self.final_layer_norm = nn.LayerNorm(width)
        self.proj_out = nn.Linear(width, proj_size)
        self.uncond_vector = nn.Parameter(torch.randn((1, 1, proj_size)))

    def token(self, pixels: Tensor) -> Tensor:
        """Normalised pictures `[b 3 s s]` -> CLIP's class token after its last norm, `[b 1 hidden]`: the bottleneck."""
        pooled: Tensor = self.model(pixels).pooler_output
        return pooled[:, None]

    def project(self, token: Tensor) -> Tensor:
        """`[b 1 hidden]` -> embeddings for the denoiser's cross-attention, `[b 1 d]`."""
        out: Tensor = self.proj_out(self.final_layer_norm(self.mapper(token)))
        return out

    def forward(self, pixels: Tensor) -> Tensor:
        """Normalised pictures `[b 3 s s]` -> `[b 1 d]`."""
        return self.project(self.token(pixels))

    def inert(self) -> list[str]:
        """Names of the parameters that have no effect with a single token: no gradient reaches them."""
        return [name for name, _ in self.named_parameters() if ".attn1.to_q." in name or ".attn1.to_k." in name]


def new_encoder(vision: "CLIPVisionModel", proj_size: int, seed: int = 0) -> ExemplarEncoder:
    """An encoder around a trained CLIP vision model; mapper, projection and learned vector come from `seed`."""
    with seeded_weights(seed):
        encoder = ExemplarEncoder(vision.config, proj_size)
    encoder.model.load_state_dict(vision.state_dict())
    return encoder


def stored_name(name: str) -> str:
    """A parameter's name in the published file: `model.vision_model.…`, whatever its current name in transformers."""
    inner = name.removeprefix("model.")
    return name if inner == name or inner.startswith("vision_model.") else f"model.vision_model.{inner}"


def fit_encoder(stored: Mapping[str, T], module: nn.Module) -> dict[str, T]:
    """Stored tensors under an exemplar encoder's own names, with or without `vision_model.` in either."""
    wanted = {stored_name(name): name for name in module.state_dict()}
    return {
        wanted.get(stored_name(name), name): value
        for name, value in stored.items()
        if not name.endswith("position_ids")
    }


def encoder_config(module: ExemplarEncoder) -> dict[str, JsonValue]:
    """The contents of `image_encoder/config.json`."""
    config = module.model.config
    vision = {key: getattr(config, key) for key in VISION_KEYS if hasattr(config, key)}
    return {
        "architectures": ["PaintByExampleImageEncoder"],
        "model_type": "clip_vision_model",
        **vision,
        "projection_dim": module.proj_out.out_features,
        "proj_size": module.proj_out.out_features,
    }


def save_encoder(module: ExemplarEncoder, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` atomically, in the published layout."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {
        stored_name(name): value.detach().cpu().contiguous()
        for name, value in module.state_dict().items()
        if not name.endswith("position_ids")
    }
    with replacing(folder / "model.safetensors") as path:
        save_file(state, str(path), {"format": "pt"})
    write_text(folder / "config.json", json.dumps(encoder_config(module), indent=2) + "\n")
