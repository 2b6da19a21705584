"""A comparison sheet."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import Field

from ...graph_runtime import Context, Repeat, node
from ...pictures.sheet import columns_for, draw_sheet, labelled, timed
from ..checks.image import grid as check_grid
from ..ports import Image


class Sheet(NamedTuple):
    """The sheet."""

    image: Image


@node("image.grid", check=check_grid)
def grid(
    images: Annotated[Sequence[Image | None], Repeat("image", 2, 16)],
    labels: Annotated[Sequence[str], Repeat("label", 0, 16)] = (),
    columns: Annotated[int, Field(ge=1, le=256)] | None = None,
    times: bool = False,
    ctx: Context | None = None,
) -> Sheet:
    """Arrange pictures on one sheet, side by side at one height, each under its label.

    Smaller pictures are enlarged by whole factors only, so pixels stay crisp; those above 1024 px are scaled down.
    Each picture of a batch gets a place of its own.

    Args:
        images: A picture on the sheet; sizes may differ.
        labels: Words above the picture of the same number.
        columns: Pictures in a row; null: up to four in one row, else nearly square.
        times: Add the seconds that each picture took in this run, with everything it depends on; the sheet's bytes then
            differ from run to run.

    Raises:
        BadInput: NaN in a picture, or fewer than two pictures connected.
    """
    if times and ctx is not None:
        labels = timed(labels, len(images), ctx)
    pictures, words = labelled(images, labels)
    return Sheet(draw_sheet(pictures, words, columns or columns_for(len(pictures))))
