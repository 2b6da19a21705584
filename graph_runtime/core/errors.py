"""All errors, and the exit status of each.

    InlayError
    ├── BadInput          raised by a node or an algorithm about one of its ports; knows no node name
    │   └── ModelError    the files or the family of a model are not what the port needs
    ├── WorkflowError     status 2: the input is wrong, nothing ran; carries every Problem found
    ├── NodeError         status 1: a node failed while running; carries one Problem that names the node
    └── Cancelled         status 130: the user asked to stop

A message always says where, what was found, what was expected and how to fix it.
"""

import re
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from heapq import nsmallest
from itertools import islice
from unicodedata import category

from .events import Warned


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: *where*, *what was found*, *what was expected*, *how to fix it*.

    `label` is how a message names the node where its file calls it otherwise: `12 (Load photo)`.
    """

    node: str | None
    port: str | None
    found: str
    expected: str
    fix: str
    label: str = ""

    @property
    def where(self) -> str:
        """`node.port`, `node`, or `workflow` when the file as a whole is meant."""
        if self.node is None:
            return f"workflow {self.port}" if self.port else "workflow"
        node = self.label or self.node
        return f"{node}.{self.port}" if self.port else node

    def __str__(self) -> str:
        return f"{self.where}: found {self.found}; expected {self.expected}. Fix: {self.fix}"


_SHOWN = 50  # problems that a message lists; `problems` holds all


class InlayError(Exception):
    """Base of every error inlay raises on purpose; `status` is the exit status of the command line."""

    status = 1


class BadInput(InlayError):
    """A value that a node cannot work with. The runtime adds the node's name and makes a Problem of it."""

    def __init__(self, port: str | None, *, found: str, expected: str, fix: str) -> None:
        self.port, self.found, self.expected, self.fix = port, found, expected, fix
        super().__init__(str(self.at(None)))

    def at(self, node: str | None) -> Problem:
        """The same problem with the name of the node it was raised in."""
        return Problem(node, self.port, self.found, self.expected, self.fix)


class ModelError(BadInput):
    """A model whose files are missing, unsafe, or of another family than the port needs."""


class WorkflowError(InlayError):
    """The workflow or the command line is wrong; nothing ran.

    `problems` holds every problem, `warnings` every warning.
    """

    status = 2

    def __init__(self, problems: Iterable[Problem], warnings: Iterable[Warned] = ()) -> None:
        self.problems, self.warnings = list(problems), list(warnings)
        count = len(self.problems)
        lines = [
            f"  {p.where}\n    found     {p.found}\n    expected  {p.expected}\n    fix       {p.fix}"
            for p in self.problems[:_SHOWN]
        ]
        if count > _SHOWN:
            lines.append(f"  … and {count - _SHOWN} more")
        super().__init__(f"{count} problem{'s' if count != 1 else ''}, nothing was run\n" + "\n".join(lines))

    @classmethod
    def of(cls, port: str | None, *, found: str, expected: str, fix: str) -> "WorkflowError":
        """One problem of the workflow as a whole, or of the command line."""
        return cls([Problem(None, port, found, expected, fix)])


class NodeError(InlayError):
    """A node failed while it ran. `problem` names it; the original exception is `__cause__`."""

    def __init__(self, problem: Problem, node_type: str = "") -> None:
        self.problem, self.node_type = problem, node_type
        kind = f" ({node_type})" if node_type else ""
        super().__init__(
            f"node {problem.where}{kind} failed\n    found     {problem.found}\n"
            f"    expected  {problem.expected}\n    fix       {problem.fix}"
        )


class Cancelled(InlayError):
    """The user asked to stop; nothing half-written is left behind."""

    status = 130


#: Packages whose name on the index is another than that of their module.
_DISTRIBUTIONS = {"PIL": "pillow", "cv2": "opencv-python", "yaml": "pyyaml", "sklearn": "scikit-learn"}
_NO_MODULE = re.compile(r"No module named '([\w.]+)'")


def missing_package(error: BaseException) -> tuple[str, str, str] | None:
    """Found, expected and fix, if the cause of an error is a package that is not installed; else None."""
    seen: set[int] = set()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        match = _NO_MODULE.search(str(cause)) if isinstance(cause, (ImportError, RuntimeError)) else None
        name = (getattr(cause, "name", None) if isinstance(cause, ModuleNotFoundError) else None) or (
            match and match[1]
        )
        top = str(name or "").split(".")[0]
        if top and top != __package__.split(".")[0]:
            package = _DISTRIBUTIONS.get(top, top)
            return (
                f"the Python package {package!r} is not installed here, or a part of it ({name}) is missing",
                "every package that inlay needs, in the same environment",
                f"{sys.executable or 'python'} -m pip install {package}",
            )
        cause = cause.__cause__ or cause.__context__
    return None


_COMPARED = 200  # names compared with a misspelt one: comparing takes time, and an untrusted file may hold thousands
_SORTED = 2000  # names looked at


_KEPT = "\n\t\u200c\u200d"  # of control characters; Persian names and emoji need the last two


def clean(text: str) -> str:
    """Untrusted text made safe for a terminal: no control characters but tab, newline and the joiners of letters."""
    return "".join(letter if letter in _KEPT or not category(letter).startswith("C") else "�" for letter in text)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint for a misspelt name: `did you mean 'steps'?`, or the known names when none is close."""
    known = known if isinstance(known, Collection) else list(known)
    names = sorted(known if len(known) <= _SORTED else islice(known, _SORTED))
    alike = [name for name in names if abs(len(name) - len(word)) <= 4] if len(word) <= 64 else []
    likely = nsmallest(_COMPARED, alike, key=lambda name: abs(len(name) - len(word)))
    near = get_close_matches(word, likely, n=1, cutoff=0.6)
    if near:
        return f"did you mean '{near[0]}'?"
    if not names:
        return "there are none to choose from"
    shown = ", ".join(name[:60] for name in names[:12]) + (f", … ({len(known)} in all)" if len(names) > 12 else "")
    return f"choose one of: {shown}"


def shorten(value: object, limit: int = 80) -> str:
    """`repr` cut to a readable length, for messages that quote anything; no more of it is made than is shown."""
    text = ""
    for piece in _pieces(value, limit):
        text += piece
        if len(text) > limit:
            return text[: limit - 1] + "…"
    return text


def _pieces(value: object, limit: int) -> Iterator[str]:
    """The parts of a `repr`, in order; of texts, as many characters as can be shown."""
    if type(value) is str:
        yield repr(value[: limit + 1])
    elif type(value) is list:
        for number, item in enumerate(value):
            yield ", " if number else "["
            yield from _pieces(item, limit)
        yield "]" if value else "[]"
    elif type(value) is dict:
        for number, (key, item) in enumerate(value.items()):
            yield ", " if number else "{"
            yield from _pieces(key, limit)
            yield ": "
            yield from _pieces(item, limit)
        yield "}" if value else "{}"
    else:
        try:
            yield repr(value)
        except Exception:  # noqa: BLE001 - of a caller's object
            big = isinstance(value, int)  # Python writes no number of more than 4300 digits
            yield "an integer of thousands of digits" if big else f"a {type(value).__name__} that cannot be shown"


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, at most 300 characters."""
    text = str(error).strip().splitlines()
    return (text[0] if text else type(error).__name__)[:300]
