"""The one check at a socket: a value of another type than the annotation says is refused, in words of the port."""

from typing import Annotated, Any, Literal, NamedTuple, Protocol

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput, FromUpstream, Port, Repeat, node
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.graph_runtime.core.port_types import PartlyKnown, is_of
from jaxtyping import Float, Shaped
from torch import Tensor

Picture = Float[Tensor, "b h w 3"]
PORT = Port("TOY", "a toy", expected="a toy picture", fix="draw one", fix_dtype="divide by 255")


class Facts(Protocol):
    @property
    def width(self) -> int: ...

    @property
    def kind(self) -> Literal["good", "better"]: ...


class Described(ModelDescription):
    """A description whose facts must not be read."""

    label, fingerprint = "toy of nowhere", "toy"
    kind = "good"

    @property
    def width(self):
        raise AssertionError("read: that may download a model")

    def load(self, device):
        raise AssertionError("loaded")

    def nbytes(self):
        return 0


class Wrong(Described):
    kind = "worse"


class Wrapped(ModelDescription):
    label, fingerprint = "wrapped toy", "wrapped"

    def __init__(self, inner):
        self.inner = inner

    load = nbytes = Described.load


class One(NamedTuple):
    out: Annotated[Any, PORT]


@pytest.mark.parametrize(
    ("value", "hint", "expected"),
    [
        (torch.zeros(1, 2, 2, 3), Picture, True),
        (torch.zeros(1, 2, 2, 3, device="meta"), Picture, True),
        (torch.zeros(1, 2, 2, 3).half(), Picture, True),
        (torch.zeros(1, 2, 2, 3).int(), Picture, False),
        (torch.zeros(1, 2, 2, 4), Picture, False),
        (torch.zeros(2, 2, 3), Picture, False),
        (torch.zeros(0, 2, 2, 3), Picture, False),
        (np.zeros((1, 2, 2, 3)), Picture, False),
        (torch.zeros(1, 2, 2).bool(), Shaped[Tensor, "b h w"], True),
        (3, float, True),
        (np.float32(3), float, True),
        (3.5, int, False),
        ("3", float, False),
        ("3", float | str | None, True),
        (None, float | str | None, True),
        ([1], list[str], True),
        ((1,), list[str], False),
        (object(), Any, True),
        (3, Literal[4], True),
    ],
)
def test_a_value_is_of_a_type(value, hint, expected):
    assert is_of(value, hint) is expected


def test_a_description_is_known_by_its_names_and_none_is_read():
    assert is_of(Described(), Facts)
    assert is_of(Wrapped(Described()), Facts)
    assert not is_of(Wrapped(object()), Facts)
    assert not is_of(Wrong(), Facts)
    assert not is_of("toy", Facts)


@node("toy.look")
def look(image: Annotated[Picture, PORT], other: Annotated[Picture, PORT] | None = None, times: int = 1) -> One:
    return One(image)


@node("toy.many")
def many(images: Annotated[list[Annotated[Picture, PORT] | None], Repeat("image", 1, 3)]) -> One:
    return One(images)


@node("toy.behind")
def behind(
    image: Annotated[Picture, PORT], more: Annotated[Annotated[Picture, PORT], FromUpstream("image")] | None = None
) -> One:
    return One(more)


GOOD, BAD, BYTES = torch.zeros(1, 2, 2, 3), torch.zeros(2, 2), torch.zeros(1, 2, 2, 3, dtype=torch.uint8)


@pytest.mark.parametrize(
    "call",
    [
        lambda: look(GOOD, BAD),
        lambda: look(image=GOOD, other=BAD),
        lambda: look.spec.run(image=GOOD, other=BAD),
        lambda: look.spec.function(GOOD, other=BAD),
        lambda: look.spec.facts({"image": GOOD, "other": BAD}, {}),
    ],
    ids=["by position", "by name", "by the engine", "from the registry", "while checking"],
)
def test_it_is_refused_whoever_calls(call):
    with pytest.raises(BadInput) as caught:
        call()
    error = caught.value
    assert (error.port, error.expected, error.fix) == ("other", "a toy picture", "draw one")
    assert error.found == "a float32 tensor of shape [2, 2]"


def test_bytes_have_a_fix_of_their_own():
    with pytest.raises(BadInput) as caught:
        look(BYTES)
    assert (caught.value.expected, caught.value.fix) == ("a toy picture, floating point", "divide by 255")


def test_none_is_for_optional_sockets():
    assert look(GOOD, None).out is GOOD
    with pytest.raises(BadInput, match="image: found a NoneType"):
        look(None)


def test_numbered_sockets_and_lists_from_upstream_are_looked_at_one_by_one():
    assert many([GOOD, None]).out[0] is GOOD
    for call in (lambda: many([GOOD, BAD]), lambda: many.spec.run(image_1=GOOD, image_2=BAD)):
        with pytest.raises(BadInput) as caught:
            call()
        assert caught.value.port == "image_2"
    assert behind(GOOD, [GOOD, GOOD]).out == [GOOD, GOOD]
    with pytest.raises(BadInput, match="more"):
        behind(GOOD, [GOOD, BAD])


def test_what_is_partly_known_passes_while_checking():
    assert look.spec.facts({"image": PartlyKnown(), "other": None}, {}) == {}


def test_a_port_of_any_is_not_checked():
    @node("toy.free")
    def free(thing: Annotated[Any, Port("THING")]) -> One:
        return One(thing)

    assert free(BAD).out is BAD


def test_the_message_names_the_node_in_a_workflow(tmp_path):
    @node("toy.give")
    def give() -> One:
        return One(BAD)

    graph = {
        "format": 1,
        "nodes": {"a": {"type": "toy.give"}, "b": {"type": "toy.look", "inputs": {"image": "a.out"}}},
        "outputs": {"out": "b.out"},
    }
    with pytest.raises(inlay.NodeError, match=r"b\.image"):
        inlay.run(graph, nodes=[type("Pack", (), {"give": give, "look": look})], out=tmp_path, cache=False)
