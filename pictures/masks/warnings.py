"""Warnings about a mask's values: empty, full, hazy, soft, only a few pixels, specks.

Each is `name: what was found, and what to do`. Nothing is changed.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ...graph_runtime.core.light.later import Bool, Float, Shaped

NEARLY = 0.1  # closer than this to black or white, but not equal
HAZE_SHARE = 0.1  # share of hazy pixels from which they are reported
SOFT_SHARE = 0.25  # share of greys among the non-black pixels from which a hard threshold is reported
LARGE_SHARE = 0.9  # a hole this large is more often an inverted mask than intended

Plane = Float[np.ndarray, "h w"]


def value_warnings(
    soft: Float[np.ndarray, "h w"], mask: Shaped[np.ndarray, "h w"], threshold: float | None
) -> list[str]:
    """Warnings about the values of a mask, of numbers or true and false; `soft` is the mask before the threshold."""
    peak, floor = float(soft.max()), float(soft.min())
    marked, covered = (mask, mask) if mask.dtype == np.bool_ else (mask > 0, mask >= 1)
    if not bool(marked.any()):
        if peak == 0:
            return [
                "mask-empty: it is black (or opaque) everywhere, so nothing would be repainted; "
                "white = repaint: use invert=true if black was meant, or another channel"
            ]
        return [
            f"mask-faint: its strongest value is {peak:.3g}, below the threshold {threshold:g}, so nothing would "
            f"be repainted; lower the threshold, paint with full opacity, or use another channel"
        ]
    if bool(covered.all()):
        if floor == 1:
            return [
                "mask-full: it is white (or transparent) everywhere, so nothing of the picture is kept; "
                "use invert=true or another channel if that is not meant"
            ]
        return [
            f"mask-full: its weakest value is {floor:.3g}, not below the threshold {threshold:g}, so nothing of "
            f"the picture is kept; raise the threshold, or use another channel"
        ]
    notes = _soft_notes(soft) if threshold is None else _cut_notes(soft, threshold)
    share = _count(marked) / mask.size
    if share > LARGE_SHARE:
        notes.append(
            f"mask-large: it repaints {share:.1%} of the picture; white = repaint: use invert=true if the "
            f"white part was to be kept"
        )
    return notes


def _soft_notes(soft: Plane) -> list[str]:
    peak, floor, notes = float(soft.max()), float(soft.min()), []
    if peak < 1:
        notes.append(
            f"mask-not-opaque: its strongest value is {peak:.3g}, so the old picture shines through "
            f"everywhere; set threshold=0.5 or paint with full opacity"
        )
    haze = _count((soft > 0) & (soft < NEARLY)) / soft.size
    if floor > 0:
        notes.append(
            f"mask-haze: its weakest value is {floor:.3g}, so no pixel is kept exactly; set threshold=0.5, or "
            f"make its background fully black (or opaque)"
        )
    elif haze > HAZE_SHARE:
        notes.append(
            f"mask-haze: {haze:.0%} of its pixels are nearly but not quite black and would be repainted "
            f"faintly; set threshold=0.5, or clean its background"
        )
    return notes


def _count(plane: Bool[np.ndarray, "h w"]) -> int:
    """How many are true."""
    return int(np.count_nonzero(plane))


def _cut_notes(soft: Plane, threshold: float) -> list[str]:
    notes: list[str] = []
    kept = soft >= threshold
    if not bool(((soft > 0) & (soft < 1)).any()):  # black and white
        return notes
    dropped, holes = ~kept, _count(kept)
    haze = (soft > 0) & (soft < NEARLY) & dropped
    white = (soft < 1) & (soft > 1 - NEARLY) & kept
    grey = (soft >= NEARLY) & (soft <= 1 - NEARLY)
    hazy, pale, soft_ones, marked = (_count(plane) for plane in (haze, white, grey, soft >= NEARLY))
    if hazy > HAZE_SHARE * soft.size:
        notes.append(
            f"mask-haze: {hazy / soft.size:.0%} of its pixels are nearly but not quite black (up to "
            f"{float(soft[haze].max()):.3g}); the threshold {threshold:g} reads them as keep"
        )
    if pale > HAZE_SHARE * holes:
        notes.append(
            f"mask-not-opaque: {pale / holes:.0%} of its hole is nearly but not quite "
            f"white (from {float(soft[white].min()):.3g}); the threshold {threshold:g} reads it as repaint"
        )
    if soft_ones > SOFT_SHARE * marked:
        lost = _count(grey & dropped)
        notes.append(
            f"mask-soft: {soft_ones / marked:.0%} of what it marks is grey; the threshold {threshold:g} "
            f"reads {lost} grey pixels as keep and {soft_ones - lost} as repaint; threshold=null "
            f"keeps it soft"
        )
    return notes


FEW = 0.0005  # share of the picture below which a hole
FEW_PIXELS = 256  # of fewer pixels than this is more often a stray click than intended
SPECK = 4  # pixels of a component that is more often noise than intended
RING = 3  # pixels around a hole
SEARCHED = 25_000_000  # pixels around a hole; in larger ones nobody sees specks, and the search takes many seconds
SPECKS = 0.1  # share of the hole above which such components are intended


def few_drawn(hole: Bool[np.ndarray, "h w"]) -> list[str]:
    """A warning where a drawing marks a few pixels alone: reds of a photo that nobody drew on look so."""
    count = _count(hole)
    if not 0 < count < min(FEW * hole.size, FEW_PIXELS):
        return []
    return [
        f"mask-few: drawn red in it are only {count} of {hole.size} pixels, and only these would be repainted; "
        f"is it the photo, without a mask drawn on it?"
    ]


def size_warnings(hole: Bool[np.ndarray, "h w"], count: int) -> list[str]:
    """Warnings about a hole of a few pixels (`count` in all), and about specks beside a hole."""
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    where = f"x {columns[0]}–{columns[-1]}, y {rows[0]}–{rows[-1]}"
    if count < min(FEW * hole.size, FEW_PIXELS):
        return [
            f"mask-few: only {count} pixel{'s' if count > 1 else ''} ({where}) of {hole.size} would be repainted; "
            f"is it a stray click, or the wrong file?"
        ]
    notes: list[str] = []
    left, top = int(columns[0]), int(rows[0])
    if (rows[-1] + 1 - top) * (columns[-1] + 1 - left) > SEARCHED:
        return notes
    ringed = np.pad(hole[top : rows[-1] + 1, left : columns[-1] + 1], RING)  # all around the hole is one component
    for name, plane, fate in (("specks", ringed, "repainted"), ("pinholes", ~ringed, "kept")):
        if not may_have_specks(plane):
            continue
        from scipy.ndimage import label

        labels, parts = label(plane, structure=np.ones((3, 3)))
        sizes = np.bincount(labels.ravel(), minlength=parts + 1)[1:]
        small = np.flatnonzero(sizes <= SPECK)
        if len(small) and len(small) < parts and sizes[small].sum() < SPECKS * count:
            y, x = np.argwhere(labels == small[0] + 1)[0] + (top - RING, left - RING)
            notes.append(
                f"mask-{name}: {len(small)} part{'s' if len(small) > 1 else ''} of at most {SPECK} pixels "
                f"(the first at x {x}, y {y}) would be {fate} beside {parts - len(small)} larger; JPEG and "
                f"soft brushes leave such specks: save masks as PNG, or clean this one"
            )
    return notes


def may_have_specks(plane: Bool[np.ndarray, "h w"]) -> bool:
    """False where no 8-connected component has `SPECK` pixels or fewer, found without looking for components.

    A pixel with as many neighbours as that belongs to a larger component, and so does each pixel that is connected to
    one; what is connected over more than a few pixels is looked for by the caller.
    """
    inner = (slice(1, -1), slice(1, -1))
    around = np.pad(plane, 1).astype(np.uint8)
    large = np.zeros(around.shape, np.uint8)
    counted = _neighbours(around, np.add)
    large[inner] = (counted >= SPECK) & plane
    for _ in range(3):
        large[inner] |= _neighbours(large, np.bitwise_or) & around[inner]
    return bool((plane & (large[inner] == 0)).any())


def _neighbours(padded: NDArray[np.uint8], join: Callable[..., NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Of each pixel, its eight neighbours joined; `padded` has one more pixel on each side."""
    height, width = padded.shape
    found = np.zeros((height - 2, width - 2), np.uint8)
    for down in range(3):
        for right in range(3):
            if (down, right) != (1, 1):
                join(found, padded[down : height - 2 + down, right : width - 2 + right], out=found)
    return found
