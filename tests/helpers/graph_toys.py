"""Toy nodes that pass integers through sockets, so that a graph's result can be worked out by hand."""

import types
from typing import Annotated, Any, Literal, NamedTuple

from inlay.graph_runtime import BadInput, Context, Port, ReadPath, Registry, Renamed, Repeat, node
from pydantic import Field

Number = Annotated[Any, Port("NUMBER", "a number")]
Word = Annotated[str, Port("WORD", "a word")]


class One(NamedTuple):
    value: Number


class Two(NamedTuple):
    low: Number
    high: Number


class Spelt(NamedTuple):
    word: Word


def make_toys() -> types.SimpleNamespace:
    calls: list[str] = []

    @node("toy.constant")
    def constant(value: int = 0, kind: Literal["plain", "fancy"] = "plain") -> One:
        """Gives a number.

        Args:
            value: the number itself.
            kind: decoration.
        """
        calls.append(f"constant {value}")
        return One(value)

    @node("toy.add")
    def add(a: Number, b: Number | None = None, plus: Annotated[int, Field(ge=0, le=9)] = 0) -> One:
        """Adds."""
        calls.append("add")
        return One(a + (b or 0) + plus)

    @node("toy.split")
    def split(a: Number) -> Two:
        """A number and one more."""
        calls.append("split")
        return Two(a, a + 1)

    @node("toy.spell")
    def spell(a: Number) -> Spelt:
        """A number as a word."""
        return Spelt(str(a))

    @node("toy.sum")
    def total(
        numbers: Annotated[list[Any], Port("NUMBER", "numbers"), Repeat("number", 2, 4)],
        labels: Annotated[list[str], Repeat("label", 0, 4)],
    ) -> Spelt:
        """Adds many."""
        return Spelt(f"{sum(n for n in numbers if n is not None)}:{','.join(labels)}:{len(numbers)}")

    @node("toy.read")
    def read(path: ReadPath, extra: int = 0) -> Spelt:
        """Reads a file."""
        calls.append("read")
        with open(path, encoding="utf-8") as stream:
            return Spelt(stream.read())

    @node("toy.write", effects=True)
    def write(word: Word, ctx: Context, prefix: str = "word") -> Spelt:
        """Writes a file."""
        with ctx.new_file(prefix, ".txt") as path:
            path.write_text(word, encoding="utf-8")
        return Spelt(word)

    @node("toy.refuse")
    def refuse(a: Number) -> One:
        """Never content."""
        raise BadInput("a", found=f"the number {a}", expected="another", fix="try again")

    @node("toy.crash")
    def crash(a: Number) -> One:
        """Has a bug."""
        raise RuntimeError("a bug")

    @node("toy.slow")
    def slow(a: Number, ctx: Context, steps: int = 3) -> One:
        """Reports progress."""
        for step in range(steps):
            ctx.progress(step + 1, steps)
        return One(a)

    @node(
        "toy.newer",
        version=3,
        migrations={
            1: lambda p, i: ({"amount": p.pop("n"), **p}, i),
            2: lambda p, i: ({**p, "amount": p["amount"] * 10}, i),
        },
    )
    def newer(amount: int = 0) -> One:
        """Has changed twice."""
        return One(amount)

    @node("toy.renamed", version=3, migrations={1: Renamed({"n": "count"}), 2: Renamed({"count": "amount"})})
    def renamed(amount: int = 0) -> One:
        """Has a setting that was called n, then count."""
        return One(amount)

    @node("toy.stuck", version=2)
    def stuck() -> One:
        """Has changed, without a migration."""
        return One(0)

    functions = [constant, add, split, spell, total, read, write, refuse, crash, slow, newer, renamed, stuck]
    return types.SimpleNamespace(
        calls=calls,
        registry=Registry(f.spec for f in functions),
        module=types.SimpleNamespace(**{f.__name__: f for f in functions}),
        **{f.__name__: f for f in functions},
    )


def graph(nodes: dict[str, Any], outputs: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    """A workflow dict from `{"name": ("type", params, inputs)}`."""
    full = {}
    for name, (kind, *rest) in nodes.items():
        entry: dict[str, Any] = {"type": kind}
        if rest and rest[0]:
            entry["params"] = rest[0]
        if len(rest) > 1:
            entry["inputs"] = rest[1]
        full[name] = entry
    return {"format": 1, "nodes": full, "outputs": outputs or {}, **more}


#: A photo with a margin, saved; without a model.
PADDED = {
    "format": 1,
    "inputs": {"image": "photo.path"},
    "nodes": {
        "photo": {"type": "image.load", "params": {"path": "x.png"}},
        "fit": {"type": "image.pad", "params": {"left": 4}, "inputs": {"image": "photo.image"}},
        "save": {"type": "image.save", "inputs": {"image": "fit.image"}},
    },
    "outputs": {"image": "fit.image"},
}
