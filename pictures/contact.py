"""A contact sheet: many pairs of pictures, before and after, small, each pair with a line of text."""

from collections.abc import Sequence
from math import ceil
from pathlib import Path

import numpy as np
from PIL import Image as Pil
from PIL import ImageDraw

from ..graph_runtime import BadInput
from ..graph_runtime.core.pack import SheetPair
from .colour.space import values_to_srgb
from .files.read import Picture, read_picture, unit
from .sheet import INK, fitted_text

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
        picture = read_picture(path)
        values = values_to_srgb(_scaled(picture), picture.info.colour)
    except (BadInput, OSError, ValueError):
        return None
    return Pil.fromarray(np.asarray(np.clip(values, 0, 1) * 255 + 0.5, np.uint8))


def _scaled(picture: Picture) -> np.ndarray:
    """`[h w 3]` float32 of at most `SIDE` pixels a side, in the file's own colours."""
    width, height = picture.size
    scale = min(1.0, SIDE / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    if picture.colour8 is None:
        step = max(1, max(width, height) // (4 * SIDE))
        whole = Pil.fromarray(np.asarray(picture.sampled(step) * 255 + 0.5, np.uint8))
    else:
        whole = picture.colour8 if picture.colour8.mode == "RGB" else picture.colour8.convert("RGB")
    return unit(np.asarray(whole.resize(size, Pil.Resampling.BOX, reducing_gap=2.0)))
