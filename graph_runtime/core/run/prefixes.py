"""Words between percent signs in the name of a file: the date, facts of the picture, settings of other nodes.

    %date:yyyy-MM-dd%  %date%  %year% %month% %day% %hour% %minute% %second%  %width% %height%  %node.setting%

They are those of ComfyUI. A word that stands for nothing stays as it is.
"""

import re
from collections.abc import Callable
from datetime import datetime

from ..errors import clean

Lookup = Callable[[str], object]  # from `width` or `node.setting` to its value; None if there is none

_WORD = re.compile(r"%([^%\x00-\x1f]{1,100})%")
_DATE = re.compile(r"%date(?::([^%\x00-\x1f]{1,60}))?%|%(year|month|day|hour|minute|second)%")
_PART = re.compile(r"yyyy|yy|MM?|dd?|hh?|mm?|ss?")
_NO_NAME = re.compile(r'[<>:"|?*\\/\x00-\x1f\x7f]')  # what no file's name may hold, on some system
_SINGLE = {"year": "yyyy", "month": "MM", "day": "dd", "hour": "hh", "minute": "mm", "second": "ss"}
_OF_DATE = {"date", *_SINGLE}
LONGEST = 80  # letters of a value


def with_facts(prefix: str, lookup: Lookup) -> tuple[str, tuple[str, ...]]:
    """The name with facts and settings in it, and the words that stand for nothing; dates stay.

    Of a value that is a path, only the file's name without suffix counts.
    """
    unknown: list[str] = []

    def value(found: re.Match[str]) -> str:
        word = found[1]
        if word in _OF_DATE or word.startswith("date:"):
            return found[0]
        known = lookup(word)
        if known is None:
            if re.fullmatch(r"\w[\w .()-]*", word):
                unknown.append(word)
            return _NO_NAME.sub("_", found[0])
        return _as_name(known)

    return _WORD.sub(value, prefix), tuple(unknown)


def with_date(prefix: str, now: datetime) -> str:
    """The name with the date in it."""

    def value(found: re.Match[str]) -> str:
        form = _SINGLE[found[2]] if found[2] else found[1] or "yyyy-MM-dd"
        text = _PART.sub(lambda part: _part(part[0], now), form)
        return _NO_NAME.sub("_", text) if found[2] is None and "/" not in text else re.sub(r'[<>:"|?*\\]', "_", text)

    return _DATE.sub(value, prefix)


def without_dates(prefix: str) -> str:
    """The name with nothing in place of dates, to judge the rest of it."""
    return _DATE.sub("0", prefix)


def _part(part: str, now: datetime) -> str:
    numbers = {"y": now.year, "M": now.month, "d": now.day, "h": now.hour, "m": now.minute, "s": now.second}
    number = numbers[part[0]]
    return str(number)[-len(part) :] if part[0] == "y" else f"{number:0{len(part)}d}"


def _as_name(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    last = re.split(r"[\\/]", text)[-1]
    stem = re.sub(r"\.(png|jpe?g|webp|tiff?|bmp|gif|safetensors|json)$", "", last, flags=re.IGNORECASE)
    return _NO_NAME.sub("_", clean(" ".join(stem.split())))[:LONGEST].strip(" .") or "_"
