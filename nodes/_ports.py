"""The kinds of value that travel between nodes: tensor type, shape, socket and one line of doc for each.

`IMAGE` and `MASK` follow ComfyUI exactly, so its loaders and previews connect to ours. Everything else has a socket
name of its own (`INLAY_…`): our latents are scaled (VAE mean × scaling factor), the host's `LATENT` is not.
Shape letters: b batch, h w pixels, c channels, lh lw latent cells, n tokens, d features.
"""

from typing import Annotated, Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..graph_runtime import BadInput, Port
from ..graph_runtime.core.models import ModelDescription

Image = Annotated[Float[Tensor, "b h w 3"], Port("IMAGE", "RGB in [0, 1]")]
Mask = Annotated[Float[Tensor, "b h w"], Port("MASK", "1 = repaint, 0 = keep")]
Latent = Annotated[Float[Tensor, "b c lh lw"], Port("INLAY_LATENT", "scaled latents: VAE mean × scaling factor")]
LatentMask = Annotated[Float[Tensor, "b 1 lh lw"], Port("INLAY_LATENT_MASK", "1 = repaint, on the latent grid")]
Text = Annotated[str, Port("STRING", "text")]
Paths = Annotated[list[str], Port("INLAY_PATHS", "files that were written")]
Profile = Annotated[Any, Port("INLAY_PROFILE", "what a file says: colour profile, depth, alpha, EXIF, DPI, texts")]
Fit = Annotated[Any, Port("INLAY_FIT", "how a picture was padded, cropped or resized, so that it can be undone")]
Crop = Annotated[Any, Port("INLAY_CROP", "where a patch was cut from, so that it can be stitched back")]
Denoiser = Annotated[Any, Port("INLAY_DENOISER", "description of a denoising UNet")]
Vae = Annotated[Any, Port("INLAY_VAE", "description of a VAE")]
TextEncoder = Annotated[Any, Port("INLAY_TEXT_ENCODER", "description of a tokenizer and its text encoder")]
ExemplarEncoder = Annotated[Any, Port("INLAY_EXEMPLAR_ENCODER", "description of an exemplar encoder: CLIP, mapper")]
Scheduler = Annotated[Any, Port("INLAY_SCHEDULER", "description of a diffusers scheduler: its configuration")]
Schedule = Annotated[Any, Port("INLAY_SCHEDULE", "the timesteps and the update rule of a run")]
Conditioning = Annotated[Any, Port("INLAY_CONDITIONING", "what the denoiser is told: conditional and unconditional")]
Noise = Annotated[Any, Port("INLAY_NOISE", "a lazy stream of noise tensors in a fixed order")]
Constraint = Annotated[Any, Port("INLAY_CONSTRAINT", "applied to the predicted clean latent at every step")]
Attention = Annotated[Any, Port("INLAY_ATTENTION", "an attention control, installed for the length of a run")]
Photos = Annotated[Any, Port("INLAY_PHOTOS", "pictures on disk with boxes or masks; read when they are needed")]
Detector = Annotated[Any, Port("INLAY_DETECTOR", "description of a DETR, which finds things in pictures")]
Boxes = Annotated[list[Any], Port("INLAY_BOXES", "what was found in each picture: box in pixels, label, score, area")]
Clip = Annotated[Any, Port("INLAY_CLIP", "description of a CLIP: pictures and texts as vectors of one space")]
Dino = Annotated[Any, Port("INLAY_DINO", "description of a DINO, or of a CLIP: pictures as vectors")]
Captioner = Annotated[Any, Port("INLAY_CAPTIONER", "description of a BLIP, which says what a picture shows")]
Value = Annotated[float, Port("FLOAT", "a number")]
Lora = Annotated[Any, Port("INLAY_LORA", "a LoRA file")]
Trajectory = Annotated[Any, Port("INLAY_TRAJECTORY", "the latents of an inversion, from the picture to noise")]
Tuning = Annotated[Any, Port("INLAY_TUNING", "per-step embeddings that an inversion made")]


def require_image(image: Tensor, port: str = "image") -> Tensor:
    """`image` if it is `[b, h, w, 3]` floating point with b, h, w ≥ 1; raises BadInput that names `port` otherwise."""
    if not isinstance(image, Tensor) or image.ndim != 4 or image.shape[-1] != 3 or 0 in image.shape:
        raise BadInput(
            port,
            found=describe(image),
            expected="an image [b, h, w, 3], RGB in [0, 1]",
            fix="wire the output of image.load, or add the missing batch or colour axis",
        )
    if not image.is_floating_point():
        raise BadInput(port, found=describe(image), expected="floating point values in [0, 1]", fix="divide by 255")
    return image


def require_mask(mask: Tensor, image: Tensor | None = None, port: str = "mask") -> Tensor:
    """`mask` if it is `[b, h, w]`, of the size of `image` where one is given, with 1 or as many masks as images."""
    if not isinstance(mask, Tensor) or mask.ndim != 3 or 0 in mask.shape:
        raise BadInput(
            port,
            found=describe(mask),
            expected="a mask [b, h, w], 1 = repaint",
            fix="wire the output of mask.load or mask.shape",
        )
    if image is None:
        return mask
    if mask.shape[1:] != image.shape[1:3]:
        turned = tuple(mask.shape[1:]) == (image.shape[2], image.shape[1])
        raise BadInput(
            port,
            found=f"a mask of {mask.shape[2]}×{mask.shape[1]} pixels",
            expected=f"the picture's size, {image.shape[2]}×{image.shape[1]}",
            fix="turn the mask: a photo that its EXIF data turn is loaded upright, draw the mask on it as it is shown"
            if turned else "draw the mask on this picture, or bring both to one size with image.fit",
        )
    if mask.shape[0] not in (1, image.shape[0]) and image.shape[0] != 1:
        raise BadInput(
            port,
            found=f"{mask.shape[0]} masks for {image.shape[0]} pictures",
            expected="one mask, or one for each picture",
            fix="load as many masks as pictures",
        )
    return mask


def has_fact(value: Any, name: str) -> bool:
    """True if a model's description knows something by that name. Never reads it: that may download the model."""
    if not isinstance(value, ModelDescription):
        return hasattr(value, name)
    return hasattr(type(value), name) or name in vars(value) or has_fact(getattr(value, "inner", None), name)


def describe(value: Any) -> str:
    """A value in a few words, for error messages: type, dtype and shape rather than contents."""
    if isinstance(value, Tensor):
        return f"a {str(value.dtype).removeprefix('torch.')} tensor of shape {list(value.shape)}"
    return f"a {type(value).__name__}"


def require_finite(value: Tensor, port: str, *, what: str, fix: str) -> Tensor:
    """`value` unless it holds NaN or infinity; what has a shape and no values yet passes."""
    if value.is_meta:
        return value
    if not torch.isfinite(value).all():
        bad = int((~torch.isfinite(value)).sum())
        raise BadInput(
            port,
            found=f"{bad} of {value.numel()} values of {what} are NaN or infinite",
            expected="finite numbers",
            fix=fix,
        )
    return value
