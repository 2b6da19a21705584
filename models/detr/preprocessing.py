"""What a DETR's pictures go through, as its `preprocessor_config.json` says."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as Pil
from torch import Tensor

from ..config import Settings

IMAGENET_MEAN = (0.485, 0.456, 0.406)


IMAGENET_STD = (0.229, 0.224, 0.225)


MAX_SIDE = 4096


@dataclass(frozen=True)
class Preprocessing:
    """What a detector's pictures go through: resized, scaled, normalised.

    Attributes:
        shortest: the shorter side becomes this many pixels …
        longest: … unless the longer one would exceed this; 0: neither, pictures are not resized so.
        exact: height and width that every picture gets instead, or None.
        filter: Pillow's number of the resampling filter.
        factor: 8-bit samples are multiplied by it.
        mean: taken off each channel then.
        std: each channel is divided by it then.
    """

    shortest: int = 800
    longest: int = 1333
    exact: tuple[int, int] | None = None
    filter: int = 2
    factor: float = 1 / 255
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that a picture is resized to."""
        if self.exact is not None:
            return self.exact
        if not self.shortest:
            return height, width
        short, long = min(height, width), max(height, width)
        side: float = self.shortest
        if self.longest and long / short * side > self.longest:
            side = self.longest * short / long
        other = int(side * long / short)
        result = (round(side), other) if height <= width else (other, round(side))
        return (height, width) if round(side) == short else (max(1, result[0]), max(1, result[1]))

    def __call__(self, picture: Float[Tensor, "h w 3"]) -> Float[Tensor, "1 3 h2 w2"]:
        """A picture in [0, 1] as the detector sees it."""
        levels = (picture.detach().cpu().double().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        height, width = self.size(*levels.shape[:2])
        if (height, width) != levels.shape[:2]:
            small = Pil.fromarray(levels).resize((width, height), Pil.Resampling(self.filter))
            levels = np.asarray(small)
        pixels = torch.from_numpy(levels.astype(np.float32)).permute(2, 0, 1) * self.factor
        return ((pixels - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None])[None]


def read_preprocessing(settings: Settings) -> Preprocessing:
    """What `preprocessor_config.json` says, in the forms that DETRs are published with.

    Raises:
        ModelError: a value is of another type or out of range.
    """
    said = settings.values
    size, exact, shortest, longest = said.get("size", 800), None, 0, 0
    if said.get("do_resize", True) is not False:
        if isinstance(size, Mapping) and "height" in size:
            sides = Settings(size, f"size in {settings.where}")
            exact = (sides.whole("height", 1, 1, MAX_SIDE), sides.whole("width", 1, 1, MAX_SIDE))
        elif isinstance(size, Mapping):
            sides = Settings({**said, **size}, f"size in {settings.where}")
            shortest = sides.whole("shortest_edge", 800, 1, MAX_SIDE)
            longest = sides.whole("longest_edge", sides.whole("max_size", 1333, 1, MAX_SIDE), 1, MAX_SIDE)
        else:
            shortest = settings.whole("size", 800, 1, MAX_SIDE)
            longest = settings.whole("max_size", 1333, 1, MAX_SIDE)
    factor = settings.number("rescale_factor", 1 / 255, 1e-9, 1e9) if said.get("do_rescale", True) is not False else 1.0
    mean: tuple[float, ...] = (0.0,) * 3
    std: tuple[float, ...] = (1.0,) * 3
    if said.get("do_normalize", True) is not False:
        mean, std = _channels(settings, "image_mean", IMAGENET_MEAN), _channels(settings, "image_std", IMAGENET_STD)
    return Preprocessing(shortest, longest, exact, settings.whole("resample", 2, 0, 5), factor, mean, std)


def _channels(settings: Settings, key: str, default: tuple[float, ...]) -> tuple[float, ...]:
    if key not in settings.values:
        return default
    found = settings.numbers(key, 1e-6 if key == "image_std" else -1e3, 1e3, 3)
    if len(found) != 3:
        raise settings.refused(key, found, "three numbers")
    return found
