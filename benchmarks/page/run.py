"""What a stroke on a photo of 24 megapixels costs the page of `inlay serve`: milliseconds of handler and frames.

    python benchmarks/page/run.py [--moves 400] [--out docs/results/page.json]

The page runs in a headless chromium before a real server; the mouse is moved by the browser's own events. Every handler
of `pointermove` and every callback of `requestAnimationFrame` is timed from outside, by wrapping what registers them.
"""

import argparse
import json
import math
import os
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests" / "helpers"))
from brush.hands import Hands, browser
from serving import served

LIMIT = 4.0  # milliseconds: p95 of the handler
SIDES = (6000, 4000)
CASES = {
    "whole photo": {"grow": 0, "zoom": 0},
    "whole photo, grow 20, feather 20": {"grow": 20, "zoom": 0},
    "zoomed in, grow 20, feather 20": {"grow": 20, "zoom": 700},
}
WIDTHS = (60, 300, 800)
WATCH = """
window.times = { handler: [], frame: [] };
const timed = (list, act) => function (given) {
  const start = performance.now();
  const answer = act.call(this, given);
  times[list].push(performance.now() - start);
  return answer;
};
const add = EventTarget.prototype.addEventListener;
EventTarget.prototype.addEventListener = function (kind, act, ...rest) {
  return add.call(this, kind, kind === "pointermove" ? timed("handler", act) : act, ...rest);
};
const frame = window.requestAnimationFrame;
window.requestAnimationFrame = (act) => frame(timed("frame", act));
"""


def photo(folder: Path) -> bytes:
    """A photo of 24 megapixels."""
    few = np.random.default_rng(0).integers(0, 255, (200, 300, 3), np.uint8)
    path = folder / "large.jpg"
    Image.fromarray(few).resize(SIDES, Image.Resampling.BICUBIC).save(path, quality=90)
    return path.read_bytes()


def measured(hands: Hands, width: int, moves: int) -> dict:
    """One stroke, as `moves` events of the mouse: median, 95th percentile and largest, in milliseconds."""
    page = hands.page
    page.evaluate(
        """(width) => {
            size.max = Math.max(Number(size.max), width);
            size.value = width;
            size.dispatchEvent(new Event("input"));
            times.handler = [];
            times.frame = [];
        }""",
        width,
    )
    box = page.locator("#stage").bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    for at in range(moves):
        page.mouse.move(x + 300 * math.cos(at / 9) * math.sin(at / 50), y + 250 * math.sin(at / 9))
    page.mouse.up()
    found = {}
    for name, times in page.evaluate("times").items():
        rank = sorted(times)
        found[name] = {
            "count": len(rank),
            "median": round(rank[len(rank) // 2], 2),
            "p95": round(rank[int(len(rank) * 0.95)], 2),
            "largest": round(rank[-1], 2),
        }
    return found


def main() -> None:
    """Measure, print a table, and fail above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moves", type=int, default=400)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INLAY_HOME"] = f"{folder}/home"
        with served(Path(folder), guarded=True) as (client, _), browser() as started:
            page = started.new_page(viewport={"width": 1600, "height": 1000})
            page.set_default_timeout(120_000)
            page.add_init_script(WATCH)
            hands = Hands(page, client)
            hands.open(photo(Path(folder)), "large.jpg", "image/jpeg")
            for name, case in CASES.items():
                for field in ("grow", "feather"):
                    page.fill(f"#set-{field}", str(case["grow"]))
                page.mouse.move(700, 500)
                page.mouse.wheel(0, -case["zoom"])
                page.wait_for_timeout(1000)
                rows += [{"case": name, "width": width, **measured(hands, width, options.moves)} for width in WIDTHS]
            version = started.version
    worst = max(row["handler"]["p95"] for row in rows)
    print(f"chromium {version}, {platform.machine()}, {os.cpu_count()} cores; milliseconds: median / p95 / largest")
    for row in rows:
        handler, frame = (
            " / ".join(f"{row[name][key]:.2f}" for key in ("median", "p95", "largest")) for name in ("handler", "frame")
        )
        print(f"| {row['case']} | {row['width']} px | {handler} | {frame} |")
    print(f"largest p95 of the handler: {worst:.2f} ms (limit {LIMIT:g})")
    if options.out:
        options.out.write_text(json.dumps({"chromium": version, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    raise SystemExit(1 if worst > LIMIT else 0)


if __name__ == "__main__":
    main()
