"""Stage export: the parts as one Stable Diffusion folder, half precision, safetensors only."""

from __future__ import annotations

import json
import os
import shutil
from copy import deepcopy
from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer

from ._clip_stage import CLIP_MEAN, CLIP_STD
from ._unet_stage import SCHEDULER_CONFIG
from ._words import write_tokenizer

LICENSE = "Trained by the inlay project on pictures drawn by its own program (dollhouse/world.py). Apache-2.0.\n"


def export(
    folder: Path, vae: AutoencoderKL, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, unet: UNet2DConditionModel
) -> Path:
    """Write the diffusers folder and replace an older one in one step.

    Raises:
        OverflowError: a weight does not fit half precision.
    """
    modules = {"vae": vae, "text_encoder": text_encoder, "unet": unet}
    halves = {name: deepcopy(module).cpu().half().eval() for name, module in modules.items()}
    for name, module in halves.items():
        for key, value in module.state_dict().items():
            if not value.isfinite().all():
                raise OverflowError(f"{name}: {key} does not fit half precision")
    pipeline = StableDiffusionPipeline(
        **halves,
        tokenizer=tokenizer,
        scheduler=DDIMScheduler(**SCHEDULER_CONFIG),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    beside = folder.with_name(f".{folder.name}.new.{os.getpid()}")
    pipeline.save_pretrained(beside, safe_serialization=True)
    write_tokenizer(beside / "tokenizer")
    # transformers would otherwise load the stored precision and not mix with float32 parts.
    settings = beside / "text_encoder" / "config.json"
    settings.write_text(settings.read_text(encoding="utf-8").replace('"float16"', '"float32"'), encoding="utf-8")
    (beside / "LICENSE").write_text(LICENSE, encoding="utf-8")
    return swap_in(beside, folder)


def swap_in(beside: Path, folder: Path) -> Path:
    """Move a finished folder to the place of another, which is removed."""
    for file in beside.rglob("*"):
        if file.is_file():
            file.chmod(0o644)
    old = folder.with_name(f".{folder.name}.old.{os.getpid()}")
    if folder.exists():
        os.rename(folder, old)
    os.rename(beside, folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def export_clip(folder: Path, model: CLIPModel) -> Path:
    """Write a CLIP with its tokenizer and picture settings in half precision; replace an older one in one step."""
    beside = folder.with_name(f".{folder.name}.new.{os.getpid()}")
    deepcopy(model).cpu().half().eval().save_pretrained(beside, safe_serialization=True)
    settings = beside / "config.json"
    settings.write_text(settings.read_text(encoding="utf-8").replace('"float16"', '"float32"'), encoding="utf-8")
    write_tokenizer(beside)
    side = model.config.vision_config.image_size
    pictures = {
        "image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": side},
        "resample": 3, "do_center_crop": True, "crop_size": {"height": side, "width": side}, "do_rescale": True,
        "rescale_factor": 1 / 255, "do_normalize": True, "image_mean": list(CLIP_MEAN), "image_std": list(CLIP_STD),
    }  # fmt: skip
    (beside / "preprocessor_config.json").write_text(json.dumps(pictures, indent=2) + "\n", encoding="utf-8")
    (beside / "LICENSE").write_text(LICENSE, encoding="utf-8")
    return swap_in(beside, folder)


def export_exemplar(folder: Path, trained: Path) -> Path:
    """Copy a model that `train.exemplar` wrote, without its VAE, which is dollhouse's own."""
    beside = folder.with_name(f".{folder.name}.new.{os.getpid()}")
    shutil.copytree(trained, beside, ignore=shutil.ignore_patterns("vae"))
    index = beside / "model_index.json"
    parts = json.loads(index.read_text(encoding="utf-8")) | {"vae": [None, None]}
    index.write_text(json.dumps(parts, indent=2) + "\n", encoding="utf-8")
    (beside / "LICENSE").write_text(LICENSE, encoding="utf-8")
    return swap_in(beside, folder)
