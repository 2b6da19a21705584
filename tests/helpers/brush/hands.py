"""The page in a headless browser: its modules alone, without a server, or the whole of it."""

import base64
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from editor_page import chromium

if TYPE_CHECKING:  # the tests on the oldest releases collect these files without a browser
    from playwright.sync_api import Browser, Page
    from serving import Client

FOLDER = Path(__file__).resolve().parents[3] / "graph_runtime" / "front" / "serve" / "page"
NOWHERE = "http://page.invalid/"


@contextlib.contextmanager
def browser() -> "Iterator[Browser]":
    """A headless chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        started = play.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield started
        started.close()


def modules(started: "Browser") -> "Page":
    """An empty page that can import the page's modules from `/page/`, without any server."""
    page = started.new_page()

    def answer(route: object) -> None:
        name = route.request.url.removeprefix(NOWHERE).removeprefix("page/")  # type: ignore[attr-defined]
        kind = "text/javascript" if name.endswith(".js") else "text/html"
        body = (FOLDER / name).read_text(encoding="utf-8") if name else "<!doctype html>"
        route.fulfill(body=body, content_type=kind)  # type: ignore[attr-defined]

    page.route(f"{NOWHERE}**", answer)
    page.goto(NOWHERE)
    page.evaluate(
        """() => {
            window.pack = (bytes) => {
                const part = [];
                for (let at = 0; at < bytes.length; at += 32768) {
                    part.push(String.fromCharCode(...bytes.subarray(at, at + 32768)));
                }
                return btoa(part.join(""));
            };
            window.unpack = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
        }"""
    )
    return page


def packed(array: np.ndarray) -> str:
    """Bytes for `unpack` in the page."""
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def unpacked(text: str, shape: tuple[int, ...], kind: type = np.uint8) -> np.ndarray:
    """An array from what `pack` made in the page."""
    return np.frombuffer(base64.b64decode(text), kind).reshape(shape)


class Hands:
    """A person at the page: opens photos, paints at pixels of the photo, runs.

    Args:
        page: of a browser, at the server's address.
        client: of the server, to see what arrived there.
    """

    def __init__(self, page: "Page", client: "Client") -> None:
        self.page, self.client = page, client
        self.said: list[str] = []
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(f"uncaught: {error}"))
        page.goto(client.address)
        page.wait_for_selector("body[data-ready]")

    def open(self, body: bytes, name: str = "photo.png", media: str = "image/png") -> None:
        """Choose a file, and wait until it is shown."""
        self.page.set_input_files("#open", {"name": name, "mimeType": media, "buffer": body})
        self.page.wait_for_function("(name) => live.textContent.includes(`${name} is open`)", arg=name)
        self.page.wait_for_function("() => photo.complete")

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Where the middle of a photo's pixel is in the window."""
        left, top, scale = self.page.evaluate(
            """() => {
                const picture = document.querySelector("#photo"), box = picture.getBoundingClientRect();
                return [box.left, box.top, box.width / picture.offsetWidth];
            }"""
        )
        return left + (x + 0.5) * scale, top + (y + 0.5) * scale

    def drag(self, *points: tuple[float, float]) -> None:
        """Press at the first pixel, move over the others, and let go."""
        mouse = self.page.mouse
        mouse.move(*self.place(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.place(*point))
        mouse.up()

    def tool(self, name: str) -> None:
        """Choose a tool."""
        self.page.click(f"[data-tool={name}]")

    def width(self, pixels: int) -> None:
        """Set the brush's width."""
        self.page.locator("#size").fill(str(pixels))

    def run(self, seconds: float = 90) -> dict:
        """Press Run, and wait for the results."""
        before = self.newest()
        self.page.click("#run")
        self.page.wait_for_selector("#progress", state="visible")
        self.page.wait_for_selector("#progress", state="hidden", timeout=seconds * 1000)
        after = self.newest()
        assert after is not None, self.page.inner_text("#problems")
        assert before is None or after["id"] != before["id"], self.page.inner_text("#problems")
        return after

    def newest(self) -> dict | None:
        """The last run of the server."""
        runs = self.client.http.get("/v1/runs", params={"limit": 1}).json()["runs"]
        return runs[0] if runs else None

    def sent(self, run: dict, node: str) -> bytes:
        """The file that a node of a run reads, as it came to the server."""
        workflow = self.client.http.get(run["workflow"]).json()
        upload = workflow["nodes"][node]["params"]["path"].partition("/")[0]
        return self.client.http.get(f"/v1/uploads/{upload}").content
