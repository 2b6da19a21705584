"""Strokes on a copy of the photo, found by what differs from it: of any colour, whatever the photo itself holds.

A copy may be JPEG or WebP, have other depth, or be converted to sRGB: what differs everywhere is its noise, and strokes
are what differs by more, in pieces with enough pixels far above the noise. The colour that most of them have lowers
the threshold for the rest.
"""

import math
from typing import NamedTuple

import numpy as np

from ...graph_runtime.core.light.later import Bool, Float
from ..arrays import Float32Array, strips
from ..colour.space import Colour, values_to_srgb
from ..files.read import Picture
from .file_warnings import GREY, SAMPLED, reads_alpha

PALE = 0.12  # chroma of greys, at most: JPEG stains them by as much
COLOURED = 0.02  # share of colours that a picture has, at least, which may be a copy of a photo …
GREYS = 0.5  # … or of greys between black and white: a mask has fewer
SAME = 0.1  # distance of pixels that are alike
MOST = 0.5  # share of the photo's colours and greys that are alike in a copy
LEAST = 64  # pixels compared, at least
BLOCK = 8  # side of the blocks whose largest differences tell the noise
UNTOUCHED = 0.25  # largest difference in a block without strokes
NEARLY_ALL = 0.9  # of these blocks have less noise than is expected
EXACT = 2.5 / 255  # noise of a copy that was only rounded
FLAT = 0.15  # distance of each channel from the pen's colour, at most
GAP = 5  # side of the square by which gaps in strokes are closed: there the photo has the pen's colour

Colours = Float[np.ndarray, "h w 3"]
Marks = Bool[np.ndarray, "h w"]


class Photo(NamedTuple):
    """The photo that a mask belongs to.

    Attributes:
        size: width and height in pixels; None before they are known.
        values: as stored; None before it is read.
        colour: the space that its file declares.
    """

    size: tuple[int, int] | None
    values: Colours | None = None
    colour: Colour = Colour()


class PhotoNeededError(Exception):
    """A mask cannot be read before the photo is."""


class _Thresholds(NamedTuple):
    weak: float
    strong: float
    near_pen: float
    enough: int


class _Comparison(NamedTuple):
    """A mask's file beside the photo: as stored, or both in sRGB."""

    picture: Picture
    photo: Colours
    colour: Colour
    in_srgb: bool

    def rows(self, rows: slice) -> tuple[Colours, Colours]:
        """Some rows of both."""
        return self._converted(self.picture.rows(rows), self.photo[rows])

    def sampled(self, step: int) -> tuple[Colours, Colours]:
        """Every `step`-th row and column of both."""
        return self._converted(self.picture.sampled(step), self.photo[::step, ::step])

    def _converted(self, drawn: Colours, photo: Colours) -> tuple[Colours, Colours]:
        if not self.in_srgb:
            return drawn, photo
        return values_to_srgb(drawn, self.picture.info.colour), values_to_srgb(photo, self.colour)


def strokes_on_copy(picture: Picture, photo: Photo, out: Float32Array) -> bool:
    """Write 1 where somebody drew on a copy of the photo and 0 elsewhere; false, with nothing written, for other masks.

    Also false for the photo itself: there the strokes may be part of both. Outlines are not filled.

    Raises:
        PhotoNeededError: it may be a copy, and the photo is not read yet.
    """
    if photo.size not in (None, picture.size) or not _may_be_copy(picture):
        return False
    if photo.values is None:
        raise PhotoNeededError
    step = _step(picture)
    ways = [False] if picture.info.colour == photo.colour else [False, True]
    pairs = [_Comparison(picture, photo.values, photo.colour, way) for way in ways]
    noise, pair = min(((_noise(*pair.sampled(step)), pair) for pair in pairs), key=lambda found: found[0])
    if noise > UNTOUCHED:
        return False
    marks = _marked(pair, _thresholds(noise))
    if marks is None:
        return False
    np.copyto(out, marks)
    return True


def _step(picture: Picture) -> int:
    width, height = picture.size
    return max(1, round(math.sqrt(width * height / SAMPLED)))


def _may_be_copy(picture: Picture) -> bool:
    """False for masks: by their transparency, or black and white."""
    if reads_alpha(picture, "auto"):
        return False
    colours = picture.sampled(_step(picture))
    coloured = _chroma(colours) > PALE
    return float(coloured.mean()) >= COLOURED or float(_telling(colours).mean()) >= GREYS


def _chroma(colours: Colours) -> Float[np.ndarray, "h w"]:
    found: Float[np.ndarray, "h w"] = colours.max(-1) - colours.min(-1)
    return found


def _telling(colours: Colours) -> Marks:
    """True for colours and greys, by which a photo is known; black and white are in every mask."""
    found: Marks = (_chroma(colours) > PALE) | ((colours.max(-1) > GREY) & (colours.min(-1) < 1 - GREY))
    return found


def _noise(drawn: Colours, photo: Colours) -> float:
    """How much a copy differs from the photo where nothing is drawn; infinite where it is no copy."""
    telling = _telling(photo)
    differs = np.abs(drawn - photo).max(-1)
    if telling.sum() < LEAST or float((differs[telling] <= SAME).mean()) < MOST:
        return math.inf
    height, width = (side // BLOCK * BLOCK for side in differs.shape)
    blocks = (height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    largest = differs[:height, :width].reshape(blocks).max((1, 3))
    untouched = (largest < UNTOUCHED) & telling[:height, :width].reshape(blocks).any((1, 3))
    return float(np.quantile(largest[untouched], NEARLY_ALL)) if untouched.any() else UNTOUCHED


def _thresholds(noise: float) -> _Thresholds:
    """What differs by how much was drawn: for a copy of every bit, and for one that was compressed."""
    if noise <= EXACT:
        return _Thresholds(0.025, 0.05, 0.025, 1)
    return _Thresholds(min(max(1.5 * noise, 0.08), 0.15), min(max(3 * noise, 0.16), 0.35), 0.06, 12)


def _marked(pair: _Comparison, thresholds: _Thresholds) -> Marks | None:
    """Connected pieces of what differs, with enough pixels that differ much; None where nothing differs at all."""
    from scipy.ndimage import grey_closing, label

    pen = _pen(pair, thresholds.strong)
    width, height = pair.picture.size
    weak, strong, differs_at_all = np.empty((height, width), np.bool_), np.empty((height, width), np.bool_), False
    for rows in strips(height, width):
        drawn, photo = pair.rows(rows)
        differs = np.abs(drawn - photo).max(-1)
        differs_at_all |= bool(differs.any())
        strong[rows] = differs >= thresholds.strong
        weak[rows] = differs >= thresholds.weak
        if pen is not None:
            weak[rows] |= (differs >= thresholds.near_pen) & (np.abs(drawn - pen) <= FLAT).all(-1)
    if not differs_at_all:
        return None
    pieces, count = label(weak, np.ones((3, 3)))
    kept = np.bincount(pieces[strong], minlength=count + 1) >= thresholds.enough
    kept[0] = False
    marks: Marks = grey_closing(kept[pieces].astype(np.uint8), size=(GAP, GAP)) > 0
    return marks


def _pen(pair: _Comparison, strong: float) -> Float[np.ndarray, "3"] | None:
    """The colour that most of the strokes have; None where there are hardly any."""
    drawn, photo = pair.sampled(_step(pair.picture))
    strokes = drawn[np.abs(drawn - photo).max(-1) >= strong]
    if not len(strokes):
        return None
    bins = (strokes.clip(0, 1) * 15.999).astype(np.int64) @ np.array([256, 16, 1])
    middle: Float[np.ndarray, 3] = np.median(strokes[bins == np.bincount(bins).argmax()], axis=0)
    return middle
