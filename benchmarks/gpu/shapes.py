"""Models of Stable Diffusion 1.5's shape with random weights, as descriptions that any node takes: no download.

TINY has the same layers a few channels wide, for a rehearsal on a CPU.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from inlay.graph_runtime.core.quiet import quiet
from inlay.models.image_encoder import build_vision_config
from inlay.models.paint_by_example.component import ExemplarEncoderComponent
from inlay.models.stable_diffusion import DenoiserComponent, SchedulerComponent, VaeComponent
from torch import nn


class Shape(NamedTuple):
    """Configurations of a model's parts, and the side of its latents."""

    cells: int
    unet: Mapping[str, Any]
    vae: Mapping[str, Any]
    text: Mapping[str, Any]
    vision: Mapping[str, Any]


SD15 = Shape(
    64,
    {"sample_size": 64, "in_channels": 4, "out_channels": 4, "cross_attention_dim": 768, "attention_head_dim": 8},
    {
        "block_out_channels": [128, 256, 512, 512],
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "latent_channels": 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 2,
        "sample_size": 512,
        "scaling_factor": 0.18215,
    },
    {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "vocab_size": 49408,
        "max_position_embeddings": 77,
    },
    {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 768,
        "proj_size": 768,
    },
)
TINY = Shape(
    8,
    {
        "sample_size": 8,
        "in_channels": 4,
        "out_channels": 4,
        "cross_attention_dim": 24,
        "attention_head_dim": 4,
        "layers_per_block": 1,
        "block_out_channels": [16, 32],
        "norm_num_groups": 8,
        "down_block_types": ["CrossAttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "CrossAttnUpBlock2D"],
    },
    {
        "block_out_channels": [8] * 4,
        "down_block_types": ["DownEncoderBlock2D"] * 4,
        "latent_channels": 4,
        "up_block_types": ["UpDecoderBlock2D"] * 4,
        "layers_per_block": 1,
        "norm_num_groups": 4,
        "sample_size": 64,
        "scaling_factor": 0.18215,
    },
    {
        "hidden_size": 24,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "vocab_size": 64,
        "max_position_embeddings": 77,
    },
    {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 2,
        "image_size": 16,
        "patch_size": 8,
        "projection_dim": 24,
        "proj_size": 24,
    },
)
SCHEDULER = {
    "_class_name": "PNDMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "skip_prk_steps": True,
    "clip_sample": False,
    "set_alpha_to_one": False,
}


class RandomOrigin:
    """Where a random model is from: nowhere."""

    name, known = "random weights", True

    def __init__(self, shape: Shape, channels: int):
        self._configs = {
            "unet": {**shape.unet, "in_channels": channels},
            "vae": shape.vae,
            "image_encoder": shape.vision,
            "scheduler": SCHEDULER,
        }

    def config(self, part: str) -> Mapping[str, Any]:
        """The configuration of a part."""
        return self._configs[part]

    def optional(self, part: str) -> Mapping[str, Any]:
        """The configuration of a part; empty where there is none."""
        return self._configs.get(part, {})

    def index(self) -> Mapping[str, Any]:
        """No `model_index.json`."""
        return {}

    def stamp(self, part: str) -> str:
        """They are always the same."""
        return f"random {part} of {self._configs['unet']['in_channels']} channels"

    def weights(self, part: str) -> Any:
        """No files."""
        return SimpleNamespace(folder=None, variant=None, files=(), prefix="")


class _Drawn:
    """Loads a part by drawing its weights on the device, a seed for each part, so that every run has the same."""

    config: Mapping[str, Any]
    precision: Callable[[str], torch.dtype]

    def load(self, device: str) -> nn.Module:
        """The module in its precision, frozen."""
        with torch.inference_mode(False), quiet("diffusers", "transformers"):
            with torch.device("meta"):
                module = self.build()
            whole = module.to_empty(device=device)
            generator = torch.Generator(device).manual_seed(len(self.config))
            for name, value in whole.named_parameters():
                fan = value[0].numel() if value.ndim > 1 else 0
                with torch.no_grad():
                    if fan:  # what comes out is small: an inversion of noise upon noise would diverge
                        small = 0.05 if name.startswith("conv_out") else 0.5
                        value.normal_(0, small * (2 / fan) ** 0.5, generator=generator)
                    else:
                        value.fill_(float("norm" in name and name.endswith("weight")))
            for name, value in whole.named_buffers():
                if name.endswith("position_ids"):
                    value.copy_(torch.arange(value.shape[-1], device=value.device)[None])
            return whole.to(self.precision(device)).eval().requires_grad_(False)

    def nbytes_on(self, device: str) -> int:
        """Bytes in the precision of a device, counted without memory."""
        with torch.device("meta"):
            count = sum(value.numel() for value in self.build().parameters())
        return count * self.precision(device).itemsize

    def require_weights(self, least: int, key: str, value: object = None) -> None:
        """Nothing: weights that are drawn fit every configuration."""

    def build(self) -> nn.Module:
        """The module, its weights whatever they are."""
        raise NotImplementedError


@dataclass(frozen=True)
class RandomDenoiser(_Drawn, DenoiserComponent):
    """A UNet."""

    def build(self) -> nn.Module:
        """diffusers' own."""
        from diffusers import UNet2DConditionModel

        return UNet2DConditionModel(**self.config)


@dataclass(frozen=True)
class RandomVae(_Drawn, VaeComponent):
    """An autoencoder."""

    def build(self) -> nn.Module:
        """diffusers' own."""
        from diffusers import AutoencoderKL

        return AutoencoderKL(**self.config)


@dataclass(frozen=True)
class RandomExemplarEncoder(_Drawn, ExemplarEncoderComponent):
    """CLIP's vision model with Paint by Example's mapper."""

    def build(self) -> nn.Module:
        """The pack's own."""
        from inlay.models.paint_by_example.encoder import ExemplarEncoder

        return ExemplarEncoder(build_vision_config(self.config), self.width)


class RandomModel(NamedTuple):
    """The parts of a random model; `exemplar` is a UNet of nine channels that listens to one token."""

    denoiser: Any
    exemplar: Any
    vae: Any
    encoder: Any
    scheduler: Any


def random_model(shape: Shape, dtype: Any) -> RandomModel:
    """Descriptions of a shape's parts in a precision."""
    plain, wide = RandomOrigin(shape, 4), RandomOrigin(shape, 9)
    return RandomModel(
        RandomDenoiser.describe(plain, dtype),
        RandomDenoiser.describe(wide, dtype),
        RandomVae.describe(plain, dtype),
        RandomExemplarEncoder.describe(plain, dtype),
        SchedulerComponent.describe(plain, dtype),
    )


def text_embeddings(shape: Shape, device: str, rows: int) -> torch.Tensor:
    """What a random CLIP text model makes of random tokens, `[rows 77 d]` on the CPU."""
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        encoder = CLIPTextModel(CLIPTextConfig(**shape.text, bos_token_id=0, eos_token_id=1, pad_token_id=1))
        tokens = torch.randint(2, shape.text["vocab_size"], (rows, 77))
        found: torch.Tensor = encoder.to(device).eval()(tokens.to(device)).last_hidden_state.cpu()
    return found
