"""Stage export: the parts as one Stable Diffusion folder, half precision, safetensors only."""

from __future__ import annotations

import os
import shutil
from copy import deepcopy
from pathlib import Path

from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTokenizer

from ._unet_stage import SCHEDULER_CONFIG
from ._words import write_tokenizer

LICENSE = "Trained by the inlay project on pictures drawn by its own program (dollhouse/world.py). Apache-2.0.\n"


def export(
    folder: Path, vae: AutoencoderKL, text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, unet: UNet2DConditionModel
) -> Path:
    """Write the diffusers folder beside, then swap it in; OverflowError when a weight does not fit half precision."""
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
    beside, old = (folder.with_name(f".{folder.name}.{kind}.{os.getpid()}") for kind in ("new", "old"))
    pipeline.save_pretrained(beside, safe_serialization=True)
    write_tokenizer(beside / "tokenizer")
    # transformers would otherwise load the stored precision and not mix with float32 parts.
    settings = beside / "text_encoder" / "config.json"
    settings.write_text(settings.read_text(encoding="utf-8").replace('"float16"', '"float32"'), encoding="utf-8")
    (beside / "LICENSE").write_text(LICENSE, encoding="utf-8")
    for file in beside.rglob("*.safetensors"):
        file.chmod(0o644)
    if folder.exists():
        os.rename(folder, old)
    os.rename(beside, folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder
