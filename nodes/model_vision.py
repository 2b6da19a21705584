"""Models that look at pictures, as descriptions: captioner, CLIP, detector, DINO. Nothing is loaded here."""

from typing import NamedTuple

from ..graph_runtime import ModelSource, node
from ..models.blip import CaptionerComponent
from ..models.clip import ClipComponent
from ..models.detr.component import DetectorComponent
from ..models.dino import DinoComponent
from ..models.source import locate
from ..models.unused_encoder_keys import warn_unused_of_encoder
from ..models.unused_keys import warn_unused_of_detector, warn_unused_preprocessing
from .ports import Captioner, Clip, Detector, Dino


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
        warn_unused_of_encoder(described)
        warn_unused_preprocessing(described, stretched=True)
    return OneCaptioner(described)


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
        warn_unused_of_encoder(described)
        warn_unused_preprocessing(described)
    return OneClip(described, described)


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
        warn_unused_of_encoder(described)
        warn_unused_preprocessing(described)
    return OneDino(described)
