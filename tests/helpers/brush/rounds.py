"""Rounds of paint, save, reopen and save again in the page: photo and mask must come back to the bit.

    PYTHONPATH=tests/helpers python -m brush.rounds --count 1000

Each round opens a random photo (8 and 16 bits, grey, colour, transparent, turned), paints with random tools by real
events of the mouse, and presses Run. What the page sends is looked at, and answered with a refusal, so that nothing is
computed. Then a picture that carries this as its recipe is dropped, and Run pressed again.
"""

import argparse
import hashlib
import io
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image, PngImagePlugin
from serving import served

from brush.hands import Hands, browser

REFUSAL = {"problems": [{"node": None, "port": None, "found": "a round", "expected": "", "fix": "", "text": ""}]}


class Rounds:
    """Rounds on one page.

    Args:
        hands: at the page; its runs are refused from now on.
        seed: of everything random.
    """

    def __init__(self, hands: Hands, seed: int) -> None:
        self.hands, self.random = hands, np.random.default_rng(seed)
        self.asked: list[dict] = []

        def refuse(route: object) -> None:
            self.asked.append(json.loads(route.request.post_data))  # type: ignore[attr-defined]
            route.fulfill(status=422, json=REFUSAL)  # type: ignore[attr-defined]

        hands.page.route("**/v1/runs", refuse)

    def one(self, number: int) -> str:
        """A round; what came back otherwise, or nothing."""
        body, media = self._photo()
        self.hands.open(body, f"{number}.file", media)
        self._paint()
        seen = self._seen()
        first = self._saved()
        if first[0] != body:
            return "the photo arrived with other bytes"
        if not np.array_equal(decoded(first[1]), seen):
            return "the mask that arrived is not what was seen"
        self._drop(self._picture(body, first[1]), f"{number}-made.png")
        again = self._saved()
        if again[0] != body:
            return "the photo that was opened again has other bytes"
        if not np.array_equal(decoded(again[1]), seen) or not np.array_equal(self._seen(), seen):
            return "the mask that was opened again is another"
        return ""

    def _photo(self) -> tuple[bytes, str]:
        wide, tall = (int(side) for side in self.random.integers(12, 72, 2))
        kind = int(self.random.integers(0, 6))
        if kind == 0:
            picture = Image.fromarray(self.random.integers(0, 65535, (tall, wide), np.uint16))
        else:
            shape = {1: (tall, wide), 2: (tall, wide, 4)}.get(kind, (tall, wide, 3))
            picture = Image.fromarray(self.random.integers(0, 255, shape, np.uint8))
        exif = Image.Exif()
        if kind == 3:
            exif[0x0112] = int(self.random.integers(1, 9))
        name = {4: "WEBP", 5: "JPEG"}.get(kind, "PNG")
        file = io.BytesIO()
        picture.save(file, name, exif=exif)
        return file.getvalue(), f"image/{name.lower()}"

    def _paint(self) -> None:
        wide, tall = self.hands.page.evaluate("[photo.offsetWidth, photo.offsetHeight]")
        left, top = self.hands.place(0, 0)
        right, bottom = self.hands.place(wide, tall)
        mouse = self.hands.page.mouse
        for tool in self.random.choice(["brush", "brush", "eraser", "lasso", "rectangle"], 3):
            self.hands.tool(str(tool))
            self.hands.width(int(self.random.integers(1, 30)))
            for at in range(4):
                mouse.move(float(self.random.uniform(left, right)), float(self.random.uniform(top, bottom)))
                if at == 0:
                    mouse.down()
            mouse.up()
        self.hands.tool("brush")
        mouse.move((left + right) / 2, (top + bottom) / 2)  # something is painted, whatever the others erased
        mouse.down()
        mouse.up()

    def _saved(self) -> tuple[bytes, bytes]:
        """Photo and mask as they are on the server after Run."""
        before = len(self.asked)
        page = self.hands.page
        page.click("#run")
        page.wait_for_function("() => problems.textContent.includes('a round') && !run.disabled")
        assert len(self.asked) == before + 1
        values = self.asked[-1]["values"]
        get = self.hands.client.http.get
        return tuple(get(f"/v1/uploads/{values[name]['upload']}").content for name in ("image", "mask"))  # type: ignore[return-value]

    def _seen(self) -> np.ndarray:
        """The mask on the screen, 255 where it is drawn."""
        page = self.hands.page
        page.wait_for_selector("#stage[data-settled=true]")
        text = page.evaluate(
            """() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => {
                const canvas = overlay, shown = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
                const stage = canvas.getBoundingClientRect(), box = photo.getBoundingClientRect();
                const scale = box.width / photo.offsetWidth, out = [];
                for (let y = 0; y < photo.offsetHeight; y++)
                    for (let x = 0; x < photo.offsetWidth; x++) {
                        const left = Math.floor(box.left - stage.left + (x + 0.5) * scale);
                        const top = Math.floor(box.top - stage.top + (y + 0.5) * scale);
                        out.push(shown.data[(top * canvas.width + left) * 4 + 3] ? 1 : 0);
                    }
                done([photo.offsetWidth, out.join("")]);
            })))"""
        )
        drawn = np.frombuffer(text[1].encode(), np.uint8) - ord("0")
        return drawn.reshape(-1, text[0]) * 255

    def _picture(self, photo: bytes, mask: bytes) -> bytes:
        """A picture that carries photo and mask as its recipe."""
        files = {
            f"{node}.path": {"name": f"{node}.png", "digest": hashlib.sha256(body).hexdigest()}
            for node, body in (("photo", photo), ("hole", mask))
        }
        nodes = {"photo": {"type": "image.load", "params": {"path": "photo.png"}}}
        nodes |= {"hole": {"type": "mask.load", "params": {"path": "hole.png"}}}
        inputs = {"image": "photo.path", "mask": "hole.path"}
        texts = PngImagePlugin.PngInfo()
        texts.add_text("inlay", json.dumps({"workflow": {"nodes": nodes, "inputs": inputs}, "files": files}))
        file = io.BytesIO()
        Image.new("RGB", (5, 5)).save(file, "PNG", pnginfo=texts)
        return file.getvalue()

    def _drop(self, body: bytes, name: str) -> None:
        page = self.hands.page
        page.evaluate(
            """([bytes, name]) => {
                const data = new DataTransfer();
                data.items.add(new File([Uint8Array.from(bytes)], name, { type: "image/png" }));
                const how = { dataTransfer: data, bubbles: true, cancelable: true };
                document.body.dispatchEvent(new DragEvent("drop", how));
            }""",
            [list(body), name],
        )
        page.wait_for_function("(name) => live.textContent.includes(`recipe of ${name} is open`)", arg=name)
        page.wait_for_function("() => photo.complete && problems.textContent === ''")


def decoded(body: bytes) -> np.ndarray:
    """The pixels of a file, by another program."""
    with Image.open(io.BytesIO(body)) as picture:
        assert picture.mode == "L", picture.mode
        return np.asarray(picture)


def main() -> None:
    """Rounds from the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["INLAY_HOME"] = f"{folder}/home"
        with served(Path(folder), guarded=True, workers=1) as (client, _), browser() as started:
            page = started.new_page(viewport={"width": 900, "height": 600})
            page.set_default_timeout(120_000)
            rounds, wrong, began = Rounds(Hands(page, client), options.seed), 0, time.monotonic()
            for number in range(options.count):
                if found := rounds.one(number):
                    wrong += 1
                    print(f"round {number}: {found}", flush=True)
                if number % 50 == 49:
                    print(f"{number + 1} rounds, {wrong} wrong, {time.monotonic() - began:.0f} s", flush=True)
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
