"""A name that stands for many workflows: a person's options choose which, and expanding makes it.

The engine runs plain graphs and knows no branches. Whoever offers a choice (of a method, of a number of variations)
expands it into a plain workflow first, and that is what a saved picture carries.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Literal

from .errors import Problem

Kind = Literal["text", "integer", "number", "switch", "choice", "file", "model"]
Value = str | int | float | bool | None


@dataclass(frozen=True)
class Option:
    """What a person may ask for.

    Attributes:
        name: of the flag, and of the argument in Python.
        kind: what its value is; `file` and `model` are paths of the person who asks.
        doc: one sentence for `--help`.
        group: the heading under which help lists it.
        default: None where it follows from the others.
        choices: of a choice.
        minimum: of a number.
        maximum: of a number.
        shown: what help shows in place of the value.
        socket: of a file, the type of the socket that takes its place in a node editor.
    """

    name: str
    kind: Kind
    doc: str
    group: str
    default: Value = None
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    shown: str = ""
    socket: str = ""


@dataclass(frozen=True)
class Expansion:
    """The plain workflow of some options.

    Attributes:
        workflow: the file, as data.
        given: parameters that hold a path of the person who asks.
        notes: what that person should know, one line each.
        problems: what is wrong with the options; the workflow is then made without these.
        undecided: fetches what must be known before the workflow can be chosen, which is then expanded again; None if
            it is chosen. It raises BadInput about a parameter of the node `asked`.
        asked: the node that `undecided` is about.
    """

    workflow: Mapping[str, object]
    given: frozenset[tuple[str, str]] = frozenset()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    undecided: Callable[[], object] | None = None
    asked: str = ""


@dataclass(frozen=True)
class Inside:
    """A workflow that takes the place of a node: without what reads the pictures that links bring, and what saves.

    Attributes:
        workflow: the file, as data.
        sockets: `node.socket` for each place that the link of an option leads to.
        pictures: the links that the node gave, one for each variation.
        problems: what is wrong with the options.
    """

    workflow: Mapping[str, object]
    sockets: Mapping[str, tuple[str, ...]]
    pictures: tuple[str, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class Expander:
    """Makes plain workflows from options. Reading its facts imports no library.

    Attributes:
        title: what it is for, in a few words.
        description: for `--help`.
        options: in the order in which help lists them.
        words: options that the command takes as plain words, in this order.
        examples: command lines, each with what it does.
        expand: from options by name (a text stands for any value, as on a command line) to the plain workflow.
        inside: the same in the place of a node, from options by name and the names of those that links bring.
    """

    title: str
    description: str
    options: tuple[Option, ...]
    words: tuple[str, ...]
    examples: tuple[tuple[str, str], ...]
    expand: Callable[[Mapping[str, object]], Expansion]
    inside: Callable[[Mapping[str, object], Set[str]], Inside]
