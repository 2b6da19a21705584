"""The detector of mask.detect and subject.photos, as a description. Nothing is loaded here."""

from typing import NamedTuple

from ..graph_runtime import ModelSource, node
from ..models.detr.component import DetectorComponent
from ..models.source import locate
from ..models.unused_keys import warn_unused_of_detector
from .ports import Detector


class OneDetector(NamedTuple):
    """A detector."""

    detector: Detector


@node("model.detector", version=1, static=True)
def detector(source: ModelSource = "dollhouse-detector", revision: str | None = None) -> OneDetector:
    """Select a detector, which finds things in pictures: a DETR in the transformers layout, with a ResNet backbone.

    Weights are read only from safetensors, in float32, and only when a node needs them. Neither timm nor torchvision is
    used, also for files that name a timm backbone.

    Args:
        source: `dollhouse-detector` (embedded), a hub id such as `facebook/detr-resnet-50`, or a folder
            with config.json and model.safetensors.
        revision: branch, tag or commit of a hub id; null is its default branch.

    Raises:
        ModelError: a file is missing, damaged or a pickle, or is no DETR.
    """
    origin = locate(source, revision=revision, family="detector")
    described = DetectorComponent.describe(origin, "float32")
    if described.known:
        warn_unused_of_detector(described)
    return OneDetector(described)
