"""The paper's ablations, each trained from the same start with the same budget."""

import argparse
import dataclasses
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from inlay.benchmarks.exemplars.fill import Model, load_model
from inlay.graph_runtime import Context
from torch import Tensor
from torch.nn import functional as F


class SpatialEncoder:
    """The ablation without a bottleneck: every token of CLIP instead of the one; wraps an exemplar encoder's class."""

    @staticmethod
    def install(encoder: Any) -> Any:
        """Give an encoder spatial tokens and a mapper with attention."""
        from types import MethodType

        def token(self: Any, pixels: Tensor) -> Tensor:
            seen = self.model(pixels)
            norm = getattr(self.model, "vision_model", self.model).post_layernorm
            return norm(seen.last_hidden_state)

        def project(self: Any, tokens: Tensor) -> Tensor:
            for block in self.mapper.blocks:
                normed = block.norm1(tokens)
                attended = F.scaled_dot_product_attention(
                    block.attn1.to_q(normed), block.attn1.to_k(normed), block.attn1.to_v(normed)
                )
                tokens = tokens + block.attn1.to_out[0](attended)
                tokens = tokens + block.ff.net[2](block.ff.net[0](block.norm3(tokens)))
            return self.proj_out(self.final_layer_norm(tokens))

        encoder.token, encoder.project = MethodType(token, encoder), MethodType(project, encoder)
        encoder.forward = lambda pixels: encoder.project(encoder.token(pixels))
        encoder.one_token = False
        return encoder


@dataclasses.dataclass(frozen=True)
class Altered:
    """A description whose module is altered after loading."""

    inner: Any
    alter: Callable[[Any], Any]
    mark: str
    dtype: str = "float32"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def fingerprint(self) -> str:
        """Differs from the unaltered one's."""
        return f"{self.inner.fingerprint}-{self.mark}"

    def load(self, device: str) -> Any:
        """The altered module."""
        return self.alter(dataclasses.replace(self.inner, dtype=self.dtype).load(device))


def forget(unet: Any) -> Any:
    """A UNet of the same shape that has learned nothing: no generative prior."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        return type(unet)(**dict(unet.config))


def train_ablations(folder: Path, photos: Any, base: Any, clip: Any, steps: int, batch: int) -> dict[str, Model]:
    """Each variant from the same start, with the same budget; resumes a stopped training."""
    from inlay.training.exemplar import train_exemplar
    from inlay.training.exemplar_settings import ExemplarSettings
    from inlay.training.inputs import TrainingInputs

    plain: dict[str, Any] = {
        "steps": steps, "batch_size": batch, "learning_rate": 4e-4, "condition_dropout": 0.15, "size": None,
        "variations": 1, "flip": 0.5, "rotate": 20.0, "blur": 0.3, "elastic": 0.3, "arbitrary_mask": 0.5,
        "mask_jitter": 0.4, "warmup": 100, "decay": 0.4, "weight_decay": 0.01, "ema": 0.99, "snr_limit": 5.0,
        "precision": "bfloat16", "micro_batch": 0, "checkpointing": False, "seed": 0, "resume": True,
        "save_every": 100, "sample_every": 0, "half": False, "prefix": "full",
    }  # fmt: skip
    none = {"flip": 0.0, "rotate": 0.0, "blur": 0.0, "elastic": 0.0}
    variants: dict[str, tuple[dict[str, Any], Any, Any]] = {
        "full, short": ({}, base.denoiser, clip),
        "no prior": ({}, Altered(base.denoiser, forget, "forgotten"), clip),
        "no bottleneck": ({}, base.denoiser, Altered(clip, SpatialEncoder.install, "spatial")),
        "no augmentation": (none, base.denoiser, clip),
        "no arbitrary mask": ({"arbitrary_mask": 0.0}, base.denoiser, clip),
    }
    models = {}
    for name, (changes, denoiser, encoder) in variants.items():
        settings = ExemplarSettings(**{**plain, **changes, "prefix": name.replace(", ", "-").replace(" ", "-")})
        parts = TrainingInputs(denoiser, base.vae, base.scheduler, encoder, photos)
        print(f"training: {name}", flush=True)
        began = time.monotonic()
        found = train_exemplar(parts, settings, Context(out=folder))
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        model = load_model(str(found[0].origin.root))
        if name == "no bottleneck":
            SpatialEncoder.install(model.encoder)
        models[name] = model
    return models


def ablations(options: argparse.Namespace) -> dict[str, Model]:
    """Photos, base and encoder for the ablations, and the trained models."""
    from inlay.nodes.model import exemplar_encoder, stable_diffusion
    from inlay.nodes.subject import photos

    pictures = photos(str(options.photos), ctx=Context(), boxes=str(options.boxes)).photos
    clip = exemplar_encoder("dollhouse-clip", width=160).exemplar_encoder
    return train_ablations(options.train, pictures, stable_diffusion("dollhouse"), clip, options.steps, options.batch)
