"""What `--outpaint` may say."""

import pytest
from inlay.graph_runtime.core.errors import Problem
from inlay.nodes.everyday.outpaint import SIDES, read_outpaint


@pytest.mark.parametrize(
    ("text", "margins"),
    [
        ("30%", [("fraction", dict.fromkeys(SIDES, 0.3))]),
        ("100", [("px", dict.fromkeys(SIDES, 100))]),
        ("left=30%", [("fraction", {"left": 0.3})]),
        ("left=30%, top=100,RIGHT = 20.5%", [("fraction", {"left": 0.3, "right": 0.205}), ("px", {"top": 100})]),
        ("bottom=7px", [("px", {"bottom": 7})]),
        ("300%", [("fraction", dict.fromkeys(SIDES, 3.0))]),
    ],
)
def test_amounts_are_read(text, margins):
    assert read_outpaint(text) == margins


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("0", "above 0"),
        ("0%", "above 0"),
        ("left=0", "above 0"),
        ("1000%", "300"),
        ("99999", "16,384"),
        ("-5", "pixels"),
        ("1.5", "whole"),
        ("lft=3", "did you mean 'left'"),
        ("left", "pixels"),
        ("left=", "pixels"),
        ("=3", "choose one of"),
        ("", "pixels"),
        ("left=3,left=4", "one amount for left"),
        ("left=3,30%", "one amount for left"),
        ("left=3;top=4", "choose one of"),
        ("left=1e3", "pixels"),
        ("left=nan", "pixels"),
    ],
)
def test_anything_else_is_a_problem_with_a_way_out(text, word):
    found = read_outpaint(text)
    assert isinstance(found, Problem)
    assert word in str(found)
    assert "--outpaint" in str(found)
