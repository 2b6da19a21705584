"""The kinds of value that travel between nodes: tensor type, shape, socket and one line of doc for each.

`IMAGE` and `MASK` follow ComfyUI exactly, so its loaders and previews connect to ours. Everything else has a socket
name of its own (`INLAY_…`): our latents are scaled (VAE mean × scaling factor), the host's `LATENT` is not.
Shape letters: b batch, h w pixels, c channels, lh lw latent cells, n tokens, d features.
"""

from typing import Annotated, Any

from jaxtyping import Float
from torch import Tensor

from ..graph_runtime import Port

Image = Annotated[Float[Tensor, "b h w 3"], Port("IMAGE", "RGB in [0, 1]", "#2b74c9")]
Mask = Annotated[Float[Tensor, "b h w"], Port("MASK", "1 = repaint, 0 = keep", "#4d5661")]
Latent = Annotated[
    Float[Tensor, "b c lh lw"], Port("INLAY_LATENT", "scaled latents: VAE mean × scaling factor", "#d9480f")
]
LatentMask = Annotated[
    Float[Tensor, "b 1 lh lw"], Port("INLAY_LATENT_MASK", "1 = repaint, on the latent grid", "#e2a008")
]
Text = Annotated[str, Port("STRING", "text", "#8a6d3b")]
Paths = Annotated[list[str], Port("INLAY_PATHS", "files that were written")]
Profile = Annotated[Any, Port("INLAY_PROFILE", "what a file says: colour profile, depth, alpha, EXIF, DPI, texts")]
Fit = Annotated[
    Any, Port("INLAY_FIT", "how a picture was padded, cropped or resized, so that it can be undone", "#868e96")
]
Crop = Annotated[Any, Port("INLAY_CROP", "where a patch was cut from, so that it can be stitched back", "#868e96")]
Denoiser = Annotated[Any, Port("INLAY_DENOISER", "description of a denoising UNet", "#5b3fd1")]
Vae = Annotated[Any, Port("INLAY_VAE", "description of a VAE", "#8e44ad")]
TextEncoder = Annotated[Any, Port("INLAY_TEXT_ENCODER", "description of a tokenizer and its text encoder", "#a67c00")]
ExemplarEncoder = Annotated[
    Any, Port("INLAY_EXEMPLAR_ENCODER", "description of an exemplar encoder: CLIP, mapper", "#b8651b")
]
Scheduler = Annotated[
    Any, Port("INLAY_SCHEDULER", "description of a diffusers scheduler: its configuration", "#0b7f8c")
]
Schedule = Annotated[Any, Port("INLAY_SCHEDULE", "the timesteps and the update rule of a run", "#12a37f")]
Conditioning = Annotated[
    Any, Port("INLAY_CONDITIONING", "what the denoiser is told: conditional and unconditional", "#d6336c")
]
Noise = Annotated[Any, Port("INLAY_NOISE", "a lazy stream of noise tensors in a fixed order", "#7f8a97")]
Constraint = Annotated[Any, Port("INLAY_CONSTRAINT", "applied to the predicted clean latent at every step", "#2f9e44")]
Attention = Annotated[
    Any, Port("INLAY_ATTENTION", "an attention control, installed for the length of a run", "#f08c00")
]
Photos = Annotated[Any, Port("INLAY_PHOTOS", "pictures on disk with boxes or masks; read when they are needed")]
Detector = Annotated[Any, Port("INLAY_DETECTOR", "description of a DETR, which finds things in pictures")]
Boxes = Annotated[list[Any], Port("INLAY_BOXES", "what was found in each picture: box in pixels, label, score, area")]
Clip = Annotated[Any, Port("INLAY_CLIP", "description of a CLIP: pictures and texts as vectors of one space")]
Dino = Annotated[Any, Port("INLAY_DINO", "description of a DINO, or of a CLIP: pictures as vectors")]
Captioner = Annotated[Any, Port("INLAY_CAPTIONER", "description of a BLIP, which says what a picture shows")]
Value = Annotated[float, Port("FLOAT", "a number")]
Lora = Annotated[Any, Port("INLAY_LORA", "a LoRA file")]
Trajectory = Annotated[
    Any, Port("INLAY_TRAJECTORY", "the latents of an inversion, from the picture to noise", "#3b5bdb")
]
Tuning = Annotated[Any, Port("INLAY_TUNING", "per-step embeddings that an inversion made", "#1098ad")]
