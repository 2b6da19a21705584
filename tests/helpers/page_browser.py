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

FOLDER = Path(__file__).resolve().parents[2] / "graph_runtime" / "front" / "serve" / "page"
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
