"""Paint by Example by inlay's nodes and by diffusers' pipeline, on equal weights; and one collapsed evaluation."""

import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any
from unittest import mock

import numpy as np
import torch
from diffusers import PNDMScheduler, UNet2DConditionModel
from diffusers.pipelines.deprecated.paint_by_example.pipeline_paint_by_example import PaintByExamplePipeline
from inlay.benchmarks.speed.timing import alternate, compare
from inlay.graph_runtime import Context
from inlay.methods.attention.single_token import collapsed
from inlay.nodes import condition, model, noise, sample, schedule
from PIL import Image
from torch import nn
from transformers import CLIPImageProcessor

SD15 = {"sample_size": 64, "in_channels": 9, "out_channels": 4, "cross_attention_dim": 768, "attention_head_dim": 8}


class TheirEncoder(nn.Module):
    """Our encoder with the pipeline's interface: it calls the same module, so the pictures can be compared."""

    def __init__(self, encoder: Any):
        super().__init__()
        self.encoder = encoder
        self.device, self.dtype = torch.device("cpu"), torch.float32

    def forward(self, pixels: torch.Tensor, return_uncond_vector: bool = False) -> Any:
        """Token and learned vector."""
        return self.encoder(pixels), self.encoder.uncond_vector


def pictures(side: int) -> tuple[Image.Image, Image.Image, Image.Image]:
    """A picture, a hole in its middle, an exemplar."""
    draws = np.random.default_rng(0)
    hole = np.zeros((side, side), np.uint8)
    hole[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = 255
    return (
        Image.fromarray(draws.integers(0, 256, (side, side, 3), dtype=np.uint8)),
        Image.fromarray(hole),
        Image.fromarray(draws.integers(0, 256, (side, side, 3), dtype=np.uint8)),
    )


def jobs(steps: int, guidance: float) -> tuple[Callable[[], torch.Tensor], Callable[[], torch.Tensor]]:
    """(theirs, ours): the same latents from the embedded model, with seed 7 and the same posterior draws."""
    parts = model.paint_by_example(dtype="float32")
    ctx = Context()
    side = 128
    picture, hole, exemplar = pictures(side)
    loaded = [ctx.models.lease(part).__enter__() for part in (parts.denoiser, parts.vae, parts.exemplar_encoder)]
    unet, vae, encoder = loaded
    size = parts.exemplar_encoder.image_size
    pipe = PaintByExamplePipeline(
        vae=vae,
        unet=unet,
        image_encoder=TheirEncoder(encoder),
        safety_checker=None,
        requires_safety_checker=False,
        scheduler=PNDMScheduler.from_config(dict(parts.scheduler.config), skip_prk_steps=True),
        feature_extractor=CLIPImageProcessor(size={"shortest_edge": size}, crop_size={"height": size, "width": size}),
    )
    pipe.set_progress_bar_config(disable=True)

    def theirs() -> torch.Tensor:
        return pipe(
            exemplar,
            picture,
            hole,
            generator=torch.Generator().manual_seed(7),
            num_inference_steps=steps,
            guidance_scale=guidance,
            output_type="latent",
        ).images

    def tensor(image: Image.Image) -> torch.Tensor:
        return torch.from_numpy(np.asarray(image).copy()).float()[None] / 255

    image, mask, example = tensor(picture), tensor(hole), tensor(exemplar)

    def ours() -> torch.Tensor:
        stream = noise.gaussian(torch.zeros(1, 4, side // 8, side // 8), seed=7).noise
        conditioning = condition.exemplar(parts.exemplar_encoder, example, ctx).conditioning
        conditioning = condition.inpaint(conditioning, image, mask, parts.vae, ctx, stream).conditioning
        plan = schedule.solver(parts.scheduler, "pndm", steps).schedule
        return sample.denoise(parts.denoiser, plan, stream, ctx, conditioning, guidance_scale=guidance).latent

    return theirs, ours


def collapse_gain(rounds: int, cells: int = 64) -> None:
    """One guided evaluation with and without the collapsed cross-attention, at SD 1.5's shape, random weights."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**SD15).eval()
    z, token = torch.randn(2, 9, cells, cells), torch.randn(2, 1, 768)

    def call(short: bool) -> Callable[[], torch.Tensor]:
        def evaluate() -> torch.Tensor:
            with torch.no_grad(), collapsed(unet) if short else nullcontext():
                output: torch.Tensor = unet(z, 500, encoder_hidden_states=token).sample
                return output

        return evaluate

    gap = float((call(True)() - call(False)()).abs().max())
    took = alternate({"plain": call(False), "collapsed": call(True)}, rounds, clock=time.perf_counter)
    print(f"largest difference with and without: {gap:.2g}")
    compare("one guided evaluation, collapsed", took["collapsed"], "plain cross-attention", took["plain"])


def measure(steps: int, guidance: float, rounds: int) -> None:
    """The whole job by both, then inlay's with plain cross-attention."""
    theirs, ours = jobs(steps, guidance)
    gap = float((theirs() - ours()).abs().max())
    print(f"largest difference of the latents: {gap:.2g}")
    took = alternate({"pipeline": theirs, "inlay": ours}, rounds, clock=time.perf_counter)
    compare("whole job", took["inlay"], "PaintByExamplePipeline", took["pipeline"])

    def plain() -> torch.Tensor:
        with mock.patch.object(sample, "one_token", return_value=False):
            return ours()

    took = alternate({"plain": plain, "collapsed": ours}, rounds, clock=time.perf_counter)
    compare("inlay's job, collapsed", took["collapsed"], "with plain cross-attention", took["plain"])
