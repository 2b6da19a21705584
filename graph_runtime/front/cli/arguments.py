"""Read the command line of a workflow: one value for each flag, no setting twice, no stray words."""

import argparse
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, NoReturn

from ...core.errors import WorkflowError
from . import flags
from .parser import SWITCHES

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ..python.load_workflow import LoadedWorkflow

NEAR = 0.8  # a word with dashes that is this similar to a flag is a misspelt flag, not a value


def read_arguments(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    rest: list[str],
    loaded: "LoadedWorkflow",
) -> "tuple[dict[str, JsonValue], dict[str, JsonValue]]":
    """Values of the workflow's own inputs by name, and settings by `node.parameter`.

    Args:
        parser: of the workflow's flags.
        options: the parsed options of the command, and all `words` of the command line.
        rest: the words that the command does not know, for `parser`.
        loaded: the workflow.

    Raises:
        WorkflowError: an unknown flag, a word too many, or a setting that is set twice.
    """
    typed, unknown = parser.parse_known_args(_join_dashed_values(rest, loaded.workflow.inputs))
    if unknown and unknown[0].startswith("-"):
        flags.unknown_flag(unknown, loaded)
    if unknown:
        _refuse_word(unknown[0], options.words)
    values = {
        name: flags.convert(text, flags.target(loaded, name)) for name, text in vars(typed).items() if text is not None
    }
    by_target: dict[str, str] = {}
    for name in values:
        for target in loaded.workflow.targets(name):
            _note(by_target, target, f"--{name} {vars(typed)[name]}")
    settings: dict[str, JsonValue] = {}
    for word in options.set:
        where, value = flags.override(word, loaded)
        _note(by_target, where, f"--set {word}")
        settings[where] = value
    return values, settings


def _note(by_target: dict[str, str], target: str, typed: str) -> None:
    if target in by_target:
        raise WorkflowError.of(
            target,
            found=f"two values: {by_target[target]!r} and {typed!r}",
            expected="one value",
            fix="keep one of them",
        )
    by_target[target] = typed


def _join_dashed_values(rest: Sequence[str], names: Iterable[str]) -> list[str]:
    """Write `--negative --no` as `--negative=--no`: a word with dashes is a value unless it is similar to a flag."""
    known = {f"--{form}" for name in names for form in (name, name.replace("_", "-"))}
    joined: list[str] = []
    for word in rest:
        flag = word.partition("=")[0]
        if (
            joined
            and joined[-1] in known
            and word.startswith("--")
            and flag not in known
            and not get_close_matches(flag, known, n=1, cutoff=NEAR)
        ):
            joined[-1] = f"{joined[-1]}={word}"
        else:
            joined.append(word)
    return joined


def _refuse_word(word: str, words: Sequence[str]) -> NoReturn:
    """Refuse a word that belongs to no flag, often because the shell expanded a pattern to several names."""
    place = words.index(word)
    while place + 1 < len(words) and word in words[place + 1 :] and words[place - 1].startswith("--"):
        place = words.index(word, place + 1)  # the same word as a flag's value
    flag = next((index for index in range(place - 1, -1, -1) if words[index].startswith("-")), None)
    if flag is None or words[flag] in SWITCHES:
        raise WorkflowError.of(
            "command line",
            found=f"a second word, {word!r}",
            expected="one FILE, then flags",
            fix="put the name of an input before its value: --NAME VALUE",
        )
    name, _, value = words[flag].partition("=")
    taken = value or words[flag + 1]
    raise WorkflowError.of(
        name,
        found=f"{word!r} after {taken!r}",
        expected="one value",
        fix="put quotes around a value with spaces; if your shell expanded a pattern such as subject-* to several "
        "names, give one of them, or put quotes around the pattern if the input accepts one (see --help)",
    )
