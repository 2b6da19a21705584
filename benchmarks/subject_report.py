"""The tables of subjects.py, after Tables 1 to 3 of Lim & Kim: likeness, cost, and what the augmentations bring."""

import json
from pathlib import Path
from typing import Any

import torch
from inlay.dollhouse.evaluate import wilson
from inlay.nodes._metrics import frechet

UNTUNED, WHOLE, CAPTION, LORA = "Paint by Example, untuned", "whole UNet", "caption (SD-inpainting)", "LoRA"
#: Tables 1 and 2, and the ablation of Table 3.
WAYS = (CAPTION, UNTUNED, "one vector (textual inversion)", WHOLE, LORA, "whole UNet, no prior", "LoRA, no prior")
STEPS = (CAPTION, "LoRA, no augmentation", "LoRA, + reference augmentation", LORA)
MARKS = ("kind", "pattern", "colours", "identity")


def read_ways(folder: Path, split: str, subjects: set[str] | None = None) -> dict[str, list[dict[str, Any]]]:
    """What was measured, by way: one entry a subject; only of these folders, where they are named."""
    found: dict[str, list[dict[str, Any]]] = {}
    for one in sorted(folder.glob(f"{split}-*")):
        if subjects is None or one.name in subjects:
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
    """All tables as Markdown."""
    ways = read_ways(folder, split)
    truth = ways.pop("truth")
    lines = ["| | identity right | kind | pattern | colours | DINO-like | CLIP-like | FID × 100 | training, CPU s | "
             "stored, MB | at SD-1.5's shapes, MB |", "|---|---|---|---|---|---|---|---|---|---|---|"]
    known = _row(truth, truth)
    rows = {name: _row(ways[name], [one for one in truth if one["subject"] in {w["subject"] for w in ways[name]}])
            for name in ways}
    for name, row in [("the true drawings", known), *((name, rows[name]) for name in WAYS if name in rows)]:
        of = row["of"]
        lines.append(f"| {name} | {_share(row['identity'], of)} | {row['kind']} | {row['pattern']} | "
                     f"{row['colours']} | {row['dino']:.1f} | {row['clip']:.1f} | {row['fid']:.1f} | "
                     f"{_number(row['seconds'], 0)} | "
                     f"{_number(row['mb'], 2)} | {_number(row['mb_sd15'], 2)} |")
    if {UNTUNED, WHOLE, LORA} <= rows.keys():
        lines += ["", _gains(rows)]
    lines += ["", "| | identity right | DINO-like | CLIP-like | FID × 100 | share of the hole that the thing fills | "
              "the same, holes 1.5 times too large | identity there |", "|---|---|---|---|---|---|---|---|"]
    for name in STEPS:
        if name in rows:
            row = rows[name]
            lines.append(f"| {name} | {_share(row['identity'], row['of'])} | {row['dino']:.1f} | {row['clip']:.1f} | "
                         f"{row['fid']:.1f} | {100 * row['fills']:.0f} % | {100 * row['wide']:.0f} % | "
                         f"{_share(row['wide_right'], row['wide_of'])} |")
    return "\n".join(lines) + "\n"


def _gains(rows: dict[str, dict[str, Any]]) -> str:
    """What LoRA keeps of whole-parameter tuning's gain over the untuned model."""
    kept = {name: (rows[LORA][name] - rows[UNTUNED][name]) / (rows[WHOLE][name] - rows[UNTUNED][name])
            for name in ("dino", "clip", "identity")}
    return ("LoRA keeps " + ", ".join(f"{100 * value:.0f} % ({name})" for name, value in kept.items())
            + f" of what tuning every parameter gains, at {100 * rows[LORA]['mb_sd15'] / rows[WHOLE]['mb_sd15']:.2f} % "
              "of its storage (SD-1.5's shapes).")
