"""The process between a server and a cluster, with workers in itself instead of on other machines.

The file `FAKE_CLUSTER` says what is wrong with the cluster: `{"version": "9.9"}` of all workers, `{"lose": "a word"}`
loses the worker that makes a workflow with that word, `{"device": "a word"}` only its GPU, `{"gone": true}` ends the
cluster, `{"idle": true}` loses every worker that has nothing to do, `{"unlike": true}` gives all but the first one
another processor.
"""

import json
import os
import pickle
import secrets
import sys
import threading
import time
from pathlib import Path

from inlay.graph_runtime.front.ray.bridge import Bridge
from inlay.graph_runtime.front.ray.contents import Contents
from inlay.graph_runtime.front.ray.served import Maker

STORE: dict[int, bytes] = {}
STARTED: list["Here"] = []


def put(piece: bytes) -> int:
    """Keep a piece, and count it in the file that a test reads."""
    STORE[len(STORE)] = piece
    with Path(os.environ["FAKE_CLUSTER"] + ".puts").open("a") as file:
        file.write(f"{len(piece)}\n")
    return len(STORE) - 1


def wrong() -> dict:
    """What is wrong with the cluster."""
    path = Path(os.environ["FAKE_CLUSTER"])
    return json.loads(path.read_text()) if path.exists() else {}


class Here:
    """A worker in this process; messages go through pickle, as Ray sends them."""

    def __init__(self) -> None:
        self.lost = False

    def hello(self) -> dict:
        """As that of a worker."""
        told = {"session": secrets.token_hex(4), "threads": 1, "device": "cpu", "memory": None, "cache": False}
        self.maker = Maker(told, STORE.__getitem__)
        said = self.maker.hello()
        if "unlike" in wrong() and STARTED:
            said["parts"]["the processor"] = "another"
        STARTED.append(self)
        if "version" in wrong():
            said["parts"]["the version of inlay"] = wrong()["version"]
        return pickle.loads(pickle.dumps(said))

    def stream(self, message: dict, each) -> dict:
        """As that of a worker."""
        last = None
        for one in self.maker.stream(pickle.loads(pickle.dumps(message))):
            if self.lost or wrong().get("lose", "\0") in message["workflow"]:
                raise ConnectionError("its machine is gone")
            if last is not None:
                each(last)
            last = pickle.loads(pickle.dumps(one))
        if wrong().get("device", "\0") in message["workflow"]:
            problem = {"node": None, "port": None, "found": "cuda: GPU is lost", "expected": "", "fix": ""}
            return {"events": [], "ended": {"state": "failed", "problems": [problem]}, "gone": True}
        return last

    def call(self, method: str, *given: object) -> None:
        """As that of a worker."""
        getattr(self.maker, method)(*given)

    def require_answer(self) -> None:
        """As that of a worker."""
        if self.lost or "idle" in wrong():
            raise ConnectionError("its machine is gone")

    def kill(self) -> None:
        """As that of a worker."""
        self.lost = True


def main() -> None:
    """As that of the real one."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    bridge = Bridge(json.loads(sys.stdin.readline()), answers)
    bridge.answer({"connected": 2})

    def watch() -> None:
        while not wrong().get("gone"):
            time.sleep(0.05)
        bridge.gone("it was ended")

    threading.Thread(target=watch, daemon=True).start()
    bridge.obey(sys.stdin, Here, Contents(put))
    os._exit(0)
