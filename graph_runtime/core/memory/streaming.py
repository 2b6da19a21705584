"""Streamed weights: a module that computes on a device which holds only a part of its weights.

What fits stays on the device; the rest comes layer by layer, each right before its layer computes, into a buffer that
the next one overwrites. With two buffers and a GPU the next layer arrives while this one computes: the order is that of
the last evaluation. Fewer bytes move than with diffusers' group offload, which sends every weight each time.

The results have the bits of the whole module: the same numbers go through the same kernels. Where gradients are
computed (inversions), a layer's weights come once more for the backward pass, as autograd would otherwise keep them
all; with diffusers' hooks a convolution finds its weights in CPU memory then. Training is refused.

The module that is handed in is not changed: the layers of a copy share its weights. In the copy, a weight that is not
on the device is a NaN in the weight's shape, so reading it anywhere but in its layer cannot go unseen.
"""

import copy
import math
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar, cast

from ..current_run import report_progress
from ..errors import ModelError
from ..light.later import Tensor, nn, torch
from ..processors import attentions, original_processors
from .inner_tensors import inner_tensors, laid_out, rebuilt, tensor_bytes
from .sizes import size_text

if TYPE_CHECKING:
    from torch.cuda import Event, Stream

M = TypeVar("M", bound="nn.Module")
KEPT = "_inlay_streamed"  # where a module keeps its copy that streams
_SOURCE = "_inlay_source"  # the weight in CPU memory, on the storage of its copy on the device
_ALIGNED = 256  # bytes: weights begin in a buffer where an allocator would put them
_MAKING = threading.Lock()


def least_bytes(sizes: Mapping[str, int], first: str) -> int:
    """Bytes on the device at least: the first layer, which shows where the module computes, and the largest other.

    Args:
        sizes: bytes of weights by their names, dotted, as in a state dict.
        first: name of the first layer; where it is not found, it counts like the largest.
    """
    layers: dict[str, int] = {}
    for name, size in sizes.items():
        layer = name.rpartition(".")[0]
        layers[layer] = layers.get(layer, 0) + _aligned(size)
    largest = max(layers.values(), default=0)
    return layers.pop(first, largest) + max(layers.values(), default=0)


@contextmanager
def streamed(module: M, device: str, resident_bytes: int) -> Iterator[M]:
    """A module that computes on `device` while its weights lie in CPU memory.

    What is on the device stays there after the block, for the next one, until `release` is called. One thread at a
    time computes; others wait.

    Args:
        module: its weights are in CPU memory, pinned where the device can read that at once.
        device: where it computes.
        resident_bytes: bytes of weights that may be there at once; at least `least_bytes`.

    Raises:
        ModelError: they are fewer.
    """
    with _MAKING:
        known = module.__dict__.get(KEPT)
        if known is None or known.key != (device, resident_bytes):
            release(module)
            known = module.__dict__[KEPT] = Streamed(module, device, resident_bytes)
        there = cast(M, known.module)
    with known.used():
        yield there


def release(module: "nn.Module") -> None:
    """Take what `streamed` has left on the device away from it."""
    known = module.__dict__.pop(KEPT, None)
    if known is not None:
        known.module = None  # else they would hold each other


def is_streamed(module: "nn.Module") -> bool:
    """True for a module that `streamed` gave, or a copy of it."""
    return any(isinstance(hook, _Bring) for part in module.modules() for hook in part._forward_pre_hooks.values())


@dataclass(eq=False)
class _Layer:
    """The weights of one layer that are not on the device: by the id of what stands for each, and where it begins."""

    sources: dict[int, Tensor] = field(default_factory=dict)
    begins: dict[int, list[int]] = field(default_factory=dict)  # of each tensor that a weight is made of
    nbytes: int = 0

    def add(self, stand_in: Tensor, source: Tensor) -> None:
        begins = self.begins[id(stand_in)] = []
        self.sources[id(stand_in)] = source
        for plain in inner_tensors(source):
            begins.append(self.nbytes)
            self.nbytes += _aligned(tensor_bytes(plain))


@dataclass(eq=False)
class _Buffer:
    """Memory on the device for one layer at a time."""

    memory: Tensor
    layer: _Layer | None = None
    users: int = 0
    arrived: "Event | None" = None
    read: "Event | None" = None

    def views(self, layer: _Layer) -> dict[int, Tensor]:
        """Where the weights of a layer are in it."""
        return {key: laid_out(source, self.memory, layer.begins[key]) for key, source in layer.sources.items()}


@dataclass(frozen=True, eq=False)
class _Saved:
    """What autograd keeps of a weight: where to fetch it again."""

    source: Tensor
    shape: Sequence[int]
    stride: Sequence[int]
    offset: int


class Streamed:
    """A copy of a module that computes on a device, with a part of its weights there; see `streamed`."""

    def __init__(self, whole: "nn.Module", device: str, resident_bytes: int) -> None:
        self.key = (device, resident_bytes)
        self._device = torch.device(device)
        self._layer_of: dict[int, _Layer] = {}
        self._follows: dict[_Layer, _Layer] = {}  # by what was computed last time
        self._last: _Layer | None = None
        self._exchanged: dict[tuple[int, int], tuple[dict[str, Tensor], _Buffer | None]] = {}
        self._using = threading.RLock()
        with torch.inference_mode(False), torch.no_grad():
            layers = _layers(whole)
            sizes = [sum(map(_room, layer)) for layer in layers]
            streamed, size, count = _choose(sizes, _fixed(whole, layers), resident_bytes)
            self._stream: Stream | None = torch.cuda.Stream(self._device) if self._device.type == "cuda" else None
            self._buffers = [_Buffer(torch.empty(size, dtype=torch.uint8, device=self._device)) for _ in range(count)]
            self.module: nn.Module | None = self._copy(whole, layers, streamed)

    @property
    def streamed_bytes(self) -> int:
        """Bytes that come to the device in one evaluation without gradients."""
        return sum(tensor_bytes(source) for layer in set(self._layer_of.values()) for source in layer.sources.values())

    @contextmanager
    def used(self) -> Iterator[None]:
        """Compute with the module in this thread."""
        while not self._using.acquire(timeout=0.2):
            report_progress()
        try:
            with torch.autograd.graph.saved_tensors_hooks(_pack, self._unpack):
                yield
        finally:
            if self._stream is not None:  # what still arrives does so before the memory can have another use
                torch.cuda.current_stream(self._device).wait_stream(self._stream)
            self._using.release()

    def __deepcopy__(self, memo: object) -> "Streamed":
        return self  # copies of the module, those with LoRAs, share the buffers

    def _copy(self, whole: "nn.Module", layers: "list[list[nn.Parameter]]", streamed: set[int]) -> "nn.Module":
        shared: dict[int, object] = {
            id(kept): {} for name, kept in vars(whole).items() if name.startswith("_inlay_") and isinstance(kept, dict)
        }
        shared |= {id(value): value.to(self._device) for value in whole.buffers()}
        nan: dict[torch.dtype, Tensor] = {}
        for number, layer in enumerate(layers):
            moved = _Layer()
            for weight in layer:
                if number not in streamed:
                    there = rebuilt(weight.data, lambda plain: plain.to(self._device))
                    shared[id(weight)] = nn.Parameter(there, weight.requires_grad)
                    continue
                one = nan.setdefault(weight.dtype, torch.full((), math.nan, dtype=weight.dtype, device=self._device))
                stand_in = nn.Parameter(one.expand(weight.shape), requires_grad=False)
                shared[id(weight)] = stand_in
                moved.add(stand_in, weight.data)
                self._layer_of[id(stand_in)] = moved
        with original_processors(whole) as processors:  # a run may have attention controls on it
            shared |= {id(module.processor): processors[name] for name, module in attentions(whole)}
            made = copy.deepcopy(whole, shared)
        for part in made.modules():
            if any(id(weight) in self._layer_of for weight in part._parameters.values()):
                part.register_forward_pre_hook(_Bring(self))
                part.register_forward_hook(_Take(self), always_call=True)
        return made

    def bring(self, part: "nn.Module") -> None:
        """Put weights into a layer that is about to compute."""
        stand_ins = {name: weight for name, weight in part._parameters.items() if id(weight) in self._layer_of}
        held = cast(dict[str, Tensor], stand_ins)
        if any(weight.requires_grad for weight in held.values()):
            raise ModelError(
                None,
                found="training of a model whose weights are streamed block by block",
                expected="the whole model on the device",
                fix="give a larger --memory, or use a smaller dtype",
            )
        layer = self._layer_of[id(next(iter(held.values())))]
        if torch.is_grad_enabled():
            values, buffer = {key: self._fresh(source) for key, source in layer.sources.items()}, None
        else:
            values, buffer = self._fetched(layer)
        self._exchanged[id(part), threading.get_ident()] = held, buffer
        part._parameters.update({name: cast("nn.Parameter", values[id(weight)]) for name, weight in held.items()})

    def take(self, part: "nn.Module") -> None:
        """Take the weights out of a layer that has computed, or failed."""
        exchanged = self._exchanged.pop((id(part), threading.get_ident()), None)
        if exchanged is None:
            return  # it failed before they came
        held, buffer = exchanged
        part._parameters.update(cast("dict[str, nn.Parameter]", held))
        if buffer is not None:
            buffer.users -= 1
            if self._stream is not None:
                buffer.read = _mark(torch.cuda.current_stream(self._device))

    def _fetched(self, layer: _Layer) -> tuple[dict[int, Tensor], _Buffer | None]:
        """A layer's weights in a buffer, where the next layer's begin to arrive in another one."""
        if self._last is not None:
            self._follows[self._last] = layer
        self._last = layer
        buffer = self._buffer_with(layer)
        if buffer is None:  # all are in use
            return {key: self._fresh(source) for key, source in layer.sources.items()}, None
        buffer.users += 1
        if buffer.arrived is not None:
            torch.cuda.current_stream(self._device).wait_event(buffer.arrived)
        following = self._follows.get(layer)
        if self._stream is not None and following is not None:
            self._buffer_with(following)
        return buffer.views(layer), buffer

    def _buffer_with(self, layer: _Layer) -> _Buffer | None:
        """The buffer that holds a layer, or will hold it soon; None if all are in use."""
        found = next((one for one in self._buffers if one.layer is layer), None)
        if found is not None:
            return found
        found = next((one for one in self._buffers if not one.users), None)
        if found is None:
            return None
        found.layer = layer
        views = found.views(layer)
        with ExitStack() as stack:
            if self._stream is not None:
                if found.read is None:  # its memory is new: it may still be in use by what had it before
                    found.read = _mark(torch.cuda.current_stream(self._device))
                self._stream.wait_event(found.read)
                stack.enter_context(torch.cuda.stream(self._stream))
            for key, source in layer.sources.items():
                for view, plain in zip(inner_tensors(views[key]), inner_tensors(source), strict=True):
                    view.copy_(plain, non_blocking=self._stream is not None)
            if self._stream is not None:
                found.arrived = _mark(self._stream)
        return found

    def _fresh(self, source: Tensor) -> Tensor:
        """A weight in memory of its own, which nothing overwrites."""

        def fresh(plain: Tensor) -> Tensor:
            found = plain.to(self._device, non_blocking=self._stream is not None, copy=True)
            setattr(found.untyped_storage(), _SOURCE, plain)
            return found

        with torch.no_grad():
            return rebuilt(source, fresh)

    def _unpack(self, kept: "Tensor | _Saved") -> Tensor:
        if not isinstance(kept, _Saved):
            return kept
        return self._fresh(kept.source).as_strided(kept.shape, kept.stride, kept.offset)


def _mark(stream: "Stream") -> "Event":
    """An event that happens when a stream has done what it was given so far."""
    event = torch.cuda.Event()
    event.record(stream)
    return event


def _pack(value: Tensor) -> "Tensor | _Saved":
    """Keep of a streamed weight only where it came from."""
    source = getattr(value.untyped_storage(), _SOURCE, None) if value.layout == torch.strided else None
    if source is None:
        return value.detach()  # the value itself would hold its graph, and that the value
    return _Saved(source, value.shape, value.stride(), int(value.storage_offset()))


class _Bring:
    """Before a layer computes; a copy of the layer has the same."""

    def __init__(self, streamed: Streamed) -> None:
        self._streamed = streamed

    def __call__(self, part: "nn.Module", arguments: object) -> None:
        """Bring its weights."""
        self._streamed.bring(part)


class _Take(_Bring):
    """After a layer has computed, or failed."""

    def __call__(self, part: "nn.Module", arguments: object, result: object = None) -> None:
        """Take its weights."""
        self._streamed.take(part)


def _layers(whole: "nn.Module") -> "list[list[nn.Parameter]]":
    """The weights of each layer, in the module's order; a weight of several layers is that of the first."""
    seen: set[int] = set()
    found = []
    for part in whole.modules():
        weights = [one for one in part._parameters.values() if one is not None and id(one) not in seen]
        seen |= {id(one) for one in weights}
        if weights:
            found.append(weights)
    return found


def _fixed(whole: "nn.Module", layers: "list[list[nn.Parameter]]") -> set[int]:
    """Layers that stay: the first, and those with weights of several names, or that are views."""
    names = Counter(id(one) for part in whole.modules() for one in part._parameters.values() if one is not None)
    return {0} | {
        number for number, layer in enumerate(layers) if any(names[id(one)] > 1 or not _plain(one) for one in layer)
    }


def _plain(weight: Tensor) -> bool:
    """False for a weight with a tensor that is a view."""
    return all(
        one.is_contiguous() or (one.ndim == 4 and one.is_contiguous(memory_format=torch.channels_last))
        for one in inner_tensors(weight.data)
    )


def _choose(sizes: Sequence[int], fixed: set[int], resident_bytes: int) -> tuple[set[int], int, int]:
    """Which layers are streamed, by number; the bytes of a buffer; and how many buffers: two wherever there is room.

    Buffers are as large as the largest layer that is streamed, so it may pay to keep the largest. Of the others the
    small ones stay: one large layer is sent faster than many small ones.
    """
    if sum(sizes) <= resident_bytes:
        return set(), 0, 0
    kept = sum(sizes[number] for number in fixed)
    order = sorted(set(range(len(sizes))) - fixed, key=lambda number: sizes[number])
    largest = sizes[order[-1]] if order else 0
    if kept + largest > resident_bytes:
        raise ModelError(
            None,
            found=f"room for {size_text(resident_bytes)} of a model whose largest layer has {size_text(largest)}",
            expected=f"at least {size_text(kept + largest)}",
            fix="give a larger --memory, or use a smaller dtype",
        )
    best, count = (list(order), largest), 2 if kept + 2 * largest <= resident_bytes else 1
    fewest = sum(sizes[number] for number in order)
    while order:
        buffer = sizes[order[-1]]
        room = resident_bytes - kept - count * buffer
        if room < 0:
            break
        streamed = _beyond(order, sizes, room)
        if (moved := sum(sizes[number] for number in streamed)) < fewest:
            best, fewest = (streamed, buffer), moved
        kept += sizes[order.pop()]
    return set(best[0]), best[1], count


def _beyond(order: Sequence[int], sizes: Sequence[int], room: int) -> list[int]:
    """Those that no longer fit when they come in this order."""
    for place, number in enumerate(order):
        room -= sizes[number]
        if room < 0:
            return list(order[place:])
    return []


def _room(weight: Tensor) -> int:
    """Bytes of a weight in a buffer."""
    return sum(_aligned(tensor_bytes(plain)) for plain in inner_tensors(weight.data))


def _aligned(nbytes: int) -> int:
    return math.ceil(nbytes / _ALIGNED) * _ALIGNED
