"""How a server is set up: where it listens, its folders, and its limits."""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from ...core.user_paths import home
from ..installed import shipped_workflows

PORT = 8210
LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Limits:
    """What clients may ask for.

    Attributes:
        upload_bytes: of one file.
        space_bytes: of all pictures that were sent; those used longest ago make room for new ones.
        sending: uploads that may be under way at once.
        body_bytes: of a request with a workflow.
        queue: runs that wait.
        run_seconds: of one run; None for no limit.
        results: runs that one page of the history holds.
    """

    upload_bytes: int = 256 * 2**20
    space_bytes: int = 10 * 10**9
    sending: int = 64
    body_bytes: int = 16 * 2**20
    queue: int = 2000
    run_seconds: float | None = None
    results: int = 200


@dataclass(frozen=True)
class Settings:
    """One server.

    Attributes:
        out: the folder that holds a folder of results for each run.
        inputs: a folder whose files workflows may read, besides uploads, results and the shipped samples.
        host: the address to listen on.
        port: the port; 0 for a free one.
        token: what clients must show; None: nothing, which is for the loopback address alone.
        hosts: names, besides the address itself, by which clients may call this server.
        editor: serve the graph editor, if it is installed.
        device: as of `inlay.run`; auto takes every GPU.
        memory: as of `inlay.run`.
        workers: processes on a processor, each GPU has one; on a cluster, the most workers. 0: one; as many as it has
            room for.
        engine: local, or the cluster that makes the runs: ray.
        ray_address: of that cluster, as of `inlay sweep`.
        cache: reuse results of earlier runs.
        limits: see `Limits`.
        folder: of the queue and the uploads.
    """

    out: Path = Path("inlay-out")
    inputs: Path | None = None
    host: str = LOOPBACK[0]
    port: int = PORT
    token: str | None = None
    hosts: Sequence[str] = ()
    editor: bool = True
    device: str = "auto"
    memory: str | None = None
    workers: int = 0
    engine: str = "local"
    ray_address: str | None = None
    cache: bool = True
    limits: Limits = field(default_factory=Limits)
    folder: Path = field(default_factory=lambda: home() / "serve")

    @property
    def uploads(self) -> Path:
        """The folder of the uploads."""
        return self.folder / "uploads"

    @property
    def here(self) -> Path:
        """An empty folder, which the server and its workers take as the current one."""
        return self.folder / "empty"

    @property
    def pictures(self) -> Path:
        """The folder of the pictures that the graph editor sent, which its graphs name."""
        return self.folder / "pictures"

    @property
    def roots(self) -> list[Path]:
        """The folders that a path from the wire may point into."""
        return [self.uploads, self.pictures, self.out, *([self.inputs] if self.inputs is not None else []), *_samples()]


@cache
def _samples() -> tuple[Path, ...]:
    """The folders of the shipped workflows, which do not change while a server runs."""
    return tuple(dict.fromkeys(path.parent for path in shipped_workflows().values()))


def new_id() -> str:
    """A name that nobody can guess."""
    return secrets.token_hex(8)


def absolute(path: str | os.PathLike[str]) -> Path:
    """A folder, wherever the process goes."""
    return Path(os.path.abspath(path))
