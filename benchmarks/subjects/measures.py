"""Measures of the subject benchmark: judge, pattern reader, and two image encoders."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from inlay.benchmarks.exemplars.tasks import bounds
from inlay.benchmarks.subjects.reader import Reader, load_reader
from inlay.benchmarks.subjects.tasks import Room, look_at
from inlay.benchmarks.subjects.ways import base_of
from inlay.dollhouse import judge
from inlay.models.image_encoder import picture_vectors, unit
from inlay.nodes.model_vision import clip as clip_node
from inlay.nodes.model_vision import dino as dino_node
from torch import Tensor
from torch.nn import functional as F


class Measures:
    """Judge, pattern reader and two image encoders, loaded."""

    def __init__(self, folder: Path, clip: str, dino: str = "", inception: Path | None = None):
        vae = base_of(True).vae.load("cpu")
        self.eyes, self.reader = judge.load(), load_reader(folder, vae)
        self.clip: Any = clip_node(clip).clip
        self.dino: Any = dino_node(dino).dino if dino else None
        self.clip_module = self.clip.load("cpu")
        self.dino_module = self.dino.load("cpu") if dino else None
        self.inception = torch.jit.load(str(inception)).eval() if inception else None

    def seen(self, pictures: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Unit vectors of pictures `[h w 3]`: from CLIP, and from DINO or, without it, from the pattern reader."""
        by_clip = unit(picture_vectors(self.clip_module, self.clip, list(pictures)))
        if self.dino is not None:
            return by_clip, unit(picture_vectors(self.dino_module, self.dino, list(pictures)))
        return by_clip, unit(_read_features(self.reader, pictures).double())

    @torch.no_grad()
    def for_fid(self, pictures: Sequence[Tensor]) -> Tensor | None:
        """Inception's pooled features of pictures `[h w 3]`, `[n 2048]`; None without Inception (then CLIP's)."""
        if self.inception is None:
            return None
        return torch.cat(
            [
                self.inception((picture.permute(2, 0, 1)[None] * 255).round().byte(), return_features=True)
                for picture in pictures
            ]
        )


@torch.no_grad()
def _read_features(reader: Reader, pictures: Sequence[Tensor]) -> Tensor:
    images = (
        torch.cat(
            [
                F.interpolate(picture.permute(2, 0, 1)[None], (128, 128), mode="bicubic", antialias=True)
                for picture in pictures
            ]
        ).clamp(0, 1)
        * 2
        - 1
    )
    return reader.features(images)


def measure(rooms: Sequence[Room], fills: Tensor, measures: Measures) -> list[dict[str, Any]]:
    """One line per fill: identity, share of the hole, similarity to the exemplar, and vectors for FID."""
    cut = [
        fill[top:bottom, left:right]
        for fill, (left, top, right, bottom) in zip(
            fills, (bounds(room.hole.numpy() > 0) for room in rooms), strict=True
        )
    ]
    found, wanted = measures.seen(cut), measures.seen([room.exemplar for room in rooms])
    features = measures.for_fid(cut)
    features = found[0] if features is None else features
    lines = look_at(rooms, fills, measures.reader, measures.eyes)
    for number, line in enumerate(lines):
        line["clip"], line["dino"] = (
            round(100 * float(a[number] @ b[number]), 3) for a, b in zip(found, wanted, strict=True)
        )
        line["vector"] = [round(value, 5) for value in features[number].tolist()]
    return lines
