"""A case: what lies in the folder, and which door of inlay is asked about it."""

import base64
import json
import lzma
import random
from dataclasses import dataclass, field, replace

_PLAIN = 4000  # characters of a file that are stored as readable text


@dataclass
class Case:
    """One question to inlay.

    Attributes:
        door: `check`, `run`, `dict` or `words` (of the command line).
        source: the file to ask about, or a bare name.
        folder: the name of the folder that everything lies in.
        files: contents by name in that folder; they stand beside or replace the files that are always there.
        links: symbolic links in that folder, with their targets.
        pipes: named pipes in that folder.
        words: of the command line.
        values: further arguments of the door.
        needs: model folders that must lie there.
        tame: the graph asks for little work, so that its run must be quick too.
        given: what a `dict` case stands for, made before the time is taken.
    """

    door: str
    source: str = ""
    folder: str = "job"
    files: dict[str, bytes] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    pipes: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    values: dict[str, object] = field(default_factory=dict)
    needs: list[str] = field(default_factory=list)
    tame: bool = False
    given: object = field(default=None, repr=False, compare=False)

    def with_file(self, name, contents):
        return replace(self, files={**self.files, name: contents})

    def without_file(self, name):
        return replace(self, files={key: value for key, value in self.files.items() if key != name})


@dataclass(frozen=True)
class Plan:
    """How a case is made: its base, and the mutations in order, each with a seed of its own."""

    target: str
    base: int
    mutations: tuple[tuple[str, int], ...]


def to_json(case, why=""):
    """The text of a corpus file."""
    raw = {"why": why} if why else {}
    for name, value in vars(case).items():
        if name == "files":
            raw["files"] = {key: _stored(contents) for key, contents in value.items()}
        elif value and name != "given":
            raw[name] = value
    return json.dumps(raw, indent=1) + "\n"


def from_json(text):
    """The case of a corpus file."""
    raw = json.loads(text)
    raw.pop("why", None)
    raw["files"] = {key: _restored(stored) for key, stored in raw.get("files", {}).items()}
    return Case(**raw)


def _stored(contents):
    if len(contents) <= _PLAIN:
        try:
            text = contents.decode("utf-8")
        except UnicodeDecodeError:
            pass
        else:
            if text.isprintable() or "\n" in text:
                return text
    return {"xz": base64.b85encode(lzma.compress(contents, preset=9)).decode()}


def _restored(stored):
    if isinstance(stored, str):
        return stored.encode()
    if "each" in stored:  # written by hand: a file with very many members, numbered by %d
        members = (stored["each"].replace("%d", str(number)) for number in range(stored["times"]))
        return (stored["start"] + stored["between"].join(members) + stored["end"]).encode()
    return lzma.decompress(base64.b85decode(stored["xz"]))


def random_of(*words):
    """A random generator that depends on these words alone."""
    return random.Random("/".join(map(str, words)))
