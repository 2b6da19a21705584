"""One subject from four photos, painted into new rooms: a LoRA compared with tuning every parameter and a caption.

    python benchmarks/subjects/caption_baseline.py --work FOLDER                    first: the model for the caption
    python benchmarks/subjects/run.py --out FOLDER --split test                every method, 12 subjects × 20 rooms
    python benchmarks/subjects/run.py --report FOLDER                          the tables
    python benchmarks/subjects/run.py --sample 100                             the shipped LoRA in 100 rooms

A stopped run resumes, subject by subject. `--share 0/2` and `--share 1/2` divide the work between two processes.
The test split was run once, for docs/results/subjects.md.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from inlay.benchmarks.exemplars.fill import by_example, load_model, paste, run
from inlay.benchmarks.shared import as_picture, share_of, write_whole
from inlay.benchmarks.subjects.measures import Measures, measure
from inlay.benchmarks.subjects.tasks import (
    Room,
    Subject,
    make_room,
    subject,
    write_photos,
)
from inlay.benchmarks.subjects.ways import Budget, Way, teach
from inlay.dollhouse import judge
from inlay.dollhouse.samples import SUBJECT
from inlay.methods.latents import encode_picture
from inlay.methods.sampling.guidance import Guidance
from inlay.models.text_encoder import encode_text
from inlay.nodes.model import paint_by_example, stable_diffusion
from inlay.nodes.model_lora import lora
from torch import Tensor
from torch.nn import functional as F

GUIDANCE, CAPTION_GUIDANCE, WIDE = 5.0, 5.0, 1.5
#: Table 1: what learns, with and without the prior. Table 2: which augmentations. Settings were chosen on val.
LORA = Way("lora", 4e-3, rank=24, forward=True)
WAYS: dict[str, Way] = {
    "Paint by Example, untuned": Way(""),
    "LoRA": LORA,
    "whole UNet": Way("whole", 2e-4),
    "LoRA, no augmentation": replace(LORA, reference=False, masks=False),
    "LoRA, + reference augmentation": replace(LORA, masks=False),
    "one vector (textual inversion)": Way("word", 1e-2),
    "whole UNet, no prior": Way("whole", 2e-4, prior=False),
    "LoRA, no prior": replace(LORA, prior=False),
}
#: Ways that are measured with the first subjects only.
FEW = {
    "one vector (textual inversion)": 4,
    "whole UNet, no prior": 4,
    "LoRA, no prior": 4,
    "LoRA, no augmentation": 4,
    "LoRA, + reference augmentation": 4,
}
CAPTION = "caption (SD-inpainting)"


@torch.no_grad()
def by_caption(folder: Path) -> Callable[[Sequence[Room], int], Tensor]:
    """The caption baseline; SD-inpainting's order of channels: [latent, hole, masked picture]."""
    parts: Any = stable_diffusion(str(folder), dtype="float32")
    unet, vae, text = (part.load("cpu") for part in (parts.denoiser, parts.vae, parts.text_encoder))
    empty = encode_text(text, "")[0]

    @torch.no_grad()
    def paint(rooms: Sequence[Room], seed: int) -> Tensor:
        embeddings = torch.cat([encode_text(text, room.words)[0] for room in rooms])
        hole = torch.stack([room.hole for room in rooms])[:, None]
        keep = (1 - hole).permute(0, 2, 3, 1)
        truth = torch.stack([room.truth for room in rooms])
        masked = encode_picture(vae, truth * keep + 0.5 * (1 - keep), parts.vae.scaling_factor, 0.0)
        extra = torch.cat([F.interpolate(hole, masked.shape[2:]), masked], dim=1)
        guided = Guidance(embeddings, empty.expand_as(embeddings).contiguous(), CAPTION_GUIDANCE, True, extra)
        latent = run(unet, parts.scheduler.config, masked.shape, seed, guided)
        return paste(vae, parts.vae.scaling_factor, rooms, latent)

    return paint


def one_subject(
    thing: Subject,
    split: str,
    out: Path,
    measures: Measures,
    ways: dict[str, Way],
    rooms: int,
    budget: Budget,
    caption: Path | None,
) -> None:
    """Run every method for one subject; each method's lines are written when it is done."""
    folder = out / f"{split}-{thing.number:02d}"
    write_photos(thing, split, folder)
    tasks = [make_room(thing, split, number) for number in range(rooms)]
    wide = [make_room(thing, split, number, WIDE) for number in range(rooms)]
    truth = folder / "truth.json"
    if not truth.exists():
        write_whole(
            truth,
            json.dumps(
                {
                    key: measure(some, torch.stack([room.truth for room in some]), measures)
                    for key, some in (("lines", tasks), ("wide", wide[:10]))
                }
            ),
        )
    for name, way in ([(CAPTION, None)] if caption else []) + list(ways.items()):
        path = folder / f"{name}.json"
        if path.exists() or thing.number >= FEW.get(name, thing.number + 1):
            continue
        found: dict[str, Any] = {"thing": thing.words}
        if way is None:
            assert caption is not None
            paint = by_caption(caption)
        else:
            taught = teach(way, folder, budget)
            here, large = way.stored(taught.parameters)
            found |= {"seconds": taught.seconds, "parameters": taught.parameters, "mb": here, "mb_sd15": large}

            def paint(some: Sequence[Room], seed: int, model: Any = taught.model) -> Tensor:
                return by_example(model, some, GUIDANCE, seed)

        began = time.process_time()
        fills = torch.cat([paint(tasks[start : start + 20], start) for start in range(0, rooms, 20)])
        found["paint_seconds"] = (time.process_time() - began) / rooms
        found["lines"] = measure(tasks, fills, measures)
        broad = paint(wide[:10], 0)
        found["wide"] = measure(wide[:10], broad, measures)
        for kind, some in (("", fills), ("wide-", broad)):
            for number, fill in enumerate(some[:3]):
                as_picture(fill).save(folder / f"{name}-{kind}{number}.png")
        write_whole(path, json.dumps(found))
        right = sum(line["identity"] for line in found["lines"])
        print(f"{thing.words}: {name}: identity {right} of {rooms}, {found.get('seconds', 0):.0f} s", flush=True)


def sample(measures: Measures, rooms: int) -> str:
    """How often the shipped LoRA paints the sample's sofa right, in rooms of the test split."""
    thing = Subject(**{name: SUBJECT[name] for name in ("kind", "colour", "pattern", "second_colour")}, number=99)
    base: Any = paint_by_example("dollhouse-exemplar", dtype="float32")
    adapted = lora(
        base.denoiser, source=str(Path(judge.__file__).parents[1] / "workflows" / "exemplar" / "subject.safetensors")
    )
    model = load_model("dollhouse-exemplar")._replace(unet=adapted.denoiser.load("cpu"))
    tasks = [make_room(thing, "test", number) for number in range(rooms)]
    fills = torch.cat([by_example(model, tasks[start : start + 20], GUIDANCE, start) for start in range(0, rooms, 20)])
    lines = measure(tasks, fills, measures)
    return "\n".join(
        f"{name}: {sum(line[name] for line in lines)} of {rooms}" for name in ("kind", "pattern", "colours", "identity")
    )


def main() -> None:
    """Measure or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("subjects"))
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--subjects", type=int, default=12)
    parser.add_argument("--rooms", type=int, default=20)
    parser.add_argument("--ways", nargs="*", default=list(WAYS), help="run only these methods")
    parser.add_argument("--caption", type=Path, help="the folder that subjects/caption_baseline.py wrote")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--views", type=int, default=40)
    parser.add_argument("--clip", default="dollhouse-clip", help="CLIP model for similarity and FID")
    parser.add_argument("--dino", default="", help="DINO model for similarity; default: the pattern reader")
    parser.add_argument("--inception", type=Path, help="inception-v3-2015-12-05 as TorchScript, for FID; default: CLIP")
    parser.add_argument("--share", default="0/1", help="part of the subjects that this process runs, such as 0/2")
    parser.add_argument("--sample", type=int, help="only the shipped LoRA, in this number of rooms")
    parser.add_argument("--report", type=Path, help="a folder to make the tables from")
    parser.add_argument("--json", type=Path, help="with --report: every number behind the tables")
    parser.add_argument("--sheet", type=Path, help="with --report: a picture of each subject's first room")
    args = parser.parse_args()
    if args.report is not None:
        from inlay.benchmarks.subjects.report import counts, draw_report, report

        print(report(args.report, args.split))
        if args.json:
            args.json.write_text(json.dumps(counts(args.report, args.split)) + "\n")
        if args.sheet:
            draw_report(args.report, args.split, args.sheet)
        return
    args.out.mkdir(parents=True, exist_ok=True)
    measures = Measures(args.out, args.clip, args.dino, args.inception)
    if args.sample:
        print(sample(measures, args.sample))
        return
    first, count = share_of(args.share)
    for number in range(first, args.subjects, count):
        one_subject(
            subject(args.split, number),
            args.split,
            args.out,
            measures,
            {name: WAYS[name] for name in args.ways},
            args.rooms,
            Budget(args.steps, args.batch, args.views),
            args.caption,
        )


if __name__ == "__main__":
    main()
