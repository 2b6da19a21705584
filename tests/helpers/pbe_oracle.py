"""diffusers' own PaintByExamplePipeline on the weights of a folder, and the same job by our nodes."""

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, UNet2DConditionModel
from inlay.graph_runtime import Context
from inlay.methods.sampling.noise import GivenNoise, gaussian_noise
from inlay.models.image_encoder import preprocess_images
from inlay.models.paint_by_example.encoder import fit_encoder
from inlay.nodes import condition, model, sample
from moved import PaintByExampleImageEncoder, PaintByExamplePipeline
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPImageProcessor, CLIPVisionConfig

SCHEDULERS = {"ddim": DDIMScheduler, "pndm": PNDMScheduler}


def pictures(size=(64, 64), seed=0):
    """A picture, a mask (white = repaint) and an exemplar, 8-bit, as PIL."""
    draws = np.random.default_rng(seed)
    width, height = size
    picture = Image.fromarray(draws.integers(0, 256, (height, width, 3), dtype=np.uint8))
    hole = np.zeros((height, width), np.uint8)
    hole[height // 4 : height // 2 + 3, width // 3 : width - 5] = 255
    exemplar = Image.fromarray(draws.integers(0, 256, (31, 44, 3), dtype=np.uint8))
    return picture, Image.fromarray(hole), exemplar


def pipeline(folder, kind, dtype):
    """The pipeline from its components: its own loader is broken in this release."""
    config = CLIPVisionConfig.from_pretrained(folder / "image_encoder")
    stored = load_file(str(folder / "image_encoder" / "model.safetensors"))
    encoder = PaintByExampleImageEncoder(config, proj_size=stored["proj_out.weight"].shape[0])
    encoder.load_state_dict(fit_encoder(stored, encoder), strict=True)
    scheduler = SCHEDULERS[kind].from_config(
        DDIMScheduler.load_config(folder / "scheduler") | ({"skip_prk_steps": True} if kind == "pndm" else {})
    )
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(dtype)
    scheduler.final_alpha_cumprod = scheduler.final_alpha_cumprod.to(dtype)
    made = PaintByExamplePipeline(
        vae=AutoencoderKL.from_pretrained(folder / "vae"),
        image_encoder=encoder.eval(),
        unet=UNet2DConditionModel.from_pretrained(folder / "unet"),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}),
        requires_safety_checker=False,
    )
    made.set_progress_bar_config(disable=True)
    for part in (made.vae, made.unet, made.image_encoder):
        part.to(dtype)
    return made


def theirs(folder, *, kind="ddim", size=(64, 64), steps=10, guidance=5.0, dtype=torch.float32, seed=7):
    """Latents of the published pipeline, and the noise it drew."""
    made = pipeline(folder, kind, dtype)
    picture, hole, exemplar = pictures(size)
    generator = torch.Generator().manual_seed(seed)
    if dtype == torch.float64:  # in double precision it would draw other numbers: give it ours
        shape = (1, 4, size[1] // 8, size[0] // 8)
        start, posterior = (torch.randn(shape, generator=generator).double() for _ in range(2))
        made.vae.encode = fixed_posterior(made.vae, posterior)
        pixels = preprocess_images(tensors(size, torch.float64)[2], 16)  # it would round them to single precision
        latents = made(
            pixels,
            picture,
            hole,
            latents=start,
            num_inference_steps=steps,
            guidance_scale=guidance,
            output_type="latent",
        ).images
        return latents, GivenNoise(start, torch.zeros(200, *shape).double(), posterior)
    latents = made(
        exemplar,
        picture,
        hole,
        generator=generator,
        num_inference_steps=steps,
        guidance_scale=guidance,
        output_type="latent",
    ).images
    return latents, gaussian_noise(tuple(latents.shape), seed)


def fixed_posterior(vae, noise):
    """`vae.encode` whose sample is drawn with `noise`."""
    encode = vae.encode

    def call(x, *args, **kwargs):
        found = encode(x.double(), *args, **kwargs)
        drawn = found.latent_dist.mean + found.latent_dist.std * noise
        found.latent_dist.sample = lambda generator=None: drawn
        return found

    return call


def tensors(size, dtype=torch.float32):
    """The pictures as our nodes take them; in double precision exactly what the pipeline makes of the picture."""
    picture, hole, exemplar = pictures(size)
    if dtype == torch.float64:
        levels = [torch.from_numpy(np.asarray(value).copy())[None] for value in (picture, hole, exemplar)]
        rounded = levels[0].float() / 127.5 - 1
        return (rounded.double() + 1) / 2, (levels[1] > 0).double(), levels[2].double() / 255

    def image(value):
        return torch.from_numpy(np.asarray(value).copy()).float()[None] / 255

    return image(picture), image(hole), image(exemplar)


def ours(folder, schedule, noise, *, size=(64, 64), guidance=5.0, dtype="float32", **inpaint):
    """The same job by nodes; `schedule(scheduler)` makes the schedule."""
    ctx = Context()
    parts = model.paint_by_example(str(folder), dtype=dtype)
    image, mask, exemplar = tensors(size, getattr(torch, dtype))
    conditioning = condition.exemplar(parts.exemplar_encoder, exemplar, ctx).conditioning
    conditioning = condition.inpaint(conditioning, image, mask, parts.vae, ctx, noise, **inpaint).conditioning
    return sample.denoise(
        parts.denoiser, schedule(parts.scheduler), noise, ctx, conditioning, guidance_scale=guidance
    ).latent
