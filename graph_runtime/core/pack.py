"""What front ends need to know about a pack of nodes, besides its nodes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from .expander import Expander


@dataclass(frozen=True)
class Diagnosis:
    """The result of one check of `inlay doctor`.

    Attributes:
        name: what was checked.
        ok: None if it is neither good nor bad.
        detail: what was found.
        fix: what to do, if anything.
    """

    name: str
    ok: bool | None
    detail: str
    fix: str = ""


class SheetPair(NamedTuple):
    """Two pictures of a contact sheet, and the text below them; `after` is None where nothing was made."""

    before: Path | None
    after: Path | None
    text: str


@dataclass(frozen=True)
class Pack:
    """The facts of a pack. Reading them imports no library.

    Attributes:
        families: the families of nodes in the order in which listings show them.
        tested: library → (oldest, newest) release that the pack was tested with.
        computing: libraries, torch aside, whose release may change the bits of a result.
        recorded: libraries whose release a saved picture records.
        embedded: returns the folder of each model that ships with the pack, by name.
        checks: what `inlay doctor` checks for the pack.
        picture_suffixes: suffixes of the pictures that its nodes read.
        read_suffixes: gives the suffixes of pictures that can be read here, with the libraries that are installed.
        require_picture: raises BadInput for a file whose beginning is not that of a picture that can be read.
        contact_sheet: draws pairs of pictures, each with a line of text below it, as one picture file; a file that
            cannot be read leaves its place empty.
        workflow_suffixes: suffixes of the pictures that its nodes write, which may hold a workflow.
        write_value: writes a picture that a caller holds in memory into a folder, under a name without suffix; returns
            its path, messages for the user, and True if its integers are all 0 or 1; None for what is no picture;
            raises BadInput for a picture that cannot be.
        save_picture: writes rows of an array with these texts, or a saved picture from its bytes, to a path in the
            format of a suffix; returns messages for the user.
        recorded_text: the text of that name in such a picture, None if it has none, and the names of all its texts;
            raises BadInput for what is no picture.
        expanders: names that stand for a workflow which is made from options; each is a command too, and the file of
            that name among the shipped workflows is what it makes without any.
    """

    families: tuple[str, ...] = ()
    tested: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    computing: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    embedded: Callable[[], Mapping[str, Path]] = dict
    checks: tuple[Callable[[], Iterable[Diagnosis]], ...] = ()
    picture_suffixes: frozenset[str] = frozenset()
    read_suffixes: Callable[[], frozenset[str]] = frozenset
    require_picture: Callable[[Path], object] = lambda path: None
    contact_sheet: Callable[[Sequence[SheetPair], Path], None] = lambda pairs, to: None
    workflow_suffixes: frozenset[str] = frozenset()
    write_value: Callable[[object, Path, str], tuple[Path, tuple[str, ...], bool] | None] = lambda *given: None
    save_picture: Callable[[object, Path, str, Mapping[str, str]], list[str]] = lambda source, path, suffix, texts: []
    recorded_text: Callable[[Path, str], tuple[str | None, frozenset[str]]] = lambda path, name: (None, frozenset())
    expanders: Mapping[str, Expander] = field(default_factory=dict)
