"""A UNet whose inner blocks are evaluated at some steps only: between, what they gave last stands for them.

Ma, Fang, Wang, "DeepCache: Accelerating Diffusion Models for Free", CVPR 2024. Here whole blocks are reused; the paper
also reuses layers of the outermost one.
"""

import copy
from typing import TYPE_CHECKING, cast

from torch import Tensor, nn

from .evaluation import Plain

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


class WithStepCache:
    """All of the UNet at every n-th evaluation, its outermost blocks at each.

    Between, what the second-last block of the way up gave at the last full evaluation stands for everything below it.

    Args:
        unet: of at least two levels; it is not changed, and may be in use elsewhere.
        every: n, 2 or more.
    """

    def __init__(self, unet: nn.Module, every: int) -> None:
        self._every, self._count = every, 0
        self._size: tuple[int, ...] = ()
        downs, ups = _blocks(unet, "down_blocks"), _blocks(unet, "up_blocks")
        self._inner = _Kept(ups[-2])
        skipped = [_Skipped(one) for one in downs[1:]]
        self._whole = cast("UNet2DConditionModel", _with(unet, up_blocks=[*ups[:-2], self._inner, ups[-1]]))
        outer = _with(
            unet, down_blocks=[downs[0], *skipped], up_blocks=[*map(_Passed, ups[:-2]), _Again(self._inner), ups[-1]]
        )
        if getattr(unet, "mid_block", None) is not None:
            outer._modules["mid_block"] = _Passed(None)
        self._outer = cast("UNet2DConditionModel", outer)

    def __call__(self, z: Tensor, t: Tensor, **inputs: Tensor) -> Tensor:
        """The output; an evaluation of another size is a full one."""
        size = tuple(z.shape)
        if size != self._size:
            self._count, self._size = 0, size
        whole = self._count % self._every == 0
        self._count += 1
        return Plain(self._whole if whole else self._outer)(z, t, **inputs)


def has_levels(unet: nn.Module) -> bool:
    """True for a UNet with inner blocks to skip."""
    return len(_blocks(unet, "down_blocks")) > 1 and len(_blocks(unet, "up_blocks")) > 1


class _Kept(nn.Module):
    """A block whose last output is kept."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block, self.kept = block, cast(Tensor, None)
        self.resnets = block.resnets
        if hasattr(block, "has_cross_attention"):
            self.has_cross_attention = block.has_cross_attention

    def forward(self, *args: object, **named: object) -> Tensor:
        self.kept = self.block(*args, **named)
        return self.kept


class _Again(nn.Module):
    """In the place of a block: what it gave last."""

    def __init__(self, kept: _Kept) -> None:
        super().__init__()
        self.resnets = kept.block.resnets
        self._kept = (kept,)  # not a part of this module

    def forward(self, *_: object, **__: object) -> Tensor:
        return self._kept[0].kept


class _Passed(nn.Module):
    """In the place of a block whose output nothing reads."""

    def __init__(self, block: nn.Module | None) -> None:
        super().__init__()
        if block is not None:
            self.resnets = block.resnets

    def forward(self, *args: Tensor, **named: Tensor) -> Tensor:
        return args[0] if args else named["hidden_states"]


class _Skipped(nn.Module):
    """In the place of a block of the way down: as many outputs, which nothing reads."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self._outputs = len(cast(nn.ModuleList, block.resnets)) + (getattr(block, "downsamplers", None) is not None)

    def forward(self, hidden_states: Tensor, *_: object, **__: object) -> tuple[Tensor, tuple[Tensor, ...]]:
        return hidden_states, (hidden_states,) * self._outputs


def _blocks(unet: nn.Module, name: str) -> list[nn.Module]:
    return list(cast(nn.ModuleList, getattr(unet, name, ())))


def _with(unet: nn.Module, **blocks: list[nn.Module]) -> nn.Module:
    """A UNet that shares everything but these lists of blocks."""
    made = copy.copy(unet)
    made._modules = dict(unet._modules)
    for name, members in blocks.items():
        made._modules[name] = nn.ModuleList(members)
    return made
