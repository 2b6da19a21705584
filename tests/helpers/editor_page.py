"""ComfyUI's own web editor in a headless browser, without its server: what its Run button makes of a graph.

The pages are those of the package `comfyui-frontend-package`, unmodified. The definitions of the nodes are ours, and
those of a few nodes of the host.

    with editor(node_definitions(installed_nodes())) as page:
        page.prompt(graph)  # the API form of a graph, by the editor's own `graphToPrompt`
"""

import contextlib
import importlib.util
import json
import mimetypes
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from inlay.graph_runtime.core.spec import Registry
from inlay.graph_runtime.front.comfy import node_classes
from inlay.graph_runtime.front.comfy.host.samples import sample_pictures
from inlay.graph_runtime.front.comfy.node_names import display_name

if TYPE_CHECKING:  # the tests on the oldest releases collect these files without a browser
    from playwright.sync_api import Page, WebSocketRoute

_SETTINGS = {"Comfy.TutorialCompleted": True, "Comfy.Workflow.ShowMissingModelsWarning": False}
_EMPTY: dict[str, object] = {
    "settings": _SETTINGS,
    "users": {"storage": "server", "migrated": True},
    "extensions": [],
    "features": {},
    "queue": {"queue_running": [], "queue_pending": []},
    "history": {},
    "jobs": {"jobs": [], "pagination": {"offset": 0, "limit": 0, "total": 0, "has_more": False}},
    "i18n": {},
    "embeddings": [],
    "global_subgraphs": {},
    "node_replacements": {},
    "workflow_templates": {},
    "experiment/models": [],
    "system_stats": {
        "system": {"os": "linux", "comfyui_version": "0.33.0", "python_version": "3", "argv": []},
        "devices": [],
    },
}

Definitions = dict[str, dict[str, object]]


def chromium() -> str:
    """The browser's program: `INLAY_TEST_CHROMIUM`, or Debian's.

    Raises:
        FileNotFoundError: there is none; these tests are never skipped.
    """
    for name in (os.environ.get("INLAY_TEST_CHROMIUM"), "chromium", "chromium-browser", "google-chrome"):
        if name and (found := shutil.which(name)):
            return found
    raise FileNotFoundError("no chromium: install Debian's package, or set INLAY_TEST_CHROMIUM")


def frontend_files() -> Path:
    """The static files of the installed editor."""
    spec = importlib.util.find_spec("comfyui_frontend_package")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("comfyui-frontend-package is not installed: pip install -e '.[test]'")
    return Path(spec.origin).parent / "static"


# what the host says about nodes


PICTURES = ("room.png", "hole.png", "photo.jpg", *sample_pictures(folders=True))  # in the host's input folder


def node_definitions(registry: Registry) -> Definitions:
    """What the host's `/object_info` says: our nodes, and the host's own that files with them often hold."""
    with mock.patch.object(node_classes, "input_pictures", return_value=list(PICTURES)):
        ours = {(cls := node_classes.node_class(spec)).__name__: _definition(cls) for spec in registry.values()}
    return ours | host_nodes()


def _definition(cls: type) -> dict[str, object]:
    return _entry(
        cls.__name__,
        {group: dict(items) for group, items in cls.INPUT_TYPES().items()},
        cls.RETURN_TYPES,
        cls.RETURN_NAMES,
        category=cls.CATEGORY,
        display=display_name(cls.spec.id),
        saves=cls.OUTPUT_NODE,
    )


def _entry(
    name: str,
    inputs: dict[str, dict[str, object]],
    types: tuple[str, ...],
    names: tuple[str, ...] | None = None,
    *,
    category: str = "host",
    display: str | None = None,
    saves: bool = False,
) -> dict[str, object]:
    return {
        "input": inputs,
        "input_order": {group: list(items) for group, items in inputs.items()},
        "is_input_list": False,
        "output": list(types),
        "output_is_list": [False] * len(types),
        "output_name": list(names or types),
        "name": name,
        "display_name": display or name,
        "description": "",
        "python_module": "nodes",
        "category": category,
        "output_node": saves,
    }


def host_nodes() -> Definitions:
    """A few of the host's nodes: sockets and widgets only, as its `/object_info` names them."""
    side = ["INT", {"default": 512, "min": 1, "max": 16384, "step": 1}]
    upload = [list(PICTURES), {"image_upload": True}]
    channel = [["alpha", "red", "green", "blue"], {}]
    saved = {"filename_prefix": ["STRING", {"default": "ComfyUI"}]}
    grow = {
        "mask": ["MASK", {}],
        "expand": ["INT", {"default": 0, "min": -16384, "max": 16384, "step": 1}],
        "tapered_corners": ["BOOLEAN", {"default": True, "advanced": True}],
    }
    seeded = ["INT", {"default": 0, "min": -(2**53 - 1), "max": 2**53 - 1, "control_after_generate": True}]
    number = ["FLOAT", {"default": 0.0, "min": -(2.0**53), "max": 2.0**53, "step": 0.1}]
    return {
        entry[0]: _entry(entry[0], {"required": entry[1]}, entry[2], saves=entry[0] in ("SaveImage", "PreviewImage"))
        for entry in (
            ("LoadImage", {"image": upload}, ("IMAGE", "MASK")),
            ("LoadImageMask", {"image": upload, "channel": channel}, ("MASK",)),
            ("SaveImage", {"images": ["IMAGE", {}], **saved}, ()),
            ("PreviewImage", {"images": ["IMAGE", {}]}, ()),
            ("InvertMask", {"mask": ["MASK", {}]}, ("MASK",)),
            ("GrowMask", grow, ("MASK",)),
            ("MaskToImage", {"mask": ["MASK", {}]}, ("IMAGE",)),
            ("ImageToMask", {"image": ["IMAGE", {}], "channel": channel}, ("MASK",)),
            ("SolidMask", {"value": number, "width": side, "height": side}, ("MASK",)),
            ("PrimitiveInt", {"value": seeded}, ("INT",)),
            ("PrimitiveFloat", {"value": number}, ("FLOAT",)),
            ("PrimitiveString", {"value": ["STRING", {"multiline": False}]}, ("STRING",)),
            ("PrimitiveStringMultiline", {"value": ["STRING", {"multiline": True}]}, ("STRING",)),
            ("PrimitiveBoolean", {"value": ["BOOLEAN", {}]}, ("BOOLEAN",)),
        )
    }


# the page


class EditorPage:
    """The editor, open in a browser."""

    def __init__(self, page: "Page") -> None:
        self.page = page

    def load(self, graph: Mapping[str, object]) -> None:
        """Open a UI graph on the canvas, as its Open and drag and drop do."""
        self.page.evaluate(
            "graph => app.loadGraphData(graph, true, true, app.extensionManager.workflow.activeWorkflow)", dict(graph)
        )

    def prompt(self, graph: Mapping[str, object] | None = None) -> dict[str, dict[str, object]]:
        """The API form that its Run button would send, of `graph` or of what is open."""
        if graph is not None:
            self.load(graph)
        output: dict[str, dict[str, object]] = self.page.evaluate(
            "async () => JSON.parse(JSON.stringify((await app.graphToPrompt()).output))"
        )
        return output

    def saved(self) -> dict[str, object]:
        """What its Save would write of the graph that is open: the UI form."""
        graph: dict[str, object] = self.page.evaluate(
            "async () => JSON.parse(JSON.stringify((await app.graphToPrompt()).workflow))"
        )
        return graph

    def load_prompt(self, prompt: Mapping[str, object]) -> None:
        """Open a graph in its API form."""
        self.page.evaluate("prompt => app.loadApiJson(prompt, 'prompt')", dict(prompt))

    def unknown_types(self) -> list[str]:
        """Types of nodes on the canvas that it does not know, in subgraphs too."""
        return self._types("node => !(node.type in LiteGraph.registered_node_types)")

    def marked_red(self) -> list[str]:
        """Types of nodes that it draws in red: of a type that it does not know, or with a file that is not there."""
        return self._types("node => node.has_errors")

    def _types(self, which: str) -> list[str]:
        found: list[str] = self.page.evaluate(
            """() => {
                const graphs = [app.rootGraph ?? app.graph, ...(app.rootGraph ?? app.graph).subgraphs.values()]
                return graphs.flatMap(graph => graph.nodes).filter(WHICH).map(node => node.type)
            }""".replace("WHICH", which)
        )
        return found


@contextlib.contextmanager
def editor(definitions: Definitions) -> Iterator[EditorPage]:
    """The editor with these nodes, ready to open graphs; closed at the end of the block."""
    from playwright.sync_api import sync_playwright

    with served(definitions) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 1600, "height": 900})
            page.route(lambda url: not url.startswith(address), lambda route: route.abort())
            page.route_web_socket("**/ws*", _connect)
            page.goto(address)
            wait_until_ready(page, len(definitions))
            yield EditorPage(page)
        finally:
            browser.close()


def wait_until_ready(page: "Page", types: int = 1) -> None:
    """Wait until the editor can open graphs and knows more than this many types of nodes."""
    page.wait_for_function(
        "count => globalThis.app?.vueAppReady && app.canvas && app.rootGraph "
        "&& Object.keys(LiteGraph.registered_node_types).length > count",
        arg=types,
        timeout=60_000,
    )


def _connect(socket: "WebSocketRoute") -> None:
    status = {"status": {"exec_info": {"queue_remaining": 0}}, "sid": "test"}
    socket.send(json.dumps({"type": "status", "data": status}))


@contextlib.contextmanager
def served(definitions: Definitions) -> Iterator[str]:
    """The address of a server of the editor's files that knows these definitions, and else answers that it is empty."""
    files = frontend_files().resolve()
    answers = {f"api/{name}": json.dumps(value) for name, value in (_EMPTY | {"object_info": definitions}).items()}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = self.path.split("?")[0].strip("/") or "index.html"
            file = (files / path).resolve()
            if path in answers:
                self._send(200, "application/json", answers[path].encode())
            elif file.is_relative_to(files) and file.is_file():
                kind = {".js": "text/javascript", ".mjs": "text/javascript"}.get(file.suffix)
                self._send(
                    200, kind or mimetypes.guess_type(file.name)[0] or "application/octet-stream", file.read_bytes()
                )
            else:
                self._send(404, "application/json", b"null")

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._send(200, "application/json", b"{}")

        def _send(self, status: int, kind: str, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # the browser was closed
                super().handle()

        def log_message(self, *parts: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
