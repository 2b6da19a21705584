"""What front ends need to know about a pack of nodes, besides its nodes."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .expander import Expander

if TYPE_CHECKING:
    from .spec import NodeSpec


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


class SheetLabel(NamedTuple):
    """A heading of a sheet, and what stands for it where its letters cannot be drawn."""

    text: str
    short: str = ""


class SheetCell(NamedTuple):
    """A picture of a sheet: None where there is none; a line below it; and whether it is marked as the best."""

    picture: Path | None
    text: SheetLabel = SheetLabel("")
    marked: bool = False


class SheetBlock(NamedTuple):
    """A grid of pictures below a title, with headings above its columns and before its rows; either may be empty."""

    title: SheetLabel
    columns: tuple[SheetLabel, ...]
    rows: tuple[SheetLabel, ...]
    cells: tuple[tuple[SheetCell | None, ...], ...]


CONTROL = "*control"  # the widget after a seed: fixed, increment, decrement, randomize
UPLOAD = "*upload"  # the button that loads a file
CONTROLS = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})


@dataclass(frozen=True)
class HostType:
    """What a type of the host becomes.

    Attributes:
        node: the id of ours; empty for a primitive, whose one widget is its output.
        widgets: in the order in which an editor saves them.
        sockets: the host's input → ours; settings: the host's widget → ours.
        outputs: of each output of the host, ours.
        fixed: settings that the host's type implies.
        titles: what the host calls it, which is no title of the user's.
        through: where the host hands on one of its inputs as an output: output → input.
        before: the id of ours that converts what comes in at the only socket.
        negated: widgets of the host that are on where our setting is off.
    """

    node: str
    widgets: tuple[str, ...] = ()
    sockets: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    outputs: tuple[str, ...] = ()
    fixed: Mapping[str, object] = field(default_factory=dict)
    titles: frozenset[str] = frozenset()
    through: Mapping[int, str] = field(default_factory=dict)
    before: str = ""
    negated: frozenset[str] = frozenset()
    spec: "NodeSpec | None" = None


class ModelChoices(NamedTuple):
    """The models that a node takes, so that a host can list those that are there.

    Attributes:
        embedded: names of models that ship with the pack.
        files: kinds of a host's folders with single files; ours are .safetensors.
        folders: kinds of a host's folders with models that are folders. Downloads go into the first one, or else into
            the first of `files`.
        fits: True for a folder with a model of this kind, by its configuration.
    """

    embedded: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    fits: Callable[[Path], bool] = lambda folder: False


@dataclass(frozen=True)
class FastNode:
    """The node that has models evaluated faster.

    Attributes:
        node: its id.
        socket: its input, which is called the same on the nodes that evaluate models.
        output: its output.
        before: ids of the nodes that evaluate models.
        ways: what a person asks for by name: the setting, and its value.
    """

    node: str = ""
    socket: str = ""
    output: str = ""
    before: tuple[str, ...] = ()
    ways: Mapping[str, tuple[str, object]] = field(default_factory=dict)


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
        grid_sheet: draws grids of pictures, at most so many pixels wide and high each, below each other as a PNG.
        workflow_suffixes: suffixes of the pictures that its nodes write, which may hold a workflow.
        write_value: writes a picture that a caller holds in memory into a folder, under a name without suffix; returns
            its path, messages for the user, and True if its integers are all 0 or 1; None for what is no picture;
            raises BadInput for a picture that cannot be.
        save_picture: writes rows of an array with these texts, or a saved picture from its bytes, to a path in the
            format of a suffix; returns messages for the user.
        recorded_text: the text of that name in such a picture, None if it has none, and the names of all its texts;
            raises BadInput for what is no picture.
        small_picture: decodes a picture to its last pixel and writes a copy as JPEG, at most so many pixels wide and
            high; returns its width, its height and Pillow's mode; raises BadInput for what cannot be read.
        mask_file: reads the mask in a picture; returns it as a PNG file of one channel with 8 bits, 255 where it is
            repainted and 0 elsewhere, and doubts about it; raises BadInput for what cannot be read.
        models: the models that a node takes, by the node's id.
        downloaded: gives hub ids of the repositories on this machine, and their folders.
        expanders: names that stand for a workflow which is made from options; each is a command too, and the file of
            that name among the shipped workflows is what it makes without any.
        host_types: of a node editor's own types those whose work a node of the pack does.
        expected_inputs: names that people expect for settings, most wanted first, each with the settings that it may
            stand for: `family.node.setting`, or `*.setting` of any node.
        titles: node → what a menu calls it, where its id is not what people call it.
        menu: family → the folder of a menu that its nodes stand in, where that is another.
        words: node or family → words that find it in a menu.
        fast: the node behind `--fast`.
        renamed: a former id of a node, or another that is used for it → its id; sockets and settings are the same.
        lighter: node → settings with which it takes less memory and gives a slightly different result.
        several: node → a setting that makes what follows hold several pictures at once, and how to ask for fewer.
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
    grid_sheet: Callable[[Sequence[SheetBlock], int, Path], None] = lambda blocks, side, to: None
    workflow_suffixes: frozenset[str] = frozenset()
    write_value: Callable[[object, Path, str], tuple[Path, tuple[str, ...], bool] | None] = lambda *given: None
    save_picture: Callable[[object, Path, str, Mapping[str, str]], list[str]] = lambda source, path, suffix, texts: []
    recorded_text: Callable[[Path, str], tuple[str | None, frozenset[str]]] = lambda path, name: (None, frozenset())
    small_picture: Callable[[Path, Path, int], tuple[int, int, str]] = lambda source, to, side: (0, 0, "")
    mask_file: Callable[[Path], tuple[bytes, Sequence[str]]] = lambda source: (b"", ())
    models: Mapping[str, ModelChoices] = field(default_factory=dict)
    downloaded: Callable[[], Iterable[tuple[str, Path]]] = tuple
    expanders: Mapping[str, Expander] = field(default_factory=dict)
    host_types: Mapping[str, HostType] = field(default_factory=dict)
    expected_inputs: tuple[tuple[str, tuple[str, ...]], ...] = ()
    titles: Mapping[str, str] = field(default_factory=dict)
    menu: Mapping[str, str] = field(default_factory=dict)
    words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    renamed: Mapping[str, str] = field(default_factory=dict)
    fast: FastNode = FastNode()
    lighter: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    several: Mapping[str, tuple[str, str]] = field(default_factory=dict)
