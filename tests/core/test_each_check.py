"""Each check by its name: a workflow in which it, and no other check, reports a problem."""

import pytest
from inlay.graph_runtime import WorkflowError
from inlay.graph_runtime.core.check import links, workflow
from inlay.graph_runtime.core.check.interface import INPUT_CHECKS, OUTPUT_CHECKS
from inlay.graph_runtime.core.check.links import LINK_CHECKS
from inlay.graph_runtime.core.check.nodes import NODE_CHECKS
from inlay.graph_runtime.core.run.plan import make_plan
from inlay.graph_runtime.core.workflow import build

ONE = {"c": ("toy.constant",)}
OUT = {"o": "c.value"}
SPELT = {**ONE, "s": ("toy.spell", {}, {"a": "c.value"})}


def add(link, socket="a"):
    return {**ONE, "a": ("toy.add", {}, {"a": "c.value", socket: link})}


#: By check: nodes, outputs, inputs; then where, what was found, the fix.
CASES = {
    "nodes_are_there": (({}, {}, {}), "workflow nodes", "no nodes", "add a node"),
    "name_is_plain": (({"c-d": ("toy.constant",), **ONE}, OUT, {}), "workflow nodes", "'c-d'", "rename"),
    "type_is_known": (({"b": ("toy.nope",), **ONE}, OUT, {}), "b", "unknown node type 'toy.nope'", "Or install"),
    "version_is_not_newer": (({"c": ("toy.constant", {}, {}, 2)}, OUT, {}), "c.version", "version 2", "update inlay"),
    "older_version_migrates": (({"c": ("toy.stuck", {}, {}, 1)}, OUT, {}), "c.version", "version 1", "no migration"),
    "settings_are_valid": (({"c": ("toy.constant", {"value": "x"})}, OUT, {}), "c.value", "'x'", "change 'value'"),
    "files_can_be_read": (
        ({**ONE, "r": ("toy.read", {"path": "gone.txt"})}, OUT, {"file": "r.path"}),
        "r.path",
        "no such file: 'gone.txt'",
        "set it with --file",
    ),
    "prefix_stays_inside": (
        ({**SPELT, "w": ("toy.write", {"prefix": "../x"}, {"word": "s.word"})}, OUT, {}),
        "w.prefix",
        "'../x'",
        "plain name",
    ),
    "socket_is_known": ((add("c.value", "bb"), OUT, {}), "a.bb", "unknown socket 'bb'", "'b'"),
    "socket_has_one_link": ((add(["c.value", "c.value"]), OUT, {}), "a.a", "2 links to one socket", "one of them"),
    "link_names_an_output": ((add("c"), OUT, {}), "a.a", "'c'", "a dot"),
    "source_exists": ((add("d.value"), OUT, {}), "a.a", "a missing node 'd'", "c"),
    "output_exists": ((add("c.valeu"), OUT, {}), "a.a", "has no output 'valeu'", "'value'"),
    "types_match": (
        ({**add("s.word"), "s": ("toy.spell", {}, {"a": "c.value"})}, OUT, {}),
        "a.a",
        "s.word of type WORD",
        "connect one of: c.value",
    ),
    "required_sockets_are_wired": (({**ONE, "a": ("toy.add",)}, OUT, {}), "a.a", "nothing connected", "c.value"),
    "input_can_be_a_flag": ((ONE, OUT, {"json": "c.value"}), "workflow inputs.json", "'json'", "rename it"),
    "input_has_a_target": ((ONE, OUT, {"n": []}), "workflow inputs.n", "no target", "setting that it sets"),
    "input_targets_exist": ((ONE, OUT, {"n": "c.valeu"}), "workflow inputs.n", "no such setting", "'value'"),
    "output_name_is_plain": ((ONE, {"o-p": "c.value"}, {}), "workflow outputs", "'o-p'", "rename it"),
    "output_source_exists": ((ONE, {"o": "d.value"}, {}), "workflow outputs.o", "a missing node 'd'", "c"),
    "something_comes_out": ((ONE, {}, {}), "workflow outputs", "no outputs", "name an output"),
    "no_cycle": ((add("a.value"), OUT, {}), "a", "a cycle: a → a", "remove one"),
}
#: That there is a link at all is what `LINK_CHECKS` look at, one by one.
REPORTS_NOTHING = {"links_fit"}


@pytest.fixture
def reports(monkeypatch):
    """(check, problem) for every problem that a check reports."""
    found = []

    def watched(check):
        def call(draft, *rest):
            before = len(draft.found.problems)
            result = check(draft, *rest)
            known = [problem for _, problem in found]
            found.extend((check.__name__, one) for one in draft.found.problems[before:] if one not in known)
            return result

        return call

    for name in ("NODE_CHECKS", "LINKS_OF_A_NODE", "INPUT_CHECKS", "OUTPUT_CHECKS"):
        monkeypatch.setattr(workflow, name, tuple(map(watched, getattr(workflow, name))))
    for name in ("nodes_are_there", "something_comes_out", "no_cycle"):
        monkeypatch.setattr(workflow, name, watched(getattr(workflow, name)))
    monkeypatch.setattr(links, "LINK_CHECKS", tuple(map(watched, LINK_CHECKS)))
    return found


@pytest.mark.parametrize("check", CASES)
def test_a_check_reports_its_problem_and_no_other_check_does(check, toys, graph, reports, tmp_path):
    (nodes, outputs, inputs), where, found, fix = CASES[check]
    raw = graph(nodes, outputs, inputs=inputs)
    for name, (_, *rest) in nodes.items():
        if len(rest) > 2:
            raw["nodes"][name]["version"] = rest[2]
    with pytest.raises(WorkflowError) as error:
        make_plan(build(raw), toys.registry, roots=[tmp_path])
    ((reporter, problem),) = reports
    assert error.value.problems == [problem]
    assert reporter == check
    assert problem.where == where
    assert found in problem.found
    assert fix in problem.fix
    assert problem.expected


def test_every_check_has_a_case():
    every = [*NODE_CHECKS, *workflow.LINKS_OF_A_NODE, *LINK_CHECKS, *INPUT_CHECKS, *OUTPUT_CHECKS]
    every += [workflow.nodes_are_there, workflow.something_comes_out, workflow.no_cycle]
    assert {check.__name__ for check in every} == set(CASES) | REPORTS_NOTHING
    assert all(check.__doc__ for check in every)
