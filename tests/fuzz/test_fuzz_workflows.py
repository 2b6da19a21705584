"""Workflows as hypothesis spoils them, with the harness's grammar and mutations; it shrinks what it finds."""

import warnings

import inlay
import pytest
from fuzzing import targets
from fuzzing.case import Case, Plan
from fuzzing.workflow_cases import as_python
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

SMALL = ("many", "huge", "double", "path", "folder")


def plans(target):
    names = [name for name in targets.TARGETS[target].mutations if name not in SMALL]
    mutation = st.tuples(st.sampled_from(names), st.integers(0, 2**32 - 1))
    return st.builds(
        lambda base, mutations: Plan(target, base, tuple(mutations)),
        st.integers(0, 2**32 - 1),
        st.lists(mutation, max_size=4),
    )


def ask(case: Case, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if case.door == "dict":
            return inlay.check(as_python(case.files[case.source]), out=folder / "out")
        (folder / case.source).write_bytes(case.files[case.source])
        return inlay.check(folder / case.source, out=folder / "out")


@pytest.mark.parametrize("target", ["workflow", "dict"])
def test_check_lists_problems_whatever_it_is_given(target, tmp_path_factory):
    folder = tmp_path_factory.mktemp("job")

    @settings(max_examples=150, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(plans(target))
    def holds(plan):
        report = ask(targets.build(plan), folder)
        assert isinstance(report, list)
        for problem in report:
            assert isinstance(problem, inlay.Problem)
            assert problem.found
            assert problem.expected
            assert problem.fix
            assert "bug" not in str(problem)

    holds()
