"""What is left of the time where outputs stay within a tolerance: for the UNet of the embedded model, on a CPU."""

import copy
import tempfile
import time

import inlay
import torch
from inlay.benchmarks.speed.timing import alternate, compare
from inlay.graph_runtime.front.kept_between_runs import kept_between_runs
from inlay.nodes.model import stable_diffusion

COUNT = 4  # variations
STEPS = 10


def ways(rounds: int) -> None:
    """Print ratio and largest difference of channels-last weights and of `torch.compile`, and its warm-up."""
    manager, _ = kept_between_runs("cpu", None)
    with manager.lease(stable_diffusion("dollhouse").denoiser) as unet, torch.inference_mode():
        torch.manual_seed(0)
        z, words, t = torch.randn(1, 4, 16, 16), torch.randn(1, 77, unet.config.cross_attention_dim), torch.tensor(500)
        last = copy.deepcopy(unet).to(memory_format=torch.channels_last)
        compiled = torch.compile(unet.forward)
        calls = {
            "plain": lambda: unet(z, t, words)[0],
            "channels-last": lambda: last(z.contiguous(memory_format=torch.channels_last), t, words)[0],
            "torch.compile": lambda: compiled(z, t, words, return_dict=False)[0],
        }
        began = time.process_time(), time.perf_counter()
        calls["torch.compile"]()
        warm = time.process_time() - began[0], time.perf_counter() - began[1]
        print(f"warm-up of torch.compile: {warm[0]:.1f} s of CPU time, {warm[1]:.1f} s")
        expected = calls["plain"]()
        times = alternate(calls, rounds)
        for name in ("channels-last", "torch.compile"):
            compare(name, times[name], "plain", times["plain"])
            print(f"largest difference: {float((calls[name]() - expected).abs().max()):.2g}")


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
