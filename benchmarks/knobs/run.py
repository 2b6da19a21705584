"""Each setting of BARET as a strip of pictures; and how λ trades likeness to the picture for likeness to the text.

    python benchmarks/knobs/run.py                 the strips, docs/images/knob-*.png
    python benchmarks/knobs/run.py --similarity    docs/images/knob-similarity.png, after figure 10 of the paper

The strips are edits of the sample of `baret_edit`. Similarities are cosines in dollhouse-clip's space, over pairs of
the validation split; the plot needs matplotlib (extra "bench").
"""

import argparse
import statistics
from dataclasses import replace
from pathlib import Path

import torch
from inlay.benchmarks.editors.bench import Bench
from inlay.benchmarks.editors.tasks import Pair, pairs
from inlay.benchmarks.shared import as_picture
from inlay.dollhouse import judge
from inlay.dollhouse.samples import DOG
from inlay.nodes import latent
from inlay.nodes.image.grid import grid
from PIL import Image
from transformers import CLIPImageProcessorPil, CLIPModel, CLIPTokenizer

GUIDANCE, RATE = 5.0, 0.03
START, END, SELF, CROSS = 0.8, 0.1, 0.3, 0.6
STRIPS = {
    "start": (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.2, 0.0),
    "self": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5),
    "cross": (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
}
LAMBDAS = tuple(number / 10 for number in range(11))


def windows(knob: str, value: float) -> tuple[float, float, float, float]:
    """The published settings with one of them changed."""
    settings = {"start": START, "end": END, "self": SELF, "cross": CROSS} | {knob: value}
    return settings["start"], min(settings["end"], settings["start"]), settings["self"], settings["cross"]


def edited(bench: Bench, what: tuple[float, float, float, float]) -> torch.Tensor:
    """The edited images of a batch."""
    z, *_ = bench.run("baret", {"guidance": GUIDANCE, "rate": RATE, "windows": what})
    return latent.decode(z, bench.parts.vae, bench.ctx).image.clamp(0, 1)


def strips(bench: Bench, out: Path) -> None:
    """One sheet a knob."""
    bench.take([Pair("pose", DOG, replace(DOG, pose="lying"))])
    for knob, values in STRIPS.items():
        images = [bench.images, *[edited(bench, windows(knob, value)) for value in values]]
        labels = ["the picture", *[f"{value:g}" for value in values]]
        sheet = grid(images, labels, columns=len(images)).image
        as_picture(sheet[0]).save(out / f"knob-{knob}.png", optimize=True)


class Similarity:
    """Cosines in dollhouse-clip's space."""

    def __init__(self) -> None:
        folder = Path(judge.__file__).with_name("clip")
        self.model = CLIPModel.from_pretrained(folder, torch_dtype=torch.float32).eval()
        self.tokenizer = CLIPTokenizer.from_pretrained(folder)
        self.processor = CLIPImageProcessorPil.from_pretrained(folder)

    @torch.no_grad()
    def pictures(self, images: list[Image.Image]) -> torch.Tensor:
        """Unit vectors `[b d]`."""
        seen = self.model.get_image_features(**self.processor(images, return_tensors="pt"))
        return torch.nn.functional.normalize(getattr(seen, "pooler_output", seen), dim=-1)

    @torch.no_grad()
    def texts(self, words: list[str]) -> torch.Tensor:
        """Unit vectors `[b d]`."""
        tokens = self.tokenizer(words, padding="max_length", return_tensors="pt", max_length=32, truncation=True)
        read = self.model.get_text_features(**tokens)
        return torch.nn.functional.normalize(getattr(read, "pooler_output", read), dim=-1)


def similarity(bench: Bench, out: Path, each: int) -> None:
    """Likeness to the picture and to the text against λ at the start, for pose and class: edits that move things."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    eyes = Similarity()
    rows = {}
    bench.take([pair for pair in pairs("val", each) if pair.kind in ("pose", "class")])
    before = eyes.pictures([as_picture(image) for image in bench.images])
    wanted = eyes.texts([pair.texts[1] for pair in bench.batch])
    for value in LAMBDAS:
        found = eyes.pictures([as_picture(image) for image in edited(bench, windows("start", value))])
        rows[value] = ((found * before).sum(-1).tolist(), (found * wanted).sum(-1).tolist())
        print(
            f"λ {value:.1f}: to the picture {statistics.mean(rows[value][0]):.3f}, "
            f"to the text {statistics.mean(rows[value][1]):.3f}",
            flush=True,
        )
    figure, left = pyplot.subplots(figsize=(6, 3.6))
    right = left.twinx()
    for axis, which, colour, name in ((left, 0, "tab:blue", "to the picture"), (right, 1, "tab:red", "to the text")):
        low, middle, high = zip(*(statistics.quantiles(rows[value][which], n=4) for value in LAMBDAS), strict=True)
        axis.plot(LAMBDAS, middle, color=colour, marker="o")
        axis.fill_between(LAMBDAS, low, high, color=colour, alpha=0.15)
        axis.set_ylabel(f"similarity {name}", color=colour)
    left.set_xlabel("weight of the tuned embedding at the first step, λ start")
    figure.tight_layout()
    figure.savefig(out / "knob-similarity.png", dpi=110)


def main() -> None:
    """Draw what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument("--similarity", action="store_true")
    parser.add_argument("--each", type=int, default=6, help="pairs of each kind")
    args = parser.parse_args()
    torch.set_num_threads(1)
    bench = Bench()
    if args.similarity:
        similarity(bench, args.out, args.each)
    else:
        strips(bench, args.out)


if __name__ == "__main__":
    main()
