"""The types of the sockets: a Python type, which values are checked against, and a name, by which sockets connect.

`IMAGE` and `MASK` follow ComfyUI exactly, so its loaders and previews connect to ours. Everything else has a socket
name of its own (`INLAY_…`): our latents are scaled (VAE mean × scaling factor), the host's `LATENT` is not.
Shape letters: b batch, h w pixels, c channels, lh lw latent cells, n tokens, d features. A port is called `…Port` where
its type has the plain name: `ConditioningPort` carries a `Conditioning`.
"""

from typing import Annotated

from ..graph_runtime import Better, Port
from ..graph_runtime.core.light.later import Float, Shaped, Tensor
from ..models.protocols import (
    CaptionerDescription,
    ClipDescription,
    DenoiserDescription,
    DetectorDescription,
    DinoDescription,
    ExemplarEncoderDescription,
    SchedulerDescription,
    TextEncoderDescription,
    VaeDescription,
)
from .values import (
    AttentionControl,
    Conditioning,
    Constraint,
    Detection,
    Fitting,
    LoraSource,
    Noise,
    PhotoSet,
    PictureProfile,
    Schedule,
    Trajectory,
    Tuned,
    Tuning,
    Window,
)

# Pictures and masks

Image = Annotated[
    Float[Tensor, "b h w 3"],
    Port(
        "IMAGE",
        "RGB in [0, 1]",
        "#2b74c9",
        expected="an image [b, h, w, 3], RGB in [0, 1]",
        fix="connect the output of image.load, or add the missing batch or colour axis",
        fix_dtype="divide by 255",
    ),
]
Mask = Annotated[
    Shaped[Tensor, "b h w"],  # of any dtype: bytes and booleans of 0 and 1 are masks too
    Port(
        "MASK",
        "1 = repaint, 0 = keep",
        "#4d5661",
        expected="a mask [b, h, w], 1 = repaint",
        fix="connect the output of mask.load or mask.shape",
    ),
]
Profile = Annotated[
    PictureProfile,
    Port(
        "INLAY_PROFILE",
        "what a file says: colour profile, depth, alpha, EXIF, DPI, texts",
        expected="the profile of image.load",
        fix="connect the profile output of image.load",
    ),
]
Fit = Annotated[
    Fitting,
    Port(
        "INLAY_FIT",
        "how a picture was padded, cropped or resized, so that it can be undone",
        "#868e96",
        expected="the fit of image.fit",
        fix="connect the fit output of image.fit",
    ),
]
Crop = Annotated[
    Window,
    Port(
        "INLAY_CROP",
        "where a patch was cut from, so that it can be stitched back",
        "#868e96",
        expected="the crop of image.crop_to_mask",
        fix="connect the crop output of image.crop_to_mask",
    ),
]
Photos = Annotated[
    PhotoSet,
    Port(
        "INLAY_PHOTOS",
        "pictures on disk with boxes or masks; read when they are needed",
        expected="photos with boxes",
        fix="connect the photos output of subject.photos",
    ),
]
Boxes = Annotated[
    list[list[Detection]],
    Port("INLAY_BOXES", "what was found in each picture: box in pixels, label, score, area"),
]

# Latents, and what a run is made of

Latent = Annotated[
    Float[Tensor, "b c lh lw"],
    Port(
        "INLAY_LATENT",
        "scaled latents: VAE mean × scaling factor",
        "#d9480f",
        expected="a latent [b, c, lh, lw]",
        fix="connect the output of latent.encode or latent.load",
    ),
]
LatentMask = Annotated[
    Float[Tensor, "b 1 lh lw"],
    Port(
        "INLAY_LATENT_MASK",
        "1 = repaint, on the latent grid",
        "#e2a008",
        expected="a latent mask [b, 1, lh, lw], 1 = repaint",
        fix="connect the output of mask.to_latent",
    ),
]
SchedulePort = Annotated[
    Schedule,
    Port(
        "INLAY_SCHEDULE",
        "the timesteps and the update rule of a run",
        "#12a37f",
        expected="a schedule",
        fix="connect the output of schedule.ddim or schedule.solver",
    ),
]
ConditioningPort = Annotated[
    Conditioning,
    Port(
        "INLAY_CONDITIONING",
        "conditional and unconditional embeddings, and the extra channels of an inpainting model",
        "#d6336c",
        expected="a conditioning",
        fix="connect the output of condition.text",
    ),
]
NoisePort = Annotated[
    Noise,
    Port(
        "INLAY_NOISE",
        "a lazy stream of noise tensors in a fixed order",
        "#7f8a97",
        expected="a source of noise",
        fix="connect the output of noise.gaussian",
    ),
]
ConstraintPort = Annotated[
    Constraint,
    Port(
        "INLAY_CONSTRAINT",
        "applied to the predicted clean latent at every step",
        "#2f9e44",
        expected="a constraint",
        fix="connect the output of constraint.null_space",
    ),
]
Attention = Annotated[
    AttentionControl,
    Port(
        "INLAY_ATTENTION",
        "an attention control, installed for the length of a run",
        "#f08c00",
        expected="an attention control",
        fix="connect the output of an attention node",
    ),
]
TrajectoryPort = Annotated[
    Trajectory,
    Port(
        "INLAY_TRAJECTORY",
        "the latents of an inversion, from the picture to noise",
        "#3b5bdb",
        expected="the trajectory of an inversion",
        fix="connect the output of invert.ddim",
    ),
]
_TUNING = Port(
    "INLAY_TUNING",
    "per-step embeddings that an inversion made",
    "#1098ad",
    expected="the tuning of an inversion",
    fix="connect the output of an invert node",
)
TuningPort = Annotated[Tuning, _TUNING]  # whatever gives embeddings for each step
TunedPort = Annotated[Tuned, _TUNING]  # from an inversion

# Models, as descriptions

Denoiser = Annotated[
    DenoiserDescription,
    Port(
        "INLAY_DENOISER",
        "description of a denoising UNet",
        "#5b3fd1",
        expected="the description of a UNet",
        fix="connect the denoiser output of a model node",
    ),
]
Vae = Annotated[
    VaeDescription,
    Port(
        "INLAY_VAE",
        "description of a VAE",
        "#8e44ad",
        expected="the description of a VAE",
        fix="connect the vae output of a model node",
    ),
]
TextEncoder = Annotated[
    TextEncoderDescription,
    Port(
        "INLAY_TEXT_ENCODER",
        "description of a tokenizer and its text encoder",
        "#a67c00",
        expected="the description of a text encoder",
        fix="connect the text_encoder output of a model node; an exemplar encoder goes to condition.exemplar",
    ),
]
ExemplarEncoder = Annotated[
    ExemplarEncoderDescription,
    Port(
        "INLAY_EXEMPLAR_ENCODER",
        "description of an exemplar encoder: CLIP, mapper",
        "#b8651b",
        expected="the description of an exemplar encoder",
        fix="connect the exemplar_encoder output of model.paint_by_example, or of model.exemplar_encoder for a "
        "new one; a text encoder goes to condition.text",
    ),
]
Scheduler = Annotated[
    SchedulerDescription,
    Port(
        "INLAY_SCHEDULER",
        "description of a diffusers scheduler: its configuration",
        "#0b7f8c",
        expected="the description of a scheduler",
        fix="connect the scheduler output of a model node",
    ),
]
Lora = Annotated[
    LoraSource,
    Port("INLAY_LORA", "a LoRA file", expected="a LoRA", fix="connect the lora output of train.subject_lora"),
]
Detector = Annotated[
    DetectorDescription,
    Port(
        "INLAY_DETECTOR",
        "description of a DETR, which finds things in pictures",
        expected="the description of a detector",
        fix="connect the output of model.detector",
    ),
]
Clip = Annotated[
    ClipDescription,
    Port(
        "INLAY_CLIP",
        "description of a CLIP: pictures and texts as vectors of one space",
        expected="a CLIP, which also reads text",
        fix="connect the clip output of model.clip",
    ),
]
Dino = Annotated[
    DinoDescription,
    Port(
        "INLAY_DINO",
        "description of a DINO, or of a CLIP: pictures as vectors",
        expected="the description of an image encoder",
        fix="connect the dino output of model.clip or model.dino",
    ),
]
Captioner = Annotated[
    CaptionerDescription,
    Port(
        "INLAY_CAPTIONER",
        "description of a BLIP, which describes pictures in words",
        expected="the description of a captioner",
        fix="connect the output of model.captioner",
    ),
]

# Plain values

Text = Annotated[str, Port("STRING", "text", "#8a6d3b", expected="a text", fix="connect the output of caption.blip")]
Value = Annotated[float, Port("FLOAT", "a number")]
HigherValue = Annotated[Value, Better("higher")]
LowerValue = Annotated[Value, Better("lower")]
Paths = Annotated[list[str], Port("INLAY_PATHS", "files that were written")]
