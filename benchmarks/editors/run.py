"""Editing drawn rooms by describing the result, where the right answer is known: BARET and its rivals.

    python benchmarks/editors/run.py --split val --out FOLDER          every setting of every editor: how they are tuned
    python benchmarks/editors/run.py --split test --out FOLDER         each one's best on val; --mode published, shipped
    python benchmarks/editors/run.py --report FOLDER                   the tables

Four kinds of change (pose, colour, class, wall), the same number of settings tried for every editor, and each editor's
best chosen for each kind of change on the val split. Pictures go ten at a time; a folder that is half done is gone on
with. Several processes may share the work: `--share 0/2` and `--share 1/2`.
"""

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from inlay.benchmarks.editors.tasks import KINDS, Pair, pairs, picture, pixels, score
from inlay.dollhouse import judge
from inlay.dollhouse.world import draw
from inlay.graph_runtime import Context
from inlay.methods.conditioning import Conditioning
from inlay.methods.prompt_to_prompt import aligned
from inlay.nodes import attention, condition, embed, invert, latent, model, noise, sample, schedule

Setting = dict[str, Any]
STEPS, BATCH = 50, 10
WINDOWS = ((0.8, 0.1, 0.3, 0.6), (0.8, 0.1, 0.2, 0.4), (1.0, 1.0, 0.3, 0.6), (1.0, 1.0, 0.2, 0.8))
#: What the papers and their code use.
PUBLISHED: dict[str, Setting] = {
    "baret": {"guidance": 7.5, "rate": 1e-3, "windows": (0.8, 0.1, 0.3, 0.6)},
    "null_text": {"guidance": 7.5, "rate": 1e-2, "edit_guidance": 7.5},
    "null_text_p2p": {"guidance": 7.5, "rate": 1e-2, "windows": (0.5, 0.8)},
    "sdedit": {"guidance": 7.5, "strength": 0.75},
    "masactrl": {"guidance": 7.5, "step": 4, "layer": 4},
    "ddim": {"guidance": 7.5},
}
#: Those of workflows/baret_edit.json.
SHIPPED: dict[str, Setting] = {"baret": {"guidance": 5.0, "rate": 0.03, "windows": (0.8, 0.1, 0.3, 0.6)}}
#: Nine settings each, the published one among them.
SEARCHED: dict[str, list[Setting]] = {
    "baret": [PUBLISHED["baret"], *[{"guidance": g, "rate": 0.03, "windows": w} for g in (3.0, 5.0) for w in WINDOWS]],
    "null_text": [
        {"guidance": g, "rate": 1e-2, "edit_guidance": e}
        for g, e in (
            (3.0, 3.0),
            (3.0, 5.0),
            (3.0, 7.5),
            (5.0, 3.0),
            (5.0, 5.0),
            (5.0, 7.5),
            (7.5, 5.0),
            (7.5, 7.5),
            (7.5, 10.0),
        )
    ],
    "null_text_p2p": [
        {"guidance": g, "rate": 1e-2, "windows": w}
        for g in (3.0, 5.0, 7.5)
        for w in ((0.5, 0.8), (0.2, 0.4), (0.3, 0.6))
    ],
    "sdedit": [
        {"guidance": g, "strength": s}
        for g, s in (
            (7.5, 0.5),
            (7.5, 0.6),
            (7.5, 0.7),
            (7.5, 0.75),
            (7.5, 0.8),
            (7.5, 0.9),
            (5.0, 0.6),
            (5.0, 0.7),
            (5.0, 0.8),
        )
    ],
    "masactrl": [
        {"guidance": g, "step": s, "layer": k}
        for g, s, k in (
            (7.5, 4, 4),
            (5.0, 4, 4),
            (3.0, 4, 4),
            (7.5, 10, 4),
            (5.0, 10, 4),
            (7.5, 20, 4),
            (5.0, 20, 4),
            (5.0, 4, 2),
            (5.0, 10, 2),
        )
    ],
    "ddim": [{"guidance": g} for g in (1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 7.5)],
}


class Bench:
    """The model, and a batch of pairs on their way through it; inversions are made once for all who ask the same."""

    def __init__(self) -> None:
        self.ctx = Context()
        self.parts = model.stable_diffusion("dollhouse")
        self.plan = schedule.ddim(self.parts.scheduler, steps=STEPS, eta=0.0).schedule
        self.reader = judge.load()
        self._known: dict[Any, Any] = {}

    def take(self, batch: list[Pair]) -> None:
        """Begin with these pairs."""
        self._known = {}
        self.batch = batch
        self.images = torch.cat([pixels(draw(pair.before)) for pair in batch])
        self.z = latent.encode(self.images, self.parts.vae, self.ctx).latent
        self.source = self._told([pair.texts[0] for pair in batch])
        self.target = self._told([pair.texts[1] for pair in batch])
        self.nothing = self._told([""] * len(batch))

    def _told(self, texts: list[str]) -> Conditioning:
        each = [condition.text(self.parts.text_encoder, self.ctx, prompt=text).conditioning for text in texts]
        return Conditioning(
            torch.cat([one.cond for one in each]), torch.cat([one.uncond for one in each]), tokens=each[0].tokens
        )

    def once(self, key: Any, make: Any) -> Any:
        """What `make` gives, and the CPU seconds it took, made once."""
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
        node, told = (invert.target_text, "target") if which == "ttis" else (invert.null_text, "source")
        trajectory, _ = self.inverted(told)
        return self.once(
            (which, guidance, rate),
            lambda: node(
                self.parts.denoiser,
                getattr(self, told),
                self.plan,
                trajectory,
                self.ctx,
                guidance_scale=guidance,
                learning_rate=rate,
            ),
        )

    def drawn(self, trajectory: Any, guidance: float, **wired: Any) -> torch.Tensor:
        """The edit that begins at the end of a trajectory."""
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
        """One line a pair."""
        z, before, seconds = self.run(editor, setting)
        images = latent.decode(z, self.parts.vae, self.ctx).image
        walked = self._reconstructed(editor, setting)
        for number, (pair, image) in enumerate(zip(self.batch, images, strict=True)):
            found = picture(image)
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
        """PSNR of the picture that a tuning walks back to."""
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


def chosen(lines: list[dict[str, Any]]) -> dict[str, dict[str, Setting]]:
    """Each editor's best setting for each kind of change: most good, then nearest to the truth."""
    best: dict[str, dict[str, Setting]] = {}
    for editor, settings in SEARCHED.items():
        best[editor] = {}
        for kind in KINDS:

            def worth(setting: Setting, editor: str = editor, kind: str = kind) -> tuple[float, float]:
                mine = [
                    line
                    for line in lines
                    if line["editor"] == editor and line["kind"] == kind and same(line["setting"], setting)
                ]
                return sum(line["good"] for line in mine), sum(line["truth"] for line in mine) / max(1, len(mine))

            best[editor][kind] = max(settings, key=worth)
    return best


def same(left: Setting, right: Setting) -> bool:
    """Equal settings, whether they went through JSON or not."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def read_lines(out: Path, split: str) -> list[dict[str, Any]]:
    """Every line that was written for a split."""
    return [json.loads(line) for path in sorted(out.glob(f"{split}-*.jsonl")) for line in path.open()]


def measure(
    split: str, mode: str, each: int, out: Path, share: tuple[int, int], kinds: Sequence[str], editors: Sequence[str]
) -> None:
    """Run the editors; each batch's lines are written when it is whole."""
    out.mkdir(parents=True, exist_ok=True)
    bench, todo = Bench(), batches(split, each)
    if split == "val":
        for number, batch in enumerate(todo):
            _batch(bench, batch, number, SEARCHED, out / f"val-{number:03d}.jsonl", share)
        return
    best = chosen(read_lines(out, "val"))
    fixed = {"best": {}, "published": PUBLISHED, "shipped": SHIPPED}[mode]
    for number, batch in enumerate(todo):
        settings = {
            editor: [fixed[editor] if fixed else best[editor][batch[0].kind]]
            for editor in fixed or SEARCHED
            if editor in editors
        }
        if batch[0].kind in kinds:
            _batch(bench, batch, number, settings, out / f"test-{mode}-{number:03d}.jsonl", share, mode)


def _batch(
    bench: Bench,
    batch: list[Pair],
    number: int,
    settings: dict[str, list[Setting]],
    path: Path,
    share: tuple[int, int],
    mode: str = "",
) -> None:
    """Every setting of every editor on one batch, unless it is another process's, or done."""
    if number % share[1] != share[0] or path.exists():
        return
    bench.take(batch)
    lines = []
    for editor, wanted in settings.items():
        for setting in wanted:
            lines += [
                line | {"mode": mode}
                for line in bench.judged(editor, setting, path.parent / mode / f"{number:03d}" if mode else None)
            ]
    beside = path.with_suffix(".part")
    beside.write_text("".join(json.dumps(line) + "\n" for line in lines))
    beside.rename(path)
    print(f"{mode} batch {number}: {len(batch)} pairs of {batch[0].kind}", flush=True)


def main() -> None:
    """Run or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("val", "test"))
    parser.add_argument("--mode", choices=("best", "published", "shipped"), default="best", help="settings on test")
    parser.add_argument("--each", type=int, help="pairs of each kind (default: 5 of val, 25 of test)")
    parser.add_argument("--out", type=Path, default=Path("editors"))
    parser.add_argument("--share", default="0/1", help="which part of the batches, such as 0/2")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="of test, only these changes")
    parser.add_argument("--editors", nargs="+", choices=list(SEARCHED), default=list(SEARCHED), help="only these")
    parser.add_argument("--report", type=Path, help="a folder to make the tables from")
    parser.add_argument("--json", type=Path, help="with --report: every count behind the tables")
    parser.add_argument("--sheet", type=Path, help="with --report: a picture of the first edits of each kind")
    args = parser.parse_args()
    if args.report is not None:
        from inlay.benchmarks.editors.report import counts, report, sheet

        print(report(args.report))
        if args.json is not None:
            args.json.write_text(json.dumps(counts(args.report)) + "\n", "utf-8")
        if args.sheet is not None:
            sheet(args.report, args.each or 25).save(args.sheet, optimize=True)
        return
    first, _, count = args.share.partition("/")
    each = args.each or {"val": 5, "test": 25}[args.split]
    measure(args.split, args.mode, each, args.out, (int(first), int(count)), args.kinds, args.editors)


if __name__ == "__main__":
    main()
