"""The baseline of subjects/run.py: dollhouse's denoiser trained to fill holes from a caption, like SD-inpainting.

    python benchmarks/subjects/caption_baseline.py --work FOLDER        trains it there, or resumes

Nine input channels in the order latent, hole (1 = repaint), masked picture. It is not shipped.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from diffusers.models.attention_processor import AttnProcessor
from inlay.dollhouse._clip_stage import boxes as boxes_of
from inlay.dollhouse._draw_stage import pictures as pictures_of
from inlay.dollhouse._export import export
from inlay.dollhouse._loop import Plan, fit, save_beside
from inlay.dollhouse._text_stage import caption_ids, token_ids
from inlay.dollhouse._unet_stage import CAPTION_DROPOUT, SNR_LIMIT, Denoiser
from inlay.dollhouse._vae_stage import to_tensor
from inlay.methods.paint_by_example import widen
from inlay.pictures.masks.brush import brush_mask
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

WEIGHTS = Path(__file__).resolve().parents[2] / "dollhouse" / "weights"
#: How far a hole reaches beyond its box, as a share of the free space; half of the holes are of an arbitrary shape.
EXTEND = 0.4


@torch.no_grad()
def encoded(work: Path, vae: Any, pictures: NDArray[np.uint8], boxes: NDArray[np.int16]) -> dict[str, Tensor]:
    """Scaled latents of pictures (n × s × s × 3) and of the same with a hole, and the holes; made when missing."""
    path = work / "inpaint" / f"examples-{len(boxes)}.pt"
    if path.exists():
        found: dict[str, Tensor] = torch.load(path, weights_only=True)
        return found
    side = pictures.shape[1]
    parts: dict[str, list[Tensor]] = {"latent": [], "masked": [], "hole": []}
    for start in range(0, len(boxes), 16):
        rows = range(start, min(start + 16, len(boxes)))
        holes = torch.stack(
            [
                brush_mask(
                    tuple(map(int, boxes[row])),
                    (side, side),
                    torch.Generator().manual_seed(row),
                    arbitrary=0.5,
                    amount=EXTEND,
                )
                for row in rows
            ]
        )[:, None]
        images = to_tensor(pictures[rows.start : rows.stop])
        both = vae.encode(torch.cat([images, images * (holes < 0.5)])).latent_dist.mean * vae.config.scaling_factor
        latent, masked = both.chunk(2)
        parts["latent"].append(latent)
        parts["masked"].append(masked)
        parts["hole"].append(F.interpolate(holes, latent.shape[2:]))
    found = {name: torch.cat(values) for name, values in parts.items()}
    save_beside(lambda beside: torch.save(found, beside), path)
    return found


def train_inpaint(
    work: Path,
    source: Path,
    pictures: NDArray[np.uint8],
    boxes: NDArray[np.int16],
    device: torch.device,
    *,
    steps: int,
    batch: int = 16,
) -> Path:
    """Train on pictures, the boxes of their subjects and their captions; the folder of the model, `work`/inpaint-model.

    Args:
        work: folder of the checkpoint.
        source: dollhouse's weights, which the training begins with; the new channels begin at zero.
        pictures: n × 128 × 128 × 3, training pictures from the first.
        boxes: of their subjects, n × 4.
        device: to train on.
        steps: optimizer steps.
        batch: pictures a step.
    """
    pipe = StableDiffusionPipeline.from_pretrained(source, torch_dtype=torch.float32, safety_checker=None)
    pipe.set_progress_bar_config(disable=True)
    widen(pipe.unet)
    known = encoded(work, pipe.vae, pictures, boxes)
    captions, nothing = caption_ids(pipe.tokenizer, len(boxes)), token_ids(pipe.tokenizer, [""])[0]
    alphas = DDIMScheduler.from_config(pipe.scheduler.config).alphas_cumprod
    if device.type == "cpu":
        pipe.unet.set_attn_processor(AttnProcessor())
    model = Denoiser(pipe.text_encoder.requires_grad_(False), pipe.unet.requires_grad_(True)).to(
        device, memory_format=torch.channels_last
    )
    plan = Plan("inpaint", steps, learning_rate=3e-4, warmup=100, ema=0.998)

    def loss_of(module: nn.Module, step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(boxes), (batch,), generator=generator)
        ids = captions[rows, torch.randint(captions.shape[1], (batch,), generator=generator)]
        ids[torch.rand(batch, generator=generator) < CAPTION_DROPOUT] = nothing
        clean = known["latent"][rows]
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = torch.randint(len(alphas), (batch,), generator=generator)
        signal = alphas[timesteps, None, None, None]
        noisy = signal.sqrt() * clean + (1 - signal).sqrt() * noise
        joined = torch.cat([noisy, known["hole"][rows], known["masked"][rows]], dim=1)
        with torch.autocast(device.type, torch.bfloat16):
            guess = module(joined.to(device, memory_format=torch.channels_last), timesteps.to(device), ids.to(device))
        snr = signal / (1 - signal)
        weight = (snr.clamp(max=SNR_LIMIT) / snr).to(device)
        return (weight * (guess.float() - noise.to(device)).square()).mean()

    model.load_state_dict(fit(plan, work, model, loss_of, device=device))
    return export(work / "inpaint-model", pipe.vae, model.text_encoder.cpu(), pipe.tokenizer, model.unet.cpu())


def main() -> None:
    """Draw, encode, train, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=6000)
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--source", type=Path, default=WEIGHTS)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    drawn, places = pictures_of(args.work, args.pictures), boxes_of(args.work, args.pictures)
    print(train_inpaint(args.work, args.source, drawn, places, torch.device("cpu"), steps=args.steps))


if __name__ == "__main__":
    main()
