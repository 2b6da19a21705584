"""`inlay check` takes the flags of `inlay run`, and finds what they get wrong before anything runs."""

import json

import inlay
import pytest
from inlay.graph_runtime import cli
from inlay.graph_runtime.flags import bind

SHIPPED = "zero_shot_inpaint"


def said(capsys, *words):
    status = cli.main([*words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_check_lists_the_flags_of_the_workflow(capsys):
    assert cli.main(["check", SHIPPED, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"inlay check {SHIPPED}" in shown
    assert "--image FILE" in shown


def test_check_takes_the_inputs_of_the_workflow(capsys, tmp_path):
    status, found = said(capsys, "check", SHIPPED, "--image", str(tmp_path / "none.png"))
    assert status == 2
    assert found["status"] == "error"
    assert [(problem["node"], problem["port"]) for problem in found["problems"]] == [("photo", "path")]
    assert said(capsys, "check", SHIPPED, "--seed", "7") == (0, {"status": "ok", "problems": [], "warnings": []})


@pytest.mark.parametrize(("words", "where"), [
    (["--device", "cdua"], "workflow device"), (["--memory", "6 potatoes"], "workflow memory"),
    (["--set", "photo.pth=a.png"], "photo.pth"), (["--out", "/dev/null/out"], "workflow --out")])
def test_check_looks_at_every_flag(capsys, words, where):
    status, found = said(capsys, "check", SHIPPED, *words)
    assert status == 2
    assert where in [f"{problem['node'] or 'workflow'}{' ' if problem['node'] is None else '.'}{problem['port']}"
                     for problem in found["problems"]]


def test_all_flags_are_looked_at_even_where_the_workflow_is_wrong():
    report = inlay.check({"format": 1, "nodes": {"a": {"type": "no.such"}}}, device="cdua", memory="6 potatoes")
    assert [problem.where for problem in report] == ["a", "workflow device", "workflow memory"]


def test_check_takes_what_run_takes():
    import inspect

    run, check = (set(inspect.signature(function).parameters) for function in (inlay.run, inlay.check))
    assert run == check


def test_a_value_may_begin_with_a_dash(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert bind(["run", "x", "--image", "-room.png", "--quiet", "-h"]) == ["run", "x", "--image=-room.png", "--quiet",
                                                                          "-h"]
    assert bind(["run", "x", "--seed", "-1", "--json", "-x"]) == ["run", "x", "--seed=-1", "--json", "-x"]
    _, found = said(capsys, "check", SHIPPED, "--image", "-hat.png")
    assert found["problems"][0]["node"] == "photo"
    assert "-hat.png" in found["problems"][0]["found"]
