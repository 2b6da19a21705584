"""Join several holes into one."""

from collections.abc import Sequence
from functools import reduce
from typing import Annotated

from ...graph_runtime import BadInput, Repeat, node
from ...graph_runtime.core.light.later import Tensor, torch
from ...pictures.batches import common_batch
from ...pictures.masks.values import unit_mask
from ..checks.before_run import Facts, Known, Params, cheap, shaped
from ..ports import Mask
from .results import OneMask

MOST = 8


def _check_union(known: Known, params: Params) -> Facts:
    """The joined mask where all of them are known and small; else its size."""
    there = [known.get(f"mask_{number}", ...) for number in range(1, MOST + 1)]
    masks = [mask for mask in there if mask is not None and mask is not ...]
    require_one_size(masks)
    if ... in there or not masks:
        return {}
    if all(map(cheap, masks)):
        return {"mask": union(masks).mask}
    return {"mask": shaped(max(map(len, masks)), *masks[0].shape[1:])}


@node("mask.union", check=_check_union)
def union(masks: Annotated[Sequence[Mask | None], Repeat("mask", 2, MOST)]) -> OneMask:
    """Join holes: at each pixel the largest value of all masks, so what any of them marks is repainted.

    Args:
        masks: Holes of one size; one mask serves a whole batch of others.

    Raises:
        BadInput: masks of different sizes or batches, NaN, or values outside [0, 1].
    """
    given = [mask for mask in masks if mask is not None]
    require_one_size(given)
    planes = common_batch(**{f"mask_{number}": unit_mask(mask) for number, mask in enumerate(given, 1)})
    return OneMask(reduce(torch.maximum, planes).clone())


def require_one_size(masks: Sequence[Tensor]) -> None:
    """Refuse masks of different sizes."""
    for number, mask in enumerate(masks[1:], 2):
        if mask.shape[1:] != masks[0].shape[1:]:
            (height, width), (high, wide) = mask.shape[1:], masks[0].shape[1:]
            raise BadInput(
                f"mask_{number}",
                found=f"a mask of {width}×{height}, beside one of {wide}×{high}",
                expected="masks of one size",
                fix="make all of them for the same picture",
            )
