"""Previews while sampling: the clean latent that each step predicts, as a small picture.

They cost little: a linear map (methods/latent_colours.py), a few times a second, and nothing if nobody looks at them.
The map is made before the run, once for each VAE, and kept. What a run gives does not depend on its previews.
"""

import logging
import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from ..graph_runtime import Context, code_digest
from ..graph_runtime.core.errors import Cancelled, first_line
from ..graph_runtime.core.light.later import Tensor, nn
from ..graph_runtime.core.tensor_store import content_key
from ..methods.latent_colours import LatentColours
from ..methods.latents import encode_picture
from ..models.component import Origin
from ..models.protocols import DenoiserDescription
from ..models.stable_diffusion import VaeComponent

if TYPE_CHECKING:
    from PIL.Image import Image

SECONDS = 0.25  # between two previews
SHARE = 0.02  # of the time, at most, goes into previews
SIDE = 256  # pixels; smaller pictures are enlarged by a whole factor up to it
MOST = 9  # pictures of a batch that are shown
_fitted: dict[str, LatentColours | None] = {}  # by fingerprint of the VAE


class Previews:
    """The previews of one run.

    Args:
        colours: the map of the model's VAE.
        clock: seconds.
    """

    def __init__(self, colours: LatentColours, clock: Callable[[], float] = time.perf_counter) -> None:
        self._colours, self._clock = colours, clock
        self._next = -math.inf

    def of(self, clean: Tensor) -> "Image | None":
        """The picture of a predicted clean latent `[b c lh lw]`; None if it is too early for the next one."""
        began = self._clock()
        if began < self._next:
            return None
        picture = _side_by_side(self._colours.pictures(clean[:MOST]))
        ended = self._clock()
        self._next = ended + max(SECONDS, (ended - began) / SHARE)
        return picture


def previews_for(ctx: Context, denoiser: DenoiserDescription) -> Previews | None:
    """The previews of a run of this denoiser; None if nobody looks at them, or its VAE is unknown or cannot be read."""
    if not ctx.shows_previews:
        return None
    colours = _colours(ctx, denoiser)
    return None if colours is None else Previews(colours)


def _colours(ctx: Context, denoiser: DenoiserDescription) -> LatentColours | None:
    if not denoiser.conditional and denoiser.latent_channels == 3:
        return LatentColours.of_pixels()
    origin = cast(Origin | None, getattr(denoiser, "origin", None))
    if origin is None:  # a model of the host: those that are taken are Stable Diffusion's
        return LatentColours.stable_diffusion() if denoiser.latent_channels == 4 else None
    try:
        vae = VaeComponent.describe(origin)
        if vae.latent_channels != denoiser.latent_channels:
            return None
        if is_stable_diffusion(vae):
            return LatentColours.stable_diffusion()
        if vae.fingerprint not in _fitted:
            _fitted[vae.fingerprint] = _fit(ctx, vae)
        return _fitted[vae.fingerprint]
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001 - the run itself names what is wrong with a model
        logging.getLogger("inlay").debug("no previews: %s", first_line(error))
        return None


def is_stable_diffusion(vae: VaeComponent) -> bool:
    """True for the architecture and scale of Stable Diffusion 1.x and 2.x."""
    sizes = (128, 256, 512, 512)
    return vae.settings.block_out_channels == sizes and vae.scaling_factor == 0.18215 and vae.latent_channels == 4


def _fit(ctx: Context, vae: VaeComponent) -> LatentColours:
    """The map of a VAE from the disk, else from its weights."""
    key = content_key("colours of latents", vae.fingerprint, code_digest(LatentColours.fitted))
    found = ctx.store.get(key) if ctx.store is not None else None
    if found is not None and len(found) == 2:
        return LatentColours(*cast(tuple[Tensor, Tensor], found))
    with ctx.lease(vae) as module:
        made = LatentColours.fitted(lambda pictures: _encode(module, pictures, vae), vae.factor)
    if ctx.store is not None:
        ctx.store.put(key, (made.weight, made.bias), math.inf, "colours of latents")
    return made


def _encode(module: nn.Module, pictures: Tensor, vae: VaeComponent) -> Tensor:
    return encode_picture(module, pictures, vae.scaling_factor, vae.shift_factor)


def _side_by_side(pictures: Tensor) -> "Image":
    """Pictures `[b h w 3]` of bytes as one, in rows, enlarged smoothly."""
    from PIL import Image

    count, height, width = pictures.shape[:3]
    columns = math.ceil(math.sqrt(count))
    sheet = Image.new("RGB", (columns * width, math.ceil(count / columns) * height))
    for number, picture in enumerate(pictures):
        sheet.paste(Image.fromarray(picture.numpy()), (number % columns * width, number // columns * height))
    factor = max(1, SIDE // max(sheet.size))
    return sheet.resize((sheet.width * factor, sheet.height * factor), Image.Resampling.BICUBIC)
