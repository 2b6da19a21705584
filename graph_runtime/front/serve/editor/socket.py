"""What happens, told to the editors that are open: in the order and the form that they expect.

Progress is told of the node that runs alone, never of all nodes again: what is sent grows with the number of nodes, not
with its square. A slow page gets the newest progress and preview, and every other message.
"""

import asyncio
import base64
import json
import secrets
import struct
import time
from collections import OrderedDict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.websockets import WebSocket, WebSocketDisconnect

from ..json_data import Json
from ..records import Run
from ..service import Service, Unknown
from .history import error_of, host_names, outputs_of, prompt_of

PREVIEW, PREVIEW_OF_NODE = 1, 4  # kinds of binary messages
JPEG = 1
MOST_WAITING = 50_000  # messages that a page may be behind
FEATURES: Json = {
    "supports_preview_metadata": True,
    "max_upload_size": 256 * 2**20,
    "node_replacements": True,
    "assets": False,
}


def message(kind: str, data: Mapping[str, object]) -> str:
    """A message as text."""
    return json.dumps({"type": kind, "data": data}, separators=(",", ":"))


@dataclass(frozen=True)
class Preview:
    """A picture of a node that still computes."""

    run: str
    node: str
    jpeg: bytes

    def bytes_for(self, *, with_node: bool) -> bytes:
        """The binary message, for pages that ask which node it is of, and for those that do not."""
        if not with_node:
            return struct.pack(">II", PREVIEW, JPEG) + self.jpeg
        about = json.dumps({**_node_facts(self.run, self.node), "image_type": "image/jpeg"}).encode()
        return struct.pack(">II", PREVIEW_OF_NODE, len(about)) + about + self.jpeg


def _node_facts(run: str, node: str) -> Json:
    return {
        "node_id": node,
        "display_node_id": node,
        "parent_node_id": None,
        "real_node_id": node,
        "prompt_id": run,
    }


@dataclass
class _Told:
    """What is known of a run that goes on."""

    run: Run
    hosts: Mapping[str, str]
    node: str | None = None
    cached: list[str] = field(default_factory=list)


Said = tuple[object, str | Preview]  # of messages with the same key that is not None only the newest counts


class Teller:
    """From the server's events to the messages of the editor; remembers which node of a run is running."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._runs: dict[str, _Told] = {}

    def tell(self, event: Json) -> tuple[str | None, list[Said]]:
        """The client that asked for the run, and what it is told."""
        told = self._runs.get(event["run"])
        if told is None:
            try:
                run = self._service.run(event["run"])
            except Unknown:
                return None, []
            told = self._runs[run.id] = _Told(run, host_names(run))
        said = list(self._said(told, event))
        if event["kind"] in ("done", "failed", "cancelled"):
            self._runs.pop(event["run"], None)
        return told.run.client, said

    def _said(self, told: _Told, event: Json) -> list[Said]:
        run, kind = told.run.id, event["kind"]
        found: list[Said] = []
        if told.cached and not (kind == "node" and event["state"] == "cached"):
            found.append(_text("execution_cached", run, nodes=told.cached))
            told.cached = []
        node = told.hosts.get(event.get("node") or "", event.get("node"))
        if kind == "started":
            found += [_text("execution_start", run), _text("execution_cached", run, nodes=[])]
        elif kind == "node":
            found += self._of_node(told, event, node)
        elif kind == "progress" and node is not None:
            found += _progress(run, node, event["step"], event["total"])
        elif kind == "preview" and node is not None:
            jpeg = base64.b64decode(event["image"].partition(",")[2])
            found.append((("preview", run), Preview(run, node, jpeg)))
        elif kind in ("warning", "note"):
            text = event["message"] if node is None else f"{node}: {event['message']}"
            found.append((None, message("inlay.warning", {"prompt_id": run, "node": node, "message": text})))
        elif kind in ("done", "failed", "cancelled"):
            found += self._end(told, kind)
        return found

    def _of_node(self, told: _Told, event: Json, node: str | None) -> list[Said]:
        run, state = told.run.id, event["state"]
        if node is None:
            return []
        if state == "cached":
            told.cached.append(node)
            return []
        if state == "started":
            told.node = node
            executing = {"node": node, "display_node": node, "prompt_id": run}
            return [_state(run, node, "running", 0, 1, key=None), (None, message("executing", executing))]
        return [_state(run, node, "finished", 1, 1, key=None)]

    def _end(self, told: _Told, kind: str) -> list[Said]:
        run = self._service.run(told.run.id)
        found: list[Said] = []
        if kind == "done":
            for node, output in outputs_of(run).items():
                shown = {"node": node, "display_node": node, "output": output, "prompt_id": run.id}
                found.append((None, message("executed", shown)))
            found.append(_text("execution_success", run.id))
        elif kind == "failed":
            found.append(_text("execution_error", **error_of(run)))
        else:
            kind_of_node = prompt_of(run).get(told.node or "", {}).get("class_type")
            stopped = {"node_id": told.node, "node_type": kind_of_node, "executed": []}
            found.append(_text("execution_interrupted", run.id, **stopped))
        found.append((None, message("executing", {"node": None, "prompt_id": run.id})))
        return found


def _text(kind: str, prompt_id: str, **facts: object) -> Said:
    return None, message(kind, {"prompt_id": prompt_id, "timestamp": int(time.time() * 1000), **facts})


def _state(run: str, node: str, state: str, value: float, most: float, *, key: object) -> Said:
    facts = {"value": value, "max": most, "state": state, **_node_facts(run, node)}
    return key, message("progress_state", {"prompt_id": run, "nodes": {node: facts}})


def _progress(run: str, node: str, step: int, total: int) -> list[Said]:
    facts = {"value": step, "max": max(total, 1), "prompt_id": run, "node": node}
    return [
        _state(run, node, "running", step, max(total, 1), key=("progress_state", run)),
        (("progress", run), message("progress", facts)),
    ]


class Page:
    """One editor that is open.

    Attributes:
        sid: the name under which it sends its graphs.
        with_node: it asked to be told which node a preview is of.
        gone: it is so far behind that it has to connect anew.
    """

    def __init__(self, sid: str) -> None:
        self.sid, self.with_node, self.gone = sid, False, False
        self._waiting: OrderedDict[object, str | Preview] = OrderedDict()
        self._ready = asyncio.Event()
        self._number = 0

    def put(self, said: Said) -> None:
        """Add a message."""
        key, content = said
        if key is None:
            self._number += 1
            key = self._number
        self._waiting.pop(key, None)
        if len(self._waiting) >= MOST_WAITING:
            self.leave()
            return
        self._waiting[key] = content
        self._ready.set()

    def leave(self) -> None:
        """Close it."""
        self.gone = True
        self._waiting.clear()
        self._ready.set()

    async def send_all(self, socket: WebSocket) -> None:
        """Send what waits, until it is gone."""
        while True:
            await self._ready.wait()
            self._ready.clear()
            while self._waiting and not self.gone:
                _, content = self._waiting.popitem(last=False)
                if isinstance(content, Preview):
                    await socket.send_bytes(content.bytes_for(with_node=self.with_node))
                else:
                    await socket.send_text(content)
            if self.gone:
                await socket.close(1001)
                return


class Hub:
    """All editors that are open; one listener for all of them."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._pages: dict[str, Page] = {}
        self._listening: asyncio.Task[None] | None = None

    async def serve(self, socket: WebSocket) -> None:
        """Talk to one page until it leaves."""
        await socket.accept()
        sid = socket.query_params.get("clientId", "")[:200] or secrets.token_hex(16)
        if (old := self._pages.pop(sid, None)) is not None:
            old.leave()
        page = self._pages[sid] = Page(sid)
        if self._listening is None or self._listening.done():
            self._listening = asyncio.create_task(self._listen())
        page.put((None, message("status", {**self._status(), "sid": sid})))
        for said in self._running(sid):
            page.put(said)
        sending = asyncio.create_task(page.send_all(socket))
        try:
            await self._hear(socket, page)
        finally:
            if self._pages.get(sid) is page:
                del self._pages[sid]
            sending.cancel()
            with suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
                await sending

    async def _hear(self, socket: WebSocket, page: Page) -> None:
        """Read what the page says of itself; it says it first."""
        with suppress(WebSocketDisconnect):
            while not page.gone:
                received = await socket.receive()
                if received["type"] == "websocket.disconnect":
                    return
                try:
                    said = json.loads(received.get("text") or "null")
                except (ValueError, RecursionError):
                    continue
                if isinstance(said, dict) and said.get("type") == "feature_flags":
                    flags = said.get("data")
                    page.with_node = isinstance(flags, dict) and flags.get("supports_preview_metadata") is True
                    page.put((None, message("feature_flags", FEATURES)))

    def _running(self, sid: str) -> list[Said]:
        """Where the run of a page is that connects anew."""
        found: list[Said] = []
        for run in self._service.runs(["running"], client=sid):
            progress = self._service.progress(run)
            if progress is not None and progress["node"] is not None:
                node = host_names(run).get(progress["node"], progress["node"])
                found.append((None, message("executing", {"node": node, "display_node": node, "prompt_id": run.id})))
        return found

    def _status(self) -> Json:
        counts = self._service.records.counts()
        return {"status": {"exec_info": {"queue_remaining": counts["queued"] + counts["running"]}}}

    def status_now(self) -> Json:
        """How many runs are left, as `GET /prompt` has it."""
        return dict(self._status()["status"])

    async def _listen(self) -> None:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with suppress(RuntimeError):  # the server ends
                loop.call_soon_threadsafe(ready.set)

        listener, teller = self._service.subscribe(wake), Teller(self._service)
        try:
            while self._pages:
                with suppress(TimeoutError):
                    await asyncio.wait_for(ready.wait(), 5)
                ready.clear()
                self._pass_on(teller, listener.take())
                if listener.behind:  # events were lost: the pages connect anew, and ask for what is there
                    for page in self._pages.values():
                        page.leave()
                    return
        finally:
            listener.close()

    def _pass_on(self, teller: Teller, events: list[Json]) -> None:
        changed = False
        for event in events:
            client, said = teller.tell(event)
            page = self._pages.get(client or "")
            ended = event["kind"] in ("done", "failed", "cancelled")
            changed |= ended or event["kind"] in ("queued", "started")
            if page is None:
                continue
            for one in said[:-1] if ended else said:
                page.put(one)
            if ended:
                page.put((None, message("status", self._status())))
                page.put(said[-1])
        if changed:
            status = message("status", self._status())
            for page in self._pages.values():
                page.put((("status",), status))
