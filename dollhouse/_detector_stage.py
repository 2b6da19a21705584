"""Stage detector: a small DETR that finds the subject of a drawn room, so that automatic masks need no download.

The layout is that of facebook/detr-resnet-50 (Carion et al. 2020) with a ResNet of three stages. Its batch norms learn
here and are frozen in the file, as in every DETR. Pictures are mirrored, cut, washed out and recoloured, some are
empty rooms and some of patterned subjects, so that it finds the shape of a thing and not its colour.
"""

from __future__ import annotations

import json
import math
import os
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import DetrConfig, DetrForObjectDetection, ResNetConfig

from ._clip_stage import subject_box
from ._export import LICENSE, swap_in
from ._loop import Plan, fit
from ._pattern_stage import patterned_scene
from .world import KINDS, draw_layers, sample_scene

SIDE = 128
DENSE = 2.0  # weight of the dense lesson
EMPTY = 0.1  # share of pictures with no subject
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
BACKBONE = {
    "embedding_size": 32,
    "hidden_sizes": [32, 64, 128],
    "depths": [1, 1, 2],
    "layer_type": "basic",
    "out_features": ["stage3"],
}
SHAPE = {
    "d_model": 96, "num_queries": 6, "encoder_layers": 2, "decoder_layers": 3, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 256, "decoder_ffn_dim": 256, "dropout": 0.0,
}  # fmt: skip


def untrained() -> DetrForObjectDetection:
    """The untrained detector, with trainable batch norms."""
    torch.manual_seed(8)
    config = DetrConfig(
        backbone_config=ResNetConfig(**BACKBONE),
        id2label=dict(enumerate(KINDS)),
        auxiliary_loss=True,
        label2id={name: number for number, name in enumerate(KINDS)},
        **SHAPE,
    )
    model = DetrForObjectDetection(config)
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if type(child).__name__ == "DetrFrozenBatchNorm2d":
                setattr(module, name, nn.BatchNorm2d(child.weight.shape[0]))
    return model.requires_grad_(True)  # transformers freezes the backbone, which it expects to be trained


def labels(split: str, count: int) -> NDArray[np.int64]:
    """The kind of each of the first `count` scenes of a split, by its number in KINDS."""
    return np.array([KINDS.index(sample_scene(split, index).kind) for index in range(count)])


def seen(pictures: Tensor, boxes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures b × 3 × s × s in [0, 1] as training shows them, and their boxes b × 4 as cx, cy, w, h in 0…1.

    Mirrored, moved and scaled (never so far that a box leaves the frame), channels shuffled and turned over, light
    changed.
    """
    count = len(pictures)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(count, *shape, generator=generator)

    corners = boxes.float() / SIDE
    flip = torch.rand(count, generator=generator) < 0.5
    pictures = torch.where(flip[:, None, None, None], pictures.flip(3), pictures)
    left, top, right, bottom = corners.unbind(1)
    corners = torch.stack([torch.where(flip, 1 - right, left), top, torch.where(flip, 1 - left, right), bottom], dim=1)
    zoom = uniform(0.85, 1.6, 2)  # of the frame
    low, high = corners[:, 2:] - zoom, corners[:, :2]  # where the frame may begin for the box to stay inside it
    begin = torch.minimum(low, high) + (high - low).abs() * torch.rand(count, 2, generator=generator)
    grid = F.affine_grid(torch.stack([
        torch.stack([zoom[:, 0], torch.zeros(count), 2 * begin[:, 0] + zoom[:, 0] - 1], dim=1),
        torch.stack([torch.zeros(count), zoom[:, 1], 2 * begin[:, 1] + zoom[:, 1] - 1], dim=1),
    ], dim=1), [count, 3, SIDE, SIDE], align_corners=False)  # fmt: skip
    pictures = F.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    corners = ((corners.view(count, 2, 2) - begin[:, None]) / zoom[:, None]).clamp(0, 1).view(count, 4)
    order = torch.stack([torch.randperm(3, generator=generator) for _ in range(count)])
    pictures = pictures.gather(1, order[:, :, None, None].expand_as(pictures))
    negative = torch.rand(count, 1, 1, 1, generator=generator) < 0.25
    pictures = torch.where(negative, 1 - pictures, pictures)
    pictures = (pictures * uniform(0.7, 1.3, 3, 1, 1) + uniform(-0.15, 0.15, 1, 1, 1)).clamp(0, 1)
    grain = F.interpolate(torch.randn(count, 3, 24, 24, generator=generator), size=SIDE, mode="bilinear")
    pictures = (pictures + uniform(0, 0.08, 1, 1, 1) * grain).clamp(0, 1)
    centre, extent = (corners[:, :2] + corners[:, 2:]) / 2, corners[:, 2:] - corners[:, :2]
    return pictures, torch.cat([centre, extent], dim=1)


def dense_loss(module: nn.Module, memory: Tensor, kinds: Tensor, boxes: Tensor, empty: Tensor) -> Tensor:
    """Queries every position of the encoder's memory (b × n × d, a square grid) what is there, and where its box is.

    A transformer that begins with an untrained backbone takes long to find anything by queries alone; this gives each
    place a task of its own, with the heads that read the queries. Boxes b × 4 as cx, cy, w, h; kinds and empty b.
    """
    side = math.isqrt(memory.shape[1])
    at = (torch.arange(side) + 0.5) / side
    place = torch.stack([at.repeat(side), at.repeat_interleave(side)], dim=1)  # n × 2, across and down
    inside = ((place[None] - boxes[:, None, :2]).abs() < boxes[:, None, 2:] / 2).all(2) & ~empty[:, None]
    wanted = torch.where(inside, kinds[:, None], len(KINDS)).to(memory.device)
    named = module.class_labels_classifier(memory)
    found = F.cross_entropy(named.flatten(0, 1), wanted.flatten())
    guess = module.bbox_predictor(memory).sigmoid()
    inside = inside.to(memory.device)
    far = (guess - boxes[:, None].to(memory)).abs().sum(2)
    return DENSE * (found + 5 * (far * inside).sum() / inside.sum().clamp(min=1))


def patterned_boxes(count: int) -> tuple[NDArray[np.int16], NDArray[np.int64]]:
    """Box (left, top, right, bottom) and kind of the subject of each of the first patterned pictures."""
    scenes = [patterned_scene(index) for index in range(count)]
    return (
        np.array([subject_box(draw_layers(scene).subject) for scene in scenes], np.int16),
        np.array([KINDS.index(scene.kind) for scene in scenes]),
    )


def train_detector(
    work: Path,
    pictures: NDArray[np.uint8],
    boxes: NDArray[np.int16],
    device: torch.device,
    *,
    steps: int,
    worn: NDArray[np.uint8],
    batch: int = 32,
) -> DetrForObjectDetection:
    """Train on pictures (n × 128 × 128 × 3) and their subjects' boxes; every second picture is a mirror image.

    A third of each batch are pictures of patterned subjects, `worn`, from the first.
    """
    worn_boxes, worn_kinds = patterned_boxes(len(worn))
    kinds = torch.from_numpy(
        np.concatenate([np.repeat(labels("train", (len(boxes) + 1) // 2), 2)[: len(boxes)], worn_kinds])
    )
    places = torch.from_numpy(np.concatenate([boxes, worn_boxes]).astype(np.float32))
    plain = batch - batch // 3
    rooms = torch.from_numpy(
        np.stack([np.asarray(draw_layers(sample_scene("train", index)).background) for index in range(256)])
    )
    mean, std = (torch.tensor(values)[:, None, None] for values in (MEAN, STD))
    model = untrained().to(device)

    def loss_of(module: nn.Module, step: int, generator: torch.Generator) -> Tensor:
        rows = torch.cat(
            [
                torch.randint(len(boxes), (plain,), generator=generator),
                len(boxes) + torch.randint(len(worn), (batch - plain,), generator=generator),
            ]
        )
        empty = torch.rand(batch, generator=generator) < EMPTY
        drawn = torch.from_numpy(
            np.concatenate([pictures[rows[:plain].numpy()], worn[rows[plain:].numpy() - len(boxes)]])
        )
        drawn[empty] = rooms[torch.randint(len(rooms), (int(empty.sum()),), generator=generator)]
        images, wanted = seen(drawn.permute(0, 3, 1, 2).float() / 255, places[rows], generator)
        told = [
            {
                "class_labels": kinds[row : row + 1][:0] if gone else kinds[row : row + 1],
                "boxes": box[None][:0] if gone else box[None],
            }
            for row, box, gone in zip(rows.tolist(), wanted, empty.tolist(), strict=True)
        ]
        output = module(((images - mean) / std).to(device), labels=told)
        return output.loss + dense_loss(module, output.encoder_last_hidden_state, kinds[rows], wanted, empty)

    plan = Plan("detector", steps, learning_rate=6e-4, warmup=200, ema=0.998, weight_decay=1e-3, save_every=200)
    model.load_state_dict(fit(plan, work, model, loss_of, device=device))
    return model


def export_detector(folder: Path, model: DetrForObjectDetection) -> Path:
    """Write the detector with its picture settings in half precision; replace an older one in one step."""
    beside = folder.with_name(f".{folder.name}.new.{os.getpid()}")
    halves = deepcopy(model).cpu().half().eval()
    state = {name: value for name, value in halves.state_dict().items() if not name.endswith("num_batches_tracked")}
    halves.save_pretrained(beside, state_dict=state, safe_serialization=True)
    config = json.loads((beside / "config.json").read_text(encoding="utf-8"))
    config = {key: value for key, value in config.items() if key not in ("dtype", "torch_dtype", "_name_or_path")}
    (beside / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    settings = {
        "image_processor_type": "DetrImageProcessor",
        "do_resize": True,
        "do_rescale": True,
        "size": {"height": SIDE, "width": SIDE},
        "resample": 2,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(MEAN),
        "image_std": list(STD),
        "do_pad": False,
    }
    (beside / "preprocessor_config.json").write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (beside / "LICENSE").write_text(LICENSE, encoding="utf-8")
    return swap_in(beside, folder)
