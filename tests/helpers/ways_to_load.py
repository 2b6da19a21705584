"""Every way to load a model: tiny folders and files in their real layouts, descriptions, and an output of each."""

import shutil
from functools import partial

import torch
from inlay.nodes.model import exemplar_encoder, paint_by_example, pixel_diffusion, stable_diffusion
from inlay.nodes.model_vision import captioner, clip, detector, dino
from safetensors.torch import load_file, save_file
from single_files import original_unet, original_vae


def single_file(tiny):
    """A Stable Diffusion folder as one file in the original layout, its tokenizer beside."""
    folder = tiny.stable_diffusion(
        unet={
            "block_out_channels": (32, 64),
            "norm_num_groups": 32,
            "cross_attention_dim": 64,
            "layers_per_block": 2,
            "attention_head_dim": 8,
        },
        text={"hidden_size": 64, "num_attention_heads": 1},
        vae={"levels": 3, "block_out_channels": (32, 32, 64), "norm_num_groups": 32},
    )
    text = load_file(folder / "text_encoder" / "model.safetensors")
    state = original_unet(load_file(folder / "unet" / "diffusion_pytorch_model.safetensors"), 2, (True, False))
    state |= original_vae(load_file(folder / "vae" / "diffusion_pytorch_model.safetensors"), 3)
    state |= {
        f"cond_stage_model.transformer.text_model.{key.removeprefix('text_model.')}": value
        for key, value in text.items()
    }
    alone = tiny.root / "single"
    shutil.copytree(folder / "tokenizer", alone / "tokenizer")
    save_file({key: value.contiguous().clone() for key, value in state.items()}, alone / "model.safetensors")
    return alone


def transformers_model(tiny, kind):
    """A small CLIP, DINO or BLIP as transformers writes it."""
    from transformers import (
        BertTokenizer,
        BlipConfig,
        BlipForConditionalGeneration,
        CLIPConfig,
        CLIPModel,
        ViTConfig,
        ViTModel,
    )

    torch.manual_seed(0)
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    seeing = {**small, "image_size": 16, "patch_size": 8}
    folder = tiny.root / kind
    if kind == "dino":
        ViTModel(ViTConfig(**seeing)).save_pretrained(folder)
    elif kind == "clip":
        reading = {**small, "vocab_size": 64, "max_position_embeddings": 12}
        CLIPModel(CLIPConfig(text_config=reading, vision_config=seeing, projection_dim=8)).save_pretrained(folder)
        tiny.save_tokenizer(folder)
    else:
        words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[DEC]", "a", "room"]
        BlipForConditionalGeneration(
            BlipConfig(
                vision_config=seeing,
                projection_dim=8,
                text_config={
                    **small,
                    "encoder_hidden_size": 16,
                    "vocab_size": len(words),
                    "bos_token_id": 5,
                    "eos_token_id": 3,
                    "sep_token_id": 3,
                    "pad_token_id": 0,
                },
            )
        ).save_pretrained(folder)
        (folder / "vocab.txt").write_text("\n".join(words))
        BertTokenizer(str(folder / "vocab.txt"), additional_special_tokens=["[DEC]"]).save_pretrained(folder)
    return folder


def denoised(unet):
    sample = torch.linspace(-1, 1, unet.config.in_channels * 64).reshape(1, -1, 8, 8)
    width = getattr(unet.config, "cross_attention_dim", None)
    told = () if width is None else (torch.linspace(-1, 1, 3 * width).reshape(1, 3, width),)
    return unet(sample, 500, *told)[0]


def pixels(side=16):
    return torch.linspace(-1, 1, 3 * side * side).reshape(1, 3, side, side)


def encoded(vae):
    return vae.encode(pixels())[0].mean


def read(module):
    return module.encoder(torch.arange(12)[None])[0]


MAKERS = {
    "sd": lambda tiny: tiny.stable_diffusion(),
    "pixel": lambda tiny: tiny.pixel(),
    "file": single_file,
    "pbe": lambda tiny: tiny.paint_by_example(),
    "detr": lambda tiny: tiny.detector(),
    **{kind: partial(transformers_model, kind=kind) for kind in ("clip", "dino", "captioner")},
}
#: way of loading → (whose folder, its description, an output of its module)
WAYS = {
    "unet": ("sd", lambda at: stable_diffusion(str(at)).denoiser, denoised),
    "vae": ("sd", lambda at: stable_diffusion(str(at)).vae, encoded),
    "text": ("sd", lambda at: stable_diffusion(str(at)).text_encoder, read),
    "pixel": ("pixel", lambda at: pixel_diffusion(str(at)).denoiser, denoised),
    "exemplar": ("pbe", lambda at: paint_by_example(str(at)).exemplar_encoder, lambda module: module(pixels())),
    "new_exemplar": ("clip", lambda at: exemplar_encoder(str(at)).exemplar_encoder, lambda module: module(pixels())),
    "one_file_unet": ("file", lambda at: stable_diffusion(str(at / "model.safetensors")).denoiser, denoised),
    "one_file_vae": ("file", lambda at: stable_diffusion(str(at / "model.safetensors")).vae, encoded),
    "one_file_text": ("file", lambda at: stable_diffusion(str(at / "model.safetensors")).text_encoder, read),
    "detector": ("detr", lambda at: detector(str(at)).detector, lambda module: module(pixels(64)).logits),
    "clip": ("clip", lambda at: clip(str(at)).clip, lambda module: module.pictures(pixels())),
    "dino": ("dino", lambda at: dino(str(at)).dino, lambda module: module.pictures(pixels())),
    "captioner": (
        "captioner",
        lambda at: captioner(str(at)).captioner,
        lambda module: module.model.vision_model(pixels()).pooler_output,
    ),
}
