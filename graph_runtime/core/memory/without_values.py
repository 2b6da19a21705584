"""A device of any size whose tensors have shapes and no values: what a run takes there, known in seconds.

    with without_values(limit=3 * 2**30) as memory:
        manager = ModelManager(("meta",))       # the device's name
        ...                                     # a run as on a GPU
    memory.peak, memory.moved

Every operation of the device runs on torch's meta device: it allocates and frees as it would with values, and computes
nothing. What comes from there to the CPU is 0; a number that is read is 1, so that a loss is above its threshold and a
check for finite numbers passes. Attention counts as the fused kernels of GPUs take it, which hold no map of queries
and keys. A kernel's own workspace is not seen, nor what CUDA itself takes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from .counted import CountedMemory, counted

DEVICE = "meta"  # where it is
_ATTENTION: Callable[..., object] = torch.nn.functional.scaled_dot_product_attention


@contextmanager
def without_values(limit: int | None = None) -> Iterator[CountedMemory]:
    """Give this thread a device without values, named `meta`, for the length of the block.

    Args:
        limit: its size in bytes; None: any number.
    """
    with _Read(), counted(limit, DEVICE) as memory, _Fused():  # type: ignore[no-untyped-call]  # of torch
        yield memory


class _Read(TorchDispatchMode):
    """Answers what asks the device for values."""

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Iterable[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        named, name = dict(kwargs or {}), func._schema.name
        given = args[0] if args else None
        if name == "aten::_local_scalar_dense" and isinstance(given, Tensor) and given.is_meta:
            return given.new_ones((), device="cpu").item()
        if name == "aten::_to_copy" and isinstance(given, Tensor) and given.is_meta:
            place = named.get("device")
            if place is not None and torch.device(str(place)).type != DEVICE:
                kind = named.get("dtype") or given.dtype
                assert isinstance(kind, torch.dtype)
                return torch.zeros(given.shape, dtype=kind)
        if name == "aten::copy_" and isinstance(given, Tensor) and not given.is_meta:
            source = args[1]
            if isinstance(source, Tensor) and source.is_meta:
                return given
        return func(*args, **named)


class _Fused(TorchFunctionMode):
    """Attention of tensors without values, as a fused kernel allocates it."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Iterable[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        named = dict(kwargs or {})
        if func is not _ATTENTION or len(args) > 3:
            return func(*args, **named)
        each = [args[at] if len(args) > at else named[key] for at, key in enumerate(("query", "key", "value"))]
        if named.get("attn_mask") is not None or not all(isinstance(one, Tensor) and one.is_meta for one in each):
            return func(*args, **named)
        return torch.ops.aten._scaled_dot_product_flash_attention(*each, scale=named.get("scale"))[0]
