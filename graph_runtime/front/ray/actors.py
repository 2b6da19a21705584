"""Workers as actors of a Ray cluster: one for each GPU, or for as many processors as a run has threads."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from types import ModuleType
from typing import Protocol

from ...core.errors import WorkflowError, first_line, shorten
from ..jobs.worker import Message
from .contents import Ref
from .dispatch import News

MOST = 1000  # workers


class _Method(Protocol):
    """A method of an actor."""

    def remote(self, *given: object) -> Ref:
        """Call it; the reference stands for what it will give."""


class _Actor(Protocol):
    """An actor, as Ray makes one of the class below."""

    hello: _Method
    make: _Method
    stream: _Method
    ping: _Method
    cancel: _Method
    free: _Method
    end: _Method


def _worker_class() -> type:
    """The class of the actors.

    It travels to the cluster by value, and imports inlay there only after it has compared versions: a machine with
    another release can say so.
    """

    class InlayWorker:
        def hello(self, package: str, version: str, told: dict[str, object], made_by: str) -> dict[str, object]:
            import importlib
            import platform

            import ray

            try:
                found = importlib.import_module(package).__version__
                if found != version:
                    return {"node": platform.node(), "error": f"it has inlay {found}, and this is {version}"}
                module = importlib.import_module(f"{package}.graph_runtime.front.ray.{made_by}")
                self.maker = module.Maker(told, ray.get)
                hello: dict[str, object] = self.maker.hello()
            except Exception as error:  # noqa: BLE001 - told to whoever asked
                return {"node": platform.node(), "error": f"{type(error).__name__}: {error}"}
            return hello

        def make(self, message: dict[str, object]) -> dict[str, object]:
            made: dict[str, object] = self.maker.make(message)
            return made

        def stream(self, message: dict[str, object]) -> Iterator[dict[str, object]]:
            yield from self.maker.stream(message)

        def ping(self) -> None:
            """Answer."""

        def cancel(self, run: str) -> None:
            self.maker.cancel(run)

        def free(self, results: bool) -> None:
            self.maker.free(results)

        def end(self) -> None:
            self.maker.end()

    return InlayWorker


@dataclass
class Actors:
    """See `Cluster`.

    Args:
        ray: connected.
        told: what all runs share.
        needs: the resources of one worker, as Ray names them.
    """

    ray: ModuleType
    told: Message
    needs: dict[str, float]
    _new: Callable[[], _Actor] = field(init=False)
    _actors: dict[int, _Actor] = field(default_factory=dict)
    _asked: dict[Ref, tuple[int, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._new = new_actors(self.ray, self.needs)

    def put(self, piece: bytes) -> Ref:
        """Put a piece of a file."""
        return self.ray.put(piece)

    def start(self, slot: int) -> None:
        """Start an actor; it waits in the cluster until there is room for it."""
        if (before := self._actors.pop(slot, None)) is not None:
            with suppress(Exception):
                self.ray.kill(before, no_restart=True)
        actor = self._new()
        self._actors[slot] = actor
        self._asked[hello(actor, self.told, "worker")] = slot, "ready"

    def give(self, slot: int, message: Message) -> None:
        """Let an actor make a run."""
        self._asked[self._actors[slot].make.remote(message)] = slot, "made"

    def news(self, seconds: float) -> Iterator[News]:
        """What actors said: one answer after the other, so that only one is in memory."""
        ready, _ = self.ray.wait([*self._asked], num_returns=1, timeout=seconds) if self._asked else ([], [])
        while ready:
            slot, what = self._asked.pop(ready[0])
            try:
                value = self.ray.get(ready[0])
            except Exception as error:  # noqa: BLE001 - Ray has many kinds for a worker that is gone
                with suppress(Exception):
                    self.ray.kill(self._actors.pop(slot), no_restart=True)
                yield News(slot, "lost", {"why": f"{type(error).__name__}: {first_line(error)}"})
            else:
                yield News(slot, what, value)  # type: ignore[arg-type]  # one of the two above
            ready, _ = self.ray.wait([*self._asked], num_returns=1, timeout=0) if self._asked else ([], [])

    def close(self) -> None:
        """Kill all actors; one of those that have nothing to do first removes what was kept on its machine."""
        busy = {slot for slot, _ in self._asked.values()}
        with suppress(Exception):
            idle = [actor.end.remote() for slot, actor in self._actors.items() if slot not in busy]
            self.ray.wait(idle, num_returns=len(idle), timeout=5.0) if idle else None
        for actor in self._actors.values():
            with suppress(Exception):
                self.ray.kill(actor, no_restart=True)
        self._actors.clear()
        self._asked.clear()


def new_actors(ray: ModuleType, needs: dict[str, float], calls: int = 1) -> Callable[[], _Actor]:
    """Makes an actor with each call; it waits in the cluster until there is room for it.

    Args:
        ray: connected.
        needs: the resources of one actor, as Ray names them.
        calls: that one answers at once.
    """
    kind = ray.remote(_worker_class())
    new: Callable[[], _Actor] = kind.options(max_restarts=0, max_task_retries=0, max_concurrency=calls, **needs).remote
    return new


def hello(actor: _Actor, told: Message, made_by: str) -> Ref:
    """What an actor says of itself, once it is ready; the module `made_by` makes its runs."""
    from .... import __version__

    package = __name__.removesuffix(".graph_runtime.front.ray.actors")
    return actor.hello.remote(package, __version__, told, made_by)


def places(ray: ModuleType, threads: int, *, gpus: bool) -> tuple[int, dict[str, float]]:
    """How many workers the cluster has room for, and what each needs of it.

    Args:
        ray: connected.
        threads: of one worker.
        gpus: each has a GPU; else each has as many processors as threads.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    if gpus:
        count = sum(int(node.get("GPU", 0)) for node in nodes)
        return min(count, MOST), {"num_gpus": 1, "num_cpus": 1}
    return min(sum(int(node.get("CPU", 0) // threads) for node in nodes), MOST), {"num_cpus": threads}


def has_gpus(ray: ModuleType) -> bool:
    """True if a machine of the cluster has a GPU."""
    return any(node["Resources"].get("GPU", 0) >= 1 for node in ray.nodes() if node["Alive"])


def choose(ray: ModuleType, device: str, threads: int, jobs: int | None) -> tuple[int, dict[str, float], str]:
    """How many workers there are to be, what each needs of the cluster, and where each computes.

    Args:
        ray: connected.
        device: as the user asked: auto, cpu or cuda.
        threads: of one worker on a processor.
        jobs: the most workers, for which inlay waits if need be; None: as many as there is room for now.

    Raises:
        WorkflowError: the cluster has no such device, or no room.
    """
    gpus = device != "cpu" and has_gpus(ray)
    if device not in ("auto", "cpu", "cuda") or (device == "cuda" and not gpus):
        raise _no_device(device)
    room, needs = places(ray, threads, gpus=gpus)
    if not room and not jobs:
        raise _no_room(threads)
    return jobs or room, needs, "cuda" if gpus else "cpu"


def _no_device(device: str) -> WorkflowError:
    return WorkflowError.of(
        "--device",
        found=shorten(device),
        expected="auto, cpu, or cuda where the cluster has GPUs: Ray chooses which",
        fix="leave out --device",
    )


def _no_room(threads: int) -> WorkflowError:
    return WorkflowError.of(
        "--engine ray",
        found=f"no machine with {threads} processors, as many as a run here has threads",
        expected="at least one",
        fix="set OMP_NUM_THREADS to a smaller number here; or give --jobs for a cluster that starts machines",
    )
