"""Make the pictures of docs/guide/page.md in a headless chromium: `python scripts/page_pictures.py`.

A server of its own is started in a folder of its own. The strokes are made by the browser's own events.
"""

import math
import os
import sys
import tempfile
from pathlib import Path

from inlay.graph_runtime.front.installed import shipped_samples

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "helpers"))
from brush.hands import Hands, browser  # noqa: E402 - the helpers of the tests
from serving import served  # noqa: E402

WINDOW = {"width": 1240, "height": 760}


def main() -> None:
    """Paint over the second dahlia of the sample, run, and keep what the page shows."""
    images = ROOT / "docs" / "images"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INLAY_HOME"] = f"{folder}/home"
        with served(Path(folder), guarded=True) as (client, _), browser() as started:
            page = started.new_page(viewport=WINDOW)
            page.set_default_timeout(120_000)
            hands = Hands(page, client)
            hands.open(shipped_samples()["photo.jpg"].read_bytes(), "photo.jpg", "image/jpeg")
            hands.width(64)
            hands.drag(*((300 + 8 * step, 420 - 14 * math.sin(step / 5)) for step in range(16)))
            page.fill("#set-grow", "4")
            page.fill("#set-feather", "8")
            page.wait_for_selector("#stage[data-settled=true]")
            _keep(page, images / "page-paint.jpg")
            page.fill("#set-variations", "2")
            hands.run()
            page.wait_for_function("() => [...document.images].every((image) => image.complete)")
            page.locator("#split").fill("58")
            _keep(page, images / "page-compare.jpg")


def _keep(page: object, path: Path) -> None:
    page.evaluate("document.querySelector('#scroll').scrollTop = 0")
    page.mouse.move(5, 5)
    page.wait_for_timeout(500)
    page.screenshot(path=path, type="jpeg", quality=82)
    print(path)


if __name__ == "__main__":
    main()
