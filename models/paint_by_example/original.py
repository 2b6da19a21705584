"""The exemplar encoder in the original Paint-by-Example checkpoint: its keys, and its configuration from the shapes.

The layout is that of github.com/Fantasy-Studio/Paint-by-Example: `cond_stage_model.transformer.vision_model.…` (CLIP),
`cond_stage_model.mapper.resblocks.…` with queries, keys and values in one matrix, `cond_stage_model.final_ln`,
`proj_out`, `learnable_vector`. The UNet's input is [z, masked z, keep mask], as in the diffusers layout.
"""

from collections.abc import Collection, Mapping, Sequence

from pydantic import JsonValue

from ...graph_runtime.core.light.later import Tensor

ENCODER = ("cond_stage_model.", "proj_out.", "learnable_vector")
VISION, MAPPER = "cond_stage_model.transformer.", "cond_stage_model.mapper.resblocks."
#: Names inside one block of the mapper; the joined matrix is split into three.
BLOCK: Mapping[str, tuple[str, ...]] = {
    "attn.c_qkv": ("attn1.to_q", "attn1.to_k", "attn1.to_v"),
    "attn.c_proj": ("attn1.to_out.0",),
    "ln_1": ("norm1",),
    "ln_2": ("norm3",),
    "mlp.c_fc": ("ff.net.0.proj",),
    "mlp.c_proj": ("ff.net.2",),
}
WHOLE: Mapping[str, str] = {
    "cond_stage_model.final_ln.": "final_layer_norm.",
    "proj_out.": "proj_out.",
    "learnable_vector": "uncond_vector",
}


def rename_encoder(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert original keys to those of the diffusers layout.

    Raises:
        ValueError: a key is of no known kind.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in stored.items():
        if key.startswith(VISION):
            renamed[f"model.{key.removeprefix(VISION)}"] = value
        elif key.startswith(MAPPER):
            number, _, rest = key.removeprefix(MAPPER).partition(".")
            name, _, kind = rest.rpartition(".")
            if name not in BLOCK:
                raise ValueError(f"unknown weights {key}")
            parts = BLOCK[name]
            for target, piece in zip(parts, value.chunk(len(parts)), strict=True):
                renamed[f"mapper.blocks.{number}.{target}.{kind}"] = piece.clone() if len(parts) > 1 else piece
        else:
            old = next((old for old in WHOLE if key.startswith(old)), None)
            if old is None:
                raise ValueError(f"unknown weights {key}")
            renamed[WHOLE[old] + key.removeprefix(old)] = value
    if "uncond_vector" in renamed:
        renamed["uncond_vector"] = renamed["uncond_vector"].reshape(1, 1, -1)
    return renamed


def encoder_config(shapes: Mapping[str, Sequence[int]]) -> dict[str, JsonValue]:
    """The configuration of the exemplar encoder, from the shapes of its weights.

    Raises:
        KeyError: a weight is missing, and its shape is needed.
    """
    vision = f"{VISION}vision_model."
    width, _, patch, _ = shapes[f"{vision}embeddings.patch_embedding.weight"]
    positions = shapes[f"{vision}embeddings.position_embedding.weight"][0]
    layers = 0
    while f"{vision}encoder.layers.{layers}.layer_norm1.weight" in shapes:
        layers += 1
    token = shapes["proj_out.weight"][0]
    return {
        "architectures": ["PaintByExampleImageEncoder"],
        "hidden_size": width,
        "patch_size": patch,
        "image_size": round((positions - 1) ** 0.5) * patch,
        "num_hidden_layers": layers,
        "num_attention_heads": max(width // 64, 1),
        "hidden_act": "quick_gelu",
        "intermediate_size": shapes[f"{vision}encoder.layers.0.mlp.fc1.weight"][0],
        "projection_dim": token,
        "proj_size": token,
    }


def holds_encoder(keys: Collection[str]) -> bool:
    """True for the keys of a Paint-by-Example checkpoint."""
    return "learnable_vector" in keys
