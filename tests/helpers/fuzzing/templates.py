"""What cases build upon, made once: the files that are always there, and model folders of every family."""

import importlib
import json
import os
import shutil
from pathlib import Path

from . import world
from .watch import ROOT

FOLDERS = ("sd", "pbe", "pixel", "detr", "clip", "dino", "blip")
FOLDER = Path()  # where they are; set by `make`


def make(folder, needs):
    """Make the templates, and import what cases use, so that forked processes find it imported.

    Args:
        folder: where.
        needs: the model folders to make; None makes none and imports little.
    """
    import inlay
    import torch
    from inlay.graph_runtime.front import kept_between_runs
    from inlay.graph_runtime.front.device import resolve_device
    from inlay.graph_runtime.front.environment import environment
    from tiny_models import Tiny

    global FOLDER
    FOLDER = folder
    torch.set_num_threads(1)
    folder.mkdir(parents=True)
    os.environ["INLAY_HOME"] = str(folder / "home")
    inlay.check("zero_shot_inpaint")
    if needs is not None:
        for name in ("diffusers", "transformers", "peft", "accelerate"):
            importlib.import_module(name)
        for name in ("zero_shot_inpaint", "subject_lora_inpaint"):
            inlay.run(name, steps=1, out=folder / "out", cache=False)
    environment(resolve_device("cpu"))
    kept_between_runs._kept.clear()
    world.make_static(folder / "static")
    tiny = Tiny(folder)
    makers = {
        "sd": lambda: tiny.stable_diffusion("sd"),
        "pbe": lambda: tiny.paint_by_example("pbe", vae={"levels": 2}),
        "pixel": lambda: tiny.pixel("pixel"),
        "detr": lambda: tiny.detector("detr", size=32),
        "clip": lambda: shutil.copytree(ROOT / "dollhouse" / "clip", folder / "clip"),
        "dino": lambda: _dino(folder / "dino"),
        "blip": lambda: _blip(folder / "blip"),
        "lora": lambda: _lora(folder / "lora.safetensors"),
    }
    for name in needs or ():
        makers[name]()


def _dino(folder):
    from transformers import ViTConfig, ViTModel

    ViTModel(
        ViTConfig(
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            image_size=16,
            patch_size=8,
        )
    ).save_pretrained(folder)
    about = {"size": 16, "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "do_normalize": True, "do_resize": True}
    (folder / "preprocessor_config.json").write_text(json.dumps(about))


def _blip(folder):
    from transformers import BertTokenizer, BlipConfig, BlipForConditionalGeneration

    folder.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "picture", "of", "room", "[DEC]"]
    (folder / "vocab.txt").write_text("\n".join(words))
    BertTokenizer(str(folder / "vocab.txt"), additional_special_tokens=["[DEC]"]).save_pretrained(folder)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    text = sizes | {"vocab_size": len(words), "max_position_embeddings": 32, "encoder_hidden_size": 16}
    text |= {"bos_token_id": 9, "eos_token_id": 3, "sep_token_id": 3, "pad_token_id": 0}
    BlipForConditionalGeneration(
        BlipConfig(text_config=text, vision_config=sizes | {"image_size": 16, "patch_size": 8}, projection_dim=16)
    ).save_pretrained(folder)
    about = {"size": {"height": 16, "width": 16}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (folder / "preprocessor_config.json").write_text(json.dumps(about))


def _lora(path):
    import torch
    from safetensors.torch import save_file

    layers = {
        "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": (16, 16),
        "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k": (16, 24),
        "mid_block.attentions.0.transformer_blocks.0.attn2.to_out.0": (32, 32),
    }
    tensors = {}
    for name, (out, into) in layers.items():
        tensors[f"unet.{name}.lora_A.weight"] = torch.ones(2, into) / 50
        tensors[f"unet.{name}.lora_B.weight"] = torch.ones(out, 2) / 50
    save_file(tensors, str(path), {"format": "pt"})
