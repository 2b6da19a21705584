"""What the benchmarks share: pictures as tensors and back, whole files, and work shared between processes."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

ROOT = Path(__file__).resolve().parents[1]


def as_tensor(picture: Image.Image) -> Tensor:
    """An RGB image `[h w 3]` in [0, 1]."""
    return torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).float() / 255


def as_picture(image: Tensor) -> Image.Image:
    """An image `[h w 3]`, clamped to [0, 1], as an 8-bit picture."""
    return Image.fromarray((image.clamp(0, 1) * 255).round().to(torch.uint8).numpy())


def write_whole(path: Path, text: str) -> None:
    """Write a file that appears whole or not at all."""
    beside = path.with_suffix(".part")
    beside.write_text(text, encoding="utf-8")
    beside.rename(path)


def share_of(text: str) -> tuple[int, int]:
    """`0/2` -> (0, 2): this process does every second piece of work, from the first."""
    first, _, count = text.partition("/")
    return int(first), int(count)
