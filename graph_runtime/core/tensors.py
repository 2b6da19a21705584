"""Where a tensor's numbers lie in memory.

Matrix products pick their kernel by alignment on some processors, so the same numbers at another address give other
last bits. Tensors read from a file lie wherever the file's header put them; a copy in torch's own storage, which is
aligned to 64 bytes, makes the result depend on the numbers alone, and lets go of the file.

What a library's own loader made, or a change of precision, is such a copy already and costs nothing here. Measured on
the UNet of Stable Diffusion 1.5 from one file of 1.7 GB, kept in half precision: 1.1 s of one core instead of 0.1 s,
and its 1.6 GiB lie in memory of their own instead of in the file's pages.
"""

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor, nn

M = TypeVar("M", bound="nn.Module")
ALIGNMENT = 64  # bytes: what torch's allocator keeps to (c10::gAlignment), and a cache line


def owned(tensor: "Tensor") -> "Tensor":
    """`tensor` in torch's own aligned memory: itself if it lies there, else a copy of the same layout.

    torch can resize only what it allocated itself; memory of a file, of NumPy or of bytes cannot be resized.
    """
    if tensor.device.type != "cpu" or tensor.numel() == 0:
        return tensor
    aligned = tensor.data_ptr() % ALIGNMENT == 0
    return tensor if aligned and tensor.untyped_storage().resizable() else tensor.clone()


def own_weights(module: M) -> M:
    """Move every parameter and buffer of a module to torch's own memory, one at a time; returns the module.

    Shared tensors stay shared, for example an embedding that is also the output layer.
    """
    copied: dict[tuple[object, ...], Tensor] = {}

    def fresh(tensor: "Tensor") -> "Tensor":
        place = (tensor.data_ptr(), tensor.dtype, tensor.shape, tensor.stride())
        if place not in copied:
            copied[place] = owned(tensor)
        return copied[place]

    for parameter in module.parameters():
        parameter.data = fresh(parameter.data)
    for part in module.modules():  # a buffer is replaced: a view would keep its base alive
        part._buffers.update({name: fresh(value) for name, value in part._buffers.items() if value is not None})
    return module
