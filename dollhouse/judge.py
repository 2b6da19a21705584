"""The judge: a small network that names a picture's subject and finds its region, trained on drawings alone.

It does not judge colours: `read` computes them, as the palette colour nearest to the median over a region. The
subject's region comes from the judge's mask. The wall's is the rest of the picture's upper 45 %; a window never covers
half of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from ._loop import Plan, fit, save_beside
from .world import LABELS, WALL_COLOURS, draw_layers, nearest_colour

WEIGHTS = Path(__file__).parent / "judge.safetensors"
UPPER = 0.45


class Reading(NamedTuple):
    """What the judge reads from a picture."""

    label: str  # kind with pose, one of LABELS
    colour: str
    wall: str
    confidence: float  # of the label, 0…1
    region: NDArray[np.bool_]  # h × w, the subject

    @property
    def kind(self) -> str:
        """The label without its pose."""
        return self.label.partition("-")[0]


def _layer(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, stride, 1), nn.GroupNorm(8, outside), nn.SiLU())


class Judge(nn.Module):
    """b × 3 × 128 × 128 in [-1, 1] -> label logits b × 11 and mask logits b × 1 × 64 × 64."""

    def __init__(self) -> None:
        super().__init__()
        self.fine = _layer(3, 24, 2)
        self.middle = nn.Sequential(_layer(24, 48, 2), _layer(48, 48))
        self.coarse = nn.Sequential(_layer(48, 96, 2), _layer(96, 96))
        self.deep = nn.Sequential(_layer(96, 128, 2), _layer(128, 128))
        self.label = nn.Linear(256, len(LABELS))
        self.from_deep = nn.Conv2d(128, 48, 1)
        self.from_coarse = nn.Conv2d(96, 48, 1)
        self.from_fine = nn.Conv2d(24, 48, 1)
        self.mask = nn.Sequential(_layer(48, 32), nn.Conv2d(32, 1, 1))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Label and mask logits; sides must be multiples of 16."""
        fine = self.fine(images)
        middle = self.middle(fine)
        coarse = self.coarse(middle)
        deep = self.deep(coarse)
        label = self.label(torch.cat([deep.mean(dim=(2, 3)), deep.amax(dim=(2, 3))], dim=1))
        rising = F.interpolate(self.from_deep(deep), scale_factor=2) + self.from_coarse(coarse)
        rising = F.interpolate(rising, scale_factor=2) + middle
        rising = F.interpolate(rising, scale_factor=2, mode="bilinear") + self.from_fine(fine)
        return label, self.mask(rising)


def _worn(images: Tensor, generator: torch.Generator) -> Tensor:
    """Blur, wash out and stain pictures about as much as a small autoencoder or a weak denoiser does."""
    sizes = torch.tensor([32, 48, 64, 96, 128])
    side = int(sizes[torch.randint(len(sizes), (1,), generator=generator)])
    if side < images.shape[2]:
        small = F.interpolate(images, (side, side), mode="area")
        images = F.interpolate(small, images.shape[2:], mode="bicubic", align_corners=False)
    count = len(images)
    stains = F.interpolate(torch.randn(count, 3, 16, 16, generator=generator), images.shape[2:], mode="bilinear")
    strength = 0.12 * torch.rand(count, 1, 1, 1, generator=generator)
    gain = 1 + 0.2 * (torch.rand(count, 1, 1, 1, generator=generator) - 0.5)
    shift = 0.2 * (torch.rand(count, 3, 1, 1, generator=generator) - 0.5)
    grain = 0.04 * torch.randn(images.shape, generator=generator)
    return (images * gain + shift + strength * stains + grain).clamp(-1, 1)


def train_judge(work: Path, device: torch.device, *, steps: int = 600, batch: int = 32, count: int = 6000) -> Judge:
    """Train the judge on worn drawings of the training split; returns it with averaged weights."""
    from ._draw_stage import training_scene  # here, so that reading pictures needs no training code
    from ._vae_stage import to_tensor

    torch.manual_seed(3)
    model = Judge().to(device, memory_format=torch.channels_last)
    scenes = [training_scene(i) for i in range(count)]
    layers = [draw_layers(scene) for scene in scenes]
    pictures = np.stack([np.asarray(layer.image) for layer in layers])
    masks = torch.from_numpy(np.stack([layer.subject for layer in layers]))
    labels = torch.tensor([LABELS.index(scene.label) for scene in scenes])

    def loss_of(module: nn.Module, step: int, generator: torch.Generator) -> Tensor:
        rows = torch.randint(count, (batch,), generator=generator)
        images = _worn(to_tensor(pictures[rows.numpy()]), generator)
        images = images.to(device, memory_format=torch.channels_last)
        wanted = F.interpolate(masks[rows, None].float(), scale_factor=0.5, mode="area").to(device)
        with torch.autocast(device.type, torch.bfloat16):
            named, mask = module(images)
        named, mask = named.float(), mask.float()
        return F.cross_entropy(named, labels[rows].to(device)) + F.binary_cross_entropy_with_logits(mask, wanted)

    state = fit(Plan("judge", steps, learning_rate=2e-3, ema=0.995), work, model, loss_of, device=device)
    model.load_state_dict(state)
    return model.eval()


def save(judge: Judge, path: Path = WEIGHTS) -> None:
    """Write the weights in half precision."""
    state = {name: value.detach().half().cpu().contiguous() for name, value in judge.state_dict().items()}
    save_beside(lambda beside: save_file(state, beside), path)
    path.chmod(0o644)


def load(path: Path = WEIGHTS) -> Judge:
    """The trained judge, float32, in evaluation mode; FileNotFoundError when there are no weights."""
    judge = Judge()
    judge.load_state_dict({name: value.float() for name, value in load_file(path).items()})
    return judge.eval()


def _median_colour(pixels: NDArray[np.uint8], region: NDArray[np.bool_]) -> NDArray[np.float64]:
    return np.median(pixels[region].reshape(-1, 3), axis=0).astype(np.float64)


@torch.inference_mode()
def read(judge: Judge, pictures: list[Image.Image]) -> list[Reading]:
    """Name subject, pose, colour and wall of each picture. RGB, all of one size, sides multiples of 16.

    A picture in which the judge finds no subject at all is read where its mask is strongest.
    """
    pixels = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    named, masks = judge(images)
    chances = named.softmax(dim=1)
    masks = F.interpolate(masks, images.shape[2:], mode="bilinear", align_corners=False)[:, 0].numpy()
    upper = np.zeros(pixels.shape[1:3], bool)
    upper[: int(UPPER * len(upper))] = True
    readings = []
    for picture, chance, mask in zip(pixels, chances, masks, strict=True):
        region = mask > min(0.0, float(np.quantile(mask, 0.98)))
        colour = nearest_colour(_median_colour(picture, region))
        wall = nearest_colour(_median_colour(picture, upper & ~region), WALL_COLOURS)
        best = int(chance.argmax())
        readings.append(Reading(LABELS[best], colour, wall, float(chance[best]), region))
    return readings
