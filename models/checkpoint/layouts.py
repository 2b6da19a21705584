"""Configurations of Stable Diffusion 1.x and 2.x, derived from the names and shapes in a checkpoint's header."""

import re
from collections.abc import Iterable, Mapping, Sequence

from pydantic import JsonValue

from ...graph_runtime import ModelError
from ..files.safetensors_header import Header
from ..paint_by_example.original import ENCODER, encoder_config, holds_encoder
from .metadata import CheckpointMetadata, read_metadata

UNET, VAE = "model.diffusion_model.", "first_stage_model."
TEXT = ("cond_stage_model.transformer.", "cond_stage_model.model.")  # CLIP of 1.x, OpenCLIP of 2.x
BLOCK = re.compile(r"(?:input_blocks|output_blocks|middle_block|encoder\.down|decoder\.up|mid)\.[^.]*")
MAX_BLOCKS = 400
Shapes = Mapping[str, Sequence[int]]  # of tensors, by name
Configs = dict[str, dict[str, JsonValue]]  # configurations by component


def text_prefix(keys: Iterable[str]) -> str:
    """Prefix of the text encoder's keys: CLIP's in 1.x, OpenCLIP's in 2.x."""
    return next((prefix for prefix in TEXT if any(key.startswith(prefix) for key in keys)), TEXT[0])


def infer(
    header: Header,
    name: str,
    prediction: str | None,
    family: str = "stable_diffusion",
) -> Configs:
    """The configurations of unet, vae, scheduler, and text_encoder or image_encoder.

    Raises:
        ModelError: the file is of another family, or lacks a part.
    """
    _require_family(header, name, family)
    _require_few_blocks(header, name)
    metadata = metadata_of(header, name, family)
    shapes: Shapes = {key: tensor.shape for key, tensor in header.tensors.items()}
    try:
        unet = unet_config({key.removeprefix(UNET): shape for key, shape in shapes.items() if key.startswith(UNET)})
        vae = vae_config({key.removeprefix(VAE): shape for key, shape in shapes.items() if key.startswith(VAE)})
        if family == "paint_by_example":
            side = metadata.side or 512
            return {
                "unet": {**unet, "sample_size": side // 8},
                "vae": {**vae, "sample_size": side},
                "image_encoder": encoder_config(shapes),
                "scheduler": scheduler_config(metadata.prediction or "epsilon", metadata.zero_snr),
            }
        prefix = text_prefix(shapes)
        inside = {key.removeprefix(prefix): shape for key, shape in shapes.items() if key.startswith(prefix)}
        text = clip_config(inside) if prefix == TEXT[0] else _open_clip(inside)
    except (KeyError, IndexError, ValueError, StopIteration) as error:
        raise ModelError(
            "source",
            found=f"{name}, whose layers are not those of Stable Diffusion ({error})",
            expected="a whole Stable Diffusion 1.x or 2.x checkpoint",
            fix="download the file again, or use a diffusers folder",
        ) from error
    second = prefix == TEXT[1]
    prediction = prediction or metadata.prediction or ("epsilon" if not second or unet["in_channels"] == 9 else None)
    if prediction is None:
        raise ModelError(
            "prediction",
            found=f"{name}, a Stable Diffusion 2 file that does not state its prediction type",
            expected="epsilon (the 512 models) or v_prediction (the 768 models)",
            fix="set prediction in model.stable_diffusion",
        )
    side = metadata.side or (768 if second and prediction == "v_prediction" else 512)
    return {
        "unet": {**unet, "sample_size": side // 8},
        "vae": {**vae, "sample_size": side},
        "text_encoder": text,
        "scheduler": scheduler_config(prediction, metadata.zero_snr),
    }


def metadata_of(header: Header, name: str, family: str) -> CheckpointMetadata:
    """The metadata of the model, besides the weights that are read."""
    last = ENCODER if family == "paint_by_example" else TEXT
    return read_metadata(header, name, (UNET, VAE, *last, "cond_stage_model."))


def scheduler_config(prediction: str, zero_snr: bool) -> dict[str, JsonValue]:
    """Stable Diffusion's scheduler; if noise levels begin at pure noise, so do the timesteps (Lin et al. 2023)."""
    own: dict[str, JsonValue] = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if zero_snr else {}
    return own | {
        "_class_name": "DDIMScheduler",
        "num_train_timesteps": 1000,
        "beta_start": 0.00085,
        "beta_end": 0.012,
        "beta_schedule": "scaled_linear",
        "steps_offset": 1,
        "set_alpha_to_one": False,
        "clip_sample": False,
        "prediction_type": prediction,
    }


def _require_family(header: Header, name: str, family: str) -> None:
    keys = list(header.tensors)

    def refuse(found: str, fix: str) -> ModelError:
        return ModelError(
            "source",
            found=f"{name}, {found}",
            fix=fix,
            expected="a Stable Diffusion 1.x or 2.x checkpoint in the original layout",
        )

    if any(key.startswith(("conditioner.", f"{UNET}label_emb.")) for key in keys):
        raise refuse("an SDXL (or upscaler) checkpoint", "SDXL is not supported: use Stable Diffusion 1.x or 2.x")
    if any("lora" in key.lower() for key in keys):
        raise refuse("a LoRA", "connect a base model to model.lora and give this file there as its source")
    if any(".joint_blocks." in key or "double_blocks." in key for key in keys):
        raise refuse("a transformer (SD3, Flux …)", "use Stable Diffusion 1.x or 2.x")
    if any(key.startswith(("down_blocks.", "encoder.down_blocks.")) for key in keys):
        raise refuse("one part of a diffusers model", "give the folder that holds model_index.json")
    if family != "paint_by_example" and holds_encoder(keys):
        raise refuse("a Paint-by-Example checkpoint", "use model.paint_by_example: it takes exemplars, not prompts")
    if family == "paint_by_example" and not holds_encoder(keys):
        raise ModelError(
            "source",
            found=f"{name}, which has no exemplar encoder (no learnable_vector)",
            expected="a Paint-by-Example checkpoint in the original layout",
            fix="use model.stable_diffusion for this file, or another file here",
        )
    last = (
        ("cond_stage_model.", "image encoder") if family == "paint_by_example" else (text_prefix(keys), "text encoder")
    )
    for prefix, part in ((UNET, "UNet"), (VAE, "VAE"), last):
        if not any(key.startswith(prefix) for key in keys):
            raise refuse(
                f"which has no {part} (no keys under {prefix})",
                "use a file that holds all three parts, or a diffusers folder",
            )


def _require_few_blocks(header: Header, name: str) -> None:
    """The library's conversion looks through all names once for each block."""
    blocks = {match[0] for key in header.tensors for match in BLOCK.finditer(key)}
    if len(blocks) > MAX_BLOCKS:
        raise ModelError(
            "source",
            found=f"{name}, whose layers have {len(blocks)} blocks",
            expected=f"at most {MAX_BLOCKS}; Stable Diffusion has 38",
            fix="download the file again, or use another model",
        )


RESNET = {
    "conv1": "in_layers.2",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}


def original_names(layers: Iterable[str]) -> dict[str, str]:
    """Names of a UNet's layers in the original code, which ComfyUI's LoRAs use, with diffusers' names as values.

    `layers` are all linear and convolution layers of the UNet, by their names in diffusers.
    """
    layers = list(layers)
    depth = _count(layers, "down_blocks.0.resnets.{}.")
    levels = _count(layers, "down_blocks.{}.")
    moved = {
        "time_embedding.linear_1": "time_embed.0",
        "time_embedding.linear_2": "time_embed.2",
        "conv_in": "input_blocks.0.0",
        "conv_out": "out.2",
        "mid_block.attentions.0": "middle_block.1",
        "mid_block.resnets.0": "middle_block.0",
        "mid_block.resnets.1": "middle_block.2",
    }
    for level in range(levels):
        down, up = (depth + 1) * level + 1, (depth + 1) * level
        attends = any(name.startswith(f"up_blocks.{level}.attentions.") for name in layers)
        for place, kind in enumerate(("resnets", "attentions")):
            moved |= {f"down_blocks.{level}.{kind}.{j}": f"input_blocks.{down + j}.{place}" for j in range(depth)}
            moved |= {f"up_blocks.{level}.{kind}.{j}": f"output_blocks.{up + j}.{place}" for j in range(depth + 1)}
        moved[f"down_blocks.{level}.downsamplers.0.conv"] = f"input_blocks.{down + depth}.0.op"
        moved[f"up_blocks.{level}.upsamplers.0.conv"] = f"output_blocks.{up + depth}.{1 + attends}.conv"
    found = {}
    for name in layers:
        parts = name.split(".")
        for cut in range(len(parts), 0, -1):
            if (start := moved.get(".".join(parts[:cut]))) is not None:
                rest = ".".join(parts[cut:])
                found[".".join(filter(None, (start, RESNET.get(rest, rest))))] = name
                break
    return found


def _count(keys: Iterable[str], pattern: str) -> int:
    """How many consecutive numbers n have a key that starts with `pattern.format(n)`."""
    start, _, end = pattern.partition("{}")
    there = {key.removeprefix(start).partition(end)[0] for key in keys if key.startswith(start)}
    number = 0
    while str(number) in there:
        number += 1
    return number


def unet_config(shapes: Shapes) -> dict[str, JsonValue]:
    """The configuration of a UNet, from the shapes of its tensors without their prefix."""
    levels: list[list[int]] = [[]]
    crosses: list[bool] = [False]
    for index in range(1, _count(shapes, "input_blocks.{}.")):
        block = f"input_blocks.{index}."
        if f"{block}0.op.weight" in shapes:
            levels.append([])
            crosses.append(False)
            continue
        levels[-1].append(shapes[f"{block}0.out_layers.3.weight"][0])
        crosses[-1] |= f"{block}1.proj_in.weight" in shapes
    counts = {len(level) for level in levels}
    if len(counts) != 1 or any(".transformer_blocks.1." in key for key in shapes):
        raise ValueError("blocks of different depth")
    channels: list[JsonValue] = [level[-1] for level in levels]
    linear = len(next(shape for key, shape in shapes.items() if key.endswith("proj_in.weight"))) == 2
    cross = next(shape for key, shape in shapes.items() if key.endswith("attn2.to_k.weight"))[1]
    return {
        "_class_name": "UNet2DConditionModel",
        "in_channels": shapes["input_blocks.0.0.weight"][1],
        "out_channels": shapes["out.2.weight"][0],
        "block_out_channels": channels,
        "layers_per_block": counts.pop(),
        "down_block_types": ["CrossAttnDownBlock2D" if has else "DownBlock2D" for has in crosses],
        "up_block_types": ["CrossAttnUpBlock2D" if has else "UpBlock2D" for has in reversed(crosses)],
        "cross_attention_dim": cross,
        "use_linear_projection": linear,
        # in diffusers this is the number of heads: always 8 in 1.x, heads of width 64 in 2.x
        "attention_head_dim": [level[-1] // 64 for level in levels] if linear else 8,
    }


def vae_config(shapes: Shapes) -> dict[str, JsonValue]:
    """The configuration of a VAE, from the shapes of its tensors without their prefix."""
    levels = _count(shapes, "encoder.down.{}.")
    return {
        "_class_name": "AutoencoderKL",
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "latent_channels": shapes["post_quant_conv.weight"][0],
        "block_out_channels": [shapes[f"encoder.down.{level}.block.0.conv1.weight"][0] for level in range(levels)],
        "layers_per_block": _count(shapes, "encoder.down.0.block.{}."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "scaling_factor": 0.18215,
    }


def clip_config(shapes: Shapes) -> dict[str, JsonValue]:
    """The configuration of CLIP's text model, from the shapes of its tensors without their prefix."""
    vocabulary, width = shapes["text_model.embeddings.token_embedding.weight"]
    return _text(
        vocabulary,
        width,
        shapes["text_model.embeddings.position_embedding.weight"][0],
        _count(shapes, "text_model.encoder.layers.{}."),
        shapes["text_model.encoder.layers.0.mlp.fc1.weight"][0],
        "quick_gelu",
    )


def _open_clip(shapes: Shapes) -> dict[str, JsonValue]:
    vocabulary, width = shapes["token_embedding.weight"]
    layers = _count(shapes, "transformer.resblocks.{}.")
    # Stable Diffusion 2 never reads the last of OpenCLIP's 24 layers; diffusers' own folders, and files converted from
    # them, do not hold it, nor what comes behind it
    whole = layers == 24 or (layers != 23 and ("text_projection" in shapes or "logit_scale" in shapes))
    return _text(
        vocabulary,
        width,
        shapes["positional_embedding"][0],
        layers - whole,
        shapes["transformer.resblocks.0.mlp.c_fc.weight"][0],
        "gelu",
    )


def _text(
    vocabulary: int, width: int, positions: int, layers: int, inner: int, activation: str
) -> dict[str, JsonValue]:
    return {
        "architectures": ["CLIPTextModel"],
        "vocab_size": vocabulary,
        "hidden_size": width,
        "max_position_embeddings": positions,
        "num_hidden_layers": layers,
        "intermediate_size": inner,
        "num_attention_heads": max(width // 64, 1),
        "hidden_act": activation,
        "projection_dim": width,
        "bos_token_id": vocabulary - 2,
        "eos_token_id": vocabulary - 1,
        "pad_token_id": 1,
    }
