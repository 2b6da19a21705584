"""Unwired sockets that take their value from upstream, for nodes of any kind."""

from typing import Annotated, Any, NamedTuple

import inlay
import pytest
from inlay.graph_runtime import FromUpstream, Port, SocketRole, node

Thing = Annotated[Any, Port("TOY_THING", "a thing")]
Tag = Annotated[Any, Port("TOY_TAG", "what is said of a thing")]


class Made(NamedTuple):
    thing: Thing
    tag: Tag


class One(NamedTuple):
    thing: Thing


@node("toy.make")
def make(name: str) -> Made:
    return Made(name, f"tag of {name}")


@node("toy.join")
def join(a: Thing, b: Thing) -> One:
    return One(f"{a}+{b}")


@node("toy.lay")
def lay(base: Annotated[Thing, SocketRole("base")], top: Thing, where: Annotated[Thing, SocketRole("changed")]) -> One:
    return One(f"{base}|{top}|{where}")


@node("toy.tell")
def tell(
    thing: Thing,
    tag: Annotated[Tag, FromUpstream("thing")] | None = None,
    where: Annotated[Thing, FromUpstream("thing", "changed")] | None = None,
) -> Made:
    return Made((tag, where), tag)


class TOYS:
    pass


for function in (make, join, lay, tell):
    setattr(TOYS, function.__name__, function)


def run(wires, tell_inputs=None):
    nodes = {name: {"type": "toy.make", "params": {"name": name}} for name in "abcd"}
    nodes |= {name: {"type": kind, "inputs": inputs} for name, (kind, inputs) in wires.items()}
    nodes["tell"] = {"type": "toy.tell", "inputs": {"thing": "last.thing", **(tell_inputs or {})}}
    graph = {"format": 1, "nodes": nodes, "outputs": {"said": "tell.thing"}}
    return inlay.run(graph, nodes=[TOYS], cache=False)["said"]


JOIN = ("toy.join", {"a": "a.thing", "b": "b.thing"})
LAY = ("toy.lay", {"base": "a.thing", "top": "b.thing", "where": "c.thing"})


def test_everything_behind_counts_where_no_socket_is_the_base():
    assert run({"last": JOIN}) == (["tag of a", "tag of b"], None)


def test_a_base_is_followed_alone_and_what_changed_it_is_collected():
    assert run({"last": LAY}) == (["tag of a"], ["c"])


def test_a_chain_of_bases_collects_every_change_nearest_first():
    again = ("toy.lay", {"base": "first.thing", "top": "b.thing", "where": "d.thing"})
    assert run({"first": LAY, "last": again}) == (["tag of a"], ["d", "c"])


def test_a_base_behind_something_else_is_still_a_base():
    joined = ("toy.join", {"a": "first.thing", "b": "first.thing"})
    assert run({"first": LAY, "last": joined}) == (["tag of a"], ["c"])


def test_the_nearest_source_hides_what_lies_behind_it():
    told = ("toy.tell", {"thing": "first.thing", "tag": "d.tag"})
    assert run({"first": LAY, "last": told}) == (["tag of d"], ["c"])


def test_a_wire_that_is_drawn_wins_and_is_no_list():
    assert run({"last": LAY}, {"tag": "d.tag"}) == ("tag of d", ["c"])
    assert run({"last": LAY}, {"tag": "d.tag", "where": "d.thing"}) == ("tag of d", "d")


def test_a_direct_call_gets_nothing():
    assert tell("x").thing == (None, None)


@pytest.mark.parametrize("cache", [True, False])
def test_a_kept_result_depends_on_what_came_from_upstream(cache):
    graph = {
        "format": 1,
        "nodes": {
            "a": {"type": "toy.make", "params": {"name": "a"}},
            "tell": {"type": "toy.tell", "inputs": {"thing": "a.thing"}},
        },
        "outputs": {"said": "tell.thing"},
    }
    assert inlay.run(graph, nodes=[TOYS], cache=cache)["said"] == (["tag of a"], None)
    assert inlay.run(graph, nodes=[TOYS], cache=cache)["said"] == (["tag of a"], None)
    graph["nodes"]["tell"]["inputs"]["tag"] = "a.tag"
    assert inlay.run(graph, nodes=[TOYS], cache=cache)["said"] == ("tag of a", None)
