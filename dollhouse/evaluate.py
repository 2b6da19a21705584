"""How good the embedded model is: autoencoder, judge, and whether pictures show what their prompts say.

`python -m inlay.dollhouse.evaluate --split val` is for tuning. The test split was run once: docs/results/dollhouse.md.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline
from PIL import Image, ImageDraw
from rich.progress import track

from . import judge
from ._pattern_stage import patterned_scene
from .world import Scene, caption, draw, draw_layers, sample_scene

HERE = Path(__file__).parent
Z95 = 1.959964
SceneOf = Callable[[str, int], Scene]  # split and number to scene


def wilson(right: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share; ValueError for an empty sample."""
    if not 0 <= right <= total or total == 0:
        raise ValueError(f"{right} of {total} is not a share")
    share, z2 = right / total, Z95**2
    middle = (share + z2 / (2 * total)) / (1 + z2 / total)
    half = Z95 / (1 + z2 / total) * math.sqrt(share * (1 - share) / total + z2 / (4 * total**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def _share(right: int, total: int) -> dict[str, Any]:
    low, high = wilson(right, total)
    return {"right": right, "of": total, "share": round(right / total, 4), "low": round(low, 4), "high": round(high, 4)}


@torch.inference_mode()
def measure_vae(vae: AutoencoderKL, split: str, count: int = 200, scene_of: SceneOf = sample_scene) -> dict[str, float]:
    """PSNR in dB of decode(encode(x)) as 8-bit pictures, and the error of subjects' mean colours in 1/255."""
    errors, colours = [], []
    for index in track(range(count), "autoencoder"):
        layers = draw_layers(scene_of(split, index))
        before = np.asarray(layers.image)
        image = torch.from_numpy(before.copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
        decoded = vae.decode(vae.encode(image).latent_dist.mode()).sample[0].permute(1, 2, 0)
        after = ((decoded + 1) * 127.5).round().clamp(0, 255).numpy()
        errors.append(float(np.mean((after - before.astype(np.float64)) ** 2)))
        region = layers.subject
        colours.append(np.abs(after[region].mean(axis=0) - before[region].mean(axis=0)))
    each = 10 * np.log10(255**2 / np.asarray(errors))
    return {
        "pictures": count,
        "psnr_mean": round(float(each.mean()), 2),
        "psnr_worst": round(float(each.min()), 2),
        "psnr_pooled": round(float(10 * np.log10(255**2 / np.mean(errors))), 2),
        "colour_error_mean": round(float(np.mean(colours)), 2),
        "colour_error_largest": round(float(np.max(colours)), 2),
    }


def _count(scenes: list[Scene], readings: list[judge.Reading]) -> dict[str, Any]:
    pairs, total = list(zip(scenes, readings, strict=True)), len(scenes)
    rows = {
        "class": [r.kind == s.kind for s, r in pairs],
        "class_and_pose": [r.label == s.label for s, r in pairs],
        "colour": [r.colour == s.colour for s, r in pairs],
        "wall": [r.wall == s.wall for s, r in pairs],
    }
    rows["class_colour_wall"] = [all(v) for v in zip(rows["class"], rows["colour"], rows["wall"], strict=True)]
    rows["everything"] = [all(v) for v in zip(rows["class_and_pose"], rows["class_colour_wall"], strict=True)]
    return {name: _share(sum(values), total) for name, values in rows.items()}


def measure_judge(model: judge.Judge, split: str, count: int = 1000) -> dict[str, Any]:
    """How often the judge and the closed-form colours are right on drawings."""
    scenes = [sample_scene(split, index) for index in range(count)]
    readings: list[judge.Reading] = []
    for start in track(range(0, count, 50), "judge"):
        readings += judge.read(model, [draw(scene) for scene in scenes[start : start + 50]])
    return _count(scenes, readings)


def generate(
    pipeline: StableDiffusionPipeline, prompts: list[str], guidance: float, *, steps: int = 30, batch: int = 20
) -> list[Image.Image]:
    """One picture per prompt, 128 × 128; picture i starts from the noise of seed i."""
    pipeline.set_progress_bar_config(disable=True)
    pictures: list[Image.Image] = []
    for start in track(range(0, len(prompts), batch), f"guidance {guidance:g}"):
        some = prompts[start : start + batch]
        seeds = [torch.Generator().manual_seed(start + i) for i in range(len(some))]
        pictures += pipeline(
            some, num_inference_steps=steps, guidance_scale=guidance, generator=seeds, height=128, width=128
        ).images
    return pictures


def evaluate(
    weights: Path, judge_weights: Path, split: str, *, guidance: float = 5.0, prompts: int = 200
) -> tuple[dict[str, Any], list[tuple[Scene, judge.Reading, Image.Image]]]:
    """All numbers of a model folder on a split, and its pictures with prompts and readings."""
    pipeline = StableDiffusionPipeline.from_pretrained(weights)
    model = judge.load(judge_weights)
    scenes = [sample_scene(split, index) for index in range(prompts)]
    pictures = generate(pipeline, [caption(scene) for scene in scenes], guidance)
    readings: list[judge.Reading] = []
    for start in range(0, prompts, 50):
        readings += judge.read(model, pictures[start : start + 50])
    numbers = {
        "split": split,
        "guidance_scale": guidance,
        "inference_steps": 30,
        "scaling_factor": pipeline.vae.config.scaling_factor,
        "megabytes": round(sum(f.stat().st_size for f in weights.rglob("*") if f.is_file()) / 1e6, 2),
        "parameters": {
            name: sum(value.numel() for value in getattr(pipeline, name).parameters())
            for name in ("vae", "unet", "text_encoder")
        },
        "vae": measure_vae(pipeline.vae, split),
        "vae_patterned": measure_vae(pipeline.vae, split, scene_of=lambda split, index: patterned_scene(index, split)),
        "judge": measure_judge(model, split),
        "prompts": _count(scenes, readings),
    }
    return numbers, list(zip(scenes, readings, pictures, strict=True))


def sheet(rows: list[tuple[Scene, judge.Reading, Image.Image]], columns: int = 10) -> Image.Image:
    """A labelled contact sheet: each picture over its prompt; differences read by the judge are in red."""
    width, height = 132, 172
    page = Image.new("RGB", (columns * width, -(-len(rows) // columns) * height), "white")
    pen = ImageDraw.Draw(page)
    for i, (scene, reading, picture) in enumerate(rows):
        x, y = i % columns * width + 2, i // columns * height + 2
        page.paste(picture, (x, y))
        asked = (scene.label, scene.colour, f"{scene.wall} walls")
        read = (reading.label, reading.colour, f"{reading.wall} walls")
        for line, (wanted, found) in enumerate(zip(asked, read, strict=True)):
            text = wanted if wanted == found else f"{wanted} / {found}"
            pen.text((x + 2, y + 129 + 12 * line), text, fill="black" if wanted == found else (200, 0, 0))
    return page


def report(
    result: tuple[dict[str, Any], list[tuple[Scene, judge.Reading, Image.Image]]],
    folder: Path,
    images: Path,
    shown: int = 50,
) -> None:
    """Write dollhouse.json into `folder` and dollhouse-sheet.png into `images`, and print the numbers."""
    numbers, rows = result
    text = json.dumps(numbers, indent=2) + "\n"
    for place in (folder, images):
        place.mkdir(parents=True, exist_ok=True)
    (folder / "dollhouse.json").write_text(text, encoding="utf-8")
    sheet(rows[:shown]).save(images / "dollhouse-sheet.png", optimize=True)
    print(text)


def main() -> None:
    """Evaluate a model folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=HERE / "weights")
    parser.add_argument("--judge", type=Path, default=judge.WEIGHTS)
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--guidance", type=float, default=5.0)
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--out", type=Path, required=True, help="folder for dollhouse.json and dollhouse-sheet.png")
    options = parser.parse_args()
    result = evaluate(options.weights, options.judge, options.split, guidance=options.guidance, prompts=options.prompts)
    report(result, options.out, options.out)


if __name__ == "__main__":
    main()
