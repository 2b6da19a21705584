"""Bring batches of pictures and masks to one length."""

from collections.abc import Iterator

from ..graph_runtime import BadInput
from ..graph_runtime.core.light.later import Tensor


def common_batch(**tensors: Tensor) -> list[Tensor]:
    """Batches of 1 expanded to the largest batch; the keywords are port names.

    Raises:
        BadInput: two batches differ and neither is 1.
    """
    largest = max(tensor.shape[0] for tensor in tensors.values())
    for port, tensor in tensors.items():
        if tensor.shape[0] not in (1, largest):
            sizes = ", ".join(f"{name} {value.shape[0]}" for name, value in tensors.items())
            raise BadInput(
                port,
                found=f"batches of different sizes ({sizes})",
                expected="batches of one size, or of 1",
                fix="load as many of each, or just one",
            )
    return [tensor.expand(largest, *tensor.shape[1:]) for tensor in tensors.values()]


def per_variation(rows: int, **tensors: Tensor) -> list[Tensor]:
    """The largest batches with each row repeated for its k variations: of `rows` rows, row i belongs to i // k.

    Batches of 1 are unchanged, and so are all if `rows` is not a multiple: `common_batch` expands or refuses them.
    """
    count = max(tensor.shape[0] for tensor in tensors.values())
    if count == 1 or rows <= count or rows % count:
        return list(tensors.values())
    return [
        tensor.repeat_interleave(rows // count, dim=0) if tensor.shape[0] == count else tensor
        for tensor in tensors.values()
    ]


def each_with_mask(image: Tensor, mask: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Every picture `[h w 3]` with its mask `[h w]`; a single mask is used for all pictures, and vice versa."""
    rows = max(len(image), len(mask))
    return zip(image.expand(rows, *image.shape[1:]), mask.expand(rows, *mask.shape[1:]), strict=True)
