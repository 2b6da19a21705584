"""Interfaces of model descriptions that nodes use, by kind of model.

A description fits if it has the attributes that its protocol declares: a component of a diffusers folder, one with
    LoRAs, or one from another pack. Sockets check that these attributes exist and never read them, because reading
    one may download the model (`graph_runtime/core/port_types.py`).
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from .component import Origin
from .detr.preprocessing import Preprocessing


class Description(Protocol):
    """Attributes of every model description."""

    @property
    def known(self) -> bool:
        """True if its configuration can be read without a network."""

    @property
    def label(self) -> str:
        """A name for messages, such as `unet of dollhouse`."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the weights, or the way they are used, change."""


class StoredDescription(Description, Protocol):
    """A description of a model in files."""

    @property
    def origin(self) -> Origin:
        """The origin of its files."""


class DenoiserDescription(StoredDescription, Protocol):
    """A denoising UNet."""

    @property
    def conditional(self) -> bool:
        """True if it has cross-attention."""

    @property
    def in_channels(self) -> int:
        """Input channels: those of the latent, and extra channels of an inpainting model."""

    @property
    def latent_channels(self) -> int:
        """Channels of the latent that is denoised."""

    @property
    def cross_attention_dim(self) -> int | None:
        """Width of the embeddings for cross-attention; None for an unconditional UNet."""

    @property
    def sample_size(self) -> int | None:
        """Side of the latents it was trained on."""

    @property
    def multiple(self) -> int:
        """The sides of its latents must be multiples of this."""


class VaeDescription(Description, Protocol):
    """A VAE."""

    @property
    def factor(self) -> int:
        """Pixels per latent cell, along each side."""

    @property
    def scaling_factor(self) -> float:
        """Factor that the posterior's mean is multiplied by."""

    @property
    def shift_factor(self) -> float:
        """What is subtracted before scaling."""

    @property
    def latent_channels(self) -> int:
        """Channels of a latent."""


class TextEncoderDescription(StoredDescription, Protocol):
    """A tokenizer and its text encoder."""

    @property
    def hidden_size(self) -> int:
        """Width of an embedding."""

    @property
    def max_tokens(self) -> int:
        """Tokens of a prompt, start and end included."""


class ImageEncoderDescription(StoredDescription, Protocol):
    """An image encoder: its input size and normalisation."""

    @property
    def image_size(self) -> int:
        """Side of the pictures it sees, in pixels."""

    @property
    def mean(self) -> tuple[float, ...]:
        """What is subtracted from the pictures, by channel."""

    @property
    def std(self) -> tuple[float, ...]:
        """What the pictures are divided by, by channel."""


class ExemplarEncoderDescription(ImageEncoderDescription, Protocol):
    """An exemplar encoder: a picture as one token."""

    @property
    def width(self) -> int:
        """Width of the token."""

    @property
    def image_size(self) -> int:
        """Side of the pictures it sees, in pixels."""


class ClipDescription(ImageEncoderDescription, Protocol):
    """A CLIP: pictures and texts as vectors in one space."""

    @property
    def component(self) -> Literal["clip"]:
        """Which model it is."""

    @property
    def image_size(self) -> int:
        """Side of the pictures it sees, in pixels."""


class DinoDescription(ImageEncoderDescription, Protocol):
    """A DINO, or a CLIP: pictures as vectors."""

    @property
    def component(self) -> Literal["clip", "dino"]:
        """Which model it is."""

    @property
    def image_size(self) -> int:
        """Side of the pictures it sees, in pixels."""


class CaptionerDescription(ImageEncoderDescription, Protocol):
    """A captioner."""

    @property
    def component(self) -> Literal["captioner"]:
        """Which model it is."""


class DetectorDescription(StoredDescription, Protocol):
    """A detector of things in pictures."""

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels that it can find."""

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of its pictures."""


class SchedulerDescription(StoredDescription, Protocol):
    """The configuration of a diffusers scheduler."""

    @property
    def config(self) -> Mapping[str, Any]:  # any value of a configuration file
        """The contents of its file."""
