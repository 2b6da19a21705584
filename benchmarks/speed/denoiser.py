"""What is left of the time where outputs stay within a tolerance: for the UNet of the embedded model, on a CPU."""

import copy
import os
import tempfile
import time
from contextlib import ExitStack
from functools import partial

import inlay
import torch
from inlay.benchmarks.speed.timing import alternate, compare
from inlay.graph_runtime import Context
from inlay.methods.sampling.evaluation import Plain
from inlay.nodes.evaluation import evaluation_of
from inlay.nodes.model import stable_diffusion
from inlay.nodes.model_fast import fast

COUNT = 4  # variations
STEPS = 10


def ways(rounds: int, *, compile_too: bool = True) -> None:
    """Print ratio and largest difference of channels-last weights and of `torch.compile`, and its warm-up."""
    ctx = Context()
    plain = stable_diffusion("dollhouse").denoiser
    asked = {"plain": plain, "channels-last": fast(plain, channels_last=True).denoiser}
    if compile_too:
        asked["torch.compile"] = fast(plain, compile="kernels").denoiser
    draws = torch.Generator().manual_seed(0)
    z = torch.randn(1, 4, 16, 16, generator=draws)
    words = torch.randn(1, 77, plain.cross_attention_dim, generator=draws)
    with ExitStack() as stack, torch.no_grad():
        calls = {}
        for name, one in asked.items():
            unet = stack.enter_context(ctx.lease(one))
            calls[name] = partial(
                evaluation_of(ctx, unet, one) or Plain(unet), z, torch.tensor(500), encoder_hidden_states=words
            )
        expected = calls["plain"]()
        if compile_too:
            began = time.process_time(), time.perf_counter(), os.times()
            calls["torch.compile"]()
            children = sum(os.times()[2:4]) - sum(began[2][2:4])
            print(
                f"warm-up of torch.compile: {time.process_time() - began[0]:.1f} s of CPU time and {children:.1f} s of "
                f"its compilers', {time.perf_counter() - began[1]:.1f} s",
                flush=True,
            )
        times = alternate(calls, rounds)
        for name in list(asked)[1:]:
            compare(name, times[name], "plain", times["plain"])
            print(f"largest difference: {float((calls[name]() - expected).abs().max()):.2g}", flush=True)


def shapes(rounds: int) -> None:
    """Print what channels-last weights change in UNets of SD 1.5's form at a quarter of its width, 64×64 latents."""
    from diffusers import UNet2DConditionModel

    for dtype in (torch.float32, torch.bfloat16):
        torch.manual_seed(0)
        unet = UNet2DConditionModel(
            sample_size=64, block_out_channels=(80, 160, 320, 320), cross_attention_dim=192, norm_num_groups=16
        )
        unet = unet.to(dtype).eval().requires_grad_(False)
        last = copy.deepcopy(unet).to(memory_format=torch.channels_last)
        z, words, t = torch.randn(1, 4, 64, 64, dtype=dtype), torch.randn(1, 77, 192, dtype=dtype), torch.tensor(500)
        calls = {"channels-last": partial(Plain(last), z, t, encoder_hidden_states=words)}
        calls["plain"] = partial(Plain(unet), z, t, encoder_hidden_states=words)
        apart = float((calls["channels-last"]() - calls["plain"]()).abs().max())
        times = alternate(calls, rounds, warm_up=False)
        compare(f"channels-last in {dtype}", times["channels-last"], "plain", times["plain"])
        print(f"largest difference: {apart:.2g}", flush=True)


def variations(rounds: int) -> None:
    """Print what variations in one call of the UNet take, against one after the other, and how they differ."""
    with tempfile.TemporaryDirectory() as folder:

        def run(**more: int) -> torch.Tensor:
            settings = {"noise.batch": COUNT, **{f"noise.{name}": value for name, value in more.items()}}
            made = inlay.run("zero_shot_inpaint", out=folder, device="cpu", cache=False, steps=STEPS, set=settings)
            picture: torch.Tensor = made["image"]
            return picture

        both = {
            "together": run,
            "one by one": lambda: torch.cat([run(pick=number) for number in range(COUNT)]),
        }
        apart = (both["together"]() - both["one by one"]()).abs().max()
        times = alternate(both, rounds, warm_up=False)
    compare(f"{COUNT} variations in one batch", times["together"], "one by one", times["one by one"])
    print(f"largest difference of a value from 0 to 1: {float(apart):.2g}")
