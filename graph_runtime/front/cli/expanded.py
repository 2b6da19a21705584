"""The flags of a name that stands for a workflow made from options, such as `inlay inpaint`."""

import argparse
from collections.abc import Sequence

from ...core.errors import WorkflowError, did_you_mean
from ...core.expander import Expander, Option
from .dashes import join_dashed_values
from .parser import Once, Parser, literal

_SHOWN = {"file": "FILE", "model": "MODEL", "text": "TEXT", "integer": "N", "number": "X", "switch": "true|false"}


def parser_of(expander: Expander, command: str) -> argparse.ArgumentParser:
    """A parser for the options, in groups; the plain words come before and between them."""
    words = " ".join(word.upper() for word in expander.words)
    examples = "\n".join(f"  inlay {command} {words}\n      {about}" for words, about in expander.examples)
    parser = Parser(
        prog=f"inlay {command}",
        usage=f"inlay {command} {words} [--NAME VALUE …]".replace("%", "%%"),
        description=literal(f"{expander.title}.\n\n{expander.description}"),
        allow_abbrev=False,
        add_help=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog=literal(
            f"examples:\n{examples}\n\noptions of every run: --set --out --inputs --device --memory --no-cache "
            "--no-metadata --jobs --quiet --json (see `inlay run --help`)"
        ),
    )
    groups: dict[str, argparse._ArgumentGroup] = {}
    for option in expander.options:
        if option.group not in groups:
            groups[option.group] = parser.add_argument_group(option.group)
        groups[option.group].add_argument(
            f"--{option.name}",
            dest=option.name,
            action=Once,
            metavar=_shown(option),
            nargs="?" if option.kind == "switch" else None,
            const="true" if option.kind == "switch" else None,
            help=_help(option),
        )
    return parser


def _shown(option: Option) -> str:
    return option.shown or "|".join(option.choices) or _SHOWN[option.kind]


def _help(option: Option) -> str:
    facts = []
    if option.minimum is not None and option.maximum is not None and option.maximum < 2**32:
        facts.append(f"{option.minimum:g} to {option.maximum:g}")
    if option.default not in (None, False):
        facts.append(f"default {option.default}")
    return (option.doc + (f" ({', '.join(facts)})" if facts else "")).replace("%", "%%")


def read_options(
    parser: argparse.ArgumentParser, expander: Expander, rest: Sequence[str], words: Sequence[str]
) -> dict[str, object]:
    """The options that were typed, as text: those with a flag, and those that are plain words.

    Args:
        parser: from `parser_of`.
        expander: whose options they are.
        rest: the words that the command does not know.
        words: all words of the command line.

    Raises:
        WorkflowError: an unknown flag, a word too many, or an option that is given both ways.
    """
    names = [option.name for option in expander.options]
    dashed = {f"--{name.replace('_', '-')}": f"--{name}" for name in names}
    flags = (word.partition("=") for word in join_dashed_values(rest, names))
    joined = [dashed.get(flag, flag) + equals + value for flag, equals, value in flags]
    switches = {f"--{option.name}" for option in expander.options if option.kind == "switch"}
    typed, unknown = parser.parse_known_args([f"{word}=true" if word in switches else word for word in joined])
    if flag := next((word for word in unknown if word.startswith("-") and word != "-"), None):
        _refuse_flag(flag, expander)
    found: dict[str, object] = {name: text for name, text in vars(typed).items() if text is not None}
    if len(unknown) > len(expander.words):
        extra = unknown[len(expander.words)]
        raise WorkflowError.of(
            "command line",
            found=f"a word too many, {extra!r}",
            expected=" ".join(word.upper() for word in expander.words) + ", then flags",
            fix="put quotes around a value with spaces, and the name of an option before its value: --NAME VALUE",
        )
    for name, word in zip(expander.words, unknown, strict=False):
        if name in found:
            raise WorkflowError.of(
                f"--{name}", found=f"two values: {word!r} and {found[name]!r}", expected="one", fix="keep one of them"
            )
        found[name] = word
    return found


def _refuse_flag(flag: str, expander: Expander) -> None:
    name = flag.lstrip("-").split("=")[0]
    known = [option.name for option in expander.options]
    raise WorkflowError.of(
        flag.split("=")[0],
        found=f"{flag!r}, which is no option here",
        expected="one of: " + " ".join(f"--{name}" for name in known),
        fix=did_you_mean("--" + name.replace("-", "_"), [f"--{one}" for one in known])
        + "; any setting of a node: --set NODE.PARAM=VALUE",
    )
