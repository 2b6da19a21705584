"""Settings of the editors: published, shipped, searched; and the choice of the best from measured lines."""

import json
from pathlib import Path
from typing import Any

from inlay.benchmarks.editors.tasks import KINDS

Setting = dict[str, Any]


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


#: Those of workflows/edit/baret_edit.json.
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
    """Whether two settings are equal, also after a round trip through JSON."""
    return json.dumps(left, sort_keys=True) == json.dumps(right, sort_keys=True)


def read_lines(out: Path, split: str) -> list[dict[str, Any]]:
    """Every line that was written for a split."""
    return [json.loads(line) for path in sorted(out.glob(f"{split}-*.jsonl")) for line in path.open()]
