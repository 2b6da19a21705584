"""The findings of a check: problems stop a run, warnings are shown before it."""

from collections.abc import Iterable

from ..bounded import limits
from ..errors import Problem, WorkflowError, did_you_mean
from ..events import Warned

_SUGGESTED = 10  # problems with a suggested name: comparing takes time, and a hostile file may have thousands


class Findings:
    """Problems and warnings in the order in which they were found."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.warnings: list[Warned] = []

    def add(self, node: str | None, port: str | None, found: str, expected: str, fix: str) -> None:
        """Note one problem."""
        self.note(Problem(node, port, found, expected, fix))

    def note(self, problem: Problem) -> None:
        """Note one problem; at the limit, the check ends.

        Raises:
            WorkflowError: there are as many problems as are listed.
        """
        self.problems.append(problem)
        if len(self.problems) >= limits.PROBLEMS:
            rest = Problem(None, None, f"{limits.PROBLEMS:,} problems, and perhaps more", "fewer", "mend these first")
            raise WorkflowError([*self.problems, rest], self.warnings)

    def warn(self, node: str, messages: Iterable[str]) -> None:
        """Note warnings about a node, up to a limit."""
        for message in messages:
            if len(self.warnings) < limits.PROBLEMS:
                self.warnings.append(Warned(node, message))

    def suggest(self, word: str, known: Iterable[str]) -> str:
        """A hint with a similar name, for the first problems only."""
        return did_you_mean(word, known) if len(self.problems) < _SUGGESTED else "see the file's other names"


class Report(list[Problem]):
    """What `inlay.check` returns: a list of problems (empty if there are none) with an attribute `warnings`."""

    def __init__(self, problems: Iterable[Problem] = (), warnings: Iterable[Warned] = ()) -> None:
        super().__init__(problems)
        self.warnings = list(warnings)

    def take(self, error: WorkflowError) -> None:
        """Add the problems of an error, each once, and its warnings."""
        self[:] = dict.fromkeys([*self, *error.problems])
        self.warnings[:] = dict.fromkeys([*self.warnings, *error.warnings])
