"""What the nodes may ask of a model's description, by kind of model.

Any description will do that has the names which its protocol itself declares: a component of a diffusers folder, the
same with LoRAs on it, or one of another pack. Sockets check for these names and read none of them, since reading a
fact may download the model (`graph_runtime/core/port_types.py`).
"""

from collections.abc import Mapping
from typing import Any, Literal, Protocol

from .component import Origin
from .detr.preprocessing import Preprocessing


class Description(Protocol):
    """What every description of a model has."""

    @property
    def known(self) -> bool:
        """True where its facts can be read without a network."""

    @property
    def label(self) -> str:
        """A name for messages, such as `unet of dollhouse`."""

    @property
    def fingerprint(self) -> str:
        """Changes whenever the weights, or the way they are used, change."""


class StoredDescription(Description, Protocol):
    """A description of what lies in files."""

    @property
    def origin(self) -> Origin:
        """Where its files are."""


class DenoiserDescription(StoredDescription, Protocol):
    """A denoising UNet."""

    @property
    def conditional(self) -> bool:
        """True where it has cross-attention."""

    @property
    def in_channels(self) -> int:
        """Channels that go in: those of the latent, and extra channels of an inpainting model."""

    @property
    def latent_channels(self) -> int:
        """Channels of the latent that is denoised."""

    @property
    def cross_attention_dim(self) -> int | None:
        """Width of the embeddings that it attends to; None for an unconditional UNet."""

    @property
    def sample_size(self) -> int | None:
        """Side of the latents it was trained on."""

    @property
    def multiple(self) -> int:
        """What the sides of its latents must be multiples of."""


class VaeDescription(Description, Protocol):
    """A VAE."""

    @property
    def factor(self) -> int:
        """Pixels per latent cell, along each side."""

    @property
    def scaling_factor(self) -> float:
        """What the posterior's mean is multiplied by."""

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
    """Whatever sees pictures: their size, and how they are normalised."""

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
    """A CLIP: pictures and texts as vectors of one space."""

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
        """What it can find."""

    @property
    def preprocessing(self) -> Preprocessing:
        """What pictures go through before it sees them."""


class SchedulerDescription(StoredDescription, Protocol):
    """The configuration of a diffusers scheduler."""

    @property
    def config(self) -> Mapping[str, Any]:  # whatever a configuration file holds
        """What its file says."""
