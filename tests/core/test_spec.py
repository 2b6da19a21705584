"""One definition gives everything: sockets, settings, outputs, docs."""

from typing import Annotated, Any, NamedTuple

import pytest
from inlay.graph_runtime import Context, NodeSettings, Port, ReadPath, Registry, Repeat, node
from pydantic import Field, ValidationError

Thing = Annotated[Any, Port("THING", "a thing")]


class Out(NamedTuple):
    thing: Thing


def test_parameters_are_sorted_into_sockets_settings_and_context(toys):
    spec = toys.add.spec
    assert {name: socket.optional for name, socket in spec.sockets.items()} == {"a": False, "b": True}
    assert list(spec.params.model_fields) == ["plus"]
    assert {name: port.socket for name, port in spec.outputs.items()} == {"value": "NUMBER"}
    assert toys.slow.spec.context == "ctx"
    assert toys.read.spec.path_roles["path"].kind == "file"


def test_the_function_stays_a_plain_function(toys):
    assert toys.add(a=1, b=2, plus=3) == (6,)


def test_docs_come_from_the_docstring(toys):
    assert toys.constant.spec.summary == "Gives a number."
    assert toys.constant.spec.docs.parameters == {"value": "the number itself.", "kind": "decoration."}


def test_descriptions_reach_the_json_schema_and_the_sockets(toys):
    properties = toys.constant.spec.params.model_json_schema()["properties"]
    assert {name: entry["description"] for name, entry in properties.items()} == {
        "value": "the number itself.",
        "kind": "decoration.",
    }

    @node("x.y")
    def function(a: Thing, b: Thing, many: Annotated[list[str], Repeat("text", 1, 2)]) -> Out:
        """Take them.

        More of it.

        Args:
            a: the first of
                two things.
            many: one of many.

        Raises:
            BadInput: they
                do not fit.
            ModelError: nothing there.
        """
        return Out(a)

    spec = function.spec
    assert (spec.summary, spec.docs.description) == ("Take them.", "More of it.")
    assert {name: socket.doc for name, socket in spec.sockets.items()} == {
        "a": "the first of two things.",
        "b": "a thing",
    }
    assert [entry["description"] for entry in spec.params.model_json_schema()["properties"].values()] == [
        "one of many."
    ] * 2
    assert spec.docs.errors == "BadInput: they do not fit.\nModelError: nothing there."


def test_repeated_sockets_fold_into_lists_and_keep_their_numbers(toys):
    spec = toys.total.spec
    assert [name for name, socket in spec.sockets.items() if not socket.optional] == ["number_1", "number_2"]
    assert list(spec.sockets) == [f"number_{i}" for i in range(1, 5)]
    found = spec.run(number_1=1, number_2=2, number_4=4, label_1="a", label_2="", label_3="", label_4="d")
    assert found == ("7:a,,,d:4",)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: node("Bad.Id"), "must look like"),
        (lambda: node("x.y")(lambda a: None), "no annotation|return annotation"),
    ],
)
def test_a_definition_that_cannot_be_a_node_is_refused(make, message):
    with pytest.raises(TypeError, match=message):
        make()


def test_an_output_without_a_port_is_refused():
    class Bare(NamedTuple):
        x: int

    def function(a: int = 0) -> Bare:
        return Bare(a)

    with pytest.raises(TypeError, match="'x' carries no Port"):
        node("x.y")(function)


def test_two_nodes_under_one_id_are_refused():
    @node("x.y")
    def first() -> Out:
        return Out(1)

    @node("x.y")
    def second() -> Out:
        return Out(2)

    registry = Registry([first.spec, first.spec])
    with pytest.raises(ValueError, match="defined twice"):
        registry.add(second.spec)


def _helper(value):
    return value


def test_the_digest_follows_the_code_behind_a_node(monkeypatch):
    def make(constant, default=0):
        @node("x.y")
        def function(ctx: Context, extra: int = default) -> Out:
            return Out(_helper(constant))

        return function.spec.digest

    assert make(1) == make(1)
    assert make(1) != make(2)  # a closure
    assert make(1) != make(1, default=5)
    before = make(1)
    replaced = lambda value: value + 1  # noqa: E731
    monkeypatch.setitem(globals(), "_helper", replaced)  # a helper of the same module
    assert make(1) != before


def test_repeat_names():
    assert Repeat("image", 2, 3).names() == ["image_1", "image_2", "image_3"]


def test_an_optional_socket_needs_no_default():
    @node("x.y")
    def function(a: Thing | None) -> Out:
        return Out(a)

    assert function.spec.run() == (None,)
    assert function.spec.run(a=1) == (1,)


class Shared(NodeSettings):
    """Settings that nodes have in common.

    Attributes:
        size: of both.
        seed: of everything random.
    """

    size: Annotated[int, Field(ge=1)] = 4
    seed: int = 0


class Own(Shared):
    """Settings of one node.

    Attributes:
        seed: random seed.
        path: what is read.
    """

    ORDER = ("path", "size", "seed")
    path: ReadPath


def _with_settings():
    @node("x.y")
    def function(thing: Thing, settings: Own, ctx: Context | None = None) -> Out:
        """Holds its settings.

        Args:
            thing: any.
        """
        return Out((thing, settings))

    return function


def test_a_settings_model_stands_for_its_fields():
    spec = _with_settings().spec
    assert list(spec.params.model_fields) == ["path", "size", "seed"]
    assert spec.params.model_json_schema()["properties"]["size"] == {
        "default": 4,
        "description": "of both.",
        "minimum": 1,
        "title": "Size",
        "type": "integer",
    }
    assert spec.path_roles["path"].kind == "file"
    assert spec.context == "ctx"
    docs = {"thing": "any.", "path": "what is read.", "size": "of both.", "seed": "random seed."}
    assert spec.docs.parameters == docs


def test_settings_by_name_become_the_model_in_python_and_in_a_run():
    function = _with_settings()
    wanted = Own(path="a", size=9)
    assert function(1, path="a", size=9) == function.spec.run(thing=1, path="a", size=9) == ((1, wanted),)
    assert function(1, settings=wanted) == function.spec.function(1, path="a", size=9) == ((1, wanted),)
    assert list(wanted.values().items()) == [("path", "a"), ("size", 9), ("seed", 0)]
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        function(1, path="a", size=0)
    with pytest.raises(TypeError, match="sizes"):
        function(1, path="a", sizes=1)


def test_an_order_names_every_setting_once():
    class Forgetful(Shared):
        ORDER = ("size",)

    def function(settings: Forgetful) -> Out:
        return Out(settings)

    with pytest.raises(TypeError, match="Forgetful"):
        node("x.y")(function)
