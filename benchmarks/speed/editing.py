"""What BARET costs here, beside naive ways of doing the same, on the same weights.

    python benchmarks/speed/editing.py edit               the embedded model: ours, three naive chains, and with maps
    python benchmarks/speed/editing.py edit --size sd15   a UNet of Stable Diffusion 1.5's shape at 512², random weights
    python benchmarks/speed/editing.py memory             peak of activations at that size, each way in its own process
    python benchmarks/speed/editing.py tuning             target-text inversion against null-text inversion
    python benchmarks/speed/editing.py again              a second edit of the same picture against the first

CPU seconds (`time.process_time`, one thread), the rivals in turns; medians and the spread of the pairs' ratios.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from inlay.benchmarks.speed.naive_editing import NAIVE_ROWS, MappedProcessor, NaiveProcessor, naive_edit
from inlay.dollhouse.samples import DOG
from inlay.dollhouse.world import caption, draw
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.cache import DiskCache
from inlay.methods.attention.branches import steps_until
from inlay.methods.baret import BalancedAttention
from inlay.methods.inversion.tuning import Tuned
from inlay.methods.sampling.branch import Chain
from inlay.methods.sampling.guidance import Guidance
from inlay.methods.sampling.schedule import Move
from inlay.nodes import attention, condition, embed, invert, latent, model, noise, sample, schedule

SD15 = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
STEPS, SCALE, WINDOWS = 50, 7.5, (0.3, 0.6)


def seconds(work: Callable[[], Any]) -> float:
    """CPU seconds."""
    began = time.process_time()
    work()
    return time.process_time() - began


def compare(name: str, ours: list[float], theirs: list[float]) -> None:
    """Medians, and ours as a share of theirs."""
    shares = sorted(a / b for a, b in zip(ours, theirs, strict=True))
    print(
        f"{name}: {statistics.median(ours):.2f} s against {statistics.median(theirs):.2f} s, "
        f"{statistics.median(shares):.1%} of it (pairs {shares[0]:.1%} to {shares[-1]:.1%})",
        flush=True,
    )


class Job:
    """The sample picture, inverted and tuned; no step is good enough to stop early."""

    def __init__(self, store: DiskCache | None = None) -> None:
        self.ctx = Context(store=store)
        self.parts = model.stable_diffusion("dollhouse")
        self.plan = schedule.ddim(self.parts.scheduler, steps=STEPS, eta=0.0).schedule
        text = caption(DOG).replace("standing", "lying")
        self.told = condition.text(self.parts.text_encoder, self.ctx, prompt=text).conditioning
        picture = torch.frombuffer(bytearray(draw(DOG).tobytes()), dtype=torch.uint8).view(1, 128, 128, 3) / 255
        self.z = latent.encode(picture, self.parts.vae, self.ctx).latent

    def inverted(self, **settings: Any) -> Any:
        """Trajectory and tuning."""
        trajectory = invert.ddim(self.parts.denoiser, self.told, self.plan, self.z, self.ctx).trajectory
        return trajectory, invert.target_text(
            self.parts.denoiser, self.told, self.plan, trajectory, self.ctx, guidance_scale=SCALE, **settings
        ).tuning

    def edit(self, trajectory: Any, tuning: Any, start: float = 0.8) -> torch.Tensor:
        """BARET."""
        between = embed.transition(tuning, self.told, start=start).tuning
        control = attention.balanced(tuning, between, *WINDOWS).attention
        return sample.denoise(
            self.parts.denoiser,
            self.plan,
            noise.from_trajectory(trajectory).noise,
            self.ctx,
            self.told,
            attention=control,
            guidance_scale=SCALE,
        ).latent


def edit_dollhouse(rounds: int) -> None:
    """Whole edits."""
    job = Job()
    trajectory, tuning = job.inverted(iterations=1, learning_rate=0.03)
    between = embed.transition(tuning, job.told).tuning
    unet = job.parts.denoiser.load("cpu")

    def naive(kind: Any) -> Callable[[], torch.Tensor]:
        return lambda: naive_edit(unet, job.plan, trajectory.start, job.told, tuning, between, SCALE, WINDOWS, kind)

    ways = {"ours": lambda: job.edit(trajectory, tuning), "sdpa": naive(NaiveProcessor), "maps": naive(MappedProcessor)}
    wanted = ways["maps"]()
    gap = max(float((ways[name]() - wanted).abs().max()) for name in ("ours", "sdpa"))
    print(f"largest difference of the three results' latents: {gap:.1e}")
    took: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, work in ways.items():
            took[name].append(seconds(work))
    compare("edit, against three naive chains with SDPA", took["ours"], took["sdpa"])
    compare("edit, against three naive chains with maps", took["ours"], took["maps"])


class Evaluation:
    """One evaluation of a large UNet for the rows of a step, ours or naive."""

    def __init__(self, cells: int = 64) -> None:
        torch.manual_seed(0)
        self.unet = UNet2DConditionModel(**SD15).eval()
        self.z = torch.randn(1, 4, cells, cells)
        told = torch.randn(2, 1, 77, 768)
        tuned = Tuned(told[0].expand(STEPS, 1, 77, 768), "cond", torch.randn(STEPS + 1, 1, 4, cells, cells))
        self.control = BalancedAttention(tuned, tuned, *WINDOWS)
        self.guidance = Guidance(told[0], told[1], SCALE, True)
        self.naive_told = torch.cat([told[0], told[1]] * 3)

    def ours(self, step: int) -> None:
        """The rows that take part in a step."""
        run = self.control.begin()
        chains = [Chain("edit", self.z, self.guidance), *run.companions(Chain("edit", self.z, self.guidance), STEPS)]
        active = [chain for chain in chains if chain.until is None or step < chain.until]
        layout = [(chain.name, half) for chain in active for half, _ in chain.guidance.halves(step)]
        told = torch.cat([e for chain in active for _, e in chain.guidance.halves(step) if e is not None])
        run.before_step(Move(step, step, 0, 500, 0.5, 0.5, 0.0, 0.5), layout)
        with torch.no_grad(), run.installed(self.unet):
            self.unet(self.z.expand(len(layout), -1, -1, -1), 500, encoder_hidden_states=told)

    def naive(self, kind: Any) -> None:
        """Three chains with both halves."""
        before = dict(self.unet.attn_processors)
        self.unet.set_attn_processor({name: kind({"self": True, "cross": True}) for name in before})
        with torch.no_grad():
            self.unet(self.z.expand(NAIVE_ROWS, -1, -1, -1), 500, encoder_hidden_states=self.naive_told)
        self.unet.set_attn_processor(before)


def edit_sd15(rounds: int) -> None:
    """One evaluation of each phase, added up over fifty steps."""
    self_end, cross_end = (steps_until(share, STEPS) for share in WINDOWS)
    phases = [(0, self_end), (self_end, cross_end - self_end), (cross_end, STEPS - cross_end)]
    what = Evaluation()
    took: dict[str, list[float]] = {"ours": [], "sdpa": [], "maps": []}
    for _ in range(rounds):
        took["ours"].append(sum(count * seconds(lambda at=at: what.ours(at)) for at, count in phases))
        took["sdpa"].append(STEPS * seconds(lambda: what.naive(NaiveProcessor)))
        took["maps"].append(STEPS * seconds(lambda: what.naive(MappedProcessor)))
    compare("50 steps at SD 1.5's shape, against naive chains with SDPA", took["ours"], took["sdpa"])
    compare("50 steps at SD 1.5's shape, against naive chains with maps", took["ours"], took["maps"])


def memory() -> None:
    """Peak above what the weights take, each way in its own process."""
    found = {}
    for way in ("ours", "sdpa", "maps"):
        output = subprocess.run(
            [sys.executable, __file__, "memory", "--way", way], capture_output=True, text=True, check=True
        )
        found[way] = float(output.stdout.split()[-1])
        print(f"{way}: {found[way]:.0f} MiB", flush=True)
    print(
        f"ours is {found['ours'] / found['maps']:.1%} of the naive chains with maps, "
        f"{found['ours'] / found['sdpa']:.1%} of those with SDPA"
    )


def memory_of(way: str) -> None:
    """The first step of an edit, the one with the most rows."""
    what = Evaluation()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    {
        "ours": lambda: what.ours(0),
        "sdpa": lambda: what.naive(NaiveProcessor),
        "maps": lambda: what.naive(MappedProcessor),
    }[way]()
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)


def null_text_as_published(
    unet: Any, plan: Any, latents: torch.Tensor, cond: torch.Tensor, uncond: torch.Tensor, iterations: int
) -> None:
    """Null-text inversion as its authors' code does it: weights not frozen, both halves again after each step."""
    unet.requires_grad_(True)
    z = latents[-1]
    for i, t in enumerate(plan.timesteps):
        a = plan.alphas[i]
        ap = plan.alphas[i + 1] if i + 1 < len(plan.alphas) else plan.final

        def back(output: torch.Tensor, z: torch.Tensor = z, a: float = a, ap: float = ap) -> torch.Tensor:
            return ap**0.5 * (z - (1 - a) ** 0.5 * output) / a**0.5 + (1 - ap) ** 0.5 * output

        uncond = uncond.clone().detach().requires_grad_(True)
        adam = torch.optim.Adam([uncond], lr=1e-2 * (1 - i / 100))
        with torch.no_grad():
            c = unet(z, t, encoder_hidden_states=cond).sample
        for _ in range(iterations):
            u = unet(z, t, encoder_hidden_states=uncond).sample
            loss = torch.nn.functional.mse_loss(back(u + SCALE * (c - u)), latents[len(latents) - 2 - i])
            adam.zero_grad()
            loss.backward()
            adam.step()
        with torch.no_grad():
            u, c = unet(torch.cat([z, z]), t, encoder_hidden_states=torch.cat([uncond, cond])).sample.chunk(2)
            z = back(u + SCALE * (c - u))
    unet.requires_grad_(False)
    unet.zero_grad(set_to_none=True)


def tuning(rounds: int) -> None:
    """Five iterations of ours against ten of null-text's, none stopped early."""
    job = Job()
    job.plan = schedule.ddim(job.parts.scheduler, steps=10, eta=0.0).schedule  # every step costs the same
    full = {"stop_start": 0.0, "stop_step": 0.0, "guidance_scale": SCALE}
    where = (job.parts.denoiser, job.told, job.plan)
    trajectory = invert.ddim(*where, job.z, job.ctx).trajectory
    unet = job.parts.denoiser.load("cpu")
    ways = {
        "ours": lambda: invert.target_text(*where, trajectory, job.ctx, **full),
        "null": lambda: invert.null_text(*where, trajectory, job.ctx, **full),
        "published": lambda: null_text_as_published(
            unet, job.plan, trajectory.latents, job.told.cond, job.told.uncond, 10
        ),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, work in ways.items():
            spent = seconds(work)
            if number:  # the first is a warm-up
                took[name].append(spent)
    compare("target-text inversion, against null-text as published", took["ours"], took["published"])
    compare("target-text inversion, against null-text with our savings", took["ours"], took["null"])


def again() -> None:
    """The first edit of a picture, and a second with other windows, in the same process and after a restart."""
    with tempfile.TemporaryDirectory() as folder:
        for stop in (True, False):
            settings = {"learning_rate": 0.03} | ({} if stop else {"stop_start": 0.0, "stop_step": 0.0})
            job = Job(DiskCache(Path(folder) / str(stop), "here"))
            first = seconds(lambda job=job, settings=settings: job.edit(*job.inverted(**settings)))
            fresh = Job(DiskCache(Path(folder) / str(stop), "here"))
            fresh.parts.denoiser.load("cpu")
            second = seconds(lambda fresh=fresh, settings=settings: fresh.edit(*fresh.inverted(**settings), start=0.6))
            print(
                f"{'steps stop when good' if stop else 'full iterations'}: first edit {first:.1f} s, second "
                f"{second:.1f} s, {first / second:.1f}× less"
            )


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("edit", "memory", "tuning", "again"))
    parser.add_argument("--size", choices=("dollhouse", "sd15"), default="dollhouse")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", choices=("ours", "sdpa", "maps"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.what == "edit":
        (edit_sd15 if options.size == "sd15" else edit_dollhouse)(options.rounds)
    elif options.what == "memory":
        memory_of(options.way) if options.way else memory()
    else:
        again() if options.what == "again" else tuning(options.rounds)


if __name__ == "__main__":
    main()
