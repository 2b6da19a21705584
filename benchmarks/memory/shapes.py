"""What runs take on a device without values: Stable Diffusion 1.5's shape, and one twice as wide.

No weights are drawn and nothing is computed, so a model of 8 GB needs no memory here either: weights in CPU memory are
pages that nobody touches.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple
from unittest import mock

import torch
from inlay.benchmarks.gpu.shapes import RandomDenoiser, RandomOrigin, RandomVae, Shape
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.memory.counted import CountedMemory
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.core.memory.streaming import release, streamed
from inlay.graph_runtime.core.memory.without_values import DEVICE, without_values
from inlay.methods.conditioning import Conditioning
from inlay.models.stable_diffusion import SchedulerComponent
from inlay.nodes import constraint, latent, noise, sample, schedule
from torch import nn
from torch.utils._python_dispatch import _disable_current_modes

WIDE = (704, 1408, 2816, 2816)  # channels of a UNet of 8.2 GB in half precision


class _Shapes:
    """Loads a part without values."""

    def load(self, device: str) -> nn.Module:
        """The module on the device without values, frozen."""
        return self._built(device).to_empty(device=DEVICE)

    def nbytes_on(self, device: str) -> int:
        """Bytes in the precision of a device."""
        return sum(value.nbytes for value in self._built(device).parameters())

    def _built(self, device: str) -> nn.Module:
        """Made elsewhere: the device is not asked for anything."""
        with _disable_current_modes(), torch.device(DEVICE):
            return self.build().to(self.precision(device)).eval().requires_grad_(False)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class ShapedDenoiser(_Shapes, RandomDenoiser):
    """A UNet without values."""


@dataclass(frozen=True)
class ShapedVae(_Shapes, RandomVae):
    """An autoencoder without values."""


class Taken(NamedTuple):
    """What a stretch took.

    Attributes:
        name: of it.
        peak: most bytes at once, weights included.
        moved: bytes that came to the device.
    """

    name: str
    peak: int
    moved: int


def null_space(shape: Shape, side: int, steps: int = 2, limit: int | None = None) -> list[Taken]:
    """Encode, fill and decode a picture by the nodes themselves, UNet in half precision and VAE as it is by default.

    Args:
        shape: of the models.
        side: of the picture, in pixels.
        steps: of denoising; each takes what every other takes.
        limit: bytes that the device has.

    Returns:
        What each node took, and `whole`.

    Raises:
        torch.OutOfMemoryError: the device is too small.
    """
    origin = RandomOrigin(shape, 4)
    unet, vae = ShapedDenoiser.describe(origin, "float16"), ShapedVae.describe(origin, "auto")
    plan = schedule.ddim(SchedulerComponent.describe(origin, "float16"), steps=steps).schedule
    ctx = Context(ModelManager((DEVICE,)))
    words = torch.zeros(1, 77, shape.unet["cross_attention_dim"])
    hole = torch.zeros(1, 1, side // 8, side // 8)
    hole[..., side // 32 : side // 16, side // 32 : side // 16] = 1
    with without_values(limit) as memory:
        with memory.step("latent.encode"):
            z = latent.encode(torch.zeros(1, side, side, 3), vae, ctx).latent
        with memory.step("sample.denoise"):
            known = constraint.null_space(z, hole).constraint
            start = noise.gaussian(z).noise
            z = sample.denoise(unet, plan, start, ctx, Conditioning(words, words), known).latent
        with memory.step("latent.decode"):
            latent.decode(z, vae, ctx)
    found = [Taken(step.name, step.peak, step.moved) for step in memory.steps]
    return [*found, Taken("whole", memory.peak, memory.moved)]


def on_the_host(config: Mapping[str, Any]) -> nn.Module:
    """A UNet in half precision, its weights in CPU memory that nothing touches."""
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(**config).half().requires_grad_(False)
    return unet.to_empty(device="cpu").eval()


def evaluate(unet: nn.Module, memory: CountedMemory, name: str, cells: int) -> Taken:
    """One evaluation of one latent."""
    with torch.no_grad(), memory.step(name) as step:
        z, words = (
            torch.empty(shape, device=DEVICE, dtype=torch.half)
            for shape in ((1, 4, cells, cells), (1, 77, unet.config.cross_attention_dim))
        )
        unet(z, torch.tensor(3, device=DEVICE), encoder_hidden_states=words, return_dict=False)
    return Taken(name, step.peak, step.moved)


def streamed_bytes(config: Mapping[str, Any], room: int, cells: int) -> list[Taken]:
    """What arrives before the first evaluation, and in the first and the second, with `room` bytes for weights."""
    unet = on_the_host(config)
    with without_values() as memory:
        with memory.step("before"), streamed(unet, DEVICE, room):
            pass
        before = Taken("before", memory.peak, memory.moved)
        with streamed(unet, DEVICE, room) as module:
            found = [before, *(evaluate(module, memory, name, cells) for name in ("first", "second"))]
        del module
        release(unet)
    return found


def tuned(config: Mapping[str, Any], room: int, cells: int) -> Taken:
    """One evaluation with its gradient to the text, as an inversion makes it, with `room` bytes for weights."""
    unet = on_the_host(config)
    with without_values() as memory, streamed(unet, DEVICE, room) as module, memory.step("tuned") as step:
        z = torch.empty(1, 4, cells, cells, device=DEVICE, dtype=torch.half)
        words = torch.empty(1, 77, config["cross_attention_dim"], device=DEVICE, dtype=torch.half, requires_grad=True)
        found = module(z, torch.tensor(3, device=DEVICE), encoder_hidden_states=words, return_dict=False)[0]
        found.float().square().mean().backward()
    return Taken("tuned", step.peak, step.moved)


def group_offload_bytes(config: Mapping[str, Any], level: str, cells: int) -> int:
    """Bytes that diffusers' own group offload sends to the device in one evaluation.

    Its hooks replace `.data`, which torch refuses from a CPU tensor to one without values; so both places are without
    values here, and what counts is each tensor that the hooks send.
    """
    from diffusers.hooks import apply_group_offloading

    unet = on_the_host(config).to(DEVICE)
    with without_values() as memory, _sent() as sent:
        apply_group_offloading(unet, torch.device(DEVICE), torch.device(DEVICE), level, num_blocks_per_group=1)
        sent.clear()
        evaluate(unet, memory, level, cells)
    return sum(sent)


@contextmanager
def _sent() -> Iterator[list[int]]:
    """The bytes of each tensor that diffusers' hooks send to the device."""
    from diffusers.hooks.group_offloading import ModuleGroup

    sent: list[int] = []
    original = ModuleGroup._transfer_tensor_to_device

    def counting(group: Any, tensor: torch.Tensor, *rest: Any) -> None:
        sent.append(tensor.nbytes)
        original(group, tensor, *rest)

    with (
        mock.patch.object(ModuleGroup, "_transfer_tensor_to_device", counting),
        mock.patch.object(torch, "get_device_module", return_value=torch.cpu),
    ):
        yield sent
