"""A counted device: the bytes of live tensors, exactly, on any device and without one.

    with counted(limit=6 * 2**30) as memory:
        with memory.step("one evaluation") as step:
            unet(z, t, words)
    memory.peak, memory.live, memory.moved, step.peak      # bytes

Every storage that is made inside the block counts from then until it is freed: once, however many views share it, also
while only autograd holds it. Tensors without values count like others: on the meta device, and under torch's
FakeTensorMode, whose block must be the outer one. A declared size stands for a device of that size: what does not fit
raises torch's own OutOfMemoryError, so code that answers it can be run where there is memory for all.

What is not seen: memory that a kernel takes and gives back within one operation, memory of NumPy and of files, and what
an allocator keeps beside it; a storage that was made before the block, unless it is handed to `include`.
"""

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, is_traceable_wrapper_subclass

Place = Callable[[Tensor], torch.device]
_PLAIN = (Tensor, torch.nn.Parameter)
_FRESH = ("aten::lift_fresh", "aten::lift_fresh_copy", "aten::lift")  # take what `torch.tensor` has just made
_COPIES = ("aten::_to_copy", "aten::copy_", "aten::_copy_from", "aten::_foreach_copy_")


@dataclass(eq=False)
class Step:
    """What happened in a stretch of a run.

    Attributes:
        name: of the stretch.
        before: bytes that were live when it began.
        peak: most bytes that were live at once.
        moved: bytes that came to the device.
        moved_out: bytes that left it.
    """

    name: str
    before: int = 0
    peak: int = 0
    moved: int = 0
    moved_out: int = 0


class CountedMemory:
    """The bytes of live storages on one device, or on all; made by `counted`.

    Attributes:
        limit: bytes that the device has; None: any number.
        steps: every stretch that was named, in the order of their ends.
    """

    def __init__(self, limit: int | None, device: torch.device | None, place: Place) -> None:
        self.limit, self._device, self._place = limit, device, place
        self.steps: list[Step] = []
        self._whole = Step("")
        self._open = [self._whole]
        self._live = 0
        self._known: dict[int, tuple[weakref.ref[torch.UntypedStorage], int]] = {}
        self._freed: deque[tuple[int, weakref.ref[torch.UntypedStorage]]] = deque()
        self._lock = threading.Lock()

    @property
    def live(self) -> int:
        """Bytes that are live now."""
        with self._lock:
            self._settle()
            return self._live

    @property
    def peak(self) -> int:
        """Most bytes that were live at once."""
        return self._whole.peak

    @property
    def moved(self) -> int:
        """Bytes that came to the device from others."""
        return self._whole.moved

    @property
    def moved_out(self) -> int:
        """Bytes that left the device for others."""
        return self._whole.moved_out

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        """Count a stretch by itself as well; stretches may lie in each other."""
        step = Step(name, before=self.live, peak=self.live)
        self._open.append(step)
        try:
            yield step
        finally:
            self._open.remove(step)
            self.steps.append(step)

    @contextmanager
    def joined(self) -> Iterator[None]:
        """Count what another thread makes inside this block: a thread is counted only where it asks for it."""
        with _Watching(self):
            yield

    def include(self, *values: object) -> None:
        """Count tensors, or those in modules, lists and dicts, that are there already.

        Raises:
            torch.OutOfMemoryError: they exceed the size of the device.
        """
        self.note([tensor for value in values for tensor in _tensors(value)])

    def exclude(self, *values: object) -> None:
        """Stop counting tensors that are live: they are on another device now."""
        with self._lock:
            self._settle()
            for storage in _storages(tensor for value in values for tensor in _tensors(value)):
                entry = self._known.pop(storage._cdata, None)
                self._live -= entry[1] if entry is not None else 0

    def note(self, tensors: Sequence[Tensor], given: Sequence[Tensor] = ()) -> None:
        """Count storages of tensors that are new, and those that have grown.

        Args:
            tensors: whatever an operation gave.
            given: the tensors that it was given; their storages are not new.

        Raises:
            torch.OutOfMemoryError: they exceed the size of the device; none of them counts.
        """
        with self._lock:
            self._settle()
            here = _storages(tensors if self._device is None else [one for one in tensors if self.holds(one)])
            changed = [(one, size) for one in here if (size := one.nbytes()) != self._size(one)]
            if not changed:
                return
            before = {one._cdata for one in _storages(given)} - self._known.keys()
            changed = [(one, size) for one, size in changed if one._cdata not in before]
            more = sum(size - max(0, self._size(one)) for one, size in changed)
            if self.limit is not None and more > 0 and self._live + more > self.limit:
                raise torch.OutOfMemoryError(
                    f"out of memory: {more} more bytes beside {self._live}, on a counted device of {self.limit} bytes"
                )
            for storage, size in changed:
                self._remember(storage, size)
            self._live += more
            for step in self._open:
                step.peak = max(step.peak, self._live)

    def note_copy(self, source: Tensor, target: Tensor) -> None:
        """Count a copy that crosses to or from the device: its bytes in the target's precision, as CUDA sends them."""
        arrives, leaves = self.holds(target), self.holds(source)
        if self._place(source) == self._place(target):
            return
        size = target.numel() * target.element_size()
        for step in self._open:
            step.moved += size * arrives
            step.moved_out += size * leaves

    def holds(self, tensor: Tensor) -> bool:
        """True for a tensor on the counted device."""
        if self._device is None:
            return True
        place = self._place(tensor)
        return place.type == self._device.type and self._device.index in (None, place.index or 0)

    def _size(self, storage: torch.UntypedStorage) -> int:
        """Bytes for which it counts; −1: it does not count yet."""
        entry = self._known.get(storage._cdata)
        return -1 if entry is None else entry[1]

    def _remember(self, storage: torch.UntypedStorage, size: int) -> None:
        key, freed = storage._cdata, self._freed
        entry = self._known.get(key)
        # No lock: a storage may be freed anywhere, also while this thread holds the lock.
        ref = weakref.ref(storage, lambda gone: freed.append((key, gone))) if entry is None else entry[0]
        self._known[key] = (ref, size)

    def _settle(self) -> None:
        """Take off what has been freed since."""
        while self._freed:
            key, gone = self._freed.popleft()
            entry = self._known.get(key)
            if entry is not None and entry[0] is gone:  # else the address belongs to another storage by now
                del self._known[key]
                self._live -= entry[1]


@contextmanager
def counted(
    limit: int | None = None, device: str | torch.device | None = None, place: Place | None = None
) -> Iterator[CountedMemory]:
    """Count the memory of tensors that this thread makes inside the block.

    Args:
        limit: the size of the device in bytes; None: any number.
        device: what counts: `cuda:0`, or `cuda` for all of them; None: every device, together.
        place: says where a tensor is; None: where torch says. A simulated device says it itself.

    Yields:
        The counts, which may still be read after the block.
    """
    memory = CountedMemory(limit, None if device is None else torch.device(device), place or _of)
    with memory.joined():
        yield memory


class _Kind(NamedTuple):
    """What is to know of an operation."""

    asks: bool  # for the device of a tensor without values
    composite: bool
    fresh: bool
    copies: str

    @classmethod
    def of(cls, func: torch._ops.OpOverload) -> "_Kind":
        if func is torch.ops.prim.device.default:
            return cls(True, False, False, "")
        name = func._schema.name
        composite = torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")
        return cls(False, bool(composite), name in _FRESH, name if name in _COPIES else "")


_KINDS: dict[torch._ops.OpOverload, _Kind] = {}


class _Watching(TorchDispatchMode):
    """Sees every operation of a thread, those of autograd too."""

    def __init__(self, memory: CountedMemory) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of torch
        self._memory = memory

    def __torch_dispatch__(
        self,
        func: torch._ops.OpOverload,
        types: Iterable[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        named = dict(kwargs or {})
        kind = _KINDS.get(func) or _KINDS.setdefault(func, _Kind.of(func))
        if kind.asks:
            return func(*args, **named)
        if kind.composite:
            with self:  # in inference mode these come whole: what they are made of counts
                result: object = func.decompose(*args, **named)
            if result is not NotImplemented:
                return result
        result = func(*args, **named)
        made = _tensors(result)
        self._memory.note(made, () if kind.fresh else _tensors((args, named)))
        if kind.copies:
            self._count_copies(kind.copies, args, made)
        return result

    def _count_copies(self, name: str, args: tuple[object, ...], made: Sequence[Tensor]) -> None:
        if name == "aten::_to_copy":
            pairs = zip(_tensors(args[0]), made, strict=True)
        elif name == "aten::_copy_from":
            pairs = zip(_tensors(args[0]), _tensors(args[1]), strict=True)
        else:
            pairs = zip(_tensors(args[1]), _tensors(args[0]), strict=True)
        for source, target in pairs:
            self._memory.note_copy(source, target)


def _of(tensor: Tensor) -> torch.device:
    return tensor.device


def _tensors(value: object) -> list[Tensor]:
    """The tensors in a value: in lists and dicts, and a module's own."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, tuple | list):
        return [tensor for one in value if one is not None for tensor in _tensors(one)]
    if isinstance(value, dict):
        return [tensor for one in value.values() for tensor in _tensors(one)]
    return [*value.parameters(), *value.buffers()] if isinstance(value, torch.nn.Module) else []


def _storages(tensors: Iterable[Tensor]) -> list[torch.UntypedStorage]:
    """Their storages, each once; those of a tensor that is made of others (sparse, quantised) are the others'."""
    found: dict[int, torch.UntypedStorage] = {}
    for tensor in tensors:
        plain = type(tensor) in _PLAIN and tensor.layout == torch.strided
        for part in (tensor,) if plain else _parts(tensor):
            storage = part.untyped_storage()
            found[storage._cdata] = storage
    return list(found.values())


def _parts(tensor: Tensor) -> Iterator[Tensor]:
    if is_traceable_wrapper_subclass(tensor):
        for name in tensor.__tensor_flatten__()[0]:
            yield from _parts(getattr(tensor, name))
    elif tensor.layout == torch.sparse_coo:
        yield from (tensor._indices(), tensor._values())
    elif tensor.layout in (torch.sparse_csr, torch.sparse_bsr):
        yield from (tensor.crow_indices(), tensor.col_indices(), tensor.values())
    elif tensor.layout in (torch.sparse_csc, torch.sparse_bsc):
        yield from (tensor.ccol_indices(), tensor.row_indices(), tensor.values())
    elif tensor.layout == torch.strided:
        yield tensor
