"""A sheet of grids: pictures by two things that vary, with headings, as people compare settings."""

from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from unicodedata import combining, normalize

from PIL import Image as Pil
from PIL import ImageDraw, ImageFont, features

from ..graph_runtime import BadInput
from ..graph_runtime.core.errors import clean
from ..graph_runtime.core.pack import SheetBlock, SheetCell, SheetLabel
from .files.read import read_picture
from .sheet import INK, REPLACEMENTS, fitted_text
from .small import small_copy

GAP, LETTER, LINE, TITLE = 6, 13, 17, 16
HEADING = 150  # pixels of the headings before rows
LINES = 3  # of one heading
LOST = 0.2  # of the letters of a text, without which it can still be read
PAPER, EMPTY, PALE, BEST = (255, 255, 255), (236, 236, 236), (110, 110, 110), (214, 120, 0)
#: Fonts with the letters that Pillow's own lacks, where a system has one of them.
FONTS = (
    *("NotoSansCJK-Regular.ttc", "DejaVuSans.ttf", "Arial Unicode.ttf", "arialuni.ttf", "msgothic.ttc"),
    *("Hiragino Sans GB.ttc", "AppleSDGothicNeo.ttc", "malgun.ttf", "seguisym.ttf"),
)


def size_of(block: SheetBlock, side: int) -> tuple[int, int]:
    """Pixels of a block, wide and high, with its gaps."""
    columns, rows = _counts(block)
    below = _below(block)
    wide = GAP + (HEADING + GAP if block.rows else 0) + columns * (side + GAP)
    high = GAP + (TITLE + GAP if block.title.text else 0) + (_above(block, side) + GAP if block.columns else 0)
    return wide, high + rows * (side + below + GAP)


def write_grid_sheet(blocks: Sequence[SheetBlock], side: int, to: Path) -> None:
    """Write blocks below each other as a PNG.

    Args:
        blocks: grids of pictures; one that cannot be read leaves a grey field.
        side: pixels of a picture's longer side.
        to: the file.
    """
    sizes = [size_of(block, side) for block in blocks]
    sheet = Pil.new("RGB", (max(wide for wide, _ in sizes), sum(high for _, high in sizes)), PAPER)
    pen, top = ImageDraw.Draw(sheet), 0
    for block, (_, high) in zip(blocks, sizes, strict=True):
        _draw(block, side, sheet, pen, top)
        top += high
    sheet.save(to, "PNG", compress_level=6)


def _counts(block: SheetBlock) -> tuple[int, int]:
    return max(map(len, block.cells), default=0), len(block.cells)


def _above(block: SheetBlock, side: int) -> int:
    """Pixels for the headings above the columns of a block."""
    pen, most = ImageDraw.Draw(Pil.new("L", (1, 1))), 1
    for label in block.columns:
        most = max(most, len(_wrapped(pen, *_drawable(label, LETTER), side, LETTER, LINES)))
    return most * LINE


def _below(block: SheetBlock) -> int:
    """Pixels below each picture of a block for its text."""
    return LINE if any(cell is not None and cell.text.text for row in block.cells for cell in row) else 0


def _draw(block: SheetBlock, side: int, sheet: Pil.Image, pen: ImageDraw.ImageDraw, top: int) -> None:
    left, below = GAP + (HEADING + GAP if block.rows else 0), _below(block)
    y = top + GAP
    if block.title.text:
        _write(pen, block.title, (GAP, y, sheet.width - GAP, y + TITLE), TITLE - 1, 1, "lm")
        y += TITLE + GAP
    if block.columns:
        for number, label in enumerate(block.columns):
            x = left + number * (side + GAP)
            _write(pen, label, (x, y, x + side, y + _above(block, side)), LETTER, LINES, "mm")
        y += _above(block, side) + GAP
    for number, row in enumerate(block.cells):
        if block.rows:
            _write(
                pen, block.rows[number], (GAP, y, GAP + HEADING, y + side), LETTER, max(1, min(6, side // LINE)), "rm"
            )
        for column, cell in enumerate(row):
            if cell is not None:
                _draw_cell(cell, side, sheet, pen, (left + column * (side + GAP), y), below)
        y += side + below + GAP


def _draw_cell(
    cell: SheetCell, side: int, sheet: Pil.Image, pen: ImageDraw.ImageDraw, at: tuple[int, int], below: int
) -> None:
    x, y = at
    small = _small(cell.picture, side) if cell.picture is not None else None
    if small is None:
        pen.rectangle((x, y, x + side - 1, y + side - 1), fill=EMPTY)
    else:
        sheet.paste(small, (x + (side - small.width) // 2, y + (side - small.height) // 2))
    if cell.text.text:
        ink = BEST if cell.marked else INK if small is not None else PALE
        _write(pen, cell.text, (x, y + side, x + side, y + side + below), LETTER - 1, 1, "mm", ink)
    if cell.marked:
        pen.rectangle((x - 3, y - 3, x + side + 2, y + side + 2), outline=BEST, width=3)


def _small(path: Path, side: int) -> Pil.Image | None:
    """A small copy of a picture, in sRGB, of a tiny one a larger one; None if it cannot be read."""
    try:
        small = small_copy(read_picture(path), side)
    except (BadInput, OSError, ValueError):
        return None
    wide, high = small.size
    factor = side // max(small.size)
    if factor >= 2:
        return small.resize((wide * factor, high * factor), Pil.Resampling.NEAREST)
    size = max(1, round(wide * side / max(wide, high))), max(1, round(high * side / max(wide, high)))
    return small if size == small.size else small.resize(size, Pil.Resampling.BICUBIC)


def _write(
    pen: ImageDraw.ImageDraw,
    label: SheetLabel,
    box: tuple[int, int, int, int],
    size: int,
    most: int,
    anchor: str,
    ink: tuple[int, int, int] = INK,
) -> None:
    """Write a label into a box, on several lines where it is long; cut with an ellipsis where that is not enough."""
    left, top, right, bottom = box
    lines = _wrapped(pen, *_drawable(label, size), right - left, size, most)
    x = {"l": left, "m": (left + right) / 2, "r": right}[anchor[0]]
    y = (top + bottom) / 2 - (len(lines) - 1) * LINE / 2
    for number, (line, drawn) in enumerate(lines):
        pen.text((x, y + number * LINE), line, fill=ink, font=drawn, anchor=anchor)


def _drawable(label: SheetLabel, size: int) -> tuple[str, ImageFont.FreeTypeFont]:
    """The text of a label and a font that has its letters; where no font has them, the same without accents.

    What stands for it, where too little would be left.
    """
    text = " ".join(clean(label.text).split())[:400]
    font = _font_for(text, size)
    if font is not None:
        return text, font
    font = _default(size)
    plain = "".join(_plain(font, letter) for letter in text)
    return (plain if plain.count("?") - text.count("?") <= LOST * len(text) else label.short or "?"), font


def _plain(font: ImageFont.FreeTypeFont, letter: str) -> str:
    """A letter, or what is most like it among those that a font has."""
    if _has(font, letter):
        return letter
    likely = REPLACEMENTS.get(letter) or "".join(part for part in normalize("NFKD", letter) if not combining(part))
    return likely if likely and all(_has(font, part) for part in likely) else "?"


def _wrapped(
    pen: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont, width: int, size: int, most: int
) -> list[tuple[str, ImageFont.FreeTypeFont]]:
    """Lines of at most so many pixels, each with its font."""
    words = text[: most * width].split(" ")
    lines: list[tuple[str, ImageFont.FreeTypeFont]] = []
    while words and len(lines) < most - 1:
        count = 1
        while count < len(words) and pen.textlength(" ".join(words[: count + 1]), font=font) <= width:
            count += 1
        line = " ".join(words[:count])
        if pen.textlength(line, font=font) > width:  # a long word, or letters without spaces between them
            cut = max(1, next((n for n in range(len(line), 0, -1) if pen.textlength(line[:n], font=font) <= width), 1))
            line, words = line[:cut], [line[cut:], *words[count:]]
        else:
            words = words[count:]
        lines.append((line, font))
    if rest := " ".join(words).strip():
        lines.append(_last(pen, rest, width, size, font))
    return lines


def _last(
    pen: ImageDraw.ImageDraw, text: str, width: int, size: int, font: ImageFont.FreeTypeFont
) -> tuple[str, ImageFont.FreeTypeFont]:
    """The last line: all of the rest, or as much of it as there is room for."""
    if pen.textlength(text, font=font) <= width:
        return text, font
    if font is _default(size):
        return fitted_text(pen, text, width, size)
    cut = next((n for n in range(len(text), 0, -1) if pen.textlength(text[:n] + "…", font=font) <= width), 0)
    return text[:cut] + "…", font


@cache
def _default(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    assert isinstance(font, ImageFont.FreeTypeFont)  # load_default(size) always scales
    return font


@lru_cache(maxsize=4096)
def _font_for(text: str, size: int) -> ImageFont.FreeTypeFont | None:
    """A font that has every letter of a text: Pillow's own, or one of the system; None if there is none."""
    if any("֐" <= letter <= "ࣿ" for letter in text) and not features.check("raqm"):
        return None  # written from right to left, with letters that join: without raqm, they would be the wrong way
    for font in (_default(size), *_system_fonts(size)):
        if all(_has(font, letter) for letter in set(text)):
            return font
    return None


@cache
def _system_fonts(size: int) -> tuple[ImageFont.FreeTypeFont, ...]:
    found = []
    for name in FONTS:
        try:
            found.append(ImageFont.truetype(name, size))
        except OSError:
            continue
    return tuple(found)


@lru_cache(maxsize=65536)
def _has(font: ImageFont.FreeTypeFont, letter: str) -> bool:
    """True if a font has a letter: what it lacks looks like what no font has."""
    if letter.isspace() or letter == "…":
        return True
    mask, missing = font.getmask(letter), font.getmask("￿")
    return (mask.size, bytes(mask)) != (missing.size, bytes(missing))
