"""Messages for whoever works in a menu: titles in place of node ids, names of widgets in place of flags."""

import re
from dataclasses import replace
from functools import cache

from ...core.errors import Problem
from .node_names import display_name

_ID = re.compile(r"(?<![\w.'\"/\\-])[a-z]+\.[a-z_0-9]+(?![\w'\"/\\]|\.\w)")
_FLAG = re.compile(r"(?<![\w-])--([a-z][a-z_]*)")


def in_menu_words(text: str) -> str:
    """A text with the title of each node that it names by id, and each flag as the widget of that name."""
    titled = _ID.sub(lambda found: f"“{display_name(found[0])}”" if found[0] in _ids() else found[0], text)
    return _FLAG.sub(r"\1", titled)


def problem_in_menu_words(problem: Problem) -> Problem:
    """A problem in those words; what was found stays as it was."""
    return replace(problem, expected=in_menu_words(problem.expected), fix=in_menu_words(problem.fix))


@cache
def _ids() -> frozenset[str]:
    """The ids of all nodes; a message is no place to fail for a broken package of other nodes."""
    from ..installed import pack

    try:
        return frozenset(pack())
    except (ImportError, ValueError):
        return frozenset()
