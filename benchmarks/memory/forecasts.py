"""How well `inlay run --dry-run` knows what a run needs: shipped workflows, at sizes that were never measured.

    python benchmarks/memory/forecasts.py --out inlay-out/memory

Each workflow runs at three sizes, which measures its nodes. Then its needs at other sizes are forecast, and only after
that it runs there. Nothing that a forecast is compared with was known when it was made.
"""

import argparse
import json
import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("INLAY_OFFLINE", "1")
MEASURED, ASKED = (64, 96, 160), (80, 112, 128, 192)
DTYPES = ("float32", "bfloat16")
#: Inputs that keep the runs short; the memory of a step is that of every step.
WORKFLOWS = {
    "inpaint": {},
    "zero_shot_inpaint": {"steps": 2},
    "zero_shot_inpaint_strict": {"steps": 2},
    "paint_by_example": {"steps": 2},
    "subject_lora_inpaint": {"steps": 2},
    "baret_edit": {"steps": 2, "iterations": 1},
    "null_text_edit": {"steps": 2, "iterations": 1},
}
WITHIN = 0.10


def main() -> None:
    """Measure, forecast, run, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("inlay-out/memory"))
    parser.add_argument("--workflows", nargs="*", default=list(WORKFLOWS))
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name in options.workflows:
            for dtype in DTYPES if name != "inpaint" else DTYPES[:1]:
                rows += pairs(name, dtype, Path(folder))
                print(*map(line, rows[-len(ASKED) :]), sep="\n", flush=True)
    text = report(rows)
    (options.out / "memory.md").write_text(text, encoding="utf-8")
    (options.out / "memory.json").write_text(json.dumps(rows, indent=1), encoding="utf-8")
    print(text)


def pairs(name: str, dtype: str, folder: Path) -> list[dict[str, object]]:
    """Forecast and measurement of one workflow in one precision, at each size that is asked."""
    home = folder / f"{name}-{dtype}"
    for size in MEASURED:
        run(name, dtype, size, home)
    found = []
    for size in ASKED:
        twin = folder / f"{name}-{dtype}-{size}"
        shutil.copytree(home, twin)
        told, sources = asked(name, dtype, size, twin)
        peak, nodes = run(name, dtype, size, twin)
        large = {node: took for node, took in nodes.items() if took >= 2**20}
        off = [abs(told["nodes"].get(node, 0) / took - 1) for node, took in large.items()]
        found.append(
            {
                "workflow": name,
                "size": size,
                "dtype": dtype,
                "forecast": told["peak"],
                "measured": peak,
                "off": told["peak"] / peak - 1,
                "nodes": len(large),
                "nodes_within": sum(one <= WITHIN for one in off),
                "sources": sources,
            }
        )
    return found


def prepared(name: str, dtype: str, size: int):
    """The workflow on pictures of a size, with its models in a precision."""
    from inlay.graph_runtime.front.python.load_workflow import load
    from PIL import Image

    loaded = load(name)
    nodes = loaded.workflow.nodes
    kinds = ("model.stable_diffusion", "model.paint_by_example")
    settings = {f"{node}.dtype": dtype for node, entry in nodes.items() if entry.type in kinds}
    values = dict(WORKFLOWS[name])
    folder = Path(tempfile.gettempdir()) / f"inlay-memory-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    for given in ("image", "mask", "example"):
        if given not in loaded.workflow.inputs:
            continue
        node, _, setting = loaded.workflow.targets(given)[0].partition(".")
        source = next(
            path for root in loaded.roots for path in [root / str(nodes[node].params[setting])] if path.exists()
        )
        place = folder / f"{name}-{given}-{size}.png"
        with Image.open(source) as picture:
            picture.resize((size, size), Image.Resampling.NEAREST if given == "mask" else None).save(place)
        values[given] = str(place)
    loaded.out = folder / "out"
    loaded.set_values(values, settings)
    return loaded


def asked(name: str, dtype: str, size: int, home: Path) -> tuple[dict, dict]:
    """What a dry run says."""
    from inlay.graph_runtime.front.kept_between_runs import forget
    from inlay.graph_runtime.front.python.forecast import forecast_loaded

    os.environ["INLAY_HOME"] = str(home)
    forget(results=True)
    found = forecast_loaded(prepared(name, dtype, size), device="cpu")
    sources: dict[str, int] = {}
    for one in found.lines:
        sources[one.source] = sources.get(one.source, 0) + 1
    return {"peak": found.peak, "nodes": {one.node: one.activations for one in found.lines}}, sources


def run(name: str, dtype: str, size: int, home: Path) -> tuple[int, dict[str, int]]:
    """Run and measure: the most that was in use at once, and what each node made."""
    from inlay.graph_runtime.core.events import NodeMemory
    from inlay.graph_runtime.front.kept_between_runs import forget
    from inlay.graph_runtime.front.python.run_loaded import run_loaded

    os.environ["INLAY_HOME"] = str(home)
    forget(results=True)
    result = run_loaded(prepared(name, dtype, size), device="cpu", cache=False, measure=True)
    taken = [event for event in result.events if isinstance(event, NodeMemory)]
    return max(one.resident + one.activations for one in taken), {one.node: one.activations for one in taken}


def line(row: dict) -> str:
    """One pair as a row of Markdown."""
    return (
        f"| {row['workflow']} | {row['size']}² | {row['dtype']} | {row['forecast'] / 2**20:.2f} | "
        f"{row['measured'] / 2**20:.2f} | {row['off']:+.1%} | {row['nodes_within']} of {row['nodes']} |"
    )


def report(rows: list[dict]) -> str:
    """The table, and how many pairs are within ten percent."""
    within = sum(abs(row["off"]) <= WITHIN for row in rows)
    head = (
        "| workflow | size | dtype | forecast MiB | measured MiB | off | nodes ≥ 1 MiB within 10 % |\n"
        "|---|---|---|---|---|---|---|\n"
    )
    return (
        head + "\n".join(map(line, rows)) + f"\n\n{within} of {len(rows)} pairs within {WITHIN:.0%}; "
        f"{sum(row['nodes_within'] for row in rows)} of {sum(row['nodes'] for row in rows)} nodes\n"
    )


if __name__ == "__main__":
    main()
