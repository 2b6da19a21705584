"""Checkpoints in the original layout: diffusers' keys renamed, and a small file with the shapes alone.

The renaming is the inverse of diffusers' own, written down independently.
"""

import torch
from inlay.models.checkpoint.single_file import SingleFile
from safetensors.torch import save_file

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}


TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def original_unet(state, layers, crosses):
    """UNet keys of diffusers → those of the original code; `crosses`: which levels attend, from the top."""
    moved = dict(TOP)
    for level, cross in enumerate(crosses):
        for j in range(layers):
            moved[f"down_blocks.{level}.resnets.{j}"] = f"input_blocks.{(layers + 1) * level + j + 1}.0"
            moved[f"down_blocks.{level}.attentions.{j}"] = f"input_blocks.{(layers + 1) * level + j + 1}.1"
        moved[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{(layers + 1) * (level + 1)}.0.op"
        up = len(crosses) - 1 - level
        for j in range(layers + 1):
            moved[f"up_blocks.{up}.resnets.{j}"] = f"output_blocks.{(layers + 1) * up + j}.0"
            moved[f"up_blocks.{up}.attentions.{j}"] = f"output_blocks.{(layers + 1) * up + j}.1"
        moved[f"up_blocks.{up}.upsamplers.0.conv"] = f"output_blocks.{(layers + 1) * up + layers}.{1 + cross}.conv"
    moved |= {
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.1": "middle_block.2",
    }
    return {f"model.diffusion_model.{rename(key, moved, RESNET)}": value for key, value in state.items()}


def rename(key, moved, inner):
    prefix = max((old for old in moved if key.startswith(old + ".")), key=len)
    rest = key[len(prefix) + 1 :]
    if "resnets" in prefix:
        name, kind = rest.rsplit(".", 1)
        rest = f"{inner.get(name, name)}.{kind}"
    return f"{moved[prefix]}.{rest}"


def original_vae(state, levels):
    result = {}
    for key, value in state.items():
        new = key.replace("conv_norm_out", "norm_out").replace("mid_block.attentions.0", "mid.attn_1")
        for index in range(2):
            new = new.replace(f"mid_block.resnets.{index}", f"mid.block_{index + 1}")
        for index in range(levels):
            new = new.replace(f"encoder.down_blocks.{index}.", f"encoder.down.{index}.")
            new = new.replace(f"decoder.up_blocks.{index}.", f"decoder.up.{levels - 1 - index}.")
        new = new.replace(".resnets.", ".block.").replace("downsamplers.0", "downsample")
        new = new.replace("upsamplers.0", "upsample").replace("conv_shortcut", "nin_shortcut")
        if "attn_1" in new:
            for old, short in (
                ("group_norm", "norm"),
                ("to_q", "q"),
                ("to_k", "k"),
                ("to_v", "v"),
                ("to_out.0", "proj_out"),
            ):
                new = new.replace(old, short)
            value = value[..., None, None] if value.ndim == 2 else value
        result[f"first_stage_model.{new}"] = value
    return result


def original_open_clip(state):
    result, prefix = {}, "cond_stage_model.model."
    names = {
        "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
        "text_model.embeddings.position_embedding.weight": "positional_embedding",
        "text_model.final_layer_norm.weight": "ln_final.weight",
        "text_model.final_layer_norm.bias": "ln_final.bias",
    }
    for key, value in state.items():
        if key in names:
            result[prefix + names[key]] = value
            continue
        new = key.replace("text_model.encoder.layers.", "transformer.resblocks.").replace("layer_norm", "ln_")
        new = new.replace("fc1", "c_fc").replace("fc2", "c_proj").replace("self_attn.", "attn.")
        if "q_proj" in new:
            joined = torch.cat([state[key.replace("q_proj", name)] for name in ("q_proj", "k_proj", "v_proj")])
            result[prefix + new.replace("q_proj.", "in_proj_")] = joined
        elif "k_proj" not in new and "v_proj" not in new:
            result[prefix + new] = value
    unused = {
        key.replace("resblocks.0", "resblocks.2"): value + 1 for key, value in result.items() if "resblocks.0." in key
    }  # the last layer of the original, which Stable Diffusion 2 never reads
    extra = {"logit_scale": torch.tensor(1.0), "text_projection": torch.eye(64), "attn_mask": torch.zeros(12, 12)}
    return result | unused | {prefix + key: value for key, value in extra.items()}


def unet_shapes():
    block = {
        "0.in_layers.2.weight": (8, 8, 3, 3),
        "0.out_layers.3.weight": (8, 8, 3, 3),
        "1.proj_in.weight": (8, 8, 1, 1),
        "1.transformer_blocks.0.attn2.to_k.weight": (8, 16),
    }
    return {
        "input_blocks.0.0.weight": (8, 4, 3, 3),
        "out.2.weight": (4, 8, 3, 3),
        **{f"input_blocks.1.{key}": shape for key, shape in block.items()},
    }


def shapes():
    vae = {
        "encoder.conv_in.weight": (8, 3, 3, 3),
        "decoder.conv_out.weight": (3, 8, 3, 3),
        "post_quant_conv.weight": (4, 4, 1, 1),
        "encoder.down.0.block.0.conv1.weight": (8, 8, 3, 3),
    }
    text = {
        "embeddings.token_embedding.weight": (64, 16),
        "embeddings.position_embedding.weight": (12, 16),
        "encoder.layers.0.mlp.fc1.weight": (32, 16),
    }
    return (
        {f"model.diffusion_model.{key}": shape for key, shape in unet_shapes().items()}
        | {f"first_stage_model.{key}": shape for key, shape in vae.items()}
        | {f"cond_stage_model.transformer.text_model.{key}": shape for key, shape in text.items()}
    )


def checkpoint(path, extra=None, metadata=None):
    tensors = {key: torch.zeros(shape, dtype=torch.float16) for key, shape in shapes().items()}
    save_file(tensors | (extra or {}), str(path), metadata)
    return SingleFile.read(path, None)
