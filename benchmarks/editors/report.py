"""The tables of editors/run.py."""

import json
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import torch
from inlay.benchmarks.editors.bench import batches
from inlay.benchmarks.editors.settings import PUBLISHED, chosen, read_lines, same
from inlay.benchmarks.editors.tasks import KINDS
from inlay.benchmarks.shared import as_picture
from inlay.dollhouse.evaluate import wilson
from PIL import Image

NAMES = {
    "baret": "BARET",
    "null_text_p2p": "null-text + prompt-to-prompt",
    "null_text": "null-text alone",
    "masactrl": "MasaCtrl",
    "sdedit": "SDEdit",
    "ddim": "DDIM inversion",
}
COUNTED = ("good", "right", "target", "kept", "facing")
HEAD = (
    "| | good | interval | target attribute | all others | facing | background, dB | truth, dB | s a picture: "
    "before, edit |\n|---|---|---|---|---|---|---|---|---|"
)


def _row(name: str, lines: list[dict[str, Any]]) -> str:
    of = len(lines)
    count = {key: sum(line[key] for line in lines) for key in ("good", "target", "kept", "facing")}
    low, high = wilson(count["good"], of)
    middle = {
        key: statistics.median(line[key] for line in lines) for key in ("background", "truth", "inversion_s", "edit_s")
    }
    return (
        f"| {name} | {count['good']} of {of} | {low:.0%} – {high:.0%} | {count['target']} | {count['kept']} | "
        f"{count['facing']} | {middle['background']:.1f} | {middle['truth']:.1f} | {middle['inversion_s']:.1f}, "
        f"{middle['edit_s']:.1f} |"
    )


def table(lines: list[dict[str, Any]]) -> str:
    """One row per editor."""
    return "\n".join(
        [
            HEAD,
            *(
                _row(name, mine)
                for editor, name in NAMES.items()
                if (mine := [line for line in lines if line["editor"] == editor])
            ),
        ]
    )


def by_kind(lines: list[dict[str, Any]]) -> str:
    """Good edits of each kind of change, and how many with class, pose, colour and wall right."""
    rows = ["| good (all attributes right) | " + " | ".join(KINDS) + " |", "|---" * (len(KINDS) + 1) + "|"]
    for editor, name in NAMES.items():
        cells = []
        for kind in KINDS:
            mine = [line for line in lines if line["editor"] == editor and line["kind"] == kind]
            cells.append(f"{sum(line['good'] for line in mine)} ({sum(line['right'] for line in mine)}) of {len(mine)}")
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def failures(lines: list[dict[str, Any]]) -> str:
    """How many reconstructions are below 20 dB."""
    found = []
    for editor, name in (("baret", "target-text inversion"), ("null_text", "null-text inversion")):
        values = [line["reconstruction"] for line in lines if line["editor"] == editor]
        if values:
            found.append(
                f"{name}: {sum(value < 20 for value in values)} of {len(values)} reconstructions below 20 dB, "
                f"median {statistics.median(values):.1f} dB"
            )
    return "\n".join(found)


def chosen_table(best: dict[str, dict[str, dict[str, Any]]]) -> str:
    """The settings that the validation split chose."""
    rows = ["| | " + " | ".join(KINDS) + " |", "|---" * (len(KINDS) + 1) + "|"]
    for editor, name in NAMES.items():
        rows.append(
            f"| {name} | "
            + " | ".join(
                ", ".join(
                    f"{key} {value if not isinstance(value, list) else '/'.join(map(str, value))}"
                    for key, value in best[editor][kind].items()
                )
                for kind in KINDS
            )
            + " |"
        )
    return "\n".join(rows)


def sheet(folder: Path, each: int, rows: int = 2) -> Image.Image:
    """The first edits of each kind, each editor at its best settings: before, the true result, and what each made."""
    from inlay.dollhouse.world import draw
    from inlay.pictures.sheet import draw_sheet

    heads = ["before", "the truth", *(name.replace("prompt-to-prompt", "P2P") for name in NAMES.values())]
    pictures, labels, count = [], [], dict.fromkeys(KINDS, 0)
    for number, batch in enumerate(batches("test", each)):
        for place, pair in enumerate(batch):
            files = [folder / "best" / f"{number:03d}" / f"{pair.kind}-{place}-{editor}.png" for editor in NAMES]
            if count[pair.kind] < rows and all(file.is_file() for file in files):
                pictures += [draw(pair.before), draw(pair.after), *(Image.open(file).convert("RGB") for file in files)]
                labels += [""] * (2 + len(NAMES)) if labels else heads
                count[pair.kind] += 1
    tensors = [torch.from_numpy(np.asarray(picture).copy()).float() / 255 for picture in pictures]
    found = draw_sheet(tensors, labels, 2 + len(NAMES))[0]
    return as_picture(found)


def counts(folder: Path) -> dict[str, Any]:
    """Every count behind the tables, by split and settings, editor, and kind of change."""
    found: dict[str, Any] = {}
    for split in ("val", "test"):
        for line in read_lines(folder, split):
            name = f"{split}, {line['mode'] or json.dumps(line['setting'])}"
            row = (
                found.setdefault(line["editor"], {})
                .setdefault(name, {})
                .setdefault(line["kind"], {"of": 0} | dict.fromkeys(COUNTED, 0) | {"background_db": []})
            )
            row["of"] += 1
            row["background_db"].append(round(line["background"], 2))
            for key in COUNTED:
                row[key] += bool(line[key])
    return found


def report(folder: Path) -> str:
    """All tables as Markdown."""
    parts = []
    for mode, title in (
        ("best", "each editor's best settings on val"),
        ("published", "published settings"),
        ("shipped", "the settings of baret_edit"),
    ):
        lines = [line for line in read_lines(folder, "test") if line["mode"] == mode]
        if lines:
            parts += [f"test split, {title}", "", table(lines), "", by_kind(lines), "", failures(lines), ""]
    val = read_lines(folder, "val")
    if val:
        lines = [line for line in val if same(line["setting"], PUBLISHED[line["editor"]])]
        parts += ["val split, published settings", "", table(lines), "", by_kind(lines), "", failures(lines), ""]
        parts += ["settings chosen on val", "", chosen_table(chosen(val))]
    return "\n".join(parts)
