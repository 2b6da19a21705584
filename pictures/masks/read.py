"""Read masks from picture files: select the channel, and warn about doubtful masks."""

from collections.abc import Callable, Sequence

import numpy as np

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Float
from ..arrays import Float32Array
from ..files.folders import left_out
from ..files.read import Picture, each_picture, picture_files
from .copies import Photo, strokes_on_copy
from .drawn import drawn_mask
from .file_warnings import file_warnings, reads_alpha
from .warnings import few_drawn, value_warnings

COLOURS = ("red", "green", "blue")


def read_masks(
    path: str,
    channel: str,
    invert: bool,
    threshold: float | None,
    warn: Callable[[str], None],
    photos: Sequence[Photo] = (),
) -> Float[np.ndarray, "b h w"]:
    """The masks of `path`, 1 = repaint; `warn` is called with each doubt about them.

    Args:
        path: a picture, a folder or a pattern.
        channel: auto, alpha, luminance, drawn, red, green or blue.
        invert: swap keep and repaint.
        threshold: from which value on a pixel is repainted; None keeps soft values.
        warn: called with each doubt.
        photos: what the masks belong to, in their order, or one for all; of another number, they are not looked at.

    Raises:
        BadInput: as image.load; or channel=alpha for a file without transparency.
        PhotoNeededError: a mask that may be drawn on a photo that is not read yet.
    """
    files = picture_files(path)
    if rest := left_out(path):
        warn(rest)
    planes = np.empty(0, np.float32)
    for number, picture in enumerate(each_picture(files)):
        if not number:
            planes = np.empty((len(files), *picture.size[::-1]), np.float32)
        photo = photos[number] if len(photos) == len(files) else photos[0] if len(photos) == 1 else None
        for note in _read(picture, planes[number], channel, invert, threshold, photo):
            warn(f"{picture.path.name}: {note}")
    return planes


def mask_in(
    picture: Picture, channel: str = "auto", invert: bool = False, threshold: float | None = 0.5
) -> tuple[Float[np.ndarray, "h w"], list[str]]:
    """The mask in a picture, and warnings about it."""
    plane = np.empty(picture.size[::-1], np.float32)
    notes = _read(picture, plane, channel, invert, threshold)
    return plane, notes


def _read(
    picture: Picture, out: Float32Array, channel: str, invert: bool, threshold: float | None, photo: Photo | None = None
) -> list[str]:
    """Write the mask in a picture; warnings about it."""
    drawn = _channel(picture, channel, out, photo)
    if invert:
        np.subtract(np.float32(1), out, out=out)
    hole = out >= (threshold or 0.5)
    about_file = few_drawn(hole) if drawn else []
    if not drawn and channel not in COLOURS:  # who names one knows what is in it
        about_file = file_warnings(picture, channel, invert, hole)
    about_values = value_warnings(out, out if threshold is None else hole, threshold)
    if about_file:  # greys and shares depend on these
        about_values = [note for note in about_values if note.startswith(("mask-empty", "mask-full", "mask-faint"))]
    if threshold is not None:
        np.copyto(out, hole)
    return [*picture.notes, *about_file, *about_values]


def _channel(picture: Picture, channel: str, out: Float32Array, photo: Photo | None) -> bool:
    """Write the selected channel; true where it was recognized as a drawing."""
    if channel == "drawn":
        if photo is not None and strokes_on_copy(picture, photo, out):
            return True
        if drawn_mask(picture, out):
            return True
    if channel in COLOURS:
        np.copyto(out, picture.rgb()[..., COLOURS.index(channel)])
        return False
    if channel == "alpha" and picture.alpha is None:
        raise no_alpha(picture.path.name, picture.mode)
    if picture.alpha is not None and reads_alpha(picture, channel):
        np.subtract(np.float32(1), picture.alpha, out=out)
    else:
        picture.luminance(out)
    return False


def no_alpha(name: str, mode: str) -> BadInput:
    """The error about a picture without the requested transparency."""
    return BadInput(
        "channel",
        found=f"{name!r} of mode {mode}, without transparency",
        expected="an alpha channel",
        fix="use channel=luminance or channel=auto",
    )
