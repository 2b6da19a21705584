"""Runs every editor on a batch of pairs; editors share inversions."""

import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from inlay.benchmarks.editors.settings import Setting
from inlay.benchmarks.editors.tasks import Pair, pairs, score
from inlay.benchmarks.shared import as_picture, as_tensor
from inlay.dollhouse import judge
from inlay.dollhouse.world import draw
from inlay.graph_runtime import Context
from inlay.methods.conditioning import Conditioning
from inlay.methods.prompt_to_prompt import aligned
from inlay.nodes import attention, condition, embed, invert, latent, model, noise, sample, schedule

STEPS, BATCH = 50, 10


class Bench:
    """The model and a batch of pairs; equal inversions are made once for all editors."""

    def __init__(self) -> None:
        self.ctx = Context()
        self.parts = model.stable_diffusion("dollhouse")
        self.plan = schedule.ddim(self.parts.scheduler, steps=STEPS, eta=0.0).schedule
        self.reader = judge.load()
        self._known: dict[Any, Any] = {}

    def take(self, batch: list[Pair]) -> None:
        """Start with a batch of pairs."""
        self._known = {}
        self.batch = batch
        self.images = torch.cat([as_tensor(draw(pair.before))[None] for pair in batch])
        self.z = latent.encode(self.images, self.parts.vae, self.ctx).latent
        self.source = self._conditioning([pair.texts[0] for pair in batch])
        self.target = self._conditioning([pair.texts[1] for pair in batch])
        self.nothing = self._conditioning([""] * len(batch))

    def _conditioning(self, texts: list[str]) -> Conditioning:
        each = [condition.text(self.parts.text_encoder, self.ctx, prompt=text).conditioning for text in texts]
        return Conditioning(
            torch.cat([one.cond for one in each]), torch.cat([one.uncond for one in each]), tokens=each[0].tokens
        )

    def once(self, key: Any, make: Any) -> Any:
        """The result of `make` and the CPU seconds it took; made once for each key."""
        if key not in self._known:
            began = time.process_time()
            value = make()
            self._known[key] = (value, time.process_time() - began)
        return self._known[key]

    def inverted(self, which: str) -> Any:
        """The trajectory under the source's text, the target's, or none."""
        return self.once(
            which,
            lambda: invert.ddim(self.parts.denoiser, getattr(self, which), self.plan, self.z, self.ctx).trajectory,
        )

    def tuned(self, which: str, guidance: float, rate: float) -> Any:
        """Target-text or null-text inversion."""
        node, text = (invert.target_text, "target") if which == "ttis" else (invert.null_text, "source")
        trajectory, _ = self.inverted(text)
        return self.once(
            (which, guidance, rate),
            lambda: node(
                self.parts.denoiser,
                getattr(self, text),
                self.plan,
                trajectory,
                self.ctx,
                guidance_scale=guidance,
                learning_rate=rate,
            ),
        )

    def drawn(self, trajectory: Any, guidance: float, **wired: Any) -> torch.Tensor:
        """The edit that starts at the end of a trajectory."""
        return sample.denoise(
            self.parts.denoiser,
            self.plan,
            noise.from_trajectory(trajectory).noise,
            self.ctx,
            self.target,
            guidance_scale=guidance,
            **wired,
        ).latent

    def run(self, editor: str, setting: Setting) -> tuple[torch.Tensor, float, float]:
        """The edited latents, and CPU seconds a picture before and in the edit."""
        before, made = self._prepared(editor, setting)
        began = time.process_time()
        z = made()
        count = len(self.batch)
        return z, before / count, (time.process_time() - began) / count

    def _prepared(self, editor: str, setting: Setting) -> tuple[float, Any]:
        guidance = setting["guidance"]
        if editor == "sdedit":
            stream = noise.gaussian(self.z, seed=0).noise
            return (
                0.0,
                lambda: (
                    sample.denoise(
                        self.parts.denoiser,
                        self.plan,
                        stream,
                        self.ctx,
                        self.target,
                        latent=self.z,
                        guidance_scale=guidance,
                        strength=setting["strength"],
                    ).latent
                ),
            )
        if editor == "ddim":
            trajectory, seconds = self.inverted("source")
            return seconds, lambda: self.drawn(trajectory, guidance)
        if editor == "masactrl":
            trajectory, seconds = self.inverted("nothing")
            control = attention.mutual_self(self.nothing, setting["step"], setting["layer"]).attention
            return seconds, lambda: self.drawn(trajectory, guidance, attention=control)
        which = "ttis" if editor == "baret" else "null"
        trajectory, first = self.inverted("target" if which == "ttis" else "source")
        made, second = self.tuned(which, guidance, setting["rate"])
        if editor == "null_text":
            return first + second, lambda: self.drawn(trajectory, setting["edit_guidance"], tuning=made.tuning)
        if editor == "null_text_p2p":
            self_until, cross_until = setting["windows"]
            control = attention.prompt_to_prompt(
                self.source, self.target, made.tuning, self_until, cross_until
            ).attention
            return first + second, lambda: self.drawn(trajectory, guidance, tuning=made.tuning, attention=control)
        start, end, self_until, cross_until = setting["windows"]
        between = embed.transition(made.tuning, self.target, start=start, end=end).tuning
        control = attention.balanced(made.tuning, between, self_until, cross_until).attention
        return first + second, lambda: self.drawn(trajectory, guidance, attention=control)

    def judged(self, editor: str, setting: Setting, keep: Path | None = None) -> Iterator[dict[str, Any]]:
        """One line per pair."""
        z, before, seconds = self.run(editor, setting)
        images = latent.decode(z, self.parts.vae, self.ctx).image
        walked = self._reconstructed(editor, setting)
        for number, (pair, image) in enumerate(zip(self.batch, images, strict=True)):
            found = as_picture(image)
            if keep is not None:
                keep.mkdir(parents=True, exist_ok=True)
                found.save(keep / f"{pair.kind}-{number}-{editor}.png")
            line = {
                "editor": editor,
                "setting": setting,
                "inversion_s": before,
                "edit_s": seconds,
                **score(self.reader, pair, found),
            }
            if walked is not None:
                line["reconstruction"] = walked[number]
            yield line

    def _reconstructed(self, editor: str, setting: Setting) -> list[float] | None:
        """PSNR of the picture that a tuning reconstructs."""
        if editor not in ("baret", "null_text"):
            return None
        made, _ = self.tuned("ttis" if editor == "baret" else "null", setting["guidance"], setting["rate"])
        back = latent.decode(made.latent, self.parts.vae, self.ctx).image.clamp(0, 1)
        errors = (back - self.images).square().flatten(1).mean(1)
        return [float(-10 * math.log10(max(float(value), 1e-9))) for value in errors]


def batches(split: str, each: int) -> list[list[Pair]]:
    """Pairs of one kind, whose texts align in one way, ten at a time at most; the first ten of every group first."""
    bench_words = model.stable_diffusion("dollhouse").text_encoder
    ctx, groups = Context(), {}
    for pair in pairs(split, each):
        source, target = (condition.text(bench_words, ctx, prompt=text).conditioning.tokens for text in pair.texts)
        groups.setdefault((pair.kind, aligned(source, target)), []).append(pair)
    parts = [
        (start, items[start : start + BATCH]) for items in groups.values() for start in range(0, len(items), BATCH)
    ]
    return [items for _, items in sorted(parts, key=lambda part: part[0])]
