"""Conditioning from text, from an exemplar, and for inpainting models."""

import dataclasses
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ..graph_runtime import Context, node
from ..graph_runtime.core.bounded.effort import affords
from ..graph_runtime.core.errors import shorten
from ..graph_runtime.core.light.later import F, Tensor, torch
from ..graph_runtime.core.notices import notice
from ..graph_runtime.core.values import plain_mode, require_finite, to_host
from ..methods.conditioning import Conditioning, inpaint_channels
from ..methods.latents import encode_picture
from ..methods.sampling.noise import Noise
from ..models.embedded import unknown_words
from ..models.image_encoder import Preprocess, preprocess_images
from ..models.prompt import Prompt, Syntax, encode_prompt, own_words, read_prompt
from ..pictures.batches import each_with_mask
from ..pictures.require import require_mask_fits
from .checks.before_run import Facts, Known, Params, described
from .checks.condition import (
    conditioning_of_shape,
    require_cells,
    require_posterior,
    require_rest,
    require_unicode,
    unseen,
)
from .checks.condition import exemplar as check_exemplar
from .checks.condition import inpaint as check_inpaint
from .ports import ConditioningPort, ExemplarEncoder, Image, Mask, NoisePort, Text, TextEncoder, Vae

CHARACTER = 24  # a character of a prompt takes as long to read as so many pixels of a mask


class Conditioned(NamedTuple):
    """The conditioning."""

    conditioning: ConditioningPort


def _check_text(known: Known, params: Params) -> Facts:
    encoder = known.get("text_encoder")
    syntax = params.get("syntax")
    prompt = params.get("prompt", "")
    if "text" not in known or known["text"] is not None:  # connected, or known to be
        if prompt:
            notice("a text is connected, so the prompt is not used: disconnect the text, or empty the prompt")
        prompt = ""
    texts = [prompt, params.get("negative", "")]
    texts = texts if affords(CHARACTER * sum(map(len, texts))) else []  # of what is left out, the run says what is odd
    for read in (read_prompt(words, syntax or "weights") for words in texts):
        for note in (*read.notes, unknown_words(getattr(encoder, "origin", None), own_words(read.text))):
            if note:
                notice(note)
    for port in ("prompt", "negative"):
        if port == "negative" or known.get("text", ...) is None:
            require_unicode(port, params.get(port, ""))
    if not described(encoder):
        return {}
    return {"conditioning": conditioning_of_shape(encoder, 1, encoder.max_tokens, encoder.hidden_size, "text")}


def _as_before(params: dict[str, object], inputs: dict[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """Version 1 took every character as it is."""
    return {"syntax": "plain", **params}, inputs


@node("condition.text", version=2, check=_check_text, migrations={1: _as_before})
def text(
    text_encoder: TextEncoder,
    ctx: Context,
    text: Text | None = None,
    prompt: str = "",
    negative: str = "",
    syntax: Syntax | None = None,
) -> Conditioned:
    """Embed a prompt and a negative prompt with CLIP; brackets set prompt weights, as in `a (red:1.3) cat`.

    `(word:1.3)` is 1.3 times as strong, `(word)` 1.1 times, `[word]` 1/1.1 times, nested brackets multiply, `\\(` is a
    character. A weight scales the difference between a token's embedding and the empty prompt's at the same place.
    Other tools' syntax (BREAK, `<lora:…>`, `embedding:…`, `[a:b:0.5]`) is read as plain words, with a warning.
    Where both are the same text, the sampler needs one model evaluation a step instead of two.

    Args:
        text_encoder: tokenizer and encoder of the model that will sample.
        text: a text from another node (a caption); it overrides prompt.
        prompt: what the picture should show; empty: no text, the picture alone decides.
        negative: what the picture should not show; the unconditional half of guidance.
        syntax: weights reads brackets as weights, plain reads every character as it is; null: weights in what is typed
            here, plain in a connected text.

    Raises:
        BadInput: a text that is not valid Unicode (half of a surrogate pair).
    """
    wanted = prompt if text is None else text
    for port, words in (("prompt" if text is None else "text", wanted), ("negative", negative)):
        require_unicode(port, words)
    read = read_prompt(wanted, syntax or ("weights" if text is None else "plain"))
    unwanted = read_prompt(negative, syntax or "weights")
    embeddings: dict[Prompt, Tensor] = {}  # equal texts are one tensor
    tokens: dict[Prompt, tuple[int, ...]] = {}
    with plain_mode(), ctx.lease(text_encoder) as module:
        for one in (read, unwanted):
            for note in (*one.notes, unknown_words(getattr(text_encoder, "origin", None), own_words(one.text))):
                if note:
                    ctx.warn(note)
            if one in embeddings:
                continue
            embeddings[one], tokens[one], rest, laid = encode_prompt(module, one)
            if rest:
                ctx.warn(
                    f"the encoder reads {embeddings[one].shape[1] - 2} tokens; it does not see the end of the "
                    f"text: {shorten(rest)}"
                )
            if not laid:
                ctx.warn(f"the weights of {shorten(one.text, 40)} are not used: its tokens do not follow its words")
    return Conditioned(
        Conditioning(embeddings[read], embeddings[unwanted], name=text_encoder.label, tokens=tokens[read])
    )


def _check_exemplar(known: Known, params: Params) -> Facts:
    encoder = known.get("exemplar_encoder")
    if encoder is None:
        return {}
    return check_exemplar(encoder, known, params)


@node("condition.exemplar", version=1, check=_check_exemplar)
def exemplar(
    exemplar_encoder: ExemplarEncoder,
    image: Image,
    ctx: Context,
    mask: Mask | None = None,
    preprocess: Preprocess = "crop",
) -> Conditioned:
    """Condition the denoiser on an example picture, as one CLIP token (Yang et al. 2022, section 3.2).

    The learned vector is the unconditional half of guidance. One exemplar serves all rows; several make one row each.

    Args:
        exemplar_encoder: of the Paint-by-Example model that will sample.
        image: the exemplar; cut it to the thing itself for the best likeness.
        mask: 1 where the picture is not the exemplar, such as image.load gives for transparent pixels: the picture is
            cut to the box of the rest, and the masked part of that box becomes grey.
        preprocess: crop makes the short side fit and keeps the middle, as diffusers; stretch squeezes both sides to
            fit, as the model was trained.

    Raises:
        BadInput: no picture, a mask that leaves nothing of it, or another kind of encoder.
    """
    shown = list(image[:, None]) if mask is None else _shown(image, require_mask_fits(mask, image).clamp(0, 1))
    for one in shown:
        height, width = one.shape[1:3]
        if doubt := unseen(height, width, preprocess):
            ctx.warn(doubt)
    pixels = torch.cat(
        [
            preprocess_images(one, exemplar_encoder.image_size, preprocess, exemplar_encoder.mean, exemplar_encoder.std)
            for one in shown
        ]
    )
    with plain_mode(), ctx.lease(exemplar_encoder) as module:
        parameter = next(module.parameters())
        token = to_host(module(pixels.to(parameter.device, parameter.dtype)))
        empty = to_host(module.uncond_vector).expand_as(token).contiguous()
    require_finite(token, "exemplar_encoder", what="the exemplar's token", fix="set dtype to float32 in the model node")
    return Conditioned(Conditioning(token, empty, name=exemplar_encoder.label, kind="exemplar"))


def _shown(image: Tensor, mask: Tensor) -> list[Tensor]:
    """Of each picture `[b h w 3]` the box that its mask `[b h w]` leaves, `[1 h' w' 3]`, grey where the mask is."""
    shown = []
    for picture, grey in each_with_mask(image, mask):
        rows, columns = (torch.nonzero((grey < 1).any(axis)).flatten().tolist() for axis in (1, 0))
        require_rest(bool(rows))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        share = grey[box][..., None]
        shown.append((picture[box] * (1 - share) + 0.5 * share)[None])
    return shown


@node("condition.inpaint", version=1, check=check_inpaint)
def inpaint(
    conditioning: ConditioningPort,
    image: Image,
    mask: Mask,
    vae: Vae,
    ctx: Context,
    noise: NoisePort | None = None,
    sample: Literal["posterior", "mode"] = "posterior",
    seed: Annotated[int, Field(ge=0, le=2**64 - 1)] = 0,
    layout: Literal["auto", "text", "exemplar"] = "auto",
) -> Conditioned:
    """Add the extra input of an inpainting UNet: the masked picture's latent and the mask, five channels.

    The mask is cut at one half, the hole is made grey, encoded, and joined to the latents at every step. Paint by
    Example takes [zm, 1 − mask], Stable Diffusion inpainting [mask, zm].

    Args:
        conditioning: from condition.exemplar or condition.text.
        image: the picture; sides must be multiples of the VAE's factor.
        mask: 1 = repaint.
        vae: of the model that will sample.
        noise: gives the posterior's noise, right after z_T, as diffusers draws it; not connected: drawn from seed.
        sample: posterior draws the latent from the VAE's posterior, as published; mode takes its mean.
        seed: random seed of the posterior's noise where none is connected.
        layout: order and polarity of the channels; auto is what the conditioning was made from.

    Raises:
        BadInput: sizes that do not fit each other or the VAE.
    """
    require_mask_fits(mask, image)
    cells = require_cells(image, vae)
    require_finite(image, "image", what="the picture", fix="check the node that made it")
    keep = ((1 - mask) >= 0.5).to(image.dtype)
    rows = max(image.shape[0], mask.shape[0])
    hidden = image * keep[..., None] + 0.5 * (1 - keep[..., None])
    drawn = _posterior_noise(noise, rows, cells, seed) if sample == "posterior" else None
    with plain_mode(), ctx.lease(vae) as module:
        latents = []
        for index in range(max(rows, 1 if drawn is None else drawn.shape[0])):
            which = index * rows // max(rows, 1 if drawn is None else drawn.shape[0])
            latents.append(
                encode_picture(
                    module,
                    hidden[which : which + 1],
                    vae.scaling_factor,
                    vae.shift_factor,
                    None if drawn is None else drawn[index : index + 1],
                )
            )
        masked = torch.cat(latents)
    require_finite(masked, "vae", what="the masked picture's latent", fix="set dtype to float32 in the model node")
    grid = F.interpolate(keep[:, None], cells[1:]).to(masked.dtype)
    hole = 1 - grid.repeat_interleave(masked.shape[0] // grid.shape[0], 0)
    kind = conditioning.kind if layout == "auto" else layout
    extra = inpaint_channels(masked, hole, kind)
    return Conditioned(
        dataclasses.replace(conditioning, extra=extra, drew_posterior=noise is not None and sample == "posterior")
    )


def _posterior_noise(noise: Noise | None, rows: int, cells: tuple[int, int, int], seed: int) -> Tensor:
    """The posterior's noise, one row each picture or several: from the run's own stream, or from a seed."""
    if noise is None:
        return torch.randn((rows, *cells), generator=torch.Generator("cpu").manual_seed(seed))
    stream = noise.stream()
    stream.start()
    return require_posterior(stream.posterior(), rows, cells)
