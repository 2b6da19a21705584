"""A server for tests: its service in this process or another one, and small requests for it."""

import contextlib
import io
import json
import os
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
from PIL import Image

READY = 90.0  # seconds that a worker may take on a busy machine
ENDS = {"done", "failed", "cancelled"}


def picture(
    width: int = 32, height: int = 24, colour: tuple[int, int, int] = (200, 30, 60), name: str = "PNG"
) -> bytes:
    """A small picture, as bytes."""
    made = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(made, name)
    return made.getvalue()


def trivial(path: object, *, save: bool = False, grow: int = 1) -> dict:
    """Nodes that take no time: a picture is read, its mask grown, the picture compared with itself, and saved."""
    nodes = {
        "photo": {"type": "image.load", "params": {"path": path}},
        "grown": {"type": "mask.grow", "inputs": {"mask": "photo.mask"}, "params": {"pixels": grow}},
        "same": {"type": "metric.psnr", "inputs": {"image": "photo.image", "reference": "photo.image"}},
    }
    if save:
        nodes["keep"] = {"type": "image.save", "inputs": {"image": "photo.image"}, "params": {"prefix": "kept"}}
    return {
        "format": 1,
        "title": "trivial",
        "inputs": {"image": "photo.path", "pixels": "grown.pixels"},
        "nodes": nodes,
        "outputs": {"psnr": "same.value", "mask": "grown.mask"},
    }


def slow(seconds_of_work: int = 60) -> dict:
    """A run that takes a long time, that no earlier run has made, and that can stop at each of many steps."""
    nodes: dict = {
        "photo": {"type": "image.load", "params": {"path": "photo.jpg"}},
        "hole": {"type": "mask.shape", "inputs": {"image": "photo.image"}, "params": {"kind": "center"}},
    }
    before, seed = "photo.image", random.randrange(2**40)
    for number in range(seconds_of_work * 2):
        nodes[f"n{number}"] = {
            "type": "image.fill",
            "inputs": {"image": before, "mask": "hole.mask"},
            "params": {"fill": "patches", "seed": seed + number},
        }
        before = f"n{number}.image"
    return {"format": 1, "title": "slow", "nodes": nodes, "outputs": {"image": before}}


class Client:
    """Requests to a server, and what most tests ask for."""

    def __init__(self, address: str, **headers: str) -> None:
        self.address = address
        self.http = httpx.Client(base_url=address, headers=headers, timeout=60)

    def upload(self, body: bytes = b"", media: str = "image/png", name: str | None = None) -> dict:
        """Send a picture; its facts."""
        headers = {"Content-Type": media} | ({"X-Filename": name} if name else {})
        answer = self.http.post("/v1/uploads", content=body or picture(), headers=headers)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def post(self, workflow: object, **more: object) -> httpx.Response:
        """Ask for a run."""
        return self.http.post("/v1/runs", json={"workflow": workflow, **more})

    def submit(self, workflow: object, **more: object) -> dict:
        """Ask for a run that is accepted."""
        answer = self.post(workflow, **more)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def run(self, run_id: str) -> dict:
        """A run."""
        return self.http.get(f"/v1/runs/{run_id}").json()

    def ended(self, run_id: str, seconds: float = READY) -> dict:
        """A run, once it has ended."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            run = self.http.get(f"/v1/runs/{run_id}", params={"wait": 20}).json()
            if run["state"] in ENDS:
                return run
        raise AssertionError(f"{run_id} did not end: {run}")

    def until(self, run_id: str, state: str, seconds: float = READY) -> dict:
        """A run, once it is in a state."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            run = self.run(run_id)
            if run["state"] == state:
                return run
            time.sleep(0.02)
        raise AssertionError(f"{run_id} is {run['state']}, not {state}")

    def ready(self, seconds: float = READY) -> list[dict]:
        """The workers, once all of them are ready."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            workers = self.http.get("/v1/status").json()["workers"]
            if workers and all(worker["state"] != "starting" for worker in workers):
                return workers
            time.sleep(0.05)
        raise AssertionError(f"not ready: {workers}")


@contextlib.contextmanager
def served(folder: Path, *, guarded: bool = False, **settings: object) -> Iterator[tuple[Client, object]]:
    """A server in this process, and its service; the workers are processes as always."""
    import uvicorn
    from inlay.graph_runtime.front.serve.app import create_app
    from inlay.graph_runtime.front.serve.run import config_of
    from inlay.graph_runtime.front.serve.service import Service
    from inlay.graph_runtime.front.serve.settings import Settings

    made = replace(Settings(out=folder / "out", folder=folder / "serve", device="cpu"), **settings)
    service = Service(made)
    service.start()
    app = create_app(service)
    if guarded:
        from inlay.graph_runtime.front.serve.guard import Guard

        app = Guard(app)
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = uvicorn.Server(config_of(app, grace=1))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    client = Client(f"http://127.0.0.1:{listening.getsockname()[1]}")
    try:
        yield client, service
    finally:
        server.should_exit = True
        thread.join(10)
        service.stop()
        client.http.close()


class Process:
    """`inlay serve` as a process of its own.

    Args:
        folder: holds its home, and its results.
        port: to listen on.
    """

    def __init__(self, folder: Path, port: int, *words: str, **environment: str) -> None:
        home = {"INLAY_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "INLAY_OFFLINE": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "inlay", "serve", "--port", str(port), "--out", str(folder / "out"), *words],
            env={**os.environ, **home, **environment},
            stderr=subprocess.PIPE,
            text=True,
        )
        self.client = Client(f"http://127.0.0.1:{port}")

    def listening(self, seconds: float = READY) -> float:
        """Wait until it answers; how long that took, in seconds."""
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            if self.process.poll() is not None:
                assert self.process.stderr is not None
                raise AssertionError(self.process.stderr.read())
            with contextlib.suppress(httpx.TransportError):
                self.client.http.get("/v1/status", timeout=2)
                return time.monotonic() - began
            time.sleep(0.01)
        raise AssertionError("it does not listen")

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as Ctrl-C does; its exit status."""
        self.process.terminate()
        return self.process.wait(20)


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def events_of(client: Client, run_id: str, **headers: str) -> list[dict]:
    """The events of a run until it ends, as a browser reads them."""
    with client.http.stream("GET", f"/v1/runs/{run_id}/events", headers=headers) as answer:
        return [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: ")]
