"""What descriptions and checks have to say reaches `inlay check`, `inlay run` once, a host, and else the log."""

import logging
import types

import pytest
from inlay.graph_runtime import node
from inlay.graph_runtime.core.events import Warned
from inlay.graph_runtime.core.notices import collect_notices, notice
from inlay.graph_runtime.front.comfy.node_classes import node_class
from inlay.graph_runtime.front.python import api
from inlay.graph_runtime.front.python import check_loaded as check_loaded_module


@pytest.fixture
def talkative(toys, graph):
    """A description that says something, and a node whose check and run say the same."""
    gives = toys.constant.__annotations__["return"]

    @node("toy.describe", static=True)
    def describe(value: int = 4) -> gives:
        """Describes."""
        notice("the file says 5 as well")
        return (value,)

    @node("toy.use", check=lambda given, settings: notice("spacing is another"))
    def use(a: toys.add.__annotations__["a"]) -> gives:
        """Uses."""
        notice("spacing is another")
        return (a,)

    raw = graph({"d": ("toy.describe", {}), "u": ("toy.use", {}, {"a": "d.value"})}, {"o": "u.value"})
    return types.SimpleNamespace(
        raw=raw,
        nodes=[toys.module, types.SimpleNamespace(d=describe, u=use)],
        use=use,
        said=[Warned("d", "the file says 5 as well"), Warned("u", "spacing is another")],
    )


def test_the_check_says_it(talkative):
    report = api.check(talkative.raw, nodes=talkative.nodes)
    assert (report, report.warnings) == ([], talkative.said)


def test_the_check_says_it_beside_problems(talkative):
    talkative.raw["nodes"]["wrong"] = {"type": "toy.nothing"}
    report = api.check(talkative.raw, nodes=talkative.nodes)
    assert [problem.node for problem in report] == ["wrong"]
    assert report.warnings == talkative.said


def test_a_run_says_it_once_and_before_anything_runs(talkative, tmp_path):
    result = api.run(talkative.raw, nodes=talkative.nodes, out=tmp_path)
    assert [event for event in result.events if isinstance(event, Warned)] == talkative.said
    assert result.events[:2] == talkative.said


def test_the_command_prints_it(capsys, monkeypatch):
    from inlay.graph_runtime.front.cli import main

    report = api.Report([], [Warned("model", "v_pred is not heard")])
    monkeypatch.setattr(check_loaded_module, "check_loaded", lambda *given, **named: report)
    assert main.main(["check", "zero_shot_inpaint"]) == 0
    assert "warning: model: v_pred is not heard" in capsys.readouterr().err
    assert main.main(["check", "zero_shot_inpaint", "--json"]) == 0
    assert '"warnings": [{"node": "model", "message": "v_pred is not heard"}]' in capsys.readouterr().out


def test_another_host_says_it(talkative, caplog):
    with caplog.at_level(logging.WARNING, "inlay"):
        node_class(talkative.use.spec)().execute(a=3)
    assert [record.message for record in caplog.records].count("Toy use (inlay): spacing is another") == 1


def test_with_nobody_listening_it_is_logged(caplog):
    with caplog.at_level(logging.WARNING, "inlay"):
        notice("alone")
    assert "alone" in caplog.text


def test_listening_inside_listening_keeps_them_apart():
    with collect_notices() as outer:
        notice("a")
        with collect_notices() as inner:
            notice("b")
        notice("a")
    assert (outer, inner) == (["a"], ["b"])
