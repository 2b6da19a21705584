"""A Ray cluster that was started by somebody else, on this machine."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NOT_NICE = {"RAY_worker_niceness": "0"}  # Ray's workers give way to all others: on a busy machine, they stand still


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def is_open(port: int) -> bool:
    """True if somebody listens there."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def without_ray(**more: str) -> dict[str, str]:
    """The environment without what is said to Ray, and with some more of it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return kept | NOT_NICE | {"RAY_USAGE_STATS_ENABLED": "0"} | more


@contextmanager
def started(cpus: int = 1, **environment: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """A cluster in the block: its address, and the process that ends it."""
    port = free_port()
    words = [f"--port={port}", f"--num-cpus={cpus}", "--include-dashboard=false", "--block"]
    cluster = subprocess.Popen(
        [sys.executable, "-m", "ray.scripts.scripts", "start", "--head", *words],
        env=without_ray(**environment),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        end = time.monotonic() + 180
        while not is_open(port):
            assert cluster.poll() is None, "it does not start"
            assert time.monotonic() < end, "it does not listen"
            time.sleep(0.1)
        yield f"127.0.0.1:{port}", cluster
    finally:
        stop(cluster)


def stop(cluster: subprocess.Popen) -> None:
    """End a cluster, if it has not ended."""
    if cluster.poll() is None:
        os.killpg(cluster.pid, signal.SIGTERM)
        cluster.wait(60)


def is_alive(pid: int | str) -> bool:
    """True if a process runs (Linux)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
