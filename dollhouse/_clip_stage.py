"""Stage clip: a CLIP of the dollhouse world, its image encoder trained contrastively with the text encoder.

Two views of each scene are drawn: whole pictures and cut-out subjects, mirrored, turned, blurred. A view belongs to the
caption of its scene, and to the other view; everything else in the batch is wrong (Radford et al. 2021; between views,
Chen et al. 2020). The image encoder goes into the exemplar model, the whole into the metrics.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel

from ._draw_stage import in_chunks, training_scene
from ._loop import Plan, fit
from .world import draw_layers

#: Side of the pictures it sees, and of its patches.
SIDE, PATCH = 64, 8
VISION = {
    "hidden_size": 192, "intermediate_size": 768, "num_hidden_layers": 4, "num_attention_heads": 6,
    "image_size": SIDE, "patch_size": PATCH, "projection_dim": 128, "hidden_act": "quick_gelu",
}  # fmt: skip
#: Paraphrases that stay true when a picture is mirrored, for whole pictures and for cut-out subjects.
WHOLE_PHRASES, CUT_PHRASES = (0, 2, 4, 6, 7), (7,)
#: Share of views that are cut-out subjects.
CUT_SHARE = 0.6


def subject_box(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """Left, top, right, bottom (exclusive) of a mask's True pixels."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _chunk(start: int, stop: int) -> NDArray[np.int16]:
    return np.array([subject_box(draw_layers(training_scene(i)).subject) for i in range(start, stop)], np.int16)


def boxes(work: Path, count: int) -> NDArray[np.int16]:
    """The subject's box in each of the first `count` training pictures, count × 4, in pixels; found when missing."""
    path = work / f"boxes-{count}.npy"
    in_chunks(path, _chunk, count)
    return np.load(path)


def untrained(text_encoder: CLIPTextModel) -> CLIPModel:
    """A CLIP whose text half starts as `text_encoder`."""
    text = text_encoder.config.to_dict() | {"projection_dim": VISION["projection_dim"]}
    text.pop("_name_or_path", None)  # a folder of this machine
    config = CLIPConfig(
        text_config=CLIPTextConfig(**text).to_dict(),
        vision_config=dict(VISION),
        projection_dim=VISION["projection_dim"],
    )
    model = CLIPModel(config)
    model.text_model.load_state_dict(getattr(text_encoder, "text_model", text_encoder).state_dict())
    return model


def _uniform(generator: torch.Generator, count: int, low: float, high: float) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator)


def views(pictures: Tensor, corners: Tensor, cut: Tensor, generator: torch.Generator) -> Tensor:
    """n × 3 × 128 × 128 in [0, 1] -> n × 3 × 64 × 64: the whole, or the box with a margin, augmented."""
    count, side = len(pictures), pictures.shape[2]
    box = torch.where(cut[:, None], corners.float(), torch.tensor([0.0, 0.0, side, side]))
    centre = (box[:, :2] + box[:, 2:]) / 2
    extent = (box[:, 2:] - box[:, :2]) * _uniform(generator, count, 0.95, 1.4)[:, None].where(cut[:, None], 1.0)
    square = torch.rand(count, 1, generator=generator) < 0.5  # else stretched
    extent = torch.where(square, extent.amax(dim=1, keepdim=True), extent)
    centre = centre + (torch.rand(count, 2, generator=generator) - 0.5) * 0.15 * extent * cut[:, None]
    angle = _uniform(generator, count, -20, 20) * math.pi / 180 * (torch.rand(count, generator=generator) < 0.5)
    flip = 1 - 2 * (torch.rand(count, generator=generator) < 0.5).float()
    cos, sin = angle.cos(), angle.sin()
    half, middle = extent / side, centre / side * 2 - 1  # grid_sample's coordinates run from -1 to 1
    rows = torch.stack([
        torch.stack([half[:, 0] * cos * flip, -half[:, 0] * sin, middle[:, 0]], dim=1),
        torch.stack([half[:, 1] * sin * flip, half[:, 1] * cos, middle[:, 1]], dim=1),
    ], dim=1)  # fmt: skip
    grid = F.affine_grid(rows, [count, 3, SIDE, SIDE], align_corners=False)
    seen = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    blurred = F.interpolate(F.avg_pool2d(seen, 2), size=SIDE, mode="bilinear", align_corners=False)
    return torch.where(torch.rand(count, 1, 1, 1, generator=generator) < 0.3, blurred, seen)


def _contrast(left: Tensor, right: Tensor, same: Tensor, scale: Tensor) -> Tensor:
    """Symmetric cross-entropy of unit vectors, n × d each; `same` n × n marks equally correct pairs."""
    logits = scale * left @ right.T
    wanted = same.float() / same.float().sum(dim=1, keepdim=True)
    return (F.cross_entropy(logits, wanted) + F.cross_entropy(logits.T, wanted)) / 2


def train_clip(
    work: Path,
    model: CLIPModel,
    pictures: NDArray[np.uint8],
    corners: NDArray[np.int16],
    captions: Tensor,
    device: torch.device,
    *,
    steps: int,
    batch: int = 96,
) -> CLIPModel:
    """Train on pictures (n × 128 × 128 × 3), their subjects' boxes and captions (n × phrases × tokens, ids)."""
    model = model.to(device)
    places = torch.from_numpy(corners.astype(np.float32))
    mean, std = (torch.tensor(v)[:, None, None] for v in (CLIP_MEAN, CLIP_STD))

    def loss_of(module: nn.Module, step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(len(captions), (batch,), generator=generator)
        seen = torch.from_numpy(pictures[rows.numpy()]).permute(0, 3, 1, 2).float() / 255
        cut = torch.rand(2 * batch, generator=generator) < CUT_SHARE
        both = views(seen.repeat(2, 1, 1, 1), places[rows].repeat(2, 1), cut, generator)
        first = [CUT_PHRASES if is_cut else WHOLE_PHRASES for is_cut in cut[:batch].tolist()]
        draws = torch.rand(batch, generator=generator).tolist()
        phrase = [options[int(draw * len(options))] for options, draw in zip(first, draws, strict=True)]
        ids = captions[rows, torch.tensor(phrase)]
        same = (ids[:, None] == ids[None]).all(dim=2).to(device)
        with torch.autocast(device.type, torch.bfloat16):
            image = module.visual_projection(module.vision_model(((both - mean) / std).to(device)).pooler_output)
            text = module.text_projection(module.text_model(ids.to(device)).pooler_output)
        image, text = F.normalize(image.float(), dim=1), F.normalize(text.float(), dim=1)
        scale = module.logit_scale.clamp(max=math.log(100)).exp()
        one, other = image.chunk(2)
        own = torch.eye(batch, dtype=torch.bool, device=device)
        return _contrast(one, text, same, scale) + 0.5 * _contrast(one, other, own, scale)

    plan = Plan("clip", steps, learning_rate=1e-3, warmup=100, ema=0.998, weight_decay=0.05, save_every=100)
    model.load_state_dict(fit(plan, work, model, loss_of, device=device))
    return model


#: What CLIP's pictures are normalised by (Radford et al. 2021).
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
