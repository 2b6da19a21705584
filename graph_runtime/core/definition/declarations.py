"""What a Python file declares: all of its text but the insides of its functions."""

from collections.abc import Iterator

_QUOTES = (b'    """', b'    r"""')


def declarations(text: bytes) -> bytes:
    """The text without the lines inside top-level functions, whose signatures and docstrings stay.

    It reads lines as a formatter leaves them. Where it is in doubt a line stays, so that at worst an index is made
    again without need.
    """
    return b"\n".join(_kept(text.splitlines()))


def _kept(lines: list[bytes]) -> Iterator[bytes]:
    inside = head = False
    number = 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if inside and (not line.strip() or line.startswith(b" ")):
            continue
        inside = False
        yield line
        head = line.startswith((b"def ", b"async def ")) or (head and line.startswith((b" ", b")")))
        if not head or not line.endswith(b":") or line.startswith(b" "):
            continue
        inside, head = True, False
        end = _docstring_end(lines, number)
        yield from lines[number:end]
        number = end


def _docstring_end(lines: list[bytes], start: int) -> int:
    """The line after the docstring that begins at `start`; `start` where there is none."""
    if start >= len(lines) or not lines[start].startswith(_QUOTES):
        return start
    if lines[start].count(b'"""') > 1:
        return start + 1
    return next((number + 1 for number in range(start + 1, len(lines)) if b'"""' in lines[number]), start)
