"""DINO, as a description. Nothing is loaded here."""

from typing import NamedTuple

from ..graph_runtime import ModelSource, node
from ..models.dino import DinoComponent
from ..models.source import locate
from ..models.unused_keys import warn_unused_preprocessing
from .ports import Dino


class OneDino(NamedTuple):
    """A DINO."""

    dino: Dino


@node("model.dino", version=1, static=True)
def dino(source: ModelSource = "facebook/dino-vits16", revision: str | None = None) -> OneDino:
    """Select a DINO, a vision transformer that tells one subject from another of its kind, for metrics.

    Without a download, `model.clip` gives the embedded encoder under the same socket.

    Args:
        source: a hub id such as `facebook/dino-vits16` or `facebook/dinov2-small`, or a folder.
        revision: branch, tag or commit of a hub id; null is its default branch.

    Raises:
        ModelError: a file is missing, damaged or a pickle, or is no vision transformer.
    """
    described = DinoComponent.describe(locate(source, revision=revision, family="dino"), "float32")
    if described.known:
        warn_unused_preprocessing(described)
    return OneDino(described)
