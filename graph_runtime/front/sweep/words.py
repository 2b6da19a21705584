"""The values of one flag as a person writes them: `3,5,7`, `0..9`, `"a cat, sitting",a dog`; or the lines of a file."""

import codecs
from collections.abc import Iterator

from ...core.errors import WorkflowError, shorten
from ...core.opening import open_file
from ...core.user_paths import expand

BYTES = 64 * 2**20  # of a file of values
MOST = 1_000_000  # values that are written out, of one flag


class WrongList(ValueError):
    """What is wrong with a text of values."""

    def __init__(self, found: str, expected: str, fix: str) -> None:
        self.found, self.expected, self.fix = found, expected, fix
        super().__init__(found)


def split(text: str) -> Iterator[tuple[str, bool]]:
    """The values of a text between commas, each with whether it stood in quotes.

    A value in double quotes may hold commas, and two quotes stand for one; so may a JSON list or object.

    Raises:
        WrongList: an empty value without quotes, or quotes that are not closed.
    """
    place = 0
    while True:
        place += len(text[place:]) - len(text[place:].lstrip())
        first = text[place : place + 1]
        if first == '"':
            value, place = _quoted(text, place)
            yield value, True
        else:
            end = _end_of_json(text, place) if first in ("[", "{") else place
            comma = text.find(",", end)
            end = len(text) if comma < 0 else comma
            value = text[place:end].strip()
            if not value:
                raise WrongList(
                    "an empty value", "values between commas", 'remove a comma, or write "" for an empty text'
                )
            yield value, False
            place = end
        if place >= len(text):
            return
        place += 1  # the comma


def _quoted(text: str, start: int) -> tuple[str, int]:
    """The value in quotes that begins at `start`, and the place of the comma behind it."""
    place, value = start + 1, ""
    while True:
        end = text.find('"', place)
        if end < 0:
            raise WrongList(f"quotes that are not closed, {shorten(text[start:])}", 'a closing "', "add it")
        value += text[place:end]
        if text[end + 1 : end + 2] != '"':
            break
        value, place = value + '"', end + 2
    rest = text[end + 1 :]
    after = end + 1 + len(rest) - len(rest.lstrip())
    if after < len(text) and text[after] != ",":
        raise WrongList(
            f"{shorten(text[after:])} after a closing quote", "a comma", 'write two quotes, "", for one inside quotes'
        )
    return value, after


def _end_of_json(text: str, start: int) -> int:
    """The place behind a JSON list or object; `start` if it does not end."""
    depth, quoted, place = 0, False, start
    while place < len(text):
        letter = text[place]
        if quoted:
            place += letter == "\\"
            quoted = letter != '"'
        elif letter == '"':
            quoted = True
        elif letter in "[{":
            depth += 1
        elif letter in "]}":
            depth -= 1
            if not depth:
                return place + 1
        place += 1
    return start


def lines_of(file: str, flag: str) -> list[str]:
    """The lines of a file of values, without those that are empty.

    Args:
        file: its path.
        flag: what names it, for messages.

    Raises:
        WorkflowError: it cannot be read, is no text, or holds no or too many values.
    """
    path = expand(file)
    try:
        with open_file(path) as stream:
            contents = stream.read(BYTES + 1)
    except (OSError, ValueError) as error:
        raise WorkflowError.of(
            flag,
            found=f"{shorten(path.name)}: {getattr(error, 'strerror', None) or error}",
            expected="a text file with one value a line",
            fix="check the name and its permissions",
        ) from None
    if len(contents) > BYTES:
        raise _not_such(flag, path.name, f"more than {BYTES // 2**20} MiB", "a file of values that is not so large")
    try:
        if b"\0" in contents:
            raise ValueError("a byte of 0")
        text = contents.removeprefix(codecs.BOM_UTF8).decode("utf-8")
    except ValueError:
        raise _not_such(flag, path.name, "bytes that are no text in UTF-8", "text in UTF-8") from None
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n") if line.strip()]
    if not lines:
        raise _not_such(flag, path.name, "no values", "one value a line")
    if len(lines) > MOST:
        raise _not_such(flag, path.name, f"{len(lines):,} values", f"at most {MOST:,} of one flag")
    return lines


def _not_such(flag: str, name: str, found: str, expected: str) -> WorkflowError:
    return WorkflowError.of(
        flag, found=f"{found} in {shorten(name)}", expected=expected, fix="give a text file with one value a line"
    )
