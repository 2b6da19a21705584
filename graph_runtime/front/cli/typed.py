"""What a person typed for a workflow: each thing once, one value a flag, and nothing taken for something else."""

import argparse
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, NoReturn

from ...core.errors import WorkflowError
from . import flags

if TYPE_CHECKING:
    from ..python.api import Loaded

NEAR = 0.8  # from this likeness on, a word with dashes is taken for a slip and not for a value


def read_flags(
    own: argparse.ArgumentParser,
    options: argparse.Namespace,
    rest: list[str],
    loaded: "Loaded",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Values of the workflow's own inputs by name, and settings by `node.parameter`.

    Args:
        own: the parser of the workflow's flags.
        options: what was understood of the command line, with all of its `words`.
        rest: what is left for `own`.
        loaded: the workflow.

    Raises:
        WorkflowError: an unknown flag, a word too many, or a setting that is given twice.
    """
    found, unknown = own.parse_known_args(_bound(rest, loaded.workflow.inputs))
    if unknown and unknown[0].startswith("-"):
        flags.unknown_flag(unknown, loaded)
    if unknown:
        _refuse_word(unknown[0], options.words)
    values = {
        name: flags.convert(text, flags.target(loaded, name)) for name, text in vars(found).items() if text is not None
    }
    by_target: dict[str, str] = {}
    for name in values:
        for target in loaded.workflow.targets(name):
            _note(by_target, target, f"--{name} {vars(found)[name]}")
    settings = {}
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


def _bound(rest: Sequence[str], names: Mapping[str, Any]) -> list[str]:
    """`--negative --no` as `--negative=--no`: a value may begin with dashes where it is no flag, nor nearly one."""
    known = {f"--{form}" for name in names for form in (name, name.replace("_", "-"))}
    bound: list[str] = []
    for word in rest:
        flag = word.partition("=")[0]
        if (
            bound
            and bound[-1] in known
            and word.startswith("--")
            and flag not in known
            and not get_close_matches(flag, known, n=1, cutoff=NEAR)
        ):
            bound[-1] = f"{bound[-1]}={word}"
        else:
            bound.append(word)
    return bound


def _refuse_word(word: str, words: Sequence[str]) -> NoReturn:
    """A word that belongs to nothing: most often a shell's pattern that matched more than one name."""
    place = words.index(word)
    while place + 1 < len(words) and word in words[place + 1 :] and words[place - 1].startswith("--"):
        place = words.index(word, place + 1)  # the same word as a flag's value
    flag = next((index for index in range(place - 1, -1, -1) if words[index].startswith("-")), None)
    if flag is None or words[flag] in flags.SWITCHES:
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
        fix="quote a value with "
        "spaces; if your shell expanded a pattern such as subject-* to several names, give one of "
        "them, or quote the pattern where the input accepts one (see --help)",
    )
