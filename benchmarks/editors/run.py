"""Editing drawn rooms by describing the result, where the right answer is known: BARET and five baselines.

    python benchmarks/editors/run.py --split val --out FOLDER          every setting of every editor, to tune them
    python benchmarks/editors/run.py --split test --out FOLDER         each editor's best setting on val; or --mode
    python benchmarks/editors/run.py --report FOLDER                   the tables

Four kinds of change (pose, colour, class, wall), the same number of settings tried for every editor, and each editor's
best chosen for each kind of change on the val split. Pictures are edited ten at a time; a stopped run resumes. Several
processes can share the work: `--share 0/2` and `--share 1/2`.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from inlay.benchmarks.editors.bench import Bench, batches
from inlay.benchmarks.editors.settings import PUBLISHED, SEARCHED, SHIPPED, Setting, chosen, read_lines
from inlay.benchmarks.editors.tasks import KINDS, Pair
from inlay.benchmarks.shared import share_of, write_whole


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
    """Every setting of every editor on one batch, unless another process does it or it is done."""
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
    write_whole(path, "".join(json.dumps(line) + "\n" for line in lines))
    print(f"{mode} batch {number}: {len(batch)} pairs of {batch[0].kind}", flush=True)


def main() -> None:
    """Run or report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("val", "test"))
    parser.add_argument(
        "--mode", choices=("best", "published", "shipped"), default="best", help="settings for the test split"
    )
    parser.add_argument("--each", type=int, help="pairs of each kind (default: 5 of val, 25 of test)")
    parser.add_argument("--out", type=Path, default=Path("editors"))
    parser.add_argument("--share", default="0/1", help="part of the batches that this process runs, such as 0/2")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="only these changes (test split)")
    parser.add_argument(
        "--editors", nargs="+", choices=list(SEARCHED), default=list(SEARCHED), help="only these editors"
    )
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
    each = args.each or {"val": 5, "test": 25}[args.split]
    measure(args.split, args.mode, each, args.out, share_of(args.share), args.kinds, args.editors)


if __name__ == "__main__":
    main()
