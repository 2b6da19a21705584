"""A GPU without a GPU: tensors carry a device tag while real values flow on the CPU.

    with SimulatedGpu() as gpu:
        x = torch.ones(2, device="cuda:0")
        x + torch.ones(2)          # raises, as CUDA does
        float(x.sum())             # works, and is counted
    assert len(gpu.syncs) == 1 and not gpu.mixes

What it rehearses: which device every tensor is on, every mix that CUDA refuses, every wait of the host for the device
(as `torch.cuda.set_sync_debug_mode` defines it: a read of a value, and a copy that is not `non_blocking`), CUDA's rules
for generators, and half precision with real half values: a CPU kernel that lacks half raises; nothing is computed in
float32 in its place. Autocast of the device is the CPU's. What is copied to the host without a wait reads as NaN until
the host waits for something. Time, memory and the last bit of CUDA's own kernels are not rehearsed.

How it works. The tag is an attribute of the tensor's *storage* (torch keeps a storage's Python object for as long as
the storage lives), so views, `.data`, `.detach()`, parameters and everything that shares memory share the tag, also
where C++ made the tensor. A TorchFunctionMode sees each call from Python, checks the devices of its arguments, runs it
and tags what is new. It is not seen

- inside a function of torch that is itself written in Python (`F.interpolate`, `Tensor.norm`): its arguments are
  checked and its results are tagged as one operation, what it does within is not counted;
- in C++ (the backward formulas): nothing can mix there that did not mix going forward. Python that autograd calls
  (checkpoints, hooks, custom functions) is seen: the engine runs under the mode. A gradient is tagged as its leaf;
- in a thread that was started before the mode. Threads started under it are under it too.

Where a rule of CUDA differs between versions of torch, the stricter one holds here. `kind="mps"` tags `mps:0` instead
and refuses float64, as Apple's GPUs do, and copies to it that are not waited for (pytorch issue 189690: they read
memory that may be gone).
"""

import contextlib
import os
import sys
import threading
import types
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from unittest import mock

import torch
from inlay.graph_runtime.core.light.sketch import concrete
from torch import Tensor
from torch.overrides import TorchFunctionMode

TAG = "_simulated_device"
CPU = torch.device("cpu")
GIB = 2**30


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


#: TensorIterator's operations of several tensors: a 0-dim CPU tensor may stand beside tensors of a GPU.
ELEMENTWISE = _words("""
    add sub subtract mul multiply div divide true_divide floor_divide remainder fmod pow float_power rsub maximum
    minimum fmin fmax atan2 arctan2 eq ne lt le gt ge not_equal less less_equal greater greater_equal logical_and
    logical_or logical_xor bitwise_and bitwise_or bitwise_xor copysign hypot nextafter xlogy heaviside addcmul
    addcdiv where clamp clip clamp_min clamp_max lerp masked_fill fill __add__ __radd__ __iadd__ __sub__ __rsub__
    __isub__ __mul__ __rmul__ __imul__ __truediv__ __rtruediv__ __itruediv__ __div__ __rdiv__ __idiv__
    __floordiv__ __rfloordiv__ __ifloordiv__ __mod__ __rmod__ __imod__ __pow__ __rpow__ __ipow__ __eq__ __ne__
    __lt__ __le__ __gt__ __ge__ __and__ __rand__ __iand__ __or__ __ror__ __ior__ __xor__ __rxor__ __ixor__ isclose
""")
#: Operations that read only the shape or type of their other tensors, or copy between devices on purpose.
UNCHECKED = _words("""
    expand_as view_as reshape_as broadcast_tensors result_type can_cast promote_types is_same_size broadcast_to
    __reduce_ex__ __setstate__ set_ type_as is_tensor _has_compatible_shallow_copy_type
""")
#: The host waits until the device has the answer.
READS = _words("""
    item tolist __float__ __int__ __bool__ __index__ __complex__ __contains__ __format__ __repr__ __str__
    is_nonzero nonzero argwhere masked_select equal allclose unique unique_consecutive bincount histc cholesky inv
    svd eigh
""")
#: Draw from the device's own generator, unless one is handed in.
RANDOM = _words("""
    rand randn randint randperm rand_like randn_like randint_like normal normal_ uniform_ random_ exponential_
    bernoulli bernoulli_ multinomial dropout dropout_ feature_dropout alpha_dropout cauchy_ log_normal_ geometric_
    trunc_normal_ kaiming_uniform_ kaiming_normal_ xavier_uniform_ xavier_normal_ rrelu
""")


@dataclass
class Counts:
    """What the host did during a stretch of a run; each list has one `file:line` of our code for each event."""

    syncs: list[str] = field(default_factory=list)
    copies: list[str] = field(default_factory=list)
    mixes: list[str] = field(default_factory=list)


class SimulatedGpu(TorchFunctionMode):
    """The mode; `syncs`, `copies` and `mixes` say where, `counted()` counts a stretch.

    Args:
        count: how many devices there are.
        kind: `cuda` or `mps`.
        name: what the card is called.
        memory: bytes that it says are free.
        bfloat16: the card computes in bfloat16 itself, not by emulation.
    """

    def __init__(
        self,
        count: int = 1,
        kind: str = "cuda",
        name: str = "Simulated GPU",
        memory: int = 8 * GIB,
        bfloat16: bool = True,
    ):
        super().__init__()
        self.kind, self.count, self.name, self.memory, self.bfloat16 = kind, count, name, memory, bfloat16
        self.current = 0
        self.total = Counts()
        self._watching: list[Counts] = [self.total]
        self._random = [torch.Generator("cpu").manual_seed(1000 + i).get_state() for i in range(count)]
        self._stack: list[contextlib.ExitStack] = []
        self._late: list[tuple[Tensor, Tensor]] = []  # on the host, and what it will hold

    @property
    def syncs(self) -> list[str]:
        """Where the host waited for the device."""
        return self.total.syncs

    @property
    def copies(self) -> list[str]:
        """Where values went from host to device, back, or between devices."""
        return self.total.copies

    @property
    def mixes(self) -> list[str]:
        """Every mix of devices that was refused, whether or not somebody caught the error."""
        return self.total.mixes

    @contextlib.contextmanager
    def counted(self) -> Iterator[Counts]:
        """What happens within the block."""
        counts = Counts()
        self._watching.append(counts)
        try:
            yield counts
        finally:
            self._watching.remove(counts)

    # ---- which device

    def device(self, value: Any) -> torch.device | None:
        """The simulated device that a device argument names, or None: a real one."""
        if isinstance(value, bool) or value is None:
            return None
        if isinstance(value, int):
            value = f"{self.kind}:{value}"
        if isinstance(value, str):
            if value.partition(":")[0] not in ("cuda", "mps"):
                return None
            value = torch.device(value)
        if not isinstance(value, torch.device) or value.type not in ("cuda", "mps"):
            return None
        if value.type != self.kind:
            raise AssertionError(f"Torch not compiled with {value.type.upper()} enabled")
        index = self.current if value.index is None else value.index
        if index >= self.count:
            raise RuntimeError("CUDA error: invalid device ordinal")
        return torch.device(self.kind, index)

    def of(self, tensor: Tensor) -> torch.device:
        """Where a tensor is."""
        if tensor.is_meta or tensor.layout != torch.strided:
            return tensor.device
        return getattr(tensor.untyped_storage(), TAG, CPU)

    def put(self, tensor: Tensor, device: torch.device) -> Tensor:
        """Tag a tensor's storage; the CPU is no tag."""
        if tensor.is_meta or tensor.layout != torch.strided:
            return tensor
        if device.type == "mps" and tensor.dtype in (torch.float64, torch.complex128):
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework has no float64")
        storage = tensor.untyped_storage()
        if device.type == "cpu":
            if hasattr(storage, TAG):
                delattr(storage, TAG)
        else:
            setattr(storage, TAG, device)
        return tensor

    def _count(self, what: str) -> None:
        where = _caller()
        for counts in self._watching:
            getattr(counts, what).append(where)
        if what == "syncs":
            late, self._late = self._late, []
            for host, value in late:
                host.copy_(value)

    def _arrives_late(self, host: Tensor) -> None:
        """A copy to the host that nobody waits for: until somebody does, what is read is garbage."""
        host = host.detach()
        self._late.append((host, host.clone()))
        host.fill_(
            float("nan")
            if host.is_floating_point() or host.is_complex()
            else False
            if host.dtype == torch.bool
            else torch.iinfo(host.dtype).max
        )

    def _refuse(self, name: str, found: list[torch.device]) -> None:
        names = sorted({str(device) for device in found})
        where = f"{name} of {', '.join(names)} at {_caller()}"
        for counts in self._watching:
            counts.mixes.append(where)
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, "
            f"{' and '.join(names)}! (in {name})"
        )

    # ---- every call of torch from Python

    def __torch_function__(self, func: Any, types_: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func.__name__
        if name in ("__get__", "__set__", "__delete__"):
            return self._attribute(func, name, args)
        special = getattr(self, f"_do_{name.strip('_')}", None)
        if special is not None:
            return special(func, args, kwargs)
        return self._operation(func, name, args, kwargs)

    def _operation(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        wanted = None
        if kwargs.get("device") is not None:
            wanted = self.device(kwargs["device"])
            if wanted is not None:
                kwargs = kwargs | {"device": CPU}
        if kwargs.get("pin_memory"):
            made = func(*args, **(kwargs | {"pin_memory": False}))
            made.untyped_storage()._simulated_pin = True
            return made
        tensors: list[Tensor] = []
        _collect(args, tensors)
        _collect(kwargs, tensors)
        where = wanted
        if tensors and name not in UNCHECKED:
            here = self._common(name, tensors, args)
            if wanted is None and kwargs.get("device") is None:
                where = here
        place = where if where is not None and where.type != "cpu" else None
        if place is None and not any(self.of(tensor).type != "cpu" for tensor in tensors):
            self._check_generator(args, kwargs, CPU)
            return func(*args, **kwargs)
        if (name in READS and place is not None) or (name == "where" and len(args) == 1 and place is not None):
            self._count("syncs")
        base = name.removesuffix("_")
        if name in RANDOM and place is not None:
            result = self._drawn(func, args, kwargs, place)
        else:
            result = func(*args, **kwargs)
        if place is not None and (base not in UNCHECKED and name not in UNCHECKED):
            self._tag(result, place)
        return result

    def _common(self, name: str, tensors: list[Tensor], args: Any) -> torch.device:
        """The device that an operation runs on."""
        found = [self.of(tensor) for tensor in tensors]
        gpus = {device for device in found if device.type not in ("cpu", "meta")}
        if not gpus:
            return CPU
        if len(gpus) > 1:
            self._refuse(name, found)
        device = gpus.pop()
        strangers = [tensor for tensor, place in zip(tensors, found, strict=True) if place != device]
        if strangers:
            base = name if name.startswith("__") else name.removesuffix("_")
            in_place = (name.endswith("_") and not name.startswith("__")) or name.startswith("__i")
            written = in_place and isinstance(args[0], Tensor) and self.of(args[0]) != device
            mask = base in ("masked_fill", "where") and any(tensor.dtype == torch.bool for tensor in strangers)
            allowed = base in ELEMENTWISE and len(strangers) == 1 and strangers[0].ndim == 0
            if not allowed or written or mask:
                self._refuse(name, found)
        return device

    def _tag(self, result: Any, device: torch.device) -> None:
        if isinstance(result, Tensor):
            if not hasattr(result, "is_meta") or result.is_meta or result.layout != torch.strided:
                return
            if getattr(result.untyped_storage(), TAG, None) != device:
                self.put(result, device)
        elif isinstance(result, (tuple, list)):
            for item in result:
                self._tag(item, device)
        elif isinstance(result, dict):
            for item in result.values():
                self._tag(item, device)

    # ---- attributes

    def _attribute(self, func: Any, kind: str, args: Any) -> Any:
        name = func.__self__.__name__
        if kind == "__set__":
            tensor, value = args[0], args[1]
            if name == "grad" and isinstance(value, Tensor) and self.of(value) != self.of(tensor):
                self._refuse("grad", [self.of(value), self.of(tensor)])
            return func(*args)
        if kind == "__get__" and isinstance(args[0], Tensor):
            tensor = args[0]
            if name == "device":
                return self.of(tensor)
            if name in ("is_cuda", "is_mps", "is_cpu"):
                return self.of(tensor).type == name[3:]
            if name == "grad":
                grad = func(*args)
                if isinstance(grad, Tensor):
                    self.put(grad, self.of(tensor))
                return grad
        return func(*args)

    def _do_get_device(self, func: Any, args: Any, kwargs: Any) -> int:
        device = self.of(args[0])
        return -1 if device.index is None else device.index

    # ---- copies

    def _moved(self, tensor: Tensor, device: torch.device, changed: Tensor, non_blocking: bool) -> Tensor:
        """`changed`, of another dtype perhaps, on `device`: always memory of its own where that is another."""
        here = self.of(tensor)
        if device == here:
            if here.type != "cpu":
                self.put(changed, device)
            return changed
        if changed.untyped_storage()._cdata == tensor.untyped_storage()._cdata:
            changed = changed.clone()
        self._crossing(here, device, non_blocking)
        self.put(changed, device)
        if device == CPU and non_blocking:
            self._arrives_late(changed)
        return changed

    def _do_to(self, func: Any, args: Any, kwargs: Any) -> Any:
        tensor, rest, kwargs = args[0], list(args[1:]), dict(kwargs)
        device: torch.device | None = None
        other = kwargs.pop("other", None)
        if rest:
            rest[0] = concrete(rest[0])  # a sketch of a check stands for a tensor
        if rest and isinstance(rest[0], Tensor):
            other = rest.pop(0)
        if other is not None:
            device = self.of(other)
            rest.insert(0, other.dtype)
        elif rest and not isinstance(rest[0], torch.dtype):
            device = self._named(rest.pop(0))
            if not rest or not isinstance(rest[0], torch.dtype):
                if rest and rest[0] is None:
                    rest.pop(0)
                rest.insert(0, kwargs.pop("dtype", None) or tensor.dtype)
        if "device" in kwargs:
            device = self._named(kwargs.pop("device")) or device
        if device is not None and device.type == "meta":
            return tensor.to(device, *rest, **kwargs)
        flags = [value for value in rest[1:] if isinstance(value, bool)]
        non_blocking = kwargs.get("non_blocking", flags[0] if flags else False)
        target = self.of(tensor) if device is None else device
        if target.type == "mps" and (rest[0] if rest else kwargs.get("dtype")) == torch.float64:
            self.put(torch.empty(0, dtype=torch.float64), target)
        return self._moved(tensor, target, func(tensor, *rest, **kwargs) if rest or kwargs else tensor, non_blocking)

    def _do_parse_to(self, func: Any, args: Any, kwargs: Any) -> Any:
        return func(*args, **kwargs)  # Module.to reads its arguments

    def _named(self, value: Any) -> torch.device | None:
        if value is None:
            return None
        return self.device(value) or torch.device(value)

    def _do_cpu(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        return self._moved(args[0], CPU, args[0], kwargs.get("non_blocking", False))

    def _do_cuda(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        wanted = args[1] if len(args) > 1 else kwargs.get("device")
        device = self.device(self.kind if wanted is None else wanted)
        assert device is not None
        return self._moved(args[0], device, args[0], kwargs.get("non_blocking", False))

    def _do_type_as(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        return self._moved(args[0], self.of(args[1]), func(*args, **kwargs), False)

    def _do_copy(self, func: Any, args: Any, kwargs: Any) -> Any:
        if func.__name__ != "copy_":
            return self._operation(func, func.__name__, args, kwargs)
        source = args[1] if len(args) > 1 else kwargs.get("src")
        non_blocking = args[2] if len(args) > 2 else kwargs.get("non_blocking", False)
        self._crossing(self.of(source), self.of(args[0]), non_blocking)
        result = func(*args, **kwargs)
        if non_blocking and self.of(args[0]) == CPU and self.of(source) != CPU:
            self._arrives_late(args[0])
        return result

    def _crossing(self, source: torch.device, target: torch.device, non_blocking: bool = False) -> None:
        if source != target:
            self._count("copies")
            if "cpu" in (source.type, target.type) and not non_blocking:
                self._count("syncs")
            if non_blocking and (source.type, target.type) == ("cpu", "mps"):
                raise AssertionError("a copy to mps that is not waited for reads memory of the host that may be gone")

    def _do_foreach_copy(self, func: Any, args: Any, kwargs: Any) -> Any:
        for target, source in zip(args[0], args[1], strict=True):
            self._crossing(self.of(source), self.of(target), kwargs.get("non_blocking", False))
        return func(*args, **kwargs)

    def _made(self, func: Any, args: Any, kwargs: Any) -> Any:
        """torch.tensor and its like: from data of the host, or of any tensor, to a device."""
        data = args[0] if args else kwargs.get("data")
        device = self._named(kwargs.get("device"))
        if isinstance(data, Tensor):
            device = device or self.of(data)
            made = func(*args, **(kwargs | ({"device": CPU} if device.type != "meta" else {})))
            return self._moved(data, device, made, False)
        if isinstance(data, (list, tuple)) and any(isinstance(item, Tensor) and self.of(item) != CPU for item in data):
            for _ in data:
                self._count("syncs")
        if device is None or device.type in ("cpu", "meta"):
            return func(*args, **kwargs)
        self._crossing(CPU, device)
        return self.put(func(*args, **(kwargs | {"device": CPU})), device)

    _do_tensor = _do_as_tensor = _do_asarray = _made

    def _do_new_tensor(self, func: Any, args: Any, kwargs: Any) -> Any:
        device = self._named(kwargs.get("device")) or self.of(args[0])
        if device.type == "cpu":
            return func(*args, **kwargs)
        self._crossing(CPU, device)
        return self.put(func(*args, **(kwargs | {"device": CPU})), device)

    def _do_numpy(self, func: Any, args: Any, kwargs: Any) -> Any:
        device = self.of(args[0])
        if device.type != "cpu":
            raise TypeError(
                f"can't convert {device} device type tensor to numpy. Use Tensor.cpu() to copy the tensor "
                "to host memory first."
            )
        return func(*args, **kwargs)

    _do_array = _do_numpy

    def _do_pin_memory(self, func: Any, args: Any, kwargs: Any) -> Tensor:
        if self.of(args[0]).type != "cpu":
            raise RuntimeError("cannot pin 'torch.cuda.FloatTensor' only dense CPU tensors can be pinned")
        pinned = args[0].clone()
        pinned.untyped_storage()._simulated_pin = True
        return pinned

    def _do_is_pinned(self, func: Any, args: Any, kwargs: Any) -> bool:
        return hasattr(args[0].untyped_storage(), "_simulated_pin")

    # ---- indexing

    def _do_getitem(self, func: Any, args: Any, kwargs: Any) -> Any:
        if not isinstance(args[0], Tensor):
            return func(*args, **kwargs)
        self._indexed("__getitem__", args[0], args[1])
        result = func(*args, **kwargs)
        device = self.of(args[0])
        if device.type != "cpu":
            self._tag(result, device)
        return result

    def _do_setitem(self, func: Any, args: Any, kwargs: Any) -> Any:
        target, index, value = args
        if not isinstance(target, Tensor):
            return func(*args, **kwargs)
        filled = not isinstance(value, Tensor) or (value.ndim == 0 and self.of(value).type == "cpu")  # masked_fill
        by_tensor = self._indexed("__setitem__", target, index, reads=not filled)
        if isinstance(value, Tensor):
            here, there = self.of(target), self.of(value)
            if here != there and by_tensor and value.ndim:
                self._refuse("__setitem__", [here, there])
            if not (filled and by_tensor):
                self._crossing(there, here)
        return func(*args, **kwargs)

    def _do_index_put(self, func: Any, args: Any, kwargs: Any) -> Any:
        self._indexed(func.__name__, args[0], tuple(args[1]))
        if isinstance(args[2], Tensor) and self.of(args[2]) != self.of(args[0]) and args[2].ndim:
            self._refuse(func.__name__, [self.of(args[0]), self.of(args[2])])
        result = func(*args, **kwargs)
        if self.of(args[0]).type != "cpu":
            self._tag(result, self.of(args[0]))
        return result

    def _indexed(self, name: str, tensor: Tensor, index: Any, reads: bool = True) -> bool:
        """Whether something in an index is a tensor or a list; counted and refused as CUDA does."""
        device, found = self.of(tensor), False
        for part in index if isinstance(index, tuple) else (index,):
            if isinstance(part, Tensor):
                found = found or part.ndim > 0 or part.dtype == torch.bool
                place = self.of(part)
                if place != device and place.type != "cpu":
                    for counts in self._watching:
                        counts.mixes.append(f"index on {place} of a tensor on {device} at {_caller()}")
                    raise RuntimeError(
                        f"indices should be either on cpu or on the same device as the indexed tensor ({device})"
                    )
                if device.type == "cpu":
                    continue
                if place.type == "cpu":
                    if part.ndim:
                        self._crossing(place, device)
                elif part.dtype in (torch.bool, torch.uint8):
                    if reads:
                        self._count("syncs")
                elif part.ndim == 0:  # a whole number is read to the host
                    self._count("syncs")
            elif isinstance(part, (list, range)) or type(part).__name__ == "ndarray":
                found = True
                if device.type != "cpu":
                    self._crossing(CPU, device)
        return found

    # ---- chance

    def _check_generator(self, args: Any, kwargs: Any, device: torch.device) -> bool:
        """Whether a generator is handed in; one of another device is refused."""
        for value in (*args, *kwargs.values()):
            if isinstance(value, _TRUE_GENERATOR):
                place = getattr(value, "simulated", CPU)
                if place.type != device.type:
                    for counts in self._watching:
                        counts.mixes.append(f"a generator on {place} at {_caller()}")
                    raise RuntimeError(f"Expected a '{device.type}' device type for generator but found '{place.type}'")
                return True
        return False

    def _drawn(self, func: Any, args: Any, kwargs: Any, device: torch.device) -> Any:
        if self._check_generator(args, kwargs, device):
            return func(*args, **kwargs)
        before = torch.get_rng_state()
        torch.set_rng_state(self._random[device.index or 0])
        try:
            return func(*args, **kwargs)
        finally:
            self._random[device.index or 0] = torch.get_rng_state()
            torch.set_rng_state(before)

    def seed(self, seed: int) -> None:
        """As torch.cuda.manual_seed_all."""
        self._random = [torch.Generator("cpu").manual_seed(seed + 1000 + i).get_state() for i in range(self.count)]

    # ---- gradients

    def _do_grad(self, func: Any, args: Any, kwargs: Any) -> Any:
        inputs = args[1] if len(args) > 1 else kwargs["inputs"]
        wanted = [inputs] if isinstance(inputs, Tensor) else list(inputs)
        found = func(*args, **kwargs)
        for leaf, grad in zip(wanted, found, strict=True):
            if isinstance(grad, Tensor):
                self.put(grad, self.of(leaf))
        return found

    # ---- torch.cuda for the length of the mode

    def __enter__(self) -> "SimulatedGpu":
        if not self._stack:
            stack = contextlib.ExitStack()
            for target, name, value in self._patches():
                stack.enter_context(mock.patch.object(target, name, value, create=True))
            torch.serialization.register_package(1, self._location, self._restored)
            stack.callback(self._unregister)
            self._stack.append(stack)
            try:
                super().__enter__()
            except BaseException:
                self._stack.pop().close()
                raise
            return self
        self._stack.append(contextlib.ExitStack())
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self._stack.pop().close()

    def _location(self, storage: Any) -> str | None:
        device = getattr(storage, TAG, None)
        return None if device is None else str(device)

    def _restored(self, storage: Any, location: str) -> Any:
        device = self.device(location)
        if device is None:
            return None
        setattr(storage if isinstance(storage, torch.UntypedStorage) else storage._untyped_storage, TAG, device)
        return storage

    def _unregister(self) -> None:
        registry = torch.serialization._package_registry
        registry[:] = [entry for entry in registry if entry[1] != self._location]

    def _patches(self) -> Iterator[tuple[Any, str, Any]]:
        engine, run, seeded = torch.autograd._engine_run_backward, threading.Thread.run, torch.manual_seed  # type: ignore[attr-defined]
        kinds, cast = torch._C._group_tensors_by_device_and_dtype, torch.autocast.__init__

        def backward(*args: Any, **kwargs: Any) -> Any:
            with _pushed(self):
                return engine(*args, **kwargs)

        def thread(this: threading.Thread) -> None:
            with _pushed(self):
                run(this)

        def manual_seed(seed: int) -> Any:
            self.seed(seed)
            return seeded(seed)

        def grouped(lists: Any, with_indices: bool = False) -> Any:
            """C++ sorts tensors by the devices that it sees; optimizers and clipping go by its keys."""
            found = kinds(lists, with_indices)
            places = {key: [self.of(tensor) for tensor in value[0][0]] for key, value in found.items()}
            for where in places.values():
                if len(set(where)) > 1:
                    self._refuse("a list of tensors", where)
            return {(places[key][0] if places[key] else key[0], key[1]): value for key, value in found.items()}

        def casting(this: Any, device_type: str, dtype: torch.dtype | None = None, *args: Any, **kwargs: Any) -> None:
            ours = device_type == self.kind
            cast(this, "cpu" if ours else device_type, dtype or (torch.float16 if ours else None), *args, **kwargs)

        yield torch.autocast, "__init__", casting
        yield torch._C, "_group_tensors_by_device_and_dtype", grouped
        yield torch.autograd, "_engine_run_backward", backward
        yield threading.Thread, "run", thread
        yield torch, "manual_seed", manual_seed
        yield torch.random, "manual_seed", manual_seed
        yield torch, "Generator", _generator(self)
        yield torch.backends.mps, "is_available", lambda: self.kind == "mps"
        if self.kind != "cuda":
            yield torch.mps, "empty_cache", lambda: None
            yield torch.mps, "synchronize", lambda: self._count("syncs")
            return
        for name, value in self._cuda().items():
            yield torch.cuda, name, value

    def _cuda(self) -> dict[str, Any]:
        def index(device: Any = None) -> int:
            named = self.device("cuda" if device is None else device)
            return self.current if named is None else named.index or 0

        def choose(device: Any) -> None:
            self.current = index(device)

        def remember(state: Tensor, device: Any = None) -> None:
            self._random[index(device)] = state.clone()

        def remember_all(states: Any) -> None:
            self._random = [state.clone() for state in states]

        card = types.SimpleNamespace(
            name=self.name, major=8, minor=0, total_memory=self.memory, multi_processor_count=108, is_integrated=False
        )
        outer = self

        class Chosen:
            def __init__(self, device: Any):
                self.wanted, self.before = device, 0

            def __enter__(self) -> "Chosen":
                self.before = outer.current
                if self.wanted is not None and self.wanted != -1:
                    choose(self.wanted)
                return self

            def __exit__(self, *error: Any) -> None:
                outer.current = self.before

        class Stream:
            def __init__(self, *args: Any, **kwargs: Any):
                self.device = torch.device("cuda", outer.current)

            def synchronize(self) -> None:
                outer._count("syncs")

            def wait_stream(self, stream: Any) -> None:
                pass

            wait_event = wait_stream
            record_event = record = wait_stream

            def query(self) -> bool:
                return True

            def elapsed_time(self, other: Any) -> float:
                return 1.0

        return {
            "is_available": lambda: True,
            "device_count": lambda: self.count,
            "current_device": lambda: self.current,
            "is_initialized": lambda: True,
            "init": lambda: None,
            "_lazy_init": lambda: None,
            "set_device": choose,
            "device": Chosen,
            "get_device_name": lambda device=None: self.name,
            "get_device_properties": lambda device=None: card,
            "get_device_capability": lambda device=None: (8, 0),
            "is_bf16_supported": lambda including_emulation=True: self.bfloat16 or including_emulation,
            "mem_get_info": lambda device=None: (self.memory, self.memory),
            "memory_allocated": lambda device=None: 0,
            "max_memory_allocated": lambda device=None: 0,
            "memory_reserved": lambda device=None: 0,
            "max_memory_reserved": lambda device=None: 0,
            "reset_peak_memory_stats": lambda device=None: None,
            "memory_stats": lambda device=None: {},
            "empty_cache": lambda: None,
            "ipc_collect": lambda: None,
            "set_per_process_memory_fraction": lambda share, device=None: None,
            "synchronize": lambda device=None: self._count("syncs"),
            "Stream": Stream,
            "Event": Stream,
            "stream": lambda stream: contextlib.nullcontext(),
            "current_stream": lambda device=None: Stream(),
            "default_stream": lambda device=None: Stream(),
            "manual_seed": self.seed,
            "manual_seed_all": self.seed,
            "get_rng_state": lambda device=None: self._random[index(device)].clone(),
            "set_rng_state": remember,
            "get_rng_state_all": lambda: [state.clone() for state in self._random],
            "set_rng_state_all": remember_all,
        }


_TRUE_GENERATOR = torch.Generator


def _generator(gpu: SimulatedGpu) -> Any:
    """torch.Generator, which also takes the simulated devices."""

    class Simulated(_TRUE_GENERATOR):
        simulated = CPU

        @property
        def device(self) -> torch.device:
            return self.simulated

    class Meta(type):
        def __instancecheck__(cls, value: Any) -> bool:
            return type.__instancecheck__(_TRUE_GENERATOR, value)

        def __call__(cls, device: Any = "cpu") -> Any:
            named = gpu.device(device)
            if named is None:
                return _TRUE_GENERATOR(device)
            made = Simulated()
            made.simulated = named
            return made

    return Meta("Generator", (), {})


@contextlib.contextmanager
def _pushed(mode: TorchFunctionMode) -> Iterator[None]:
    """The mode on the stack of this thread, without patching anything again."""
    TorchFunctionMode.__enter__(mode)
    try:
        yield
    finally:
        TorchFunctionMode.__exit__(mode, None, None, None)


def _collect(value: Any, found: list[Tensor]) -> None:
    if isinstance(value, Tensor):
        found.append(value)
    elif isinstance(value, (tuple, list)):
        for item in value:
            _collect(item, found)
    elif isinstance(value, dict):
        for item in value.values():
            _collect(item, found)


_OURS = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _caller() -> str:
    """The nearest line of the project that is being run, `nodes/sample.py:12`."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file != __file__ and file.startswith(_OURS) and "site-packages" not in file:
            return f"{os.path.relpath(file, _OURS)}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


def where(events: list[str]) -> str:
    """Events by place, most frequent first: for a test's message."""
    return "\n".join(f"{count:5} × {place}" for place, count in Counter(events).most_common())
