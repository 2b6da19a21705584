"""Jobs at Stable Diffusion 1.5's shape: seconds, peak memory, evaluations, and the counted floor's share of the time.

The floors are TFLOP counted by hand for 512² (one evaluation 0.80, with backpropagation to the embedding 1.67).
"""

import re
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inlay.benchmarks.gpu.shapes import Shape, random_model, text_embeddings
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.events import Event, NodeProgress, Warned
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.methods.conditioning import Conditioning
from inlay.nodes import attention, condition, constraint, embed, invert, latent, noise, sample, schedule
from inlay.nodes.subject import photos
from inlay.nodes.train import subject_lora
from PIL import Image

#: Dense bfloat16 TFLOP/s of a card by a part of its name, and what of it large matrix products reach.
PEAKS = {"H200": 989.0, "H100 PCIe": 756.0, "H100": 989.0, "A100": 312.0, "L40S": 362.0, "A10": 125.0, "4090": 165.0}
REACHED = 0.8  # 790 of an H100's 989
NULL_SPACE, GUIDED, EXAMPLE, LORA_STEP, TUNING, EDIT = 28.0, 52.0, 85.0, 27.0, 498.0, 143.0  # TFLOP


@dataclass
class Row:
    """What one job took; seconds are of the whole job, extrapolated where `note` says so."""

    job: str
    seconds: float = 0.0
    peak_gib: float = 0.0
    evaluations: int = 0
    tflop: float = 0.0
    note: str = ""
    floor: float = 0.0
    share: float = 0.0

    def against(self, peak: float) -> "Row":
        """With the floor at `peak` TFLOP/s, and its share of the time."""
        if self.tflop and self.seconds and peak:
            self.floor = self.tflop / peak
            self.share = self.floor / self.seconds
        return self


def peak_of(name: str) -> float:
    """TFLOP/s that large products reach on a card; 0 if unknown."""
    return next((value * REACHED for part, value in PEAKS.items() if re.search(rf"\b{part}\b", name)), 0.0)


def failed(error: Exception) -> str:
    """The note of a row whose job failed."""
    return f"failed: {type(error).__name__}: {''.join(str(error).splitlines()[:1])[:200]}".rstrip()


@dataclass
class Bench:
    """Runs the jobs on one device within a time limit.

    Attributes:
        shape: of the models.
        device: that computes.
        dtype: of the models, as the model nodes take it.
        left: seconds that are left.
        full: False rehearses, with few steps.
    """

    shape: Shape
    device: str
    dtype: Any
    left: Callable[[], float]
    full: bool = True
    rows: list[Row] = field(default_factory=list)

    def __post_init__(self) -> None:
        """The models, the picture and the conditioning."""
        self.parts = random_model(self.shape, self.dtype)
        self.memory_warnings: list[str] = []  # of the running job; a job short of memory is another job
        self.ctx = Context(ModelManager((self.device,)), listeners=(self._keep_memory_warning,))
        self.side = 8 * self.shape.cells
        draws = np.random.default_rng(0)
        smooth = Image.fromarray(draws.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((self.side,) * 2)
        self.picture = torch.from_numpy(np.asarray(smooth).copy())[None] / 255
        self.hole = torch.zeros(1, self.side, self.side)
        self.hole[:, self.side // 4 : self.side // 2, self.side // 4 : self.side // 2] = 1
        words = text_embeddings(self.shape, self.device, 2)
        self.conditioning = Conditioning(words[:1], words[1:])
        self.unguided_conditioning = Conditioning(words[:1], words[:1])

    def run(self) -> list[Row]:
        """Every job that fits into the time."""
        z = latent.encode(self.picture, self.parts.vae, self.ctx).latent
        for job in (self.null_space, self.guided, self.by_example, self.tuning, self.edit, self.lora):
            name = (job.__doc__ or "").split(":")[0]
            if self.left() <= 0:
                self.rows.append(Row(name, note="not run: no time left"))
                continue
            self.memory_warnings.clear()
            self.ctx = Context(
                self.ctx.models, listeners=(self._keep_memory_warning,)
            )  # a context gives each warning once
            try:
                row = job(name, z)
                row.note = "; ".join([note for note in (row.note, *dict.fromkeys(self.memory_warnings)) if note])
                self.rows.append(row)
            except Exception as error:  # noqa: BLE001 - the next job may work; the table names the failed one
                self.rows.append(Row(name, note=failed(error)))
            self.ctx.models.evict_idle("the next job")
        return self.rows

    def _keep_memory_warning(self, event: Event) -> None:
        if isinstance(event, Warned) and "memory" in event.message:
            self.memory_warnings.append(event.message)

    def null_space(self, name: str, z: torch.Tensor) -> Row:
        """null-space, 30 steps, no prompt: one evaluation a step."""
        return self._filled(name, z, self.unguided_conditioning, NULL_SPACE)

    def guided(self, name: str, z: torch.Tensor) -> Row:
        """null-space, 30 steps, guided: two evaluations a step, in one batch."""
        return self._filled(name, z, self.conditioning, GUIDED)

    def _filled(self, name: str, z: torch.Tensor, conditioning: Conditioning, tflop: float) -> Row:
        cells = torch.nn.functional.interpolate(self.hole[:, None], z.shape[2:])

        def work(steps: int) -> None:
            plan = schedule.ddim(self.parts.scheduler, steps=steps).schedule
            known = constraint.null_space(z, cells).constraint
            found = sample.denoise(
                self.parts.denoiser, plan, noise.gaussian(z).noise, self.ctx, conditioning, known
            ).latent
            latent.decode(found, self.parts.vae, self.ctx)

        return self._timed(name, work, 30, tflop, self.parts.denoiser)

    def by_example(self, name: str, z: torch.Tensor) -> Row:
        """Paint by Example, 50 PNDM steps: 51 guided evaluations, encoding and decoding."""

        def work(steps: int) -> None:
            stream = noise.gaussian(z).noise
            conditioning = condition.exemplar(self.parts.encoder, self.picture, self.ctx).conditioning
            conditioning = condition.inpaint(
                conditioning, self.picture, self.hole, self.parts.vae, self.ctx, stream
            ).conditioning
            plan = schedule.solver(self.parts.scheduler, "pndm", steps).schedule
            found = sample.denoise(self.parts.exemplar, plan, stream, self.ctx, conditioning, guidance_scale=5.0).latent
            latent.decode(found, self.parts.vae, self.ctx)

        return self._timed(name, work, 50, EXAMPLE, self.parts.exemplar)

    def _walked(self, z: torch.Tensor, steps: int) -> tuple[Any, Any]:
        plan = schedule.ddim(self.parts.scheduler, steps=steps, eta=0.0).schedule
        return plan, invert.ddim(self.parts.denoiser, self.conditioning, plan, z, self.ctx).trajectory

    def _tuned(self, plan: Any, trajectory: Any, iterations: int) -> Any:
        return invert.target_text(
            self.parts.denoiser,
            self.conditioning,
            plan,
            trajectory,
            self.ctx,
            iterations=iterations,
            learning_rate=1e-6,
            stop_start=0.0,
            stop_step=0.0,
        ).tuning  # none stops early

    def tuning(self, name: str, z: torch.Tensor) -> Row:
        """TTIS, 50 steps of 5 iterations: 100 evaluations, and 250 with backpropagation to the embedding."""
        made = {steps: self._walked(z, steps) for steps in self._lengths(50)}
        return self._timed(name, lambda steps: self._tuned(*made[steps], 5), 50, TUNING, self.parts.denoiser)

    def edit(self, name: str, z: torch.Tensor) -> Row:
        """BAM edit, 50 steps: three branches, pruned."""
        made = {steps: self._walked(z, steps) for steps in self._lengths(50)}
        tuned = {steps: self._tuned(*walked, 0) for steps, walked in made.items()}

        def work(steps: int) -> None:
            plan, trajectory = made[steps]
            between = embed.transition(tuned[steps], self.conditioning).tuning
            control = attention.balanced(tuned[steps], between).attention
            sample.denoise(
                self.parts.denoiser,
                plan,
                noise.from_trajectory(trajectory).noise,
                self.ctx,
                self.conditioning,
                attention=control,
            )

        return self._timed(name, work, 50, EDIT, self.parts.denoiser)

    def lora(self, name: str, z: torch.Tensor) -> Row:
        """LoRA step, batch 16, kept views: the median of a run's steps."""
        marks: list[float] = []

        def listen(event: Event) -> None:
            if isinstance(event, NodeProgress) and event.note.startswith("loss"):
                marks.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            lines = ["file,left,top,right,bottom"]
            for number in range(2):
                turned = self.picture[0].rot90(number).mul(255).byte().numpy()
                Image.fromarray(turned).save(root / f"{number}.png")
                low, high = self.side // 8, self.side * 7 // 8
                lines.append(f"{number}.png,{low},{low},{high},{high}")
            (root / "boxes.csv").write_text("\n".join(lines) + "\n")
            some = photos(str(root / "*.png"), Context(), boxes=str(root / "boxes.csv")).photos
            with self._peak() as peak:
                subject_lora(
                    self.parts.exemplar,
                    self.parts.vae,
                    self.parts.scheduler,
                    self.parts.encoder,
                    some,
                    Context(self.ctx.models, out=root / "out", listeners=(listen, self._keep_memory_warning)),
                    epochs=1,
                    variations=8,
                    batch_size=16 if self.full else 64,
                    sample_every=0,
                    save_every=10**6,
                )
        times = [after - before for before, after in pairwise(marks)][1:]
        return Row(
            name, statistics.median(times), peak[0], 0, LORA_STEP if self.full else 0.0, f"median of {len(times)} steps"
        )

    def _lengths(self, steps: int) -> tuple[int, int]:
        """Steps of the warm-up and of the whole job."""
        return (max(2, steps // 10), steps) if self.full else (2, 4)

    def _timed(self, name: str, work: Callable[[int], Any], steps: int, tflop: float, denoiser: Any) -> Row:
        """Warm up, estimate the time from a short run, then time the whole job, or a share of it if time is short."""
        few, whole = self._lengths(steps)
        work(few)
        self._wait()
        began = time.perf_counter()
        work(few)
        self._wait()
        foreseen = (time.perf_counter() - began) * whole / few
        taken = whole if foreseen < self.left() else few
        with self._counted(denoiser) as rows, self._peak() as peak:
            began = time.perf_counter()
            work(taken)
            self._wait()
            seconds = time.perf_counter() - began
        share = whole / taken
        note = "" if taken == whole else f"extrapolated from {taken} of {whole} steps: no time for all"
        return Row(name, seconds * share, peak[0], round(sum(rows) * share), tflop if self.full else 0.0, note)

    @contextmanager
    def _counted(self, denoiser: Any) -> Iterator[list[int]]:
        rows: list[int] = []
        with self.ctx.lease(denoiser) as unet:
            hook = unet.register_forward_pre_hook(
                lambda module, args, kwargs: rows.append(len(args[0])), with_kwargs=True
            )
            try:
                yield rows
            finally:
                hook.remove()

    @contextmanager
    def _peak(self) -> Iterator[list[float]]:
        """Peak GiB on the device; 0 on a CPU."""
        peak = [0.0]
        cuda = self.device.startswith("cuda")
        if cuda:
            torch.cuda.reset_peak_memory_stats(self.device)
        yield peak
        if cuda:
            peak[0] = torch.cuda.max_memory_allocated(self.device) / 2**30

    def _wait(self) -> None:
        if self.device.startswith("cuda"):
            torch.cuda.synchronize(self.device)
