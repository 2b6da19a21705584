"""Paint by Example by our nodes against diffusers' pipeline: equal weights, equal pictures, side by side.

python benchmarks/speed/exemplar.py                     the embedded model, 50 PNDM steps, 128²
python benchmarks/speed/exemplar.py --size sd15         a UNet of Stable Diffusion 1.5's shape, random weights
Runs alternate; medians and the spread of the ratios are printed. `collapse` is our own run with and without it.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from diffusers import PNDMScheduler, UNet2DConditionModel
from diffusers.pipelines.deprecated.paint_by_example.pipeline_paint_by_example import PaintByExamplePipeline
from inlay.graph_runtime import Context
from inlay.methods.attention.single_token import collapsed
from inlay.nodes import condition, model, noise, sample, schedule
from PIL import Image
from torch import nn
from transformers import CLIPImageProcessor

SD15 = {"sample_size": 64, "in_channels": 9, "out_channels": 4, "cross_attention_dim": 768, "attention_head_dim": 8}


class TheirEncoder(nn.Module):
    """Our encoder with the pipeline's interface: what it calls is the same module, so pictures can be compared."""

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
    """(theirs, ours): the same latents from the embedded model, seed 7, posterior and all."""
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
        told = condition.exemplar(parts.exemplar_encoder, example, ctx).conditioning
        told = condition.inpaint(told, image, mask, parts.vae, ctx, stream).conditioning
        plan = schedule.solver(parts.scheduler, "pndm", steps).schedule
        return sample.denoise(parts.denoiser, plan, stream, ctx, told, guidance_scale=guidance).latent

    return theirs, ours


def alternate(first: Callable[[], Any], second: Callable[[], Any], rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each, in turns, after one warm-up of both."""
    first(), second()
    times: tuple[list[float], list[float]] = ([], [])
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            began = time.perf_counter()
            (first, second)[which]()
            times[which].append(time.perf_counter() - began)
    return times


def report(name: str, rival: str, theirs: list[float], ours: list[float]) -> None:
    """Medians and the ratio of pairs."""
    ratios = sorted(a / b for a, b in zip(theirs, ours, strict=True))
    print(
        f"{name}: {statistics.median(ours):.3f} s against {statistics.median(theirs):.3f} s ({rival}); "
        f"{statistics.median(ratios):.3f}× its speed (pairs {ratios[0]:.3f} to {ratios[-1]:.3f})"
    )


def unet_gain(config: dict[str, Any], cells: int, rounds: int) -> None:
    """One guided evaluation with the collapse and without, on random weights."""
    torch.manual_seed(0)
    unet = UNet2DConditionModel(**config).eval()
    z, told = torch.randn(2, 9, cells, cells), torch.randn(2, 1, config["cross_attention_dim"])

    def call(short: bool) -> Callable[[], torch.Tensor]:
        def evaluate() -> torch.Tensor:
            with torch.no_grad(), collapsed(unet) if short else nullcontext():
                output: torch.Tensor = unet(z, 500, encoder_hidden_states=told).sample
                return output

        return evaluate

    gap = float((call(True)() - call(False)()).abs().max())
    plain, short = alternate(call(False), call(True), rounds)
    print(f"largest difference with and without: {gap:.2g}")
    report("one guided evaluation, collapsed", "plain", plain, short)


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=("dollhouse", "sd15"), default="dollhouse")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.size == "sd15":
        unet_gain(SD15, 64, options.rounds)
        return
    theirs, ours = jobs(options.steps, options.guidance)
    gap = float((theirs() - ours()).abs().max())
    print(f"largest difference of the latents: {gap:.2g}")
    report("whole job", "PaintByExamplePipeline", *alternate(theirs, ours, options.rounds))
    before = sample.one_token
    plain, short = [], []
    ours()
    for _ in range(options.rounds):
        for times, answer in ((plain, lambda guidance: False), (short, before)):
            sample.one_token = answer
            began = time.perf_counter()
            ours()
            times.append(time.perf_counter() - began)
    sample.one_token = before
    report("our job, collapsed", "our job with plain cross-attention", plain, short)


if __name__ == "__main__":
    main()
