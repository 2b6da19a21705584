"""Read the command line of a workflow: one value for each flag, no setting twice, no stray words."""

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, NoReturn

from ...core.errors import WorkflowError
from ..text_values import convert
from . import flags
from .dashes import join_dashed_values
from .expanded import read_options
from .parser import SWITCHES

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ..python.load_workflow import LoadedWorkflow


def read_arguments(
    parser: argparse.ArgumentParser,
    options: argparse.Namespace,
    rest: list[str],
    loaded: "LoadedWorkflow",
) -> "tuple[dict[str, JsonValue], dict[str, JsonValue]]":
    """Values of the workflow's own inputs by name, and settings by `node.parameter`.

    If the workflow is made from options, these are read first and it is made from them; no value is left.

    Args:
        parser: of the workflow's flags.
        options: the parsed options of the command, and all `words` of the command line.
        rest: the words that the command does not know, for `parser`.
        loaded: the workflow.

    Raises:
        WorkflowError: an unknown flag, a word too many, or a setting that is set twice.
    """
    if loaded.expander is not None:
        loaded.expand(read_options(parser, loaded.expander, rest, options.words))
        return {}, _settings(options, loaded, {})
    typed, unknown = parser.parse_known_args(join_dashed_values(rest, loaded.workflow.inputs))
    if unknown and unknown[0].startswith("-"):
        flags.unknown_flag(unknown, loaded)
    if unknown:
        _refuse_word(unknown[0], options.words)
    values = {name: convert(text, flags.target(loaded, name)) for name, text in vars(typed).items() if text is not None}
    by_target: dict[str, str] = {}
    for name in values:
        for target in loaded.workflow.targets(name):
            _note(by_target, target, f"--{name} {vars(typed)[name]}")
    return values, _settings(options, loaded, by_target)


def _settings(
    options: argparse.Namespace, loaded: "LoadedWorkflow", by_target: dict[str, str]
) -> "dict[str, JsonValue]":
    """The settings of `--set NODE.PARAM=VALUE` and `--fast`; `by_target` is what was typed for a parameter before."""
    settings: dict[str, JsonValue] = {}
    if options.fast is not None:
        from ..fast import SETTING

        settings[SETTING] = options.fast
    for word in options.set:
        where, value = flags.override(word, loaded)
        _note(by_target, where, f"--set {word}")
        settings[where] = value
    return settings


def _note(by_target: dict[str, str], target: str, typed: str) -> None:
    if target in by_target:
        raise WorkflowError.of(
            target,
            found=f"two values: {by_target[target]!r} and {typed!r}",
            expected="one value",
            fix="keep one of them",
        )
    by_target[target] = typed


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
