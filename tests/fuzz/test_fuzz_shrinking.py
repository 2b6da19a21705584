"""A finding is made small, and stays a finding."""

import json

from fuzzing import targets
from fuzzing.case import Case, Plan
from fuzzing.shrink import Shrinker


def test_a_file_loses_all_that_the_finding_does_not_need():
    tree = {"nodes": {f"n{number}": {"type": "x", "params": {"a": [1, 2, {"bad": 7}]}} for number in range(40)}, "z": 1}
    case = Case("check", "w.json", folder="*", files={"w.json": json.dumps(tree).encode(), "other": b"x" * 9})
    small = Shrinker(lambda one: b'"bad"' in one.files.get("w.json", b"")).case(case)
    assert small.folder == "job"
    assert list(small.files) == ["w.json"]
    assert len(small.files["w.json"]) < 80
    assert b'"bad"' in small.files["w.json"]


def test_bytes_are_cut_to_what_matters():
    case = Case("check", "w.bin", files={"w.bin": bytes(3000) + b"BAD" + bytes(500)})
    assert Shrinker(lambda one: b"BAD" in one.files.get("w.bin", b"")).case(case).files["w.bin"] == b"BAD"


def test_words_go_one_by_one():
    case = Case("words", words=["run", "x", "--json", "--bad", "y"])
    assert Shrinker(lambda one: "--bad" in one.words).case(case).words == ["--bad"]


def test_a_plan_keeps_only_the_mutations_that_are_needed():
    plan = Plan("workflow", 5, (("drop", 1), ("path", 2), ("add", 3), ("cut", 4)))
    needed = targets.build(Plan("workflow", 5, (("add", 3),)))
    assert Shrinker(lambda case: case.files == needed.files).plan(plan).mutations == plan.mutations  # nothing smaller
    small = Shrinker(lambda case: len(case.files["w.json"]) > 10).plan(plan)
    assert small.mutations == ()
