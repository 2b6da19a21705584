"""SECURITY.md names a test for each promise; each of them is there under that name."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    for line in TEXT.splitlines()
    if line.startswith("| **")
]
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@cache
def functions(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_table_is_a_table():
    assert len(ROWS) >= 8
    assert {len(row) for row in ROWS} == {4}, [row[0] for row in ROWS if len(row) != 4]
    assert len({row[0] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[re.sub(r"\W+", "-", row[0]).strip("-") for row in ROWS])
def test_a_promise_says_what_it_covers_and_what_not_and_which_tests_hold_it(row):
    _, covers, covers_not, tests = row
    assert len(covers) > 20
    assert len(covers_not) > 20
    found = NAMED.findall(tests)
    assert found
    assert not re.sub(r"`tests/[^`]*`|<br>|[\s,;]", "", tests), "only tests, each as `tests/folder/file.py::test_name`"
    missing = [f"{path}::{name}" for path, name in found if name not in functions(path)]
    assert not missing


def test_every_test_that_is_named_anywhere_on_the_page_exists():
    assert not [f"{path}::{name}" for path, name in NAMED.findall(TEXT) if name not in functions(path)]
