"""`inlay check` takes the flags of `inlay run`, and finds what they get wrong before anything runs."""

import json

import inlay
import pytest
from inlay.graph_runtime.front.cli import main
from inlay.graph_runtime.front.cli.parser import join_values

SHIPPED = "zero_shot_inpaint"


def said(capsys, *words):
    status = main.main([*words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_check_lists_the_flags_of_the_workflow(capsys):
    assert main.main(["check", SHIPPED, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"inlay check {SHIPPED}" in shown
    assert "--image FILE" in shown


def test_check_takes_the_inputs_of_the_workflow(capsys, tmp_path):
    status, found = said(capsys, "check", SHIPPED, "--image", str(tmp_path / "none.png"))
    assert status == 2
    assert found["status"] == "error"
    assert [(problem["node"], problem["port"]) for problem in found["problems"]] == [("photo", "path")]
    assert said(capsys, "check", SHIPPED, "--seed", "7") == (0, {"status": "ok", "problems": [], "warnings": []})


@pytest.mark.parametrize(
    ("words", "where"),
    [
        (["--device", "cdua"], "workflow device"),
        (["--memory", "6 potatoes"], "workflow memory"),
        (["--set", "photo.pth=a.png"], "photo.pth"),
        (["--out", "/dev/null/out"], "workflow --out"),
        (["--out", "/proc/none/out"], "workflow --out"),
        (["--out", "a\0b"], "workflow --out"),
        (["--inputs", __file__], "workflow inputs"),
    ],
)
def test_check_looks_at_every_flag(capsys, words, where):
    status, found = said(capsys, "check", SHIPPED, *words)
    assert status == 2
    assert where in [
        f"{problem['node'] or 'workflow'}{' ' if problem['node'] is None else '.'}{problem['port']}"
        for problem in found["problems"]
    ]


def test_check_finds_a_disk_without_room(capsys, tmp_path):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))  # the disk takes no byte more
    try:
        status, found = said(capsys, "check", SHIPPED, "--out", str(tmp_path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (status, [problem["port"] for problem in found["problems"]]) == (2, ["--out"])
    assert list(tmp_path.iterdir()) == []
    assert said(capsys, "check", SHIPPED, "--out", str(tmp_path))[0] == 0


def test_a_place_below_the_output_folder_that_cannot_be(capsys, tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "away").symlink_to(tmp_path.parent)
    (tmp_path / "round").symlink_to(tmp_path / "round")
    for prefix in ("file/x", "away/x", "round/x", "/".join(["d" * 100] * 50), "d" * 300 + "/x"):
        status, found = said(capsys, "check", SHIPPED, "--out", str(tmp_path), "--set", f"save.prefix={prefix}")
        assert (status, [(problem["node"], problem["port"]) for problem in found["problems"]]) == (
            2,
            [("save", "prefix")],
        )
    for prefix in ("new/x", "x"):
        assert said(capsys, "check", SHIPPED, "--out", str(tmp_path), "--set", f"save.prefix={prefix}")[0] == 0


@pytest.mark.parametrize("name", ["drawings", "notes.txt"])
def test_what_is_there_and_no_model_is_not_called_missing(capsys, tmp_path, monkeypatch, name):
    (tmp_path / "drawings").mkdir()
    (tmp_path / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    for words in ([SHIPPED, "--source", name], ["subject_lora_inpaint", "--lora", name]):
        _, found = said(capsys, "check", *words)
        assert f"'{name}', which exists but is not a" in found["problems"][0]["found"]
    _, found = said(capsys, "check", SHIPPED, "--source", "none")
    assert "which exists" not in found["problems"][0]["found"]


def test_output_that_nobody_reads_or_nothing_takes(tmp_path):
    import subprocess
    import sys

    for ending, status in ((">&-", 0), (">/dev/full", 1), ("2>&-", 0)):
        done = subprocess.run(
            ["sh", "-c", f'"$0" -m inlay nodes image.load {ending}', sys.executable], capture_output=True, text=True
        )
        assert done.returncode == status
        assert "Traceback" not in done.stderr
        assert "mistake in inlay" not in done.stderr


def test_a_name_that_is_no_utf_8_and_a_file_that_is_utf_16(capsys, tmp_path):
    _, found = said(capsys, "check", SHIPPED, "--image", b"gr\xf6\xdfe.png".decode(errors="surrogateescape"))
    assert "not valid UTF-8" in found["problems"][0]["found"]
    (tmp_path / "flow.json").write_text('{"format": 1, "nodes": {}}', encoding="utf-16")
    _, found = said(capsys, "check", str(tmp_path / "flow.json"))
    assert "UTF-16" in found["problems"][0]["fix"]


def test_all_flags_are_looked_at_even_where_the_workflow_is_wrong():
    report = inlay.check({"format": 1, "nodes": {"a": {"type": "no.such"}}}, device="cdua", memory="6 potatoes")
    assert [problem.where for problem in report] == ["a", "workflow device", "workflow memory"]


def test_check_takes_what_run_takes():
    import inspect

    run, check = (set(inspect.signature(function).parameters) for function in (inlay.run, inlay.check))
    assert run == check


def test_a_value_may_begin_with_a_dash(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert join_values(["run", "x", "--image", "-room.png", "--quiet", "-h"]) == [
        "run",
        "x",
        "--image=-room.png",
        "--quiet",
        "-h",
    ]
    assert join_values(["run", "x", "--seed", "-1", "--json", "-x"]) == ["run", "x", "--seed=-1", "--json", "-x"]
    _, found = said(capsys, "check", SHIPPED, "--image", "-hat.png")
    assert found["problems"][0]["node"] == "photo"
    assert "-hat.png" in found["problems"][0]["found"]
