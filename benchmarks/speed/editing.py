"""A BARET edit beside naive ways of doing the same, on the same weights: time, memory, inversions, a second edit."""

import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from inlay.benchmarks.speed.naive_editing import NAIVE_ROWS, MappedProcessor, NaiveProcessor, naive_edit
from inlay.benchmarks.speed.timing import alternate, compare, seconds
from inlay.dollhouse.samples import DOG
from inlay.dollhouse.world import caption, draw
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.store.disk import DiskStore
from inlay.methods.attention.branches import steps_until
from inlay.methods.baret.balanced_attention import BalancedAttention
from inlay.methods.inversion.tuning import Tuned
from inlay.methods.sampling.branch import Branch
from inlay.methods.sampling.guidance import Guidance
from inlay.methods.sampling.schedule import DenoisingStep
from inlay.nodes import attention, condition, embed, invert, latent, model, noise, sample, schedule

SD15 = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
STEPS, SCALE, WINDOWS = 50, 7.5, (0.3, 0.6)
RUN = Path(__file__).with_name("run.py")


class Job:
    """The sample picture, inverted and tuned; no step stops early."""

    def __init__(self, store: DiskStore | None = None) -> None:
        self.ctx = Context(store=store)
        self.parts = model.stable_diffusion("dollhouse")
        self.plan = schedule.ddim(self.parts.scheduler, steps=STEPS, eta=0.0).schedule
        text = caption(DOG).replace("standing", "lying")
        self.conditioning = condition.text(self.parts.text_encoder, self.ctx, prompt=text).conditioning
        picture = torch.frombuffer(bytearray(draw(DOG).tobytes()), dtype=torch.uint8).view(1, 128, 128, 3) / 255
        self.z = latent.encode(picture, self.parts.vae, self.ctx).latent

    def inverted(self, **settings: Any) -> Any:
        """Trajectory and tuning."""
        trajectory = invert.ddim(self.parts.denoiser, self.conditioning, self.plan, self.z, self.ctx).trajectory
        return trajectory, invert.target_text(
            self.parts.denoiser, self.conditioning, self.plan, trajectory, self.ctx, guidance_scale=SCALE, **settings
        ).tuning

    def edit(self, trajectory: Any, tuning: Any, start: float = 0.8) -> torch.Tensor:
        """BARET."""
        between = embed.transition(tuning, self.conditioning, start=start).tuning
        control = attention.balanced(tuning, between, *WINDOWS).attention
        return sample.denoise(
            self.parts.denoiser,
            self.plan,
            noise.from_trajectory(trajectory).noise,
            self.ctx,
            self.conditioning,
            attention=control,
            guidance_scale=SCALE,
        ).latent


def edit_dollhouse(rounds: int) -> None:
    """Whole edits."""
    job = Job()
    trajectory, tuning = job.inverted(iterations=1, learning_rate=0.03)
    between = embed.transition(tuning, job.conditioning).tuning
    unet = job.parts.denoiser.load("cpu")

    def naive(kind: Any) -> Callable[[], torch.Tensor]:
        return lambda: naive_edit(
            unet, job.plan, trajectory.start, job.conditioning, tuning, between, SCALE, WINDOWS, kind
        )

    ways = {"ours": lambda: job.edit(trajectory, tuning), "sdpa": naive(NaiveProcessor), "maps": naive(MappedProcessor)}
    wanted = ways["maps"]()
    gap = max(float((ways[name]() - wanted).abs().max()) for name in ("ours", "sdpa"))
    print(f"largest difference of the three results' latents: {gap:.1e}")
    took = alternate(ways, rounds, warm_up=False)
    compare("edit", took["ours"], "three naive branches with SDPA", took["sdpa"])
    compare("edit", took["ours"], "three naive branches with maps", took["maps"])


class Evaluation:
    """One evaluation of a large UNet for the rows of a step, ours or naive."""

    def __init__(self, cells: int = 64) -> None:
        torch.manual_seed(0)
        self.unet = UNet2DConditionModel(**SD15).eval()
        self.z = torch.randn(1, 4, cells, cells)
        embeddings = torch.randn(2, 1, 77, 768)
        tuned = Tuned(embeddings[0].expand(STEPS, 1, 77, 768), "cond", torch.randn(STEPS + 1, 1, 4, cells, cells))
        self.control = BalancedAttention(tuned, tuned, *WINDOWS)
        self.guidance = Guidance(embeddings[0], embeddings[1], SCALE, True)
        self.naive_embeddings = torch.cat([embeddings[0], embeddings[1]] * 3)

    def ours(self, step: int) -> None:
        """The rows that a step needs."""
        run = self.control.begin()
        branches = [
            Branch("edit", self.z, self.guidance),
            *run.companions(Branch("edit", self.z, self.guidance), STEPS),
        ]
        active = [branch for branch in branches if branch.until is None or step < branch.until]
        layout = [(branch.name, half) for branch in active for half, _ in branch.guidance.halves(step)]
        embeddings = torch.cat([e for branch in active for _, e in branch.guidance.halves(step) if e is not None])
        run.before_step(DenoisingStep(step, step, 0, 500, 0.5, 0.5, 0.0, 0.5), layout)
        with torch.no_grad(), run.installed(self.unet):
            self.unet(self.z.expand(len(layout), -1, -1, -1), 500, encoder_hidden_states=embeddings)

    def naive(self, kind: Any) -> None:
        """Three branches with both halves."""
        before = dict(self.unet.attn_processors)
        self.unet.set_attn_processor({name: kind({"self": True, "cross": True}) for name in before})
        with torch.no_grad():
            self.unet(self.z.expand(NAIVE_ROWS, -1, -1, -1), 500, encoder_hidden_states=self.naive_embeddings)
        self.unet.set_attn_processor(before)


def edit_sd15(rounds: int) -> None:
    """One evaluation of each phase, multiplied by its steps and added up."""
    self_end, cross_end = (steps_until(share, STEPS) for share in WINDOWS)
    phases = [(0, self_end), (self_end, cross_end - self_end), (cross_end, STEPS - cross_end)]
    what = Evaluation()
    took: dict[str, list[float]] = {"ours": [], "sdpa": [], "maps": []}
    for _ in range(rounds):
        took["ours"].append(sum(count * seconds(lambda at=at: what.ours(at)) for at, count in phases))
        took["sdpa"].append(STEPS * seconds(lambda: what.naive(NaiveProcessor)))
        took["maps"].append(STEPS * seconds(lambda: what.naive(MappedProcessor)))
    compare("50 steps at SD 1.5's shape", took["ours"], "naive branches with SDPA", took["sdpa"])
    compare("50 steps at SD 1.5's shape", took["ours"], "naive branches with maps", took["maps"])


def memory() -> None:
    """Peak above the memory of the weights, each way in its own process."""
    found = {}
    for way in ("ours", "sdpa", "maps"):
        output = subprocess.run(
            [sys.executable, str(RUN), "memory", "--way", way], capture_output=True, text=True, check=True
        )
        found[way] = float(output.stdout.split()[-1])
        print(f"{way}: {found[way]:.0f} MiB", flush=True)
    print(
        f"ours is {found['ours'] / found['maps']:.1%} of the naive branches with maps, "
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
    """Null-text inversion as in its authors' code: weights not frozen, both halves evaluated again after each step."""
    unet.requires_grad_(True)
    z = latents[-1]
    for i, t in enumerate(plan.timesteps):
        a = plan.alpha_bars[i]
        ap = plan.alpha_bars[i + 1] if i + 1 < len(plan.alpha_bars) else plan.final_alpha_bar

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
    where = (job.parts.denoiser, job.conditioning, job.plan)
    trajectory = invert.ddim(*where, job.z, job.ctx).trajectory
    unet = job.parts.denoiser.load("cpu")
    ways = {
        "ours": lambda: invert.target_text(*where, trajectory, job.ctx, **full),
        "null": lambda: invert.null_text(*where, trajectory, job.ctx, **full),
        "published": lambda: null_text_as_published(
            unet, job.plan, trajectory.latents, job.conditioning.cond, job.conditioning.uncond, 10
        ),
    }
    took = alternate(ways, rounds)
    compare("target-text inversion", took["ours"], "null-text inversion as published", took["published"])
    compare("target-text inversion", took["ours"], "null-text inversion by invert.null_text", took["null"])


def again() -> None:
    """The first edit of a picture, and a second with other windows, in the same process and after a restart."""
    with tempfile.TemporaryDirectory() as folder:
        for stop in (True, False):
            settings = {"learning_rate": 0.03} | ({} if stop else {"stop_start": 0.0, "stop_step": 0.0})
            job = Job(DiskStore(Path(folder) / str(stop), "here"))
            first = seconds(lambda job=job, settings=settings: job.edit(*job.inverted(**settings)))
            fresh = Job(DiskStore(Path(folder) / str(stop), "here"))
            fresh.parts.denoiser.load("cpu")
            second = seconds(lambda fresh=fresh, settings=settings: fresh.edit(*fresh.inverted(**settings), start=0.6))
            print(
                f"{'steps stop early' if stop else 'full iterations'}: first edit {first:.1f} s, second "
                f"{second:.1f} s, {first / second:.1f} times faster"
            )
