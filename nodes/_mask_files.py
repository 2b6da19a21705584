"""Masks in picture files: which channel means the hole, and what is doubtful about it."""

from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..graph_runtime import BadInput
from ._folders import left_out
from ._masks import mask_notes
from ._pictures import Picture, read_pictures


def read_masks(path: str, channel: str, invert: bool, threshold: float | None,
               say: Callable[[str], None]) -> Float[Tensor, "b h w"]:
    """The masks that `path` means, 1 = repaint; what is doubtful about them is said.

    Raises:
        BadInput: what image.load refuses; channel=alpha for a file without transparency.
    """
    planes = []
    pictures = read_pictures(path)
    if rest := left_out(path):
        say(rest)
    for picture in pictures:
        soft = torch.from_numpy(_channel(picture, channel))
        soft = 1 - soft if invert else soft
        plane = soft if threshold is None else (soft >= threshold).to(torch.float32)
        for note in (*picture.notes, *mask_notes(soft, plane, threshold)):
            say(f"{picture.path.name}: {note}")
        planes.append(plane)
    return torch.stack(planes)


def _channel(picture: Picture, channel: str) -> np.ndarray:
    alpha = picture.alpha
    if channel == "alpha" and alpha is None:
        raise no_alpha(picture.path.name, picture.mode)
    if alpha is not None and (channel == "alpha" or (channel == "auto" and alpha.min() != alpha.max())):
        return np.float32(1) - alpha
    return picture.luminance()


def no_alpha(name: str, mode: str) -> BadInput:
    """A picture without the transparency that is asked for."""
    return BadInput("channel", found=f"{name!r} of mode {mode}, without transparency", expected="an alpha channel",
                    fix="use channel=luminance or channel=auto")
