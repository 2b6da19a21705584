"""argparse with our own errors, values that may begin with a dash, and a warning if a flag is given twice."""

import argparse
import sys
from collections.abc import Sequence
from typing import NoReturn, Protocol

from ...core.errors import WorkflowError, clean


class Command(Protocol):
    """A function that runs a command and returns the exit status."""

    def __call__(self, options: argparse.Namespace, rest: list[str]) -> int:
        """Run the command."""


class AddCommand(Protocol):
    """Adds commands to the parser of `inlay`."""

    def __call__(
        self, name: str, command: Command, description: str, *, add_help: bool = True
    ) -> argparse.ArgumentParser:
        """Add one."""


#: Flags whose value may be left out.
OPTIONAL = frozenset({"--profile"})

#: Flags without a value.
SWITCHES = frozenset({"--json", "--traceback", "--no-cache", "--no-metadata", "--quiet", "--help", "--version"}) | {
    "--partial",
    "--explain-memory",
    "--dry-run",
    "--open",
    "--editor",
    "--no-editor",
    "--yes",
}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are `WorkflowError`: exit status 2, and JSON on request."""

    def error(self, message: str) -> NoReturn:
        """Refuse the command line."""
        usage = self.format_usage().strip().removeprefix("usage: ")
        how = "write --NAME=VALUE where a value begins with dashes, or " if "expected one argument" in message else ""
        raise WorkflowError.of("command line", found=message, expected=usage, fix=f"{how}see `{self.prog} --help`")


def literal(text: str) -> str:
    """A description or epilog that argparse prints as it is: `%` counts only in one with `%(prog)` in it."""
    return text.replace("%", "%%") if "%(prog)" in text else text


class Once(argparse.Action):
    """Stores the value of a flag. If the flag is given twice, the last value counts, with a warning."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        """Store the value."""
        seen = parser.__dict__.setdefault("seen_once", {})
        if self.dest in seen and seen[self.dest] != values:
            said = (
                f"warning: {option_string} is given twice: {values!r} is used, {seen[self.dest]!r} is not; "
                "a flag takes one value, which may be a JSON list where the setting is a list (see --help)"
            )
            print(clean(said), file=sys.stderr)
        seen[self.dest] = values
        setattr(namespace, self.dest, values)


def join_values(words: Sequence[str]) -> list[str]:
    """Write `--image -room.png` as `--image=-room.png`, because a value may begin with a dash.

    Only a flag that takes a value is joined to the next word, and only if that word is not a flag itself.
    """
    bound: list[str] = []
    for word in words:
        if bound and bound[-1] in OPTIONAL and word.startswith("-"):
            bound[-1] += "="
        before = bound[-1] if bound else ""
        takes = before.startswith("--") and len(before) > 2 and "=" not in before and before not in SWITCHES
        if takes and len(word) > 1 and word[0] == "-" and word[1] != "-" and word not in ("-h", "-o"):
            bound[-1] = f"{before}={word}"
        else:
            bound.append(word)
    return bound
