"""What a node of the host shows when it is done: pictures, numbers, reports, warnings and notes.

Pictures go through the host's `ui.images`; text through `ui.text`, which it keeps in its history, and through its
text preview, which appears on any node.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ....nodes.pack import PACK
from ...core.context import Context
from ...core.errors import clean
from ...core.events import Event, NodeProgress, Noted, Warned
from ...core.files import numbered
from ...core.spec import NodeSpec
from .host.folders import host_folder
from .menu_words import in_menu_words

if TYPE_CHECKING:
    from PIL.Image import Image

Picture = dict[str, str]  # file name, subfolder and folder, as the host names a picture
LONGEST = 20_000  # letters of a text on a node


class Heard:
    """A listener: what the node said while it ran, and the last sheet that a training showed."""

    shows_previews = False

    def __init__(self) -> None:
        self.said: list[str] = []
        self.sheet: Image | None = None

    def __call__(self, event: Event) -> None:
        """Take one event."""
        if isinstance(event, Warned):
            kind = "note" if isinstance(event, Noted) else "warning"
            self.said.append(clean(f"{kind}: {in_menu_words(event.message)}"))
        elif isinstance(event, NodeProgress) and event.preview is not None:
            self.sheet = event.preview


def saved_pictures(ctx: Context) -> Iterator[Picture]:
    """The saved pictures of a run."""
    for path in ctx.saved:
        if path.suffix.lower() in PACK.picture_suffixes:
            yield _entry(path, ctx.out, "output")


def sheet_picture(heard: Heard) -> Iterator[Picture]:
    """The last sheet, written to the host's folder of temporary files."""
    folder = host_folder("temp")
    if heard.sheet is None or folder is None:
        return
    place = folder / "inlay"
    place.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    with numbered(place, "sheet", ".png", written.append) as path:
        heard.sheet.save(path, "PNG")
    yield _entry(written[0], folder, "temp")


def _entry(path: Path, root: Path, kind: str) -> Picture:
    folder = path.parent.resolve().relative_to(root.resolve()).as_posix()
    return {"filename": path.name, "subfolder": "" if folder == "." else folder, "type": kind}


def text_of(spec: NodeSpec, outputs: Sequence[object], heard: Heard) -> str:
    """The numbers and texts among the outputs, and below them what the node said; empty if there is none."""
    lines = []
    for (name, port), value in zip(spec.outputs.items(), outputs, strict=True):
        if port.socket in ("FLOAT", "INT") and isinstance(value, (int, float)):
            title = spec.id.rpartition(".")[2] if name == "value" else name
            lines.append(f"{title.replace('_', ' ')}: {value:.6g}")
        elif port.socket == "STRING" and isinstance(value, str) and value:
            lines.append(value)
    return clean("\n".join([*lines, *dict.fromkeys(heard.said)]))[:LONGEST]


def result(spec: NodeSpec, values: tuple[object, ...], pictures: list[Picture], text: str) -> object:
    """What the host takes: the values alone if there is nothing to show."""
    ui: dict[str, Mapping[str, object] | list[Picture] | list[str]] = {}
    if pictures or spec.effects:
        ui["images"] = pictures
    if text:
        ui["text"] = [text]
    return {"ui": ui, "result": values} if ui else values
