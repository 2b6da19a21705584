"""A contact sheet: many pairs of pictures, before and after, small, each pair with a line of text."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path

from PIL import Image as Pil
from PIL import ImageDraw

from ..graph_runtime import BadInput
from ..graph_runtime.core.pack import SheetPair
from .files.read import read_picture
from .sheet import INK, fitted_text
from .small import small_copy

SIDE = 144  # pixels of a picture's longer side
GAP, LINE, LETTER = 6, 18, 12
COLUMNS = 6  # pairs in a row
PAPER, EMPTY = (255, 255, 255), (228, 228, 228)


def write_contact_sheet(pairs: Sequence[SheetPair], to: Path) -> None:
    """Write a JPEG of at most `COLUMNS` pairs in a row.

    Args:
        pairs: pictures before and after; one that cannot be read leaves a grey field.
        to: the file.
    """
    columns = max(1, min(COLUMNS, len(pairs)))
    wide, high = 2 * SIDE + GAP, SIDE + LINE
    rows = ceil(len(pairs) / columns)
    sheet = Pil.new("RGB", (GAP + columns * (wide + 2 * GAP), GAP + rows * (high + 2 * GAP)), PAPER)
    pen = ImageDraw.Draw(sheet)
    for number, pair in enumerate(pairs):
        row, column = divmod(number, columns)
        left, top = GAP + column * (wide + 2 * GAP), GAP + row * (high + 2 * GAP)
        for side, path in enumerate((pair.before, pair.after)):
            x = left + side * (SIDE + GAP)
            small = _small(path) if path is not None else None
            if small is None:
                pen.rectangle((x, top, x + SIDE - 1, top + SIDE - 1), fill=EMPTY)
            else:
                sheet.paste(small, (x + (SIDE - small.width) // 2, top + (SIDE - small.height) // 2))
        text, font = fitted_text(pen, pair.text, wide, LETTER)
        pen.text((left + wide / 2, top + SIDE + LINE / 2), text, fill=INK, font=font, anchor="mm")
    sheet.save(to, "JPEG", quality=88)


def _small(path: Path) -> Pil.Image | None:
    """A small copy of a picture, in sRGB; None if it cannot be read."""
    try:
        return small_copy(read_picture(path), SIDE)
    except (BadInput, OSError, ValueError):
        return None
