"""Steps that reuse what an earlier one computed: time, and how far the fills of 12 scenes differ.

`step_cache` is inlay's. Of diffusers' caches, the attention broadcast of Zhao et al. (PAB, 2024) is the one that finds
something to reuse in a UNet; it is measured here with its hooks on the plain model. The others look for blocks of a
transformer: they raise an error or reuse nothing (`which_apply`).
"""

import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from diffusers import hooks as library
from inlay.benchmarks.inpainters.methods import Bench, Diffusion
from inlay.benchmarks.inpainters.tasks import edge_jumps, make_task
from inlay.benchmarks.speed.timing import alternate, compare
from inlay.methods.sampling.evaluation import Evaluate, Plain
from inlay.methods.sampling.step_cache import WithStepCache
from inlay.nodes.model_fast import fast
from torch import Tensor, nn

SCENES = 12
STEPS = 30


def measure(scenes: int = SCENES, steps: int = STEPS) -> None:
    """Print for each way its time against the plain one, the difference, the error in the hole, and the seam."""
    found = (make_task("test", number) for number in range(10 * scenes))
    tasks = [task for task in found if task is not None][:scenes]
    truth, hole = torch.stack([task.truth for task in tasks]), torch.stack([task.hole for task in tasks])
    seeds = tuple(task.number for task in tasks)
    bench = Bench("dollhouse", steps)
    plain = bench.parts
    with bench.ready():
        expected: Tensor | None = None
        first = 0.0
        for name, every in (("plain", 1), ("step_cache 2", 2), ("step_cache 3", 3), ("PAB of diffusers", 1)):
            bench.parts = plain._replace(denoiser=fast(plain.denoiser, step_cache=every).denoiser)
            with bench.ctx.lease(plain.denoiser) as unet, _broadcast(unet, on=name.startswith("PAB")):
                began = time.process_time()
                made = Diffusion()(bench, truth, hole, seeds)
                spent = time.process_time() - began
            if expected is None:
                expected, first = made, spent
            _tell(name, spent / first, made, expected, truth, hole)


def evaluations(rounds: int) -> None:
    """Print the CPU time of six steps with reused blocks against six full ones, one picture at a time."""
    bench = Bench("dollhouse", STEPS)
    z, t = torch.ones(2, 4, 16, 16), torch.tensor(400)
    words = torch.ones(2, 77, bench.parts.denoiser.cross_attention_dim)
    with bench.ctx.lease(bench.parts.denoiser) as unet, torch.no_grad():

        def six(evaluate: Evaluate) -> None:
            for _ in range(6):
                evaluate(z, t, encoder_hidden_states=words)

        ways = {f"step_cache {every}": lambda every=every: six(WithStepCache(unet, every)) for every in (2, 3)}
        times = alternate({"plain": lambda: six(Plain(unet)), **ways}, rounds)
        for name in ways:
            compare(name, times[name], "plain", times["plain"])


def _tell(name: str, share: float, made: Tensor, expected: Tensor, truth: Tensor, hole: Tensor) -> None:
    inside = hole.bool()

    def decibel(a: Tensor, b: Tensor) -> float:
        return float(-10 * torch.log10((a - b)[inside].square().mean().clamp(min=1e-12)))

    jumps = [edge_jumps(one, where.bool()) for one, where in zip(made, hole, strict=True)]
    seam = sum(across - outside for across, outside in jumps) / len(jumps)
    print(
        f"{name}: {share:.2f} of the CPU time (one run); in the hole {decibel(made, truth):.2f} dB from the truth, "
        f"{decibel(made, expected):.1f} dB from the plain fill, largest difference "
        f"{float((made - expected).abs().max()):.2g}; seam {seam:+.2f}",
        flush=True,
    )


@contextmanager
def _broadcast(unet: nn.Module, *, on: bool) -> Iterator[None]:
    """PAB on every attention of a UNet, for the length of the block."""
    if not on:
        yield
        return
    hooks = _apply_broadcast(unet)
    try:
        yield
    finally:
        hooks()


def _apply_broadcast(unet: nn.Module) -> Callable[[], None]:
    from diffusers import PyramidAttentionBroadcastConfig, apply_pyramid_attention_broadcast
    from diffusers.hooks import HookRegistry

    everywhere = ("down_blocks", "mid_block", "up_blocks")
    how = PyramidAttentionBroadcastConfig(
        spatial_attention_block_skip_range=2,
        cross_attention_block_skip_range=2,
        spatial_attention_timestep_skip_range=(-1, 1001),
        cross_attention_timestep_skip_range=(-1, 1001),
        spatial_attention_block_identifiers=everywhere,
        cross_attention_block_identifiers=everywhere,
        current_timestep_callback=lambda: 500,
    )
    apply_pyramid_attention_broadcast(unet, how)
    return lambda: HookRegistry.check_if_exists_or_initialize(unet).remove_hook("pyramid_attention_broadcast")


def which_apply() -> None:
    """Print what each cache of the installed diffusers does with a UNet."""
    names = ["apply_first_block_cache", "apply_faster_cache", "apply_taylorseer_cache", "apply_mag_cache"]
    import diffusers

    bench = Bench("dollhouse", 2)
    with bench.ctx.lease(bench.parts.denoiser) as unet, torch.no_grad():
        z, words = torch.ones(1, 4, 16, 16), torch.ones(1, 5, bench.parts.denoiser.cross_attention_dim)
        expected = unet(z, torch.tensor(400), words)[0]
        for name in names:
            other = copy.deepcopy(unet)
            config = {
                "apply_first_block_cache": lambda: diffusers.FirstBlockCacheConfig(),
                "apply_faster_cache": lambda: diffusers.FasterCacheConfig(
                    spatial_attention_timestep_skip_range=(-1, 1001), current_timestep_callback=lambda: 400
                ),
                "apply_taylorseer_cache": lambda: diffusers.TaylorSeerCacheConfig(),
                "apply_mag_cache": lambda: library.MagCacheConfig(num_inference_steps=4, mag_ratios=[1.0] * 4),
            }[name]
            try:
                getattr(library, name)(other, config())
                for t in (900, 700, 500, 400):
                    made = other(z, torch.tensor(t), words)[0]
                print(f"{name}: reuses nothing" if torch.equal(made, expected) else f"{name}: reuses something")
            except Exception as error:  # noqa: BLE001 - whatever a library says of a model that it is not made for
                print(f"{name}: {type(error).__name__}: {error}".splitlines()[0])
