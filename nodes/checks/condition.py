"""What is wrong with conditions, known before a run: sizes, masks, and what the run's noise has to give.

A conditioning that does not exist yet is one of tensors without values (see `conditioning_of_shape`).
"""

import dataclasses

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor
from ...graph_runtime.core.notices import notice
from ...methods.conditioning import Conditioning, ConditioningKind, ConditioningSummary
from ...methods.sampling.noise import GivenNoise
from ...models.protocols import Description, ExemplarEncoderDescription, VaeDescription
from ...pictures.require import require_mask_fits
from .before_run import Facts, Known, Params, cheap, described, shaped

SMALL, LONG = 16, 3  # pixels, and sides' ratio, at which an exemplar is worth a warning


def conditioning_of_shape(
    encoder: Description, rows: int, length: int, width: int, kind: ConditioningKind
) -> Conditioning:
    """A conditioning of which only the shape is known."""
    return Conditioning(
        shaped(rows, length, width),
        shaped(rows, length, width),
        name=encoder.label,
        kind=kind,
        tokens=() if kind == "text" else None,
    )


def require_unicode(port: str, words: str) -> None:
    """Raise BadInput for half of a surrogate pair."""
    try:
        words.encode("utf-8")
    except UnicodeEncodeError as error:
        raise BadInput(
            port,
            found=f"half a character ({words[error.start]!a}) at position {error.start + 1}",
            expected="Unicode text",
            fix="type the text again, or save its file as UTF-8",
        ) from error


def exemplar(encoder: ExemplarEncoderDescription, known: Known, params: Params) -> Facts:
    """A mask that leaves nothing of the exemplar; an exemplar too small or too long to be seen."""
    image, mask = known.get("image"), known.get("mask", ...)
    if image is not None and mask is None:
        require_seen(image, params["preprocess"])
    if mask is not None and mask is not ...:
        require_mask_fits(mask, image)
        for plane in mask if cheap(mask) else ():
            require_rest(bool((plane < 1).any()))
    if image is None or mask is ... or not described(encoder):
        return (
            {}
            if not described(encoder)
            else {"conditioning": ConditioningSummary(encoder.width, 0, encoder.label, "exemplar")}
        )
    rows = max(len(image), 0 if mask is None else len(mask))
    return {"conditioning": conditioning_of_shape(encoder, rows, 1, encoder.width, "exemplar")}


def require_seen(image: Tensor, preprocess: str) -> None:
    """Say where little of an exemplar can be seen."""
    if doubt := unseen(image.shape[1], image.shape[2], preprocess):
        notice(doubt)


def unseen(height: int, width: int, preprocess: str) -> str:
    """Why little of an exemplar of this size can be seen; empty where it is large and square enough."""
    if min(height, width) < SMALL:
        return f"the exemplar has {width}×{height} pixels: little more than its colour can be seen in it"
    if preprocess == "crop" and max(height, width) > LONG * min(height, width):
        return (
            f"of this exemplar, {width}×{height}, only the middle square is used: crop it to the thing itself, "
            "or set preprocess to stretch"
        )
    return ""


def require_rest(there: bool) -> None:
    """Raise BadInput where a mask leaves nothing of an exemplar."""
    if not there:
        raise BadInput(
            "mask",
            found="a mask of ones: nothing of the exemplar is left",
            expected="zeros where the exemplar is",
            fix="invert the mask, or disconnect it",
        )


def inpaint(known: Known, params: Params) -> Facts:
    """Sizes that do not fit each other, the VAE or the noise; the extra channels."""
    image, mask, vae, noise = (known.get(name) for name in ("image", "mask", "vae", "noise"))
    before = known.get("conditioning")
    if mask is not None:
        require_mask_fits(mask, image)
    if not described(vae):
        return {}
    cells = None if image is None else require_cells(image, vae)
    if before is None:
        return {}
    drawn = None
    if image is None or cells is None or mask is None:
        return {"conditioning": dataclasses.replace(before.summary, extra=vae.latent_channels + 1)}
    if noise is not None and params["sample"] == "posterior":
        if isinstance(noise, GivenNoise) and noise.posterior is None:
            raise noise.lacks(2)
        drawn = require_posterior(shaped(*noise.shape), max(len(image), len(mask)), cells)
    noise_known = noise is not None or "noise" in known or params["sample"] == "mode"
    if not noise_known or not isinstance(before, Conditioning):
        return {"conditioning": dataclasses.replace(before.summary, extra=vae.latent_channels + 1)}
    rows = max(len(image), len(mask), 1 if drawn is None else len(drawn))
    return {
        "conditioning": dataclasses.replace(
            before, extra=shaped(rows, vae.latent_channels + 1, *cells[1:]), drew_posterior=drawn is not None
        )
    }


def require_cells(image: Tensor, vae: VaeDescription) -> tuple[int, int, int]:
    """Channels and sides of a picture's latent; raises BadInput where the VAE cannot make one."""
    height, width = image.shape[1:3]
    if height % vae.factor or width % vae.factor:
        raise BadInput(
            "image",
            found=f"a picture of {width}×{height}",
            expected=f"sides that are multiples of {vae.factor}, the pixels of one latent cell",
            fix=f"use image.fit with multiple={vae.factor}",
        )
    return vae.latent_channels, height // vae.factor, width // vae.factor


def require_posterior(drawn: Tensor, rows: int, cells: tuple[int, int, int]) -> Tensor:
    """The posterior's noise, if it is of this picture's grid; raises BadInput otherwise."""
    if tuple(drawn.shape[1:]) != cells or drawn.shape[0] % rows:
        raise BadInput(
            "noise",
            found=f"noise of shape {list(drawn.shape)}",
            expected=f"[{rows}, {', '.join(map(str, cells))}], this picture's grid, or several rows each",
            fix="make the noise from a latent of this picture, of this model's VAE",
        )
    return drawn
