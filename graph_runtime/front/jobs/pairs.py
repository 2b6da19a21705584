"""Which mask belongs to which picture: by name, by number in a list, or one for all."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, count
from pathlib import Path

from ...core.errors import Problem, WorkflowError
from .sources import File, Source

WORDS = ("mask", "masks", "hole", "holes")  # that a name may end with, beside the input's own: room_mask.png
LISTED = 1_000  # names in one message


@dataclass(frozen=True)
class Item:
    """One run of a job.

    Attributes:
        name: below the output folder, without suffix.
        files: the path that each input gets.
        values: other values of inputs, that this run has of its own.
        settings: `node.setting` → value, that this run has of its own.
    """

    name: str
    files: Mapping[str, str]
    values: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)


def pair(sources: Sequence[Source]) -> list[Item]:
    """The runs of a job: the first input leads, and each other one has a file for each of its files.

    Raises:
        WorkflowError: files that are missing or left over, all of them; or two that have one name.
    """
    sources = [*_apart(sources)]
    lead, *others = sources
    problems: list[Problem] = []
    columns: dict[str, list[str]] = {lead.input: [file.path for file in lead.files]}
    for other in others:
        columns[other.input] = _matched(lead, other, problems)
    if problems:
        raise WorkflowError(problems)
    names = _names(lead.files)
    return [Item(name, {key: column[row] for key, column in columns.items()}) for row, name in enumerate(names)]


def masks_beside(lead: Source, other: Source) -> bool:
    """True if a folder of pictures also holds masks of some of them, by name: `a_mask.png` beside `a.jpg`."""
    stems = {_key(file.name) for file in lead.files}
    return any(_without_word(file.name, other.input) in stems for file in other.files)


def _apart(sources: Sequence[Source]) -> Iterable[Source]:
    """Where two inputs name the same folder, `a_mask.png` beside `a.jpg` is its mask, and not a picture."""
    lead = sources[0]
    taken: set[str] = set()
    for other in sources[1:]:
        if other.place is not None and other.place == lead.place:
            stems = {_key(file.name) for file in lead.files}
            own = [file for file in other.files if (stem := _without_word(file.name, other.input)) and stem in stems]
            taken |= {file.path for file in own}
            other.files = own or other.files
    lead.files = [file for file in lead.files if file.path not in taken]
    return sources


def _matched(lead: Source, other: Source, problems: list[Problem]) -> list[str]:
    """A path of `other` for each file of `lead`; what is wrong goes to `problems`."""
    if other.listed:
        if len(other.files) != len(lead.files):
            problems.append(
                Problem(
                    None,
                    f"inputs.{other.input}",
                    f"a list of {len(other.files)} for {len(lead.files)} of {lead.input}",
                    "one for each, in the same order, or a single one for all",
                    "give lists of the same length",
                )
            )
            return [""] * len(lead.files)
        return [file.path for file in other.files]
    by_name = _by_name(lead, other)
    used: set[str] = set()
    found, missing, double = [], [], []
    for file in lead.files:
        fitting = by_name.get(_key(file.name), [])
        used |= {one.path for one in fitting}
        if len({_key(one.name) for one in fitting}) == 1:  # names that differ only in case: a file system's matter
            fitting = [one for one in fitting if one.name == file.name] or fitting
        if len(fitting) > 1:
            double.append(f"{file.shown} ({', '.join(one.shown for one in fitting)})")
        elif not fitting:
            missing.append(file.shown)
        found.append(fitting[0].path if fitting else "")
    extra = [file.shown for file in other.files if file.path not in used]
    _report(lead, other, missing, extra, double, problems)
    return found


def _report(
    lead: Source, other: Source, missing: list[str], extra: list[str], double: list[str], problems: list[Problem]
) -> None:
    one = lead.files[0].name if lead.files else "a"
    rule = f"{one}.png or {one}_{other.input}.png for {one}{Path(lead.files[0].path).suffix if lead.files else '.jpg'}"
    for names, found, fix in (
        (missing, f"no {other.input} for", f"add them, or take those pictures out of {lead.input}"),
        (extra, f"a {other.input} without a picture:", "rename or remove them, or add what they belong to"),
        (double, f"several of {other.input} for", "keep one of them"),
    ):
        if names:
            problems.append(
                Problem(
                    None,
                    f"inputs.{other.input}",
                    f"{found} {_listed(names)}",
                    f"one {other.input} for each picture of {lead.input}, of its name ({rule})",
                    fix,
                )
            )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    return f"{len(names):,} of them: {', '.join(names[:LISTED])}{more}" if len(names) > 1 else names[0]


def _by_name(lead: Source, other: Source) -> dict[str, list[File]]:
    """The files of `other` by the name of `lead` that each belongs to; a full name counts before one with a word."""
    stems = {_key(file.name) for file in lead.files}
    found: dict[str, list[File]] = {}
    for file in other.files:
        key = _key(file.name)
        if key not in stems:
            key = _without_word(file.name, other.input)
        found.setdefault(key, []).append(file)
    return found


def _without_word(name: str, word: str) -> str:
    """The name of what a mask called `room_mask` or `room-mask` belongs to; empty if it does not end so."""
    words = "|".join(map(re.escape, (word.casefold(), *WORDS)))
    match = re.fullmatch(rf"(.+?)[-_. ](?:{words})", _key(name))
    return match[1] if match else ""


def _key(name: str) -> str:
    """Names are compared without case, and with accents composed, because systems store them differently."""
    return unicodedata.normalize("NFC", name).casefold()


def _names(files: Sequence[File]) -> list[str]:
    """A name for each file's results, each once: a.jpg and a.png of one folder become a-jpg and a-png."""
    counts = Counter(file.name for file in files)
    names: dict[str, None] = {}
    for file in files:
        wanted = file.name
        if counts[wanted] > 1:
            wanted += "-" + Path(file.path).suffix.lstrip(".").lower()
        tried = chain([wanted], (f"{wanted}-{number}" for number in count(2)))
        names[next(name for name in tried if name not in names)] = None
    return list(names)
