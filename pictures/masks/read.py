"""Read masks from picture files: select the channel, and warn about doubtful masks."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ...graph_runtime import BadInput
from ..arrays import Float32Array
from ..files.folders import left_out
from ..files.read import Picture, read_pictures
from .file_warnings import file_warnings, reads_alpha
from .warnings import value_warnings


def read_masks(
    path: str, channel: str, invert: bool, threshold: float | None, warn: Callable[[str], None]
) -> Float[Tensor, "b h w"]:
    """The masks of `path`, 1 = repaint; `warn` is called with each doubt about them.

    Raises:
        BadInput: as image.load; or channel=alpha for a file without transparency.
    """
    planes = []
    pictures = read_pictures(path)
    if rest := left_out(path):
        warn(rest)
    for picture in pictures:
        plane, notes = mask_in(picture, channel, invert, threshold)
        for note in notes:
            warn(f"{picture.path.name}: {note}")
        planes.append(plane)
    return torch.stack(planes)


def mask_in(
    picture: Picture, channel: str = "auto", invert: bool = False, threshold: float | None = 0.5
) -> tuple[Float[Tensor, "h w"], list[str]]:
    """The mask in a picture, and warnings about it."""
    soft = torch.from_numpy(_channel(picture, channel))
    soft = 1 - soft if invert else soft
    plane = soft if threshold is None else (soft >= threshold).to(torch.float32)
    about_file = file_warnings(picture, channel, invert, (soft >= (threshold or 0.5)).numpy())
    about_values = value_warnings(soft, plane, threshold)
    if about_file:  # greys and shares depend on these
        about_values = [note for note in about_values if note.startswith(("mask-empty", "mask-full", "mask-faint"))]
    return plane, [*picture.notes, *about_file, *about_values]


def _channel(picture: Picture, channel: str) -> Float32Array:
    alpha = picture.alpha
    if channel == "alpha" and alpha is None:
        raise no_alpha(picture.path.name, picture.mode)
    return np.float32(1) - alpha if alpha is not None and reads_alpha(picture, channel) else picture.luminance()


def no_alpha(name: str, mode: str) -> BadInput:
    """The error about a picture without the requested transparency."""
    return BadInput(
        "channel",
        found=f"{name!r} of mode {mode}, without transparency",
        expected="an alpha channel",
        fix="use channel=luminance or channel=auto",
    )
