"""Workflows made at random whose nodes compute, lease models, warn, write files and fail; and naive recursion on them.

Nothing of the engine is in the recursion, so that it can judge the engine.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple

import torch
from hypothesis import strategies as st
from inlay.graph_runtime import BadInput, Context, NodeError, Port, Registry, Repeat, node
from inlay.graph_runtime.core.events import Warned
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.core.run.crew import Crew
from inlay.graph_runtime.core.run.execute import execute
from inlay.graph_runtime.core.run.plan import make_plan
from inlay.graph_runtime.core.workflow import build

Numbers = Annotated[Any, Port("NUMBERS", "numbers")]
Toy = Annotated[Any, Port("TOY", "a model")]
WAIT = 60  # seconds for threads to meet, on a busy machine
LOADS: list[tuple[str, str]] = []  # model, device
BUSY: dict[str, int] = {}  # leases by device, now
WORST: dict[str, int] = {}
MEET: dict[str, threading.Barrier] = {}


@dataclass(frozen=True)
class Scale(ModelDescription):
    """Weights: one number. `adapter` shares them."""

    weight: float
    size: int = 40
    adapter: str = field(default="", compare=True)

    @property
    def label(self):
        return f"scale {self.weight}"

    @property
    def fingerprint(self):
        return f"{self.weight} {self.adapter}"

    def base(self):
        return Scale(self.weight, self.size)

    def nbytes(self):
        return self.size

    def load(self, device):
        LOADS.append((self.label, device))
        return torch.tensor(self.weight)


class One(NamedTuple):
    x: Numbers


class Two(NamedTuple):
    low: Numbers
    high: Numbers


class Made(NamedTuple):
    model: Toy


@node("s.noise")
def noise(seed: int = 0) -> One:
    """Numbers from a seed."""
    return One(torch.randn(4, generator=torch.Generator().manual_seed(seed)))


@node("s.mix")
def mix(a: Numbers, b: Numbers | None = None, by: float = 0.5) -> Two:
    """Two outputs."""
    b = a if b is None else b
    return Two(a * by + b, a - b * by)


@node("s.gather")
def gather(several: Annotated[list[Any], Port("NUMBERS", "numbers"), Repeat("one", 2, 3)]) -> One:
    """A list of sockets."""
    total = torch.zeros(4)
    for one in several:
        total = total * 1.7 + one if one is not None else total
    return One(total)


@node("s.model", static=True)
def model(weight: float = 1.0, adapter: str = "", size: int = 40) -> Made:
    """A description."""
    return Made(Scale(weight, size, adapter))


@node("s.apply")
def apply(x: Numbers, model: Toy, ctx: Context, meet: str = "") -> One:
    """Leases a model."""
    with ctx.lease(model) as weight:
        device = ctx.device
        BUSY[device] = BUSY.get(device, 0) + 1
        WORST[device] = max(WORST.get(device, 0), BUSY[device])
        if meet:
            MEET[meet].wait(WAIT)
        made = One((x * weight).sin())
        BUSY[device] -= 1
    return made


@node("s.warn")
def warn(x: Numbers, ctx: Context, word: str = "") -> One:
    """Warns."""
    ctx.warn(f"beware of {word}")
    return One(x + 1)


@node("s.save", effects=True)
def save(x: Numbers, ctx: Context) -> One:
    """Writes a file; all have one prefix."""
    with ctx.new_file("made", ".txt") as path:
        path.write_text(repr(x.tolist()))
    return One(x * 2)


@node("s.fail")
def fail(x: Numbers) -> One:
    """Refuses."""
    raise BadInput("x", found="numbers", expected="others", fix="none")


@node("s.step")
def step(x: Numbers, ctx: Context, meet: str = "", fails: bool = False, late: bool = False, steps: int = 3) -> One:
    """Reports progress; may meet another one, fail, or go on until it is stopped."""
    if meet:
        MEET[meet].wait(WAIT)
    end = time.monotonic() + WAIT
    for number in range(steps):
        ctx.progress(number + 1, steps)
    while late and time.monotonic() < end:
        ctx.check_cancelled()
        time.sleep(0.005)
    if fails:
        raise BadInput("x", found="numbers", expected="others", fix="none")
    return One(x)


@node("s.where")
def where(x: Numbers, ctx: Context) -> One:
    """Computes on the device without a model."""
    device = ctx.device
    BUSY[device] = BUSY.get(device, 0) + 1
    WORST[device] = max(WORST.get(device, 0), BUSY[device])
    time.sleep(0.01)
    BUSY[device] -= 1
    return One(x)


REGISTRY = Registry(one.spec for one in (noise, mix, gather, model, apply, warn, save, fail, step, where))


def crew_of(count, threads=2, budget=None):
    return Crew([ModelManager((f"cpu:{number}",), budget) for number in range(count)], threads)


SLOTS = {"x": 0, "low": 0, "high": 1, "model": 0}  # of outputs, by name


def _compute(name, kind, a, p, warnings, files):
    """What one node gives."""
    if kind == "s.noise":
        return (torch.randn(4, generator=torch.Generator().manual_seed(p["seed"])),)
    if kind == "s.mix":
        b = a.get("b", a["a"])
        return a["a"] * p["by"] + b, a["a"] - b * p["by"]
    if kind == "s.gather":
        total = torch.zeros(4)
        for socket in ("one_1", "one_2", "one_3"):
            total = total * 1.7 + a[socket] if socket in a else total
        return (total,)
    if kind == "s.model":
        return (p["weight"],)
    if kind == "s.apply":
        return ((a["x"] * torch.tensor(a["model"])).sin(),)
    if kind == "s.warn":
        warnings.append((name, f"beware of {p['word']}"))
        return (a["x"] + 1,)
    if kind == "s.save":
        files.append(repr(a["x"].tolist()))
        return (a["x"] * 2,)
    raise LookupError(name)


def naive(raw):
    """Plain recursion: values, warnings, files, and the node that fails. Nothing of the engine is in it."""
    values: dict[str, tuple] = {}
    warnings: list[tuple[str, str]] = []
    files: list[str] = []

    def value(name):
        if name not in values:
            entry = raw["nodes"][name]
            links, p = entry.get("inputs", {}), entry.get("params", {})
            a = {socket: of(link) for socket, link in links.items()}
            values[name] = _compute(name, entry["type"], a, p, warnings, files)
        return values[name]

    def of(link):
        source, output = link.split(".")
        return value(source)[SLOTS[output]]

    failed = None
    try:
        for name, entry in raw["nodes"].items():
            if entry["type"] == "s.save":
                value(name)
        outputs = {name: of(link) for name, link in raw["outputs"].items()}
    except LookupError as error:
        failed, outputs = str(error.args[0]), {}
    return outputs, warnings, files, failed


def naive_values(raw):
    """By node, what it gives and the warnings of it alone; without those that fail, or come after one that does."""
    found: dict[str, tuple[tuple, list[str]]] = {}
    for name, entry in raw["nodes"].items():  # each reads only what stands before it
        links = {socket: link.split(".") for socket, link in entry.get("inputs", {}).items()}
        if entry["type"] == "s.fail" or not all(source in found for source, _ in links.values()):
            continue
        a = {socket: found[source][0][SLOTS[output]] for socket, (source, output) in links.items()}
        warnings: list[tuple[str, str]] = []
        gives = _compute(name, entry["type"], a, entry["params"], warnings, [])
        found[name] = gives, [message for _, message in warnings]
    return found


@st.composite
def graphs(draw):
    nodes: dict[str, dict] = {"m0": {"type": "s.model", "params": {"weight": 1.5}}}
    nodes["m1"] = {"type": "s.model", "params": {"weight": -0.7}}
    numbers: list[str] = []
    for index in range(draw(st.integers(2, 14))):
        name = f"n{index}"
        kinds = ["noise", "mix", "mix", "gather", "apply", "apply", "warn", "save"] + ["fail"] * (index > 5)
        kind = draw(st.sampled_from(kinds)) if numbers else "noise"

        def some(numbers=numbers):
            return draw(st.sampled_from(numbers))

        inputs, params = {}, {}
        if kind == "noise":
            params = {"seed": draw(st.integers(0, 3))}
        elif kind == "mix":
            inputs, params = {"a": some()}, {"by": draw(st.sampled_from([0.5, 0.25]))}
            if draw(st.booleans()):
                inputs["b"] = some()
        elif kind == "gather":
            inputs = {f"one_{number}": some() for number in range(1, draw(st.integers(2, 3)) + 1)}
        elif kind == "apply":
            inputs = {"x": some(), "model": draw(st.sampled_from(["m0.model", "m1.model"]))}
        else:
            inputs = {"x": some()}
            params = {"word": draw(st.sampled_from(["dogs", "cats"]))} if kind == "warn" else {}
        nodes[name] = {"type": f"s.{kind}", "params": params, "inputs": inputs}
        numbers += [f"{name}.low", f"{name}.high"] if kind == "mix" else [f"{name}.x"]
    wanted = draw(st.lists(st.sampled_from(numbers), min_size=1, max_size=4, unique=True))
    return {"format": 1, "nodes": nodes, "outputs": {f"o{i}": link for i, link in enumerate(wanted)}}


def outcome(raw, out, crew, kept=None):
    heard: list[Any] = []
    plan = make_plan(build(raw), REGISTRY, out=out)
    ctx = Context(ModelManager(("cpu:0",)) if crew is None else crew.managers[0], out=out, listeners=(heard.append,))
    try:
        outputs, failed = execute(plan, ctx, kept, crew), None
    except NodeError as error:
        outputs, failed = {}, error.problem.node
    warnings = [(event.node, event.message) for event in heard if isinstance(event, Warned)]
    files = [path.read_text() for path in sorted(out.glob("made_*.txt"))]
    assert [path.name for path in ctx.saved] == sorted(path.name for path in out.glob("made_*.txt"))
    return outputs, warnings, files, failed, heard, plan


def same(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
