"""The checker: every problem at once, each with where, found, expected, fix."""

from typing import Annotated, NamedTuple

import pytest
from inlay.graph_runtime import BadInput, Port, Registry, WorkflowError, node
from inlay.graph_runtime.core.bounded import limits
from inlay.graph_runtime.core.run.plan import make_plan
from inlay.graph_runtime.core.workflow import build
from inlay.graph_runtime.front.python.load_workflow import load


def problems(raw, registry, **more):
    try:
        make_plan(build(raw), registry, **more)
    except WorkflowError as error:
        return error.problems
    return []


CASES = {
    "unknown type": ({"a": ("toy.constnat",)}, {"o": "a.value"}, "a", "toy.constnat", "'toy.constant'"),
    "missing input": ({"a": ("toy.add",)}, {"o": "a.value"}, "a.a", "nothing connected", "toy.constant"),
    "unknown socket": (
        {"c": ("toy.constant",), "a": ("toy.add", {}, {"a": "c.value", "bb": "c.value"})},
        {"o": "a.value"},
        "a.bb",
        "unknown socket",
        "'b'",
    ),
    "setting wired as a socket": (
        {"c": ("toy.constant",), "a": ("toy.add", {}, {"a": "c.value", "plus": "c.value"})},
        {"o": "a.value"},
        "a.plus",
        "unknown socket",
        "params",
    ),
    "socket set as a setting": ({"a": ("toy.add", {"b": 3})}, {"o": "a.value"}, "a.b", "unknown setting", "inputs"),
    "wrong port type": (
        {"c": ("toy.constant",), "s": ("toy.spell", {}, {"a": "c.value"}), "a": ("toy.add", {}, {"a": "s.word"})},
        {"o": "a.value"},
        "a.a",
        "WORD",
        "c.value",
    ),
    "bad parameter": ({"c": ("toy.constant", {"value": "x"})}, {"o": "c.value"}, "c.value", "'x'", "value"),
    "out of bounds": (
        {"c": ("toy.constant",), "a": ("toy.add", {"plus": 10}, {"a": "c.value"})},
        {"o": "a.value"},
        "a.plus",
        "10",
        "plus",
    ),
    "not a choice": ({"c": ("toy.constant", {"kind": "posh"})}, {"o": "c.value"}, "c.kind", "posh", "kind"),
    "a true is no number": ({"c": ("toy.constant", {"value": True})}, {"o": "c.value"}, "c.value", "True", "value"),
    "misspelt parameter": ({"c": ("toy.constant", {"vlaue": 1})}, {"o": "c.value"}, "c.vlaue", "unknown", "'value'"),
    "two edges": (
        {"c": ("toy.constant",), "a": ("toy.add", {}, {"a": ["c.value", "c.value"]})},
        {"o": "a.value"},
        "a.a",
        "2 links",
        "one of them",
    ),
    "dangling link": (
        {"cat": ("toy.constant",), "a": ("toy.add", {}, {"a": "cta.value"})},
        {"o": "a.value"},
        "a.a",
        "'cta'",
        "'cat'",
    ),
    "no such output": (
        {"c": ("toy.constant",), "a": ("toy.add", {}, {"a": "c.valu"})},
        {"o": "a.value"},
        "a.a",
        "no output 'valu'",
        "'value'",
    ),
    "not a link": ({"c": ("toy.constant",), "a": ("toy.add", {}, {"a": 3})}, {"o": "a.value"}, "a.a", "3", "dot"),
    "cycle": (
        {"a": ("toy.add", {}, {"a": "b.value"}), "b": ("toy.add", {}, {"a": "a.value"})},
        {"o": "a.value"},
        "b",
        "cycle",
        "remove",
    ),
    "unreachable output": ({"c": ("toy.constant",)}, {"o": "d.value"}, "workflow outputs.o", "'d'", "c"),
    "output without such a field": ({"c": ("toy.constant",)}, {"o": "c.vale"}, "workflow outputs.o", "vale", "value"),
    "nothing to do": ({"c": ("toy.constant",)}, {}, "workflow outputs", "no outputs", "a node that saves"),
}


@pytest.mark.parametrize("case", CASES)
def test_each_problem_says_where_what_and_how(case, toys, graph):
    nodes, outputs, where, found, fix = CASES[case]
    found_problems = [p for p in problems(graph(nodes, outputs), toys.registry) if p.where == where]
    assert found_problems, problems(graph(nodes, outputs), toys.registry)
    problem = found_problems[0]
    assert found in problem.found
    assert fix in problem.fix
    assert problem.expected


def test_all_problems_come_at_once(toys, graph):
    raw = graph(
        {
            "a": ("toy.add",),
            "b": ("toy.nope",),
            "c": ("toy.constant", {"value": "x", "z": 1}),
            "d": ("toy.add", {}, {"a": "gone.value"}),
        },
        {"o": "a.value", "p": "nowhere.value"},
    )
    where = {problem.where for problem in problems(raw, toys.registry)}
    assert where == {"a.a", "b", "c.value", "c.z", "d.a", "workflow outputs.p"}


def test_inputs_are_checked(toys, graph):
    raw = graph(
        {"c": ("toy.constant",)},
        {"o": "c.value"},
        inputs={"json": "c.value", "n": "c.valu", "m": ["c.value", "d.x"], "bad-name": "c.value"},
    )
    where = [problem.where for problem in problems(raw, toys.registry)]
    assert sorted(where) == [
        "workflow inputs.bad-name",
        "workflow inputs.json",
        "workflow inputs.m",
        "workflow inputs.n",
    ]


def test_versions_migrate_or_are_refused(toys, graph):
    raw = graph({"n": ("toy.newer", {"n": 4})}, {"o": "n.value"})
    plan = make_plan(build(raw), toys.registry)
    assert plan.steps[0].settings == {"amount": 40}
    assert plan.workflow.nodes["n"].version == 3
    raw["nodes"]["n"] = {"type": "toy.newer", "version": 4}
    assert "newer inlay" in problems(raw, toys.registry)[0].fix


def test_settings_that_were_renamed_are_read_by_their_old_names(toys, graph):
    inputs = {"one": "n.n", "both": ["n.n", "n.count"]}
    flow = build(graph({"n": ("toy.renamed", {"n": 4})}, {"o": "n.value"}, inputs=inputs))
    plan = make_plan(flow, toys.registry)
    assert plan.steps[0].settings == {"amount": 4}
    assert plan.workflow.inputs == {"one": "n.amount", "both": ["n.amount", "n.amount"]}
    assert plan.workflow.nodes["n"].version == 3
    flow = build(graph({"n": ("toy.renamed", {"n": 4, "amount": 5})}, {"o": "n.value"}))
    assert make_plan(flow, toys.registry).steps[0].settings == {"amount": 5}  # the name of today is newer


@pytest.mark.parametrize("name", ["n", "count", "amount"])
def test_a_value_for_a_renamed_setting_may_use_any_of_its_names(toys, graph, name, tmp_path):
    raw = graph({"n": ("toy.renamed", {"n": 4})}, {"o": "n.value"}, inputs={"value": "n.n"})
    for values, settings in (({}, {f"n.{name}": 7}), ({"value": 7}, {})):
        loaded = load(raw, nodes=toys.module, out=tmp_path)
        loaded.set_values(values, settings)
        assert loaded.plan().steps[0].settings == {"amount": 7}
    with pytest.raises(WorkflowError, match="two values: 7 and 8"):
        load(raw, nodes=toys.module, out=tmp_path).set_values({"value": 7}, {f"n.{name}": 8})


def test_a_ring_of_one_is_a_cycle(toys, graph):
    raw = graph({"a": ("toy.add", {}, {"a": "a.value"})}, {"o": "a.value"})
    assert "a → a" in problems(raw, toys.registry)[0].found


def test_static_nodes_and_pairing_checks_run_before_anything_else(toys, graph):
    ran = []

    @node("toy.describe", static=True)
    def describe(channels: int = 4) -> toys.constant.__annotations__["return"]:
        """Describes."""
        if channels < 0:
            raise BadInput("channels", found="a negative number", expected="0 or more", fix="mend it")
        return (channels,)

    def pairing(given, settings):
        if given.get("a") == 9:
            raise BadInput("a", found="9 channels", expected="4", fix="wire another")

    @node("toy.use", check=pairing)
    def use(a: toys.add.__annotations__["a"]) -> toys.constant.__annotations__["return"]:
        """Uses."""
        ran.append(a)
        return (a,)

    registry = Registry([*toys.registry.values(), describe.spec, use.spec])
    raw = graph({"d": ("toy.describe", {"channels": 9}), "u": ("toy.use", {}, {"a": "d.value"})}, {"o": "u.value"})
    assert [p.where for p in problems(raw, registry)] == ["u.a"]
    raw["nodes"]["d"]["params"]["channels"] = -1
    assert [p.where for p in problems(raw, registry)] == ["d.channels"]
    assert not ran


class TestPaths:
    """A path in a file may only point below the file's folder, the input folder, or (safetensors) the output."""

    @pytest.fixture
    def place(self, tmp_path):
        (tmp_path / "in").mkdir()
        (tmp_path / "out").mkdir()
        (tmp_path / "in" / "ok.txt").write_text("ok")
        (tmp_path / "secret.txt").write_text("secret")
        (tmp_path / "in" / "link.txt").symlink_to(tmp_path / "secret.txt")
        (tmp_path / "in" / "folder").symlink_to(tmp_path)
        return tmp_path

    def look(self, place, toys, graph, path, **more):
        raw = graph({"r": ("toy.read", {"path": str(path)})}, {"o": "r.word"})
        return problems(raw, toys.registry, roots=[place / "in"], out=place / "out", **more)

    def test_inside_is_fine(self, place, toys, graph):
        assert self.look(place, toys, graph, "ok.txt") == []
        assert self.look(place, toys, graph, place / "in" / "ok.txt") == []

    @pytest.mark.parametrize(
        "path", ["../secret.txt", "folder/secret.txt", "link.txt", "/etc/hostname", "a/../../secret.txt"]
    )
    def test_outside_is_refused(self, place, toys, graph, path):
        found = self.look(place, toys, graph, path)
        assert [p.where for p in found] == ["r.path"]
        assert "below" in found[0].expected
        assert ("link" in found[0].found) == (path in ("folder/secret.txt", "link.txt"))

    @pytest.mark.parametrize("path", ["", "no\0.txt", "gone.txt", "."])
    def test_what_is_no_file_is_refused(self, place, toys, graph, path):
        assert [p.where for p in self.look(place, toys, graph, path)] == ["r.path"]

    def test_what_the_user_typed_may_lie_anywhere(self, place, toys, graph):
        path = str(place / "secret.txt")
        assert self.look(place, toys, graph, path, trusted={("r", "path"): path}) == []

    def test_safetensors_may_come_from_the_output_folder_later(self, place, toys, graph):
        assert self.look(place, toys, graph, str(place / "out" / "later.safetensors")) == []
        assert self.look(place, toys, graph, str(place / "out" / "later.txt")) != []


def test_a_linked_file_in_a_strangers_model_folder_is_refused(tmp_path, toys, graph):
    from typing import Any

    from inlay.graph_runtime import ModelSource

    @node("toy.model")
    def model(source: ModelSource) -> toys.constant.__annotations__["return"]:
        """A model."""
        return (source,)

    registry: Any = Registry([model.spec])
    (tmp_path / "in" / "m").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (tmp_path / "in" / "m" / "config.json").symlink_to(tmp_path / "secret")
    raw = graph({"m": ("toy.model", {"source": "./m"})}, {"o": "m.value"})
    found = problems(raw, registry, roots=[tmp_path / "in"])
    assert "a link that leads out" in found[0].found
    assert problems(raw, registry, roots=[tmp_path / "in"], trusted={("m", "source"): "./m"})[0].found.startswith(
        "no such"
    )


def test_mistakes_are_listed_up_to_a_limit(toys, graph):
    nodes = {f"node_{i}": ("toy.add", {}, {"a": f"nodf_{i}.value"}) for i in range(3000)}
    found = problems(graph(nodes, {"o": "node_0.value"}), toys.registry)
    assert [problem.node for problem in found] == [*(f"node_{i}" for i in range(limits.PROBLEMS)), None]
    assert "did you mean 'node_" in found[0].fix
    assert "1,000 problems, and perhaps more" in found[-1].found
    assert "and 951 more" in str(WorkflowError(found))


def test_a_node_that_saves_is_named_where_nothing_is_saved(toys, graph):
    Number = Annotated[object, Port("NUMBER", "a number")]

    class Nothing(NamedTuple):
        number: Number

    @node("toy.keep", effects=True, saves="number")
    def keep(number: Number) -> Nothing:
        """Keep it."""
        return Nothing(number)

    registry = Registry([*toys.registry.values(), keep.spec])
    (problem,) = problems(graph({"c": ("toy.constant",)}, {}), registry)
    assert problem.fix.endswith("or add toy.keep")
