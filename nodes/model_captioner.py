"""A captioner, as a description. Nothing is loaded here."""

from typing import NamedTuple

from ..graph_runtime import ModelSource, node
from ..models.blip import CaptionerComponent
from ..models.source import locate
from ..models.unused_keys import warn_unused_preprocessing
from .ports import Captioner


class OneCaptioner(NamedTuple):
    """A captioner."""

    captioner: Captioner


@node("model.captioner", version=1, static=True)
def captioner(
    source: ModelSource = "Salesforce/blip-image-captioning-base",
    revision: str | None = None,
) -> OneCaptioner:
    """Select a BLIP, which describes what a picture shows.

    Args:
        source: a hub id such as `Salesforce/blip-image-captioning-base`, or a folder of the transformers layout.
        revision: branch, tag or commit of a hub id; null is its default branch.

    Raises:
        ModelError: a file is missing, damaged or a pickle, or is no BLIP.
    """
    described = CaptionerComponent.describe(locate(source, revision=revision, family="captioner"), "float32")
    if described.known:
        warn_unused_preprocessing(described, stretched=True)
    return OneCaptioner(described)
