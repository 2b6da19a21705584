"""Encoders for metrics, as descriptions. Nothing is loaded here."""

from typing import NamedTuple

from ..graph_runtime import ModelSource, node
from ..models.clip import ClipComponent
from ..models.source import locate
from ..models.unused_keys import warn_unused_preprocessing
from .ports import Clip, Dino


class OneClip(NamedTuple):
    """A CLIP; it also serves where a DINO is asked for."""

    clip: Clip
    dino: Dino


@node("model.clip", version=1, static=True)
def clip(source: ModelSource = "dollhouse-clip", revision: str | None = None) -> OneClip:
    """Select a CLIP, which puts pictures and texts into one space, for metrics.

    Args:
        source: `dollhouse-clip` (embedded), a hub id such as `openai/clip-vit-base-patch32`, or a folder.
        revision: branch, tag or commit of a hub id; null is its default branch.

    Raises:
        ModelError: a file is missing, damaged or a pickle, or is no CLIP.
    """
    described = ClipComponent.describe(locate(source, revision=revision, family="clip"), "float32")
    if described.known:
        warn_unused_preprocessing(described)
    return OneClip(described, described)
