"""Captions: what a picture shows, in words."""

from typing import Annotated, NamedTuple

from pydantic import Field

from ..graph_runtime import Context, node
from ..graph_runtime.core.values import plain_mode
from ..models.image_encoder import preprocess_images
from .checks.metric import caption as check_caption
from .checks.metric import require_single
from .ports import Captioner, Image, Text


class Captioned(NamedTuple):
    """What the picture shows."""

    text: Text


@node("caption.blip", version=1, check=check_caption)
def blip(
    image: Image,
    captioner: Captioner,
    ctx: Context,
    prompt: str | None = None,
    longest: Annotated[int, Field(ge=1, le=200)] = 30,
    beams: Annotated[int, Field(ge=1, le=16)] = 4,
) -> Captioned:
    """Describe what a picture shows (BLIP, Li et al. 2022), for condition.text and for text inversions.

    Deterministic beam search: the same picture always gives the same words.

    Args:
        image: one picture.
        captioner: from model.captioner.
        prompt: the words that the caption begins with, such as `a photo of`; null lets the model begin.
        longest: largest number of tokens.
        beams: number of beams; 1 is fastest.

    Raises:
        BadInput: several pictures, or not a captioner.
    """
    require_single(image)
    pixels = preprocess_images(image, captioner.image_size, "stretch", captioner.mean, captioner.std)
    with plain_mode(), ctx.lease(captioner) as module:
        parameter = next(module.parameters())
        return Captioned(module.say(pixels.to(parameter.device, parameter.dtype), prompt or "", longest, beams))
