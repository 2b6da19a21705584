"""A workflow file is data from a stranger: everything that can be wrong with the bytes."""

import json

import pytest
from inlay.graph_runtime import WorkflowError
from inlay.graph_runtime.core import workflow
from inlay.graph_runtime.core.bounded.json_text import decode
from inlay.graph_runtime.core.workflow import build, json_schema, parse

SMALL = '{"format": 1, "nodes": {"a": {"type": "x.y"}}}'


def test_round_trip():
    first = parse(SMALL)
    assert parse(first.to_json()) == first
    assert json.loads(first.to_json())["format"] == 1


@pytest.mark.parametrize(
    ("data", "found", "fix"),
    [
        (SMALL[:-5], "line 1", "cut off"),
        (b"\x89PNG\r\n\x1a\n\xff", "not UTF-8", "picture"),
        (b" " * (50 * 2**20), "50 MiB", "pictures in separate files"),
        ("[" * 10_000 + "]" * 10_000, "more than 64 levels", "flatten"),
        ('{"a":' * 10_000 + "1" + "}" * 10_000, "more than 64 levels", "flatten"),
        ("[" * 5_000, "more than 64 levels", "flatten"),
        ('{"format": 1, "nodes": {"a": {"type": "x.y", "inputs": {"i": "b.o", "i": "c.o"}}}}', "'i' twice", "once"),
        ('{"format": 1, "nodes": {"a": {"type": "x.y"}, "a": {"type": "x.y"}}}', "'a' twice", "once"),
        ('{"format": NaN}', "NaN", "finite"),
        ('{"format": -Infinity}', "Infinity", "finite"),
        ("1" * 5000, "", "finite"),
        ("", "line 1", "cut off"),
    ],
)
def test_broken_bytes_are_refused_with_a_reason(data, found, fix):
    with pytest.raises(WorkflowError) as caught:
        decode(data, "w.json")
    problem = caught.value.problems[0]
    assert found in problem.found
    assert fix in problem.fix


def test_brackets_inside_strings_are_no_nesting():
    assert decode(json.dumps({"a": "[" * 1000 + '"\\'})) == {"a": "[" * 1000 + '"\\'}


@pytest.mark.parametrize(
    ("raw", "where", "found"),
    [
        ([], "workflow", "list"),
        ({"nodes": {}}, "workflow format", "None"),
        ({"format": 99, "nodes": {}}, "workflow format", "format 99"),
        ({"format": "1", "nodes": {}}, "workflow format", "'1'"),
        ({"format": True, "nodes": {}}, "workflow format", "True"),
        ({"format": 1}, "workflow nodes", "nothing"),
        ({"format": 1, "nodes": {}, "ouputs": {}}, "workflow ouputs", "unknown key 'ouputs'"),
        ({"format": 1, "nodes": {"a": {"type": "x", "parms": {}}}}, "a.parms", "unknown key 'parms'"),
        ({"format": 1, "nodes": {"a": {"type": 3}}}, "a.type", "3"),
        ({"format": 1, "nodes": {"a": []}}, "a", "[]"),
        ({"1": {"class_type": "KSampler", "inputs": {}}}, "workflow", "ComfyUI"),
    ],
)
def test_wrong_shapes_are_refused_with_a_place(raw, where, found):
    with pytest.raises(WorkflowError) as caught:
        build(raw)
    problem = caught.value.problems[0]
    assert problem.where == where
    assert found in problem.found
    assert problem.fix


def test_a_misspelt_key_gets_a_suggestion():
    with pytest.raises(WorkflowError) as caught:
        build({"format": 1, "nodes": {}, "ouputs": {}})
    assert "'outputs'" in caught.value.problems[0].fix


def test_old_formats_migrate_step_by_step(monkeypatch):
    monkeypatch.setattr(workflow, "FORMAT", 3)
    monkeypatch.setattr(
        workflow,
        "MIGRATIONS",
        {
            1: lambda raw: {"title": raw.pop("name"), **raw, "format": 2},
            2: lambda raw: {**raw, "format": 3, "title": raw["title"].upper()},
        },
    )
    assert build({"format": 1, "name": "old", "nodes": {}}).title == "OLD"


def test_every_format_before_the_current_one_has_a_migration():
    assert sorted(workflow.MIGRATIONS) == list(range(1, workflow.FORMAT))


def test_the_schema_names_every_key():
    schema = json_schema()
    assert set(schema["properties"]) == {"format", "title", "description", "inputs", "nodes", "outputs", "ui"}
    assert schema["properties"]["format"]["const"] == 1


@pytest.mark.parametrize("text", ['"' + '\\"' * 200_000, '"' + '\\"' * 200_000 + "\\", '{"x": 1e999}'])
def test_hostile_text_is_refused_quickly(text):
    import time

    began = time.process_time()
    with pytest.raises(WorkflowError):
        decode(text)
    assert time.process_time() - began < 2  # quadratic time would be hours
