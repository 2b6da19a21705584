"""Stage export: the parts as one Stable Diffusion folder, half precision, safetensors only."""

from __future__ import annotations

import os
import shutil
from copy import deepcopy
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from ._unet_stage import SCHEDULER_CONFIG
from ._words import write_tokenizer

LICENSE = "Trained by the inlay project on pictures drawn by its own program (dollhouse/world.py). Apache-2.0.\n"


@torch.no_grad()
def centre_latents(vae: AutoencoderKL, means: Tensor) -> float:
    """Give every latent channel mean 0 and the same spread, in place, by the 1 × 1 convolutions around the latents.

    `means`: n × 4 × h × w posterior means before the change. The decoded pictures stay the same. Sets and returns
    the scaling factor, 1 / standard deviation of the latents.
    """
    centre, spread = means.mean(dim=(0, 2, 3)), means.std(dim=(0, 2, 3))
    target = means.std()
    gain = (target / spread).to(vae.device)
    centre = centre.to(vae.device)
    enter, leave = vae.quant_conv, vae.post_quant_conv
    channels = len(gain)
    enter.weight[:channels] *= gain[:, None, None, None]
    enter.bias[:channels] = (enter.bias[:channels] - centre) * gain
    enter.bias[channels:] += 2 * gain.log()
    leave.bias += (leave.weight[:, :, 0, 0] * centre).sum(dim=1)
    leave.weight /= gain[None, :, None, None]
    factor = round(1 / target.item(), 5)
    vae.register_to_config(scaling_factor=factor)
    return factor


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
