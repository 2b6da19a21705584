"""Holes filled by example and by caption, on loaded models."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from inlay.benchmarks.exemplars.tasks import Task
from inlay.methods.latents import decode_latent, encode_picture
from inlay.methods.null_space import NullSpace
from inlay.methods.sampling.ddim import ddim_schedule
from inlay.methods.sampling.guidance import Guidance
from inlay.methods.sampling.loop import run_denoising
from inlay.methods.sampling.noise import gaussian_noise
from inlay.models.image_encoder import preprocess_images
from inlay.models.noise_levels import noise_levels
from inlay.models.text_encoder import encode_text
from torch import Tensor
from torch.nn import functional as F

STEPS, BATCH = 30, 20


class Model(NamedTuple):
    """A Paint-by-Example model, loaded."""

    unet: Any
    encoder: Any
    vae: Any
    scale: float
    config: Any
    image_size: int


def load_model(source: str) -> Model:
    """By name or folder, in float32."""
    from inlay.nodes.model import paint_by_example

    parts = paint_by_example(source, dtype="float32")
    with torch.inference_mode(False):
        return Model(
            parts.denoiser.load("cpu"),
            parts.exemplar_encoder.load("cpu"),
            parts.vae.load("cpu"),
            parts.vae.scaling_factor,
            parts.scheduler.config,
            parts.exemplar_encoder.image_size,
        )


@torch.no_grad()
def by_example(model: Model, tasks: Sequence[Task], guidance: float, seed: int = 0) -> Tensor:
    """Fills `[b h w 3]`, pasted back."""
    truth = torch.stack([task.truth for task in tasks])
    keep = 1 - torch.stack([task.hole for task in tasks])[:, None]
    pixels = torch.cat([preprocess_images(task.exemplar[None], model.image_size, "stretch") for task in tasks])
    embeddings = model.encoder(pixels)
    empty = model.encoder.uncond_vector.expand_as(embeddings).contiguous()
    masked = encode_picture(
        model.vae, truth * keep.permute(0, 2, 3, 1) + 0.5 * (1 - keep.permute(0, 2, 3, 1)), model.scale, 0.0
    )
    extra = torch.cat([masked, F.interpolate(keep, masked.shape[2:])], dim=1)
    return paste(
        model.vae,
        model.scale,
        tasks,
        run(model.unet, model.config, masked.shape, seed, Guidance(embeddings, empty, guidance, guidance != 1, extra)),
    )


def run(unet: Any, config: Any, shape: Sequence[int], seed: int, guidance: Guidance, constraint: Any = None) -> Tensor:
    """The loop on a loaded UNet, DDIM, 30 steps."""

    def call(z: Tensor, t: Tensor, embeddings: Tensor | None) -> Tensor:
        return unet(z, t, encoder_hidden_states=embeddings, return_dict=False)[0]

    stream = gaussian_noise(tuple(shape), seed).stream()
    z = stream.start()
    eta = 0.0 if constraint is None else 0.85
    return run_denoising(
        call,
        ddim_schedule(noise_levels(config), steps=STEPS, eta=eta),
        z,
        stream,
        guidance,
        constraint=None if constraint is None else constraint.begin(z),
    )


def paste(vae: Any, scale: float, tasks: Sequence[Task], latent: Tensor) -> Tensor:
    """Decode and paste into the hole; every other pixel is the room's own."""
    painted = torch.cat([decode_latent(vae, row, scale, 0.0) for row in latent.split(1)])
    holes = torch.stack([task.hole for task in tasks])[..., None]
    return torch.where(holes > 0, painted, torch.stack([task.truth for task in tasks]))


@torch.no_grad()
def by_text(tasks: Sequence[Task], guidance: float, seed: int = 0) -> Tensor:
    """The same holes filled from the caption, by zero-shot inpainting with dollhouse."""
    from inlay.nodes.model import stable_diffusion
    from inlay.pictures.masks.latent import grow_cells, latent_hole

    parts = stable_diffusion("dollhouse", dtype="float32")
    unet, vae, text = (part.load("cpu") for part in (parts.denoiser, parts.vae, parts.text_encoder))
    embeddings = torch.cat([encode_text(text, task.words)[0] for task in tasks])
    empty = encode_text(text, "")[0].expand_as(embeddings).contiguous()
    holes = torch.stack([task.hole for task in tasks])
    truth = torch.stack([task.truth for task in tasks])
    scale = parts.vae.scaling_factor
    grey = truth * (1 - holes[..., None]) + 0.5 * holes[..., None]
    known = torch.cat([encode_picture(vae, row, scale, 0.0) for row in grey.split(1)])
    latent_mask = grow_cells(latent_hole(holes > 0, parts.vae.factor, "max"), 2)
    return paste(
        vae,
        scale,
        tasks,
        run(
            unet,
            parts.scheduler.config,
            known.shape,
            seed,
            Guidance(embeddings, empty, guidance, True),
            NullSpace(known, latent_mask),
        ),
    )
