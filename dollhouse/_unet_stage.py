"""Stage unet: the denoiser with its text encoder, on cached latents."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from transformers import CLIPTextModel

from ._loop import Plan, fit

UNET_CONFIG = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "block_out_channels": (96, 160, 160),
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
    "layers_per_block": 1,
    "cross_attention_dim": 160,
    # As in Stable Diffusion 1, diffusers reads this as the number of heads: 32 channels each.
    "attention_head_dim": (3, 5, 5),
    "norm_num_groups": 16,
}
SCHEDULER_CONFIG = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "prediction_type": "epsilon",
}
#: Share of captions replaced by "": half of guidance, and all there is when nobody gives a prompt.
CAPTION_DROPOUT = 0.15
#: Weight of a step, min(SNR, 5) / SNR (Hang et al. 2023): without it the nearly clean steps take most of the effort.
SNR_LIMIT = 5.0


class Denoiser(nn.Module):
    """Text encoder and UNet, trained together."""

    def __init__(self, text_encoder: CLIPTextModel, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.text_encoder, self.unet = text_encoder, unet

    def forward(self, noisy: Tensor, timesteps: Tensor, ids: Tensor) -> Tensor:
        """b × 4 × h × w latents, b timesteps, b × n ids -> predicted noise, b × 4 × h × w."""
        tokens = self.text_encoder(ids).last_hidden_state
        return self.unet(noisy, timesteps, encoder_hidden_states=tokens).sample


def train_unet(
    work: Path,
    model: Denoiser,
    latents: Tensor,
    captions: Tensor,
    no_caption: Tensor,
    device: torch.device,
    *,
    steps: int = 6400,
    batch: int = 32,
    stop_at: int | None = None,
    on_save: Callable[[int, dict[str, Tensor]], None] | None = None,
) -> Denoiser:
    """Train, or continue to train, on scaled latents (n × 4 × h × w) and captions (n × phrases × tokens, ids).

    Returns the model with averaged weights, float32.
    """
    model = model.to(device, memory_format=torch.channels_last)
    if device.type == "cpu":
        # Plain attention: on CPUs the backward pass of torch's fused one costs a quarter of the whole step.
        model.unet.set_attn_processor(AttnProcessor())
    alphas = DDIMScheduler(**SCHEDULER_CONFIG).alphas_cumprod
    plan = Plan("unet", steps, learning_rate=5e-4, warmup=300, decay=0.4, ema=0.9995)

    def loss_of(module: nn.Module, step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(latents), (batch,), generator=generator)
        phrases = torch.randint(captions.shape[1], (batch,), generator=generator)
        ids = captions[rows, phrases]
        ids[torch.rand(batch, generator=generator) < CAPTION_DROPOUT] = no_caption
        clean = latents[rows]
        noise = torch.randn(clean.shape, generator=generator)
        timesteps = torch.randint(1000, (batch,), generator=generator)
        signal = alphas[timesteps, None, None, None]
        noisy = (signal.sqrt() * clean + (1 - signal).sqrt() * noise).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16):
            guess = module(noisy, timesteps.to(device), ids.to(device))
        snr = signal / (1 - signal)
        weight = (snr.clamp(max=SNR_LIMIT) / snr).to(device)
        return (weight * (guess.float() - noise.to(device)).square()).mean()

    model.load_state_dict(fit(plan, work, model, loss_of, device=device, stop_at=stop_at, on_save=on_save))
    return model
