"""Kills a server at random instants while clients send runs, starts it again, and looks for anything lost or doubled.

    python tests/helpers/serve_kills.py --count 100 --seed 7

Each client sends runs of its own ids, and sends one again when its answer was lost. In the end every run must be done,
with one set of whole results, and the output folder must hold a folder for each run and nothing else.
"""

import argparse
import contextlib
import io
import itertools
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import httpx
from PIL import Image
from serving import Process, free_port, picture, trivial

CLIENTS = 4


class Found(Exception):
    """Something is lost, doubled, half-written or left over."""


class Sender:
    """A client that sends runs one after the other, whatever happens to the server."""

    def __init__(self, number: int, address: str, upload: str) -> None:
        self.number, self.address, self.upload = number, address, upload
        self.sent: list[str] = []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._send, daemon=True)
        self.thread.start()

    def _send(self) -> None:
        with httpx.Client(base_url=self.address, timeout=10) as http:
            while not self.over.is_set():
                run = f"client{self.number}-{len(self.sent):05d}"
                body = {
                    "workflow": trivial("x", save=True, grow=len(self.sent) % 900),
                    "values": {"image": {"upload": self.upload}},
                    "client": f"client{self.number}",
                    "id": run,
                }
                while True:
                    try:
                        answer = http.post("/v1/runs", json=body)
                    except httpx.TransportError:  # the server is dead: what became of the run is not known
                        if self.over.wait(0.05):
                            return
                        continue
                    if answer.status_code == 201:
                        self.sent.append(run)
                        break
                    self.over.wait(0.1)  # as many wait as may
                self.over.wait(0.02)


def kill_again_and_again(folder: Path, count: int, draws: random.Random, queue: int = 150) -> dict[str, int]:
    """Kill a server under load so many times; then let it finish, and look.

    Raises:
        Found: something is wrong.
    """
    port = free_port()
    server = Process(folder, port, "--device", "cpu", "--queue", str(queue))
    server.listening()
    upload = server.client.upload(picture(48, 32))["id"]
    senders = [Sender(number, server.client.address, upload) for number in range(CLIENTS)]
    running = 0
    began = time.monotonic()
    for number in range(count):
        with contextlib.suppress(httpx.TransportError):
            if draws.random() < 0.8:
                server.listening()
                server.client.ready()
                time.sleep(draws.uniform(0, 0.3))
            else:  # while it starts
                time.sleep(draws.uniform(0, 1.0))
            running += server.client.http.get("/v1/status", timeout=5).json()["queue"]["running"]
        server.kill()
        server = Process(folder, port, "--device", "cpu", "--queue", str(queue))
        if number % 10 == 9:
            seconds = time.monotonic() - began
            print(f"{number + 1} kills in {seconds:.0f} s, {running} of them while a run was made", flush=True)
    for sender in senders:
        sender.over.set()
        sender.thread.join()
    try:
        server.listening()
        ids = [run for sender in senders for run in sender.sent]
        for run in ids:
            server.client.ended(run, 300)
        _look(server, folder, ids)
        for sender in senders:
            _require_order(server, sender.sent)
    finally:
        server.stop()
    left = [name for name in os.listdir(folder / "out") if name.startswith(".")]
    if left:
        raise Found(f"left over: {left}")
    return {"kills": count, "runs": len(ids), "killed while a run was made": running}


def _look(server: Process, folder: Path, ids: list[str]) -> None:
    """Every run is done, with one whole result, and nothing else is in the output folder."""
    known = []
    before = None
    while True:
        page = server.client.http.get("/v1/runs", params={"limit": 200} | ({"before": before} if before else {})).json()
        known += page["runs"]
        before = page["next"]
        if before is None:
            break
    by_id = {run["id"]: run for run in known}
    if len(by_id) != len(known):
        raise Found("a run is listed twice")
    if lost := set(ids) - set(by_id):
        raise Found(f"lost: {sorted(lost)}")
    for run in known:  # also those whose answer nobody heard
        run = server.client.ended(run["id"], 300)
        if run["state"] != "done" or len(run["results"]) != 1:
            raise Found(f"{run['id']} is {run['state']} with {len(run['results'])} results: {run['problems']}")
        body = server.client.http.get(run["results"][0]["url"]).content
        Image.open(io.BytesIO(body)).load()
    folders = [name for name in os.listdir(folder / "out") if not name.startswith(".")]
    if sorted(folders) != sorted(f"{run['number']:05d}-{run['id']}" for run in known):
        raise Found(f"{len(folders)} folders for {len(known)} runs")
    for name in folders:
        if len(os.listdir(folder / "out" / name)) != 1:
            raise Found(f"{name} holds {os.listdir(folder / 'out' / name)}")


def _require_order(server: Process, sent: list[str]) -> None:
    runs = [server.client.run(run) for run in sent]
    for before, after in itertools.pairwise(runs):
        if before["number"] > after["number"] or before["ended"] > after["ended"]:
            raise Found(f"{after['id']} ended before {before['id']}")


def main() -> int:
    """Kill and report; 1 if something was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100, help="kills")
    parser.add_argument("--seed", type=int, default=None)
    options = parser.parse_args()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="inlay-serve-kills-", ignore_cleanup_errors=True) as folder:
        try:
            told = kill_again_and_again(Path(folder).resolve(), options.count, random.Random(seed))
        except (Found, AssertionError) as error:
            print(f"FOUND (seed {seed}): {error}")
            return 1
    print(", ".join(f"{number} {name}" for name, number in told.items()) + ": nothing lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
