"""The preprocessing of a DETR's pictures, from its `preprocessor_config.json`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from PIL import Image as Pil
from pydantic import Field, StrictFloat, StrictInt

from ...graph_runtime.core.light.later import Float, Tensor, torch
from ..config import Config, ConfigFile, read_config

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
MAX_SIDE = 4096
_Side = Annotated[StrictInt, Field(ge=1, le=MAX_SIDE)]
_Mean = Annotated[StrictFloat, Field(ge=-1e3, le=1e3)]
_Std = Annotated[StrictFloat, Field(ge=1e-6, le=1e3)]


class ExactSize(ConfigFile):
    """`size` of a height and a width."""

    height: _Side = 1
    width: _Side = 1


class EdgeSize(ConfigFile):
    """`size` of a shortest and a longest edge; older files have the latter as `max_size`."""

    shortest_edge: _Side = 800
    longest_edge: _Side | None = None
    max_size: _Side = 1333


class OldSize(ConfigFile):
    """`size` as one number, and `max_size` beside it."""

    size: _Side = 800
    max_size: _Side = 1333


class Normalisation(ConfigFile):
    """Scaling, normalisation and resampling of pictures."""

    rescale_factor: Annotated[StrictFloat, Field(ge=1e-9, le=1e9)] = 1 / 255
    image_mean: Annotated[tuple[_Mean, ...], Field(min_length=3, max_length=3)] = IMAGENET_MEAN
    image_std: Annotated[tuple[_Std, ...], Field(min_length=3, max_length=3)] = IMAGENET_STD
    resample: Annotated[StrictInt, Field(ge=0, le=5)] = 2


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of a detector's pictures: resize, scale, normalise.

    Attributes:
        shortest: the shorter side becomes this many pixels …
        longest: … unless the longer one would exceed this; 0: neither, pictures are not resized so.
        exact: height and width that every picture gets instead, or None.
        filter: Pillow's number of the resampling filter.
        factor: 8-bit samples are multiplied by it.
        mean: then subtracted from each channel.
        std: then each channel is divided by it.
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
        """A picture in [0, 1], preprocessed for the detector."""
        levels = (picture.detach().cpu().double().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
        height, width = self.size(*levels.shape[:2])
        if (height, width) != levels.shape[:2]:
            small = Pil.fromarray(levels).resize((width, height), Pil.Resampling(self.filter))
            levels = np.asarray(small)
        pixels = torch.from_numpy(levels.astype(np.float32)).permute(2, 0, 1) * self.factor
        return ((pixels - torch.tensor(self.mean)[:, None, None]) / torch.tensor(self.std)[:, None, None])[None]


def read_preprocessing(config: Config, where: str) -> Preprocessing:
    """Read `preprocessor_config.json`, in the forms that DETRs are published with.

    Raises:
        ModelError: a value is of another type or out of bounds.
    """
    exact, shortest, longest = None, 0, 0
    if config.get("do_resize", True) is not False:
        exact, shortest, longest = _read_size(config, where)
    ignored = {
        *(("rescale_factor",) if config.get("do_rescale", True) is False else ()),
        *(("image_mean", "image_std") if config.get("do_normalize", True) is False else ()),
    }
    found = read_config(Normalisation, {key: config[key] for key in config if key not in ignored}, where)
    factor = 1.0 if "rescale_factor" in ignored else found.rescale_factor
    mean, std = ((0.0,) * 3, (1.0,) * 3) if "image_mean" in ignored else (found.image_mean, found.image_std)
    return Preprocessing(shortest, longest, exact, found.resample, factor, mean, std)


def _read_size(config: Config, where: str) -> tuple[tuple[int, int] | None, int, int]:
    """Exact height and width, or None; shortest and longest edge, or 0."""
    size = config.get("size", 800)
    if isinstance(size, Mapping) and "height" in size:
        sides = read_config(ExactSize, size, f"size in {where}")
        return (sides.height, sides.width), 0, 0
    if isinstance(size, Mapping):
        edges = read_config(EdgeSize, {**config, **size}, f"size in {where}")
        return None, edges.shortest_edge, edges.max_size if edges.longest_edge is None else edges.longest_edge
    old = read_config(OldSize, config, where)
    return None, old.size, old.max_size
