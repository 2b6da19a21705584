"""Arrays and tensors as samples: which shapes, types and numbers are a picture, and what to do about others."""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...graph_runtime import BadInput
from ..arrays import Float32Array, Samples, strips

if TYPE_CHECKING:
    from torch import Tensor

Numbers = NDArray[np.generic]
CHANNELS = (1, 2, 3, 4)  # grey, grey and alpha, RGB, RGBA
SHAPES = "[h w], or [h w c] with 1 (grey), 2 (grey and alpha), 3 (RGB) or 4 (RGBA) channels; [b h w c] for a batch"
TYPES = "uint8 (to 255), uint16 (to 65535), bool, or floats from 0 to 1"


class Plane(NamedTuple):
    """One picture as samples.

    Attributes:
        samples: `[h w c]`, uint8 or uint16.
        exact: `[h w c]` float32, without alpha, where the samples are only the nearest 16-bit ones; else None.
    """

    samples: Samples
    exact: Float32Array | None = None


def array_of(tensor: "Tensor") -> Numbers:
    """A tensor of any device as an array; bfloat16 becomes float32, which holds it exactly.

    Raises:
        BadInput: a tensor without numbers of its own (sparse, quantized, on the meta device).
    """
    import torch

    if tensor.is_sparse or tensor.is_quantized or tensor.is_meta or tensor.layout != torch.strided:
        raise BadInput(None, found=f"a tensor of the kind {tensor.layout}", expected="a plain tensor", fix="convert it")
    tensor = tensor.detach()
    tensor = tensor.float() if tensor.dtype == torch.bfloat16 else tensor
    array: Numbers = tensor.cpu().resolve_conj().resolve_neg().numpy()
    return array


def batch_of(array: Numbers) -> Numbers:
    """The pictures in an array as `[b h w c]`; one unless the array has four axes.

    Raises:
        BadInput: no shape, type or numbers of a picture; says which.
    """
    what = f"an array of {array.dtype} [{' '.join(map(str, array.shape))}]"
    _require_type(array, what)
    batch = _batched(array, what)
    if 0 in batch.shape:
        raise BadInput(None, found=f"{what}, which is empty", expected="at least one pixel", fix="check how it is made")
    if array.dtype.kind == "f":
        _require_unit(batch, what)
    return batch


def _require_type(array: Numbers, what: str) -> None:
    kind, size = array.dtype.kind, array.dtype.itemsize
    if kind == "b" or (kind == "u" and size <= 2) or (kind == "f" and size <= 8):
        return
    if kind in "iu":
        fix = "astype(bool) for a mask of 0 and 1, astype(np.uint8) for numbers up to 255"
    elif kind == "O":
        fix = "one array of numbers: np.stack([…]) for pictures of one size, a list for others"
    else:
        fix = "convert it to uint8, or to floats from 0 to 1"
    raise BadInput(None, found=what, expected=TYPES, fix=fix)


def _batched(array: Numbers, what: str) -> Numbers:
    """`[b h w c]`."""
    shape = array.shape
    if len(shape) == 2:
        return array[None, :, :, None]
    if len(shape) == 3 and shape[-1] in CHANNELS:
        return array[None]
    if len(shape) == 3 and shape[0] == 1:  # one mask [b h w], or one grey picture [c h w]
        return array[..., None]
    if len(shape) == 4 and shape[-1] in CHANNELS:
        return array
    fix = "give one picture at a time, channels last"
    if len(shape) == 3:
        fix = "masks [b h w]: mask[..., None]"
        if shape[0] in CHANNELS:
            fix = f"channels come last: permute(1, 2, 0) (np.moveaxis(image, 0, -1)); {fix}"
    elif len(shape) == 4 and shape[1] in CHANNELS:
        fix = "channels come last: permute(0, 2, 3, 1) (np.moveaxis(image, 1, -1))"
    raise BadInput(None, found=what, expected=SHAPES, fix=fix)


def _require_unit(array: Numbers, what: str) -> None:
    low, high = float(array.min()), float(array.max())  # NaN if there is one
    if low >= 0 and high <= 1:
        return
    if np.isfinite(low) and np.isfinite(high):
        if low >= 0 and 1 < high <= 255:
            fix = "divide by 255, or give integers: astype(np.uint8)"
        elif low >= -1 and high <= 1:
            fix = "from −1…1: (image + 1) / 2; if they are only a little too small: clip(0, 1)"
        else:
            fix = "scale them, or clip(0, 1)"
        raise BadInput(None, found=f"{what} with numbers from {low:g} to {high:g}", expected="0 to 1", fix=fix)
    count = int(array.size - np.isfinite(array).sum())
    raise BadInput(
        None,
        found=f"{what} with {count} of {array.size} numbers NaN or infinite",
        expected="numbers from 0 to 1",
        fix="check what made them",
    )


def plane_of(picture: Numbers) -> Plane:
    """One picture of a batch as samples.

    Floats in 8-bit steps become 8 bits, those in 16-bit steps 16; others are kept beside, as float32.
    """
    kind = picture.dtype.kind
    if kind == "b":
        return Plane(picture.astype(np.uint8) * np.uint8(255))
    if kind == "u":
        return Plane(picture.astype(np.uint16) if picture.dtype.itemsize == 2 else picture.astype(np.uint8))
    values = picture.astype(np.float32)
    for depth in (np.uint8, np.uint16):
        if (samples := _steps(values, depth)) is not None:
            return Plane(samples)
    colours = values if values.shape[2] in (1, 3) else values[..., :-1]
    return Plane(_nearest(values), np.ascontiguousarray(colours))


def _steps(values: Float32Array, depth: type[np.uint8] | type[np.uint16]) -> Samples | None:
    """Samples that image.load reads as exactly these numbers; None if there are none of that depth."""
    top = np.float32(np.iinfo(depth).max)
    samples: Samples = np.empty(values.shape, np.uint8) if depth is np.uint8 else np.empty(values.shape, np.uint16)
    for rows in strips(*values.shape[:2]):
        samples[rows] = np.rint(values[rows] * top)
        if not np.array_equal(np.divide(samples[rows], top, dtype=np.float32), values[rows]):
            return None
    return samples


def _nearest(values: Float32Array) -> Samples:
    samples = np.empty(values.shape, np.uint16)
    for rows in strips(*values.shape[:2]):
        samples[rows] = np.rint(values[rows].astype(np.float64) * 65_535)
    return samples
