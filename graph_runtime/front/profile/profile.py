"""What is measured of a run: a listener that also sees the calls of models.

    profile = Profile()
    with profile.watching(plan, ctx, kept):
        execute(plan, ctx, kept)
    profile.nodes, profile.status

A run without a profile pays nothing for it. With one, the bytes of results stay what they are.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Literal

from ...core.context import Context
from ...core.current_run import running_node
from ...core.errors import Cancelled, NodeError, first_line
from ...core.events import Event, ModelMoved, NodeFinished, NodeMemory, NodeProgress, NodeStarted
from ...core.memory.decisions import Decision
from ...core.memory.leases import leases_watched_by
from ...core.run.plan import Plan
from ...core.store.kept import Kept
from .calls import Call, Marks, calls_told_to, timed
from .gpu import GpuMarks, Waits, waits_counted

Status = Literal["running", "done", "failed", "cancelled"]
Found = Literal["made", "memory", "disk", "known"]


@dataclass
class NodeProfile:
    """What a node took.

    Attributes:
        name: of the node.
        type: of the node.
        began: seconds on the clock of `time.perf_counter`.
        lane: of nodes that ran at once, each has another one.
        ended: as `began`; None while it runs.
        cpu: CPU seconds of the process meanwhile.
        found: `made`; or where its result was found: `memory`, `disk`, `known` since the check.
        calls: of models.
        steps: done, of how many, and when, as the node reported them.
        memory: what it took on the device; None where nobody measured it.
        decisions: what the model manager did for it.
        waits: how often the host waited for the GPU.
    """

    name: str
    type: str
    began: float
    lane: int = 0
    ended: float | None = None
    cpu: float = 0.0
    found: Found = "made"
    calls: list[Call] = field(default_factory=list)
    steps: list[tuple[int, int, float]] = field(default_factory=list)
    memory: NodeMemory | None = None
    decisions: list[Decision] = field(default_factory=list)
    waits: int = 0

    @property
    def seconds(self) -> float:
        """Wall time."""
        return (self.ended or self.began) - self.began

    @property
    def peak(self) -> int | None:
        """Bytes on the device at once: all weights that were there, and what the node made; None if not measured."""
        return None if self.memory is None else self.memory.resident + self.memory.activations

    def bytes_of(self, *actions: str) -> int:
        """Bytes of weights that were moved in one of these ways."""
        return sum(one.nbytes for one in self.decisions if one.action in actions)


class Profile:
    """Measures one run.

    Attributes:
        began: when the profile was made, on the clock of `time.perf_counter`.
        run_began: when the first node could begin; None: nothing ran yet.
        ended: when the run ended.
        cpu: CPU seconds of the process while the nodes ran.
        nodes: in the order in which they began.
        status: of the run.
        error: why it failed, in a line.
        device: that computed.
        title: of the workflow.
    """

    shows_previews = False

    def __init__(self, title: str = "") -> None:
        self.began = time.perf_counter()
        self.run_began: float | None = None
        self.ended = self.began
        self.cpu = 0.0
        self.nodes: list[NodeProfile] = []
        self.status: Status = "running"
        self.error = ""
        self.device = "cpu"
        self.title = title
        self._open: dict[str, tuple[NodeProfile, float, int]] = {}
        self._calls: dict[str, list[Call]] = {}  # by node: events of several devices come later than these
        self._marks: list[GpuMarks] = []
        self._waits = Waits()

    @contextmanager
    def watching(self, plan: Plan, ctx: Context, kept: Kept | None) -> Iterator[None]:
        """Measure the block, which runs `plan`; the profile must be a listener of `ctx`."""
        self.device = ctx.device
        with ExitStack() as stack:
            self._waits = stack.enter_context(waits_counted(ctx.device))
            stack.enter_context(leases_watched_by(timed))
            stack.enter_context(calls_told_to(self))
            cpu, self.run_began = time.process_time(), time.perf_counter()
            try:
                yield
                self.status = "done"
            except (Cancelled, KeyboardInterrupt):
                self.status, self.error = "cancelled", "stopped by the user"
                raise
            except BaseException as error:
                self.status = "failed"
                self.error = str(error.problem) if isinstance(error, NodeError) else first_line(error)
                raise
            finally:
                self.ended, self.cpu = time.perf_counter(), time.process_time() - cpu
                for node in [node for node, _, _ in self._open.values()]:
                    self._close(node, self.ended)
                self._read_marks()
                self._note_places(plan, kept)
                put_in_lanes(self.nodes)

    def __call__(self, event: Event) -> None:
        """Take note of an event."""
        if self.run_began is None:
            return
        now = time.perf_counter()
        match event:
            case NodeStarted(node=name, type=kind):
                node = NodeProfile(name, kind, now, calls=self._calls.setdefault(name, []))
                self.nodes.append(node)
                self._open[name] = node, time.process_time(), self._waits.count
            case NodeProgress(node=name, step=step, total=total) if name in self._open:
                self._open[name][0].steps.append((step, total, now))
            case NodeMemory(node=name) if name in self._open:
                self._open[name][0].memory = event
            case ModelMoved(node=name, decision=decision) if decision is not None and name in self._open:
                self._open[name][0].decisions.append(decision)
            case NodeFinished(node=name, cached=cached) if name in self._open:
                node = self._open[name][0]
                node.found = "known" if cached else "made"
                self._close(node, now)
            case _:
                pass

    def called(self, call: Call) -> None:
        """A model was called."""
        self._calls.setdefault(running_node(), []).append(call)

    def marks(self) -> Marks | None:
        """Marks in the GPU's queue, if it computes."""
        if not self.device.startswith("cuda"):
            return None
        self._marks.append(GpuMarks())
        return self._marks[-1]

    def _close(self, node: NodeProfile, now: float) -> None:
        _, cpu, waits = self._open.pop(node.name)
        node.ended, node.cpu, node.waits = now, time.process_time() - cpu, self._waits.count - waits
        node.began = min([node.began, *(call.began for call in node.calls)])

    def _read_marks(self) -> None:
        if self._marks and self.status == "done":
            import torch

            torch.cuda.synchronize(self.device)
            for marks in self._marks:
                marks.read()
        self._marks.clear()

    def _note_places(self, plan: Plan, kept: Kept | None) -> None:
        """Where results were found that were not made."""
        found = {node.name: node for node in self.nodes if node.found == "known"}
        outcomes = kept.outcomes if kept is not None and found else {}
        for step, key in zip(plan.steps, plan.keys if outcomes else (), strict=False):
            outcome = outcomes.get(key) if key is not None else None
            if step.name in found and step.known is None and outcome in ("memory", "disk"):
                found[step.name].found = "memory" if outcome == "memory" else "disk"


def put_in_lanes(nodes: list[NodeProfile]) -> None:
    """Give nodes that ran at once a lane each, the first that is free."""
    free: list[float] = []
    for node in sorted(nodes, key=lambda one: one.began):
        lane = next((number for number, since in enumerate(free) if since <= node.began), len(free))
        free[lane : lane + 1] = [node.ended or node.began]
        node.lane = lane
