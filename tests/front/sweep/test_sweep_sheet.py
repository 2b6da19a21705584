"""The sheets of a sweep: axes, labels, the best, and a bounded size whatever there is to draw."""

import functools
import json
from pathlib import Path

import numpy as np
import pytest
from inlay.graph_runtime.core.pack import SheetBlock, SheetCell, SheetLabel
from inlay.graph_runtime.front.jobs.ledger import Written
from inlay.graph_runtime.front.jobs.outcome import Outcome
from inlay.graph_runtime.front.sweep.axes import ValueAxis, Values
from inlay.graph_runtime.front.sweep.best import Best
from inlay.graph_runtime.front.sweep.grid import Grid
from inlay.graph_runtime.front.sweep.numbers import spread
from inlay.graph_runtime.front.sweep.rows import Rows
from inlay.graph_runtime.front.sweep.sheet import HIGH, MOST, WIDE, Sheets
from inlay.pictures import grid_sheet
from inlay.pictures.grid_sheet import write_grid_sheet
from PIL import Image


def texts(name, *values):
    return ValueAxis(name, f"--grid {name}", (), Values((values,)), True)


def numbers(name, text):
    return ValueAxis(name, f"--grid {name}", (), Values((spread(text),), json.loads), True)


def sheets_of(axes, tmp_path, *, failed=(), best=None, winner=None, missing=()):
    """What would be drawn: each call with its blocks and side, and what `write` gave."""
    grid = Grid(axes)
    rows = Rows(grid.total)
    for number in range(min(grid.total, 3_000)):
        if number in missing:
            continue
        status = "failed" if number in failed else "done"
        rows.add(
            number, Outcome(str(number), {}, status, [Written(f"{number}.png", "", "")], values={"a.b": number / 7})
        )
    drawn = []

    def write(name, draw):
        assert isinstance(draw, functools.partial)
        drawn.append((name, *draw.args))
        return Path(name)

    return drawn, Sheets(grid, rows, tmp_path, best, winner).write(write)


def test_two_axes_are_rows_and_columns_with_their_values(tmp_path):
    drawn, (paths, count) = sheets_of([numbers("seed", "0..2"), texts("fill", "noise", "blur")], tmp_path)
    ((name, (block,), _),) = drawn
    assert (name, paths, count) == ("sheet.png", [Path("sheet.png")], 6)
    assert [label.text for label in block.rows] == ["seed 0", "seed 1", "seed 2"]
    assert [label.text for label in block.columns] == ["fill noise", "fill blur"]
    assert [[cell.picture.name for cell in row] for row in block.cells] == [
        ["0.png", "1.png"],
        ["2.png", "3.png"],
        ["4.png", "5.png"],
    ]


def test_long_texts_become_rows(tmp_path):
    drawn, _ = sheets_of([numbers("seed", "0..2"), texts("prompt", "a very long description of a cat", "x")], tmp_path)
    (block,) = drawn[0][1]
    assert [label.text for label in block.columns] == ["seed 0", "seed 1", "seed 2"]
    assert [[cell.picture.name for cell in row] for row in block.cells] == [
        ["0.png", "2.png", "4.png"],
        ["1.png", "3.png", "5.png"],
    ]


def test_more_axes_are_blocks_with_titles_and_what_does_not_vary_is_said(tmp_path):
    axes = [texts("fill", "noise", "blur"), numbers("steps", "4..4"), numbers("a", "0..1"), numbers("b", "0..1")]
    drawn, (_, count) = sheets_of(axes, tmp_path)
    assert [block.title.text for block in drawn[0][1]] == ["steps 4 · fill noise", "steps 4 · fill blur"]
    assert count == 8


def test_one_axis_is_wrapped_and_each_picture_has_its_value(tmp_path):
    drawn, (_, count) = sheets_of([numbers("seed", "0..9")], tmp_path)
    (block,) = drawn[0][1]
    assert len(block.cells) > 1
    assert [cell.text.text for row in block.cells for cell in row] == [str(number) for number in range(10)]
    assert count == 10


def test_the_best_is_marked_and_failures_are_named(tmp_path):
    axes = [numbers("seed", "0..1"), texts("fill", "noise", "blur")]
    drawn, _ = sheets_of(axes, tmp_path, failed={1}, best=Best("a.b", "higher"), winner=3, missing={2})
    cells = [cell for row in drawn[0][1][0].cells for cell in row]
    assert [cell.marked for cell in cells] == [False, False, False, True]
    assert [cell.text.text for cell in cells] == ["0", "failed", "", "best: 0.4286"]
    assert [cell.picture is None for cell in cells] == [False, True, True, False]


@pytest.mark.parametrize(
    "axes",
    [
        [numbers("a", "0..299"), numbers("b", "0..9")],
        [numbers("a", "0..9"), numbers("b", "0..299")],
        [numbers("a", "0..2999")],
        [numbers("a", "0..9"), numbers("b", "0..9"), numbers("c", "0..29")],
        [numbers("a", "0..99999999"), numbers("b", "0..9")],
        [numbers("a", "0..99999999")],
        [texts("prompt", *(f"{number} {'long ' * 40}" for number in range(200))), numbers("b", "0..9")],
    ],
    ids=lambda axes: "x".join(str(axis.count) for axis in axes),
)
def test_every_sheet_is_of_bounded_size_and_no_picture_comes_twice(tmp_path, axes):
    drawn, (paths, count) = sheets_of(axes, tmp_path)
    assert len(paths) <= MOST
    seen = []
    for _, blocks, side in drawn:
        sizes = [grid_sheet.size_of(block, side) for block in blocks]
        assert max(wide for wide, _ in sizes) <= 1.1 * WIDE
        assert sum(high for _, high in sizes) <= 1.1 * HIGH
        seen += [cell.picture for block in blocks for row in block.cells for cell in row if cell and cell.picture]
    assert len(set(seen)) == len(seen)
    assert count >= len(seen)
    assert [name for name, *_ in drawn[:2]] == ["sheet.png", "sheet-2.png"][: len(drawn)]


def picture(tmp_path, name="a.png", size=(40, 30), colour="red"):
    Image.new("RGB", size, colour).save(tmp_path / name)
    return tmp_path / name


def test_what_is_drawn_has_each_picture_in_its_place(tmp_path):
    colours = [["red", "lime"], ["blue", "yellow"]]
    cells = tuple(
        tuple(SheetCell(picture(tmp_path, f"{c}.png", (64, 64), c), marked=c == "yellow") for c in row)
        for row in colours
    )
    heads = tuple(SheetLabel(f"value {number}") for number in range(2))
    write_grid_sheet([SheetBlock(SheetLabel("a title"), heads, heads, cells)], 64, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    centres = {}
    for name, rgb in {"red": (255, 0, 0), "lime": (0, 255, 0), "blue": (0, 0, 255), "yellow": (255, 255, 0)}.items():
        ys, xs = np.nonzero((sheet == rgb).all(-1))
        assert len(ys) == 64 * 64
        centres[name] = ys.mean(), xs.mean()
    assert centres["red"][0] == centres["lime"][0] < centres["blue"][0] == centres["yellow"][0]
    assert centres["red"][1] == centres["blue"][1] < centres["lime"][1] == centres["yellow"][1]
    assert (sheet == grid_sheet.BEST).all(-1).sum() > 4 * 64  # the frame of the best
    left = sheet[:, : grid_sheet.HEADING]
    assert (left != 255).any()  # headings before the rows


@pytest.mark.parametrize(
    "text", ["日本語のプロンプト", "العربية", "👩‍🚀🚀", "\u202eevil\x1b[31m", "word" * 500, "", "שלום", "a\nb\tc"]
)
def test_any_text_is_drawn_or_stood_in_for(tmp_path, text):
    label = SheetLabel(text, "prompt #3")
    block = SheetBlock(label, (label,), (label,), ((SheetCell(picture(tmp_path), label),),))
    write_grid_sheet([block], 96, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == grid_sheet.size_of(block, 96)


def test_letters_that_no_font_has_are_stood_in_for(monkeypatch):
    monkeypatch.setattr(grid_sheet, "_system_fonts", lambda size: ())
    grid_sheet._font_for.cache_clear()
    assert grid_sheet._drawable(SheetLabel("日本", "prompt #3"), 13)[0] == "prompt #3"
    assert grid_sheet._drawable(SheetLabel("café − ×2, ß", "x"), 13)[0] == "cafe - x2, ?"
    grid_sheet._font_for.cache_clear()


def test_a_picture_that_is_gone_or_damaged_leaves_a_grey_field(tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    cells = ((SheetCell(tmp_path / "bad.png"), SheetCell(tmp_path / "gone.png"), None),)
    write_grid_sheet([SheetBlock(SheetLabel(""), (), (), cells)], 48, tmp_path / "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png").convert("RGB"))
    assert (sheet == grid_sheet.EMPTY).all(-1).sum() == 2 * 48 * 48
