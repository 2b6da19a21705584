"""What one would write by hand with diffusers alone: the job of zero_shot_inpaint_strict, without this project.

    python benchmarks/overhead/hand_written.py MODEL_FOLDER IMAGE MASK OUT.png [--steps 30] [--eta 0.85] [--seed 0]

overhead/run.py compares the graph with it. It does what the workflow does and nothing more: no checks, no batches,
sides that are multiples of 8, a picture without transparency, float32 on the CPU, no prompt.
"""

import argparse
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from PIL import Image
from transformers import CLIPTextModel, CLIPTokenizer


class Models(NamedTuple):
    """The parts of a Stable Diffusion model."""

    vae: Any
    unet: Any
    text: Any
    tokenizer: Any
    scheduler: Any


def load_models(folder: str) -> Models:
    """Read a diffusers folder; weights in float32, frozen."""
    parts = [
        cls.from_pretrained(folder, subfolder=part, torch_dtype=torch.float32).eval().requires_grad_(False)
        for cls, part in ((AutoencoderKL, "vae"), (UNet2DConditionModel, "unet"), (CLIPTextModel, "text_encoder"))
    ]
    return Models(
        *parts,
        CLIPTokenizer.from_pretrained(folder, subfolder="tokenizer"),
        DDIMScheduler.from_pretrained(folder, subfolder="scheduler"),
    )


@torch.no_grad()
def inpaint(
    models: Models, image: str, mask: str, out: str, *, steps: int = 30, eta: float = 0.85, seed: int = 0
) -> torch.Tensor:
    """Algorithm 1 of Kakinuma et al. 2024, decoded and saved; the picture `[1 h w 3]`."""
    picture = torch.from_numpy(np.asarray(Image.open(image).convert("RGB"), dtype=np.float32) / np.float32(255))[None]
    hole = torch.from_numpy(np.asarray(Image.open(mask).convert("L"), dtype=np.float32) / np.float32(255) >= 0.5)
    hole = hole[None, None].float()

    x = picture.permute(0, 3, 1, 2) * 2 - 1
    scale = models.vae.config.scaling_factor
    # contiguous: the encoder gives channels-last, and convolutions of such a latent round differently in the last bit
    known = models.vae.encode(torch.where(hole > 0, 0.0, x)).latent_dist.mode().contiguous() * scale
    cells = F.interpolate(hole, size=known.shape[-2:], mode="nearest")
    for _ in range(2):
        cells = F.max_pool2d(cells, 3, stride=1, padding=1)

    tokens = models.tokenizer(
        [""],
        padding="max_length",
        max_length=models.text.config.max_position_embeddings,
        truncation=True,
        return_tensors="pt",
    )
    embeddings = models.text(tokens.input_ids)[0]

    models.scheduler.set_timesteps(steps)
    times = models.scheduler.timesteps
    alphas = [float(models.scheduler.alphas_cumprod[t]) for t in times] + [1.0]
    generator = torch.Generator("cpu").manual_seed(seed)
    z = torch.randn(known.shape, generator=generator)
    for i, t in enumerate(times):
        a, ap = alphas[i], alphas[i + 1]
        e = models.unet(z, t, encoder_hidden_states=embeddings).sample
        x0 = (z - math.sqrt(1 - a) * e) / math.sqrt(a)
        x0 = (1 - cells) * known + cells * x0
        sigma = eta * math.sqrt(max((1 - ap) / (1 - a) * (1 - a / ap), 0.0))
        z = math.sqrt(ap) * x0 + math.sqrt(max(1 - ap - sigma**2, 0.0)) * e
        z = z + sigma * torch.randn(z.shape, generator=generator)

    result = (models.vae.decode(z / scale).sample / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    Image.fromarray((result[0] * 255).round().to(torch.uint8).numpy()).save(out)
    return result


def main() -> None:
    """Load, fill, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "image", "mask", "out"):
        parser.add_argument(name)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--eta", type=float, default=0.85)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    Path(given.out).parent.mkdir(parents=True, exist_ok=True)
    inpaint(
        load_models(given.model), given.image, given.mask, given.out, steps=given.steps, eta=given.eta, seed=given.seed
    )


if __name__ == "__main__":
    main()
