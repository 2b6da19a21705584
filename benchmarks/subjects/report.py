"""The tables of subjects/run.py, after Tables 1 to 3 of Lim & Kim: similarity, cost, augmentations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inlay.benchmarks.shared import as_picture
from inlay.dollhouse.evaluate import wilson
from inlay.pictures.metrics import frechet
from inlay.pictures.sheet import draw_sheet
from PIL import Image

UNTUNED, WHOLE, CAPTION, LORA = "Paint by Example, untuned", "whole UNet", "caption (SD-inpainting)", "LoRA"
TRUTH = "truth"
#: What each table compares, after Tables 1 to 3: ways, what was learned before and what learns, augmentation.
WAYS = (TRUTH, CAPTION, UNTUNED, WHOLE, LORA)
PRIORS = (LORA, "LoRA, no prior", WHOLE, "whole UNet, no prior", "one vector (textual inversion)")
STEPS = (TRUTH, CAPTION, "LoRA, no augmentation", "LoRA, + reference augmentation", LORA)
MARKS = ("kind", "pattern", "colours", "identity")


def read_ways(folder: Path, split: str) -> dict[str, list[dict[str, Any]]]:
    """Measurements by method, one entry per subject."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in sorted(folder.glob(f"{split}-*")):
        for path in sorted(one.glob("*.json")):
            found.setdefault(path.stem, []).append(json.loads(path.read_text()) | {"subject": one.name})
    return found


def _row(entries: list[dict[str, Any]], truth: list[dict[str, Any]]) -> dict[str, Any]:
    lines = [line for entry in entries for line in entry["lines"]]
    row: dict[str, Any] = {name: sum(line[name] for line in lines) for name in MARKS}
    row |= {name: sum(line[name] for line in lines) / len(lines) for name in ("dino", "clip", "fills")}
    drawn = [line["vector"] for entry in truth for line in entry["lines"]]
    row["fid"] = 100 * frechet(torch.tensor([line["vector"] for line in lines]), torch.tensor(drawn))
    wide = [line["fills"] for entry in entries for line in entry.get("wide", [])]
    row["wide"] = sum(wide) / len(wide) if wide else float("nan")
    row["wide_right"] = sum(line["identity"] for entry in entries for line in entry.get("wide", []))
    row["wide_of"] = len(wide)
    for name in ("seconds", "mb", "mb_sd15"):
        values = [entry[name] for entry in entries if name in entry]
        row[name] = sum(values) / len(values) if values else float("nan")
    return row | {"of": len(lines), "subjects": len(entries)}


def _share(count: int, of: int) -> str:
    low, high = wilson(count, of)
    return f"{count} of {of} ({100 * low:.0f}–{100 * high:.0f} %)"


def _number(value: float, digits: int = 1) -> str:
    return "–" if value != value else f"{value:,.{digits}f}"


def report(folder: Path, split: str) -> str:
    """All tables as Markdown. Each compares methods on the subjects that all of them were measured with."""
    ways = read_ways(folder, split)
    rows = _rows(ways, WAYS)
    head = "| | identity right | kind | pattern | colours | DINO-like | CLIP-like | FID × 100 | training, CPU s | "
    lines = [head + "stored, MB | at SD-1.5's shapes, MB |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    for name, row in rows.items():
        lines.append(
            f"| {name} | {_share(row['identity'], row['of'])} | {row['kind']} | {row['pattern']} | "
            f"{row['colours']} | {_alike(row)} | {_number(row['seconds'], 0)} | "
            f"{_number(row['mb'], 2)} | {_number(row['mb_sd15'], 2)} |"
        )
    if {UNTUNED, WHOLE, LORA} <= rows.keys():
        lines += ["", _gains(rows)]
    lines += ["", head.rstrip(), "|---|---|---|---|---|---|---|---|---|"]
    for name, row in _rows(ways, PRIORS).items():
        lines.append(
            f"| {name} | {_share(row['identity'], row['of'])} | {row['kind']} | {row['pattern']} | "
            f"{row['colours']} | {_alike(row)} | {_number(row['seconds'], 0)} |"
        )
    lines += [
        "",
        "| | identity right | DINO-like | CLIP-like | FID × 100 | share of the hole that the thing fills | "
        "the same, holes 1.5 times too large | identity there |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, row in _rows(ways, STEPS).items():
        lines.append(
            f"| {name} | {_share(row['identity'], row['of'])} | {_alike(row)} | {100 * row['fills']:.0f} % | "
            f"{100 * row['wide']:.0f} % | {_share(row['wide_right'], row['wide_of'])} |"
        )
    return "\n".join(lines) + "\n"


def draw_report(folder: Path, split: str, path: Path) -> None:
    """A sheet: for each subject, two in a row, one of its photos, then the first room filled by each method."""
    ways = (CAPTION, UNTUNED, WHOLE, LORA)
    pictures, words = [], []
    for number, one in enumerate(sorted(folder.glob(f"{split}-*"))):
        first = min((one / "photos").iterdir())
        for name, file in [("one of 4 photos", first), *((way, one / f"{way}-0.png") for way in ways)]:
            pictures.append(torch.from_numpy(np.array(Image.open(file).convert("RGB"))).float() / 255)
            words.append(name.split(",")[0].split(" (")[0] if number < 2 else "")
    sheet = draw_sheet(pictures, words, 2 * (1 + len(ways)))[0]
    as_picture(sheet).save(path, optimize=True)


def counts(folder: Path, split: str) -> dict[str, Any]:
    """The numbers behind the tables, by method and subject."""
    ways = read_ways(folder, split)
    truth = {entry["subject"]: entry for entry in ways[TRUTH]}
    return {
        way: {
            entry["subject"]: {
                name: round(value, 4)
                for name, value in _row([entry], [truth[entry["subject"]]]).items()
                if value == value
            }
            for entry in entries
        }
        for way, entries in ways.items()
    }


def _rows(ways: dict[str, list[dict[str, Any]]], names: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Those of `names` that were measured, over the subjects that they share."""
    found = [name for name in names if name in ways]
    shared = set.intersection(*({entry["subject"] for entry in ways[name]} for name in [*found, TRUTH]))
    some = {name: [entry for entry in ways[name] if entry["subject"] in shared] for name in {*found, TRUTH}}
    return {name: _row(some[name], some[TRUTH]) for name in found}


def _alike(row: dict[str, Any]) -> str:
    return f"{row['dino']:.1f} | {row['clip']:.1f} | {row['fid']:.1f}"


def _gains(rows: dict[str, dict[str, Any]]) -> str:
    """The LoRA's share of the gain of tuning every parameter over the untuned model."""
    kept = {
        name: (rows[LORA][name] - rows[UNTUNED][name]) / (rows[WHOLE][name] - rows[UNTUNED][name])
        for name in ("dino", "clip", "identity")
    }
    return (
        "The LoRA reaches "
        + ", ".join(f"{100 * value:.0f} % ({name})" for name, value in kept.items())
        + f" of what tuning every parameter gains, at {100 * rows[LORA]['mb_sd15'] / rows[WHOLE]['mb_sd15']:.2f} % "
        "of its storage (SD-1.5's shapes)."
    )
