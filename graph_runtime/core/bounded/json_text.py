"""Untrusted JSON text within the limits: no duplicate keys, no NaN, no lone surrogates."""

import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from ..errors import WorkflowError, shorten
from ..opening import open_file
from .limits import BYTES, DEPTH, DIGITS, ITEMS, NAME, TEXT

#: Half of a character that UTF-16 writes as two; alone, it is no text.
_SURROGATE = re.compile(r"\\u[dD][89abABcdefCDEF]")


def read_bytes(path: Path) -> bytes:
    """A workflow file's bytes, at most as many as are allowed.

    Raises:
        WorkflowError: too large, or it cannot be read.
    """
    try:
        with open_file(path) as file:
            if (size := os.fstat(file.fileno()).st_size) > BYTES:
                raise _too_large(size, path.name)
            return file.read(BYTES + 1)
    except OSError as error:
        raise WorkflowError.of(
            None,
            found=f"{str(path)!r}: {error.strerror}",
            expected="an ordinary file that can be read",
            fix="check the name and its permissions",
        ) from None


def decode(data: bytes | str, name: str = "workflow", *, nan: bool = False) -> object:
    """Parse untrusted JSON.

    Args:
        data: the text.
        name: of the file, for messages.
        nan: read NaN and Infinity, which some programs write and JSON does not have, as null.

    Raises:
        WorkflowError: not JSON, or beyond a limit; says what is wrong and where.
    """
    text = _text(data, name)
    found = _parsed(text, name, _null if nan else _no_constants, _finite)
    require_bounded(found, name, strict=_SURROGATE.search(text) is not None)
    return found


def decode_any_number(data: bytes | str, name: str = "workflow") -> object:
    """Parse untrusted JSON whose parts may be beyond the limits: `require_bounded` has to judge each of them.

    NaN and Infinity, which some programs write, are floats.

    Raises:
        WorkflowError: not JSON, or larger or deeper than can be read at all.
    """
    return _parsed(_text(data, name), name, float, float)


def _parsed(text: str, name: str, constant: Callable[[str], object], real: Callable[[str], float]) -> object:
    if (items := text.count(",") + text.count("[") + text.count("{")) > ITEMS:
        raise _refused(
            f"{items:,} commas and brackets in {name}", f"at most {ITEMS:,}", "split it into several workflows"
        )
    try:
        return json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=constant, parse_float=real)
    except json.JSONDecodeError as error:
        near = text[max(0, error.pos - 30) : error.pos + 10]
        raise _refused(
            f"{error.msg} at line {error.lineno}, column {error.colno} of {name}, near {shorten(near, 60)}",
            "a complete JSON document",
            _syntax_fix(text, error.pos),
        ) from None
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:
        raise _refused(f"{error} in {name}", "plain JSON", "keep each key once and use finite numbers") from None


def _text(data: bytes | str, name: str) -> str:
    if len(data) > BYTES:
        raise _too_large(len(data), name)
    try:
        if isinstance(data, bytes):
            return data.decode("utf-8-sig")
        data.encode("utf-8")
    except UnicodeError as error:
        at = f" (at {error.start})" if isinstance(error, (UnicodeDecodeError, UnicodeEncodeError)) else ""
        raise _refused(
            f"bytes in {name} that are not UTF-8{at}",
            "a JSON text file in UTF-8",
            "it is UTF-16, as some Windows programs write: save it as UTF-8"
            if isinstance(data, bytes) and data[:2] in (b"\xff\xfe", b"\xfe\xff")
            else "give a .json workflow, a picture that inlay saved, or a shipped workflow",
        ) from None
    return data


def require_bounded(found: object, name: str, *, strict: bool = True) -> None:
    """Refuse decoded JSON that is too deep, or has a text or number that is too long; level by level.

    Args:
        found: only exact dicts, lists, texts and numbers, none of them twice.
        name: of the file, for the message.
        strict: look for lone surrogates too.

    Raises:
        WorkflowError: says what is beyond which limit.
    """
    level: list[object] = [found]
    depth = 0
    while level:
        texts = [value for value in level if type(value) is str]
        if texts:
            _require_text(max(texts, key=len), TEXT, name)
            if strict:
                _require_unicode(texts, name)
        numbers = [value for value in level if type(value) is int]
        if numbers and max(max(numbers), -min(numbers)) >= 10**DIGITS:
            raise _refused(f"a number of more than {DIGITS} digits in {name}", "numbers", "shorten it")
        containers = [value for value in level if type(value) is dict or type(value) is list]
        depth += 1
        if containers and depth > DEPTH:
            raise _too_deep(name)
        level = []
        for container in containers:
            if type(container) is list:
                level += container
            elif type(container) is dict and container:
                level += container.values()
                _require_text(max(container, key=len), NAME, name)
                if strict:
                    _require_unicode(container, name)


def _require_text(longest: str, most: int, name: str) -> None:
    if len(longest) > most:
        raise _refused(
            f"{len(longest):,} characters in one text of {name}, {shorten(longest, 40)}",
            f"at most {most:,}",
            "shorten it; what is long belongs in a file of its own",
        )


def _require_unicode(texts: "list[str] | dict[str, object]", name: str) -> None:
    for text in texts:
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise _refused(
                f"half of a character (a lone surrogate) in {name}, {ascii(text)[:60]}",
                "text that UTF-8 can hold",
                "write the character itself, or both halves",
            ) from None


def _refused(found: str, expected: str, fix: str) -> WorkflowError:
    return WorkflowError.of(None, found=found, expected=expected, fix=fix)


def _too_deep(name: str) -> WorkflowError:
    return _refused(f"more than {DEPTH} levels of nesting in {name}", f"at most {DEPTH}", "flatten the file")


def _too_large(size: int, name: str) -> WorkflowError:
    return _refused(
        f"{size / 2**20:.0f} MiB in {name}",
        f"at most {BYTES // 2**20} MiB of JSON",
        "a workflow holds settings, not pictures: keep pictures in separate files",
    )


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shorten(twice)} twice in one object (two links to one socket?)")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"the number {shorten(text, 30)}")
    return value


def _null(word: str) -> None:
    return None


def _no_constants(word: str) -> NoReturn:
    raise ValueError(f"the number {word}")


def _syntax_fix(text: str, position: int) -> str:
    """The most likely mistake at the place where a JSON parser stopped."""
    before, after = text[:position].rstrip(), text[position:].lstrip()
    if after.startswith(("//", "/*", "#")):
        return "JSON has no comments: remove it (a workflow may have a 'description')"
    if after[:1] in "]}" and before.endswith(",") and after:
        return "remove the comma before the closing bracket"
    if before.endswith(("]", "}")) and before.rstrip("]} \n\t\r").endswith(","):
        return "remove the comma before the closing bracket"
    if after.startswith("'"):
        return "put names and texts in double quotes"
    if after.startswith(("True", "False", "None")):
        return "write true, false and null, as JSON does"
    if not after:
        return "the file ends too early: is it cut off, or a bracket not closed?"
    if after.startswith(('"', "{", "[")) and not before.endswith((",", "{", "[", ":")):
        return "a comma is missing before it"
    return "correct the syntax there; is the file cut off?"
