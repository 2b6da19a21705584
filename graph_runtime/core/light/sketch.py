"""A tensor that does not exist yet: its shape and type, and its numbers where they are few and known already.

Checks work on sketches, so that a workflow can be checked without torch. A sketch offers what checks ask of a tensor;
for anything else it becomes the tensor itself (without numbers: one on the `meta` device), which imports torch.
"""

import math
import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from ..bounded.effort import imported

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Number: TypeAlias = float
_NOT_OF_TENSORS = frozenset({"files", "crossed_reported", "inversion_key", "known", "label", "models", "spec"})
Values: TypeAlias = "NDArray[np.generic]"


class Shape(tuple[int, ...]):
    """Sizes along the axes, as `torch.Size` has them."""

    def numel(self) -> int:
        """How many numbers that makes."""
        return math.prod(self)

    def __getitem__(self, at: Any) -> Any:  # noqa: ANN401 - an index, or a part that is a shape
        found = super().__getitem__(at)
        return Shape(found) if isinstance(at, slice) else found


class NumberType(str):
    """The type of a tensor's numbers, `torch.float32`; equal to torch's own."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    @property
    def is_floating_point(self) -> bool:
        """True for float16, bfloat16, float32, float64 and smaller ones."""
        return "float" in self


class _Place:
    """A device: `meta` where there are no numbers."""

    def __init__(self, type: str) -> None:
        self.type = type


class Sketch:
    """Shape and type of a tensor, perhaps with its numbers.

    Attributes:
        shape: sizes along the axes.
        kind: type of the numbers, by name.
        values: the numbers, or None.
    """

    def __init__(self, shape: Sequence[int], dtype: str = "torch.float32", values: "Values | None" = None) -> None:
        self.shape = Shape(shape)
        self.kind = NumberType(dtype)
        self.values = values

    @classmethod
    def of(cls, values: "Values") -> "Sketch":
        """A sketch with numbers."""
        name = {"bool": "bool", "float32": "float32", "float64": "float64", "uint8": "uint8"}.get(str(values.dtype))
        return cls(values.shape, f"torch.{name or values.dtype}", values)

    # what a tensor has

    @property
    def is_meta(self) -> bool:
        """True where the numbers are not known."""
        return self.values is None

    @property
    def device(self) -> object:
        """Where the numbers are; torch's own device where torch is there."""
        place = "meta" if self.values is None else "cpu"
        return torch.device(place) if (torch := _torch()) is not None else _Place(place)

    @property
    def dtype(self) -> Any:  # noqa: ANN401 - torch's type of numbers where torch is there, else its name
        """Type of the numbers, which torch's functions take and which equals torch's."""
        return getattr(torch, self.kind.removeprefix("torch.")) if (torch := _torch()) is not None else self.kind

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return len(self.shape)

    @property
    def nbytes(self) -> int:
        """Nothing is held for the run."""
        return 0

    def numel(self) -> int:
        """How many numbers there are."""
        return self.shape.numel()

    def is_floating_point(self) -> bool:
        """True unless the numbers are whole or truth values."""
        return self.kind.is_floating_point

    def is_inference(self) -> bool:
        """False: it is no tensor of an inference mode."""
        return False

    def numpy(self) -> "Values":
        """The numbers.

        Raises:
            TypeError: they are not known.
        """
        if self.values is None:
            raise TypeError("a sketch without numbers")
        return self.values

    def __len__(self) -> int:
        return int(self.shape[0])

    def __iter__(self) -> "Iterator[Sketch]":
        return (self[row] for row in range(len(self)))

    def same(self, *_: object, **__: object) -> "Sketch":
        """Itself: what `cpu`, `detach` and `contiguous` give."""
        return self

    cpu = detach = contiguous = same

    def clone(self) -> "Sketch":
        """A copy whose numbers may be changed."""
        return Sketch(self.shape, self.kind, None if self.values is None else self.values.copy())

    def __setitem__(self, at: Any, value: Any) -> None:  # noqa: ANN401 - what indexes an array, and its numbers
        self.numpy()[at] = value.numpy() if isinstance(value, Sketch) else value

    def expand(self, *sizes: int) -> "Sketch":
        """A view with axes of length 1 repeated; −1 keeps an axis."""
        given = tuple(sizes[0]) if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
        own = (1,) * (len(given) - len(self.shape)) + tuple(self.shape)
        shape = tuple(old if new == -1 else new for new, old in zip(given, own, strict=True))
        if any(old not in (1, new) for new, old in zip(shape, own, strict=True)):
            return cast(Sketch, self.tensor().expand(*given))  # torch says what is wrong
        if self.values is None:
            return Sketch(shape, self.kind)
        import numpy as np

        return Sketch(shape, self.kind, np.broadcast_to(self.values, shape))

    def repeat_interleave(self, count: int, dim: int) -> "Sketch":
        """Each row `count` times."""
        shape = (*self.shape[:dim], self.shape[dim] * count, *self.shape[dim + 1 :])
        if self.values is None:
            return Sketch(shape, self.kind)
        import numpy as np

        return Sketch(shape, self.kind, np.repeat(self.values, count, axis=dim))

    def new_zeros(self, shape: Sequence[int]) -> "Sketch":
        """Zeros of the same type, with numbers where these have some."""
        if self.values is None:
            return Sketch(shape, self.kind)
        import numpy as np

        return Sketch(shape, self.kind, np.zeros(shape, self.values.dtype))

    def to(self, *given: object, **named: object) -> "Sketch":
        """The numbers as another type, or that of another tensor."""
        wanted = next((kind for one in (*given, *named.values()) if (kind := _number_type(one)) is not None), None)
        if wanted is None or wanted == self.kind:
            return self
        values = None if self.values is None else self.values.astype(wanted.removeprefix("torch."))
        return Sketch(self.shape, wanted, values)

    def float(self) -> "Sketch":
        """The numbers as float32."""
        return self.to(NumberType("torch.float32"))

    # what is asked of numbers that are known

    def __getitem__(self, at: Any) -> "Sketch":  # noqa: ANN401 - whatever indexes an array
        if any(_is_tensor(one) and not isinstance(one, Sketch) for one in (at if isinstance(at, tuple) else (at,))):
            return cast(Sketch, self.tensor()[at])
        import numpy as np

        if self.values is None:
            return Sketch(np.broadcast_to(np.uint8(0), self.shape)[at].shape, self.kind)
        return Sketch.of(np.asarray(self.values[at.values if isinstance(at, Sketch) else at]))

    def flatten(self, start: int = 0) -> "Sketch":
        """The axes from `start` on as one."""
        shape = (*self.shape[:start], math.prod(self.shape[start:]))
        return Sketch(shape, self.kind, None if self.values is None else self.values.reshape(shape))

    def _known(self, function: Callable[..., Any], *others: object) -> "Sketch":  # Any: of NumPy
        import numpy as np

        numbers = [other.numpy() if isinstance(other, Sketch) else other for other in others]
        return Sketch.of(np.asarray(function(self.numpy(), *numbers)))

    def all(self, axis: int | None = None) -> "Sketch":
        """True where all are, along one axis or everywhere."""
        return self._known(lambda values: values.all(axis))

    def any(self, axis: int | None = None) -> "Sketch":
        """True where one is, along one axis or everywhere."""
        return self._known(lambda values: values.any(axis))

    def logical_not(self) -> "Sketch":
        """True where a number is 0."""
        return self._known(lambda values: values == 0)

    def min(self) -> "Sketch":
        """The smallest."""
        return self._known(lambda values: values.min())

    def max(self) -> "Sketch":
        """The largest."""
        return self._known(lambda values: values.max())

    def sum(self) -> "Sketch":
        """The sum."""
        return self._known(lambda values: values.sum())

    def clamp(self, low: Number, high: Number) -> "Sketch":
        """Brought into a range."""
        return self._known(lambda values: values.clip(low, high))

    def item(self) -> Number:
        """The only number."""
        found: Number = self.numpy().item()
        return found

    def tolist(self) -> list[Any]:  # Any: nested as the axes are
        """The numbers as a list."""
        found: list[Any] = self.numpy().tolist()  # Any: nested as the axes are
        return found

    def __bool__(self) -> bool:
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> Number:
        return float(self.item())

    def __invert__(self) -> "Sketch":
        return self._known(operator.invert)

    __hash__ = object.__hash__

    def __neg__(self) -> "Sketch":
        return self._known(operator.neg)

    # everything else

    def tensor(self) -> "Tensor":
        """The tensor itself; on the `meta` device where the numbers are not known."""
        torch = imported("torch")
        if self.values is None:
            kind = getattr(torch, self.kind.removeprefix("torch."))
            without: Tensor = torch.empty(self.shape, dtype=kind, device="meta")
            return without
        import numpy as np

        found: Tensor = torch.from_numpy(np.array(self.values))
        return found

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a tensor has
        if name.startswith("__") or name in _NOT_OF_TENSORS:
            raise AttributeError(name)
        return getattr(self.tensor(), name)

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],  # Any: of torch
        types: object,
        arguments: Sequence[object] = (),
        named: Mapping[str, object] | None = None,
    ) -> Any:  # noqa: ANN401 - whatever torch's function returns
        """torch's functions take sketches as the tensors that they stand for."""
        return function(*map(concrete, arguments), **{key: concrete(one) for key, one in (named or {}).items()})


def _operation(name: str) -> None:
    function: Callable[[Any, Any], object] = getattr(operator, name)  # Any: arrays

    def method(self: Sketch, other: object) -> object:
        if not (isinstance(other, int | float) or _is_tensor(other)):
            return NotImplemented
        if self.values is not None and (not _is_tensor(other) or (isinstance(other, Sketch) and not other.is_meta)):
            return self._known(function, other)
        return function(self.tensor(), concrete(other))

    def turned(self: Sketch, other: object) -> object:
        if not (isinstance(other, int | float) or _is_tensor(other)):
            return NotImplemented
        if self.values is not None and not _is_tensor(other):
            return self._known(lambda values: function(other, values))
        return function(concrete(other), self.tensor())

    word = name.strip("_")
    setattr(Sketch, f"__{word}__", method)
    if word not in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(Sketch, f"__r{word}__", turned)


for _name in ("lt", "le", "gt", "ge", "eq", "ne", "add", "sub", "mul", "truediv", "and_", "or_"):
    _operation(_name)


def _torch() -> Any:  # noqa: ANN401 - the module, where it is imported
    module = sys.modules.get("torch")
    return module if hasattr(module, "Tensor") and hasattr(module, "bfloat16") else None


def _is_tensor(value: object) -> bool:
    torch = sys.modules.get("torch")
    return isinstance(value, Sketch) or (torch is not None and isinstance(value, torch.Tensor))


def concrete(value: object) -> object:
    """A value with tensors in place of sketches, in lists too."""
    if isinstance(value, Sketch):
        return value.tensor()
    if isinstance(value, list | tuple) and any(isinstance(item, Sketch) for item in value):
        return [concrete(item) for item in value]
    return value


def _number_type(value: object) -> NumberType | None:
    """What a type, or a tensor of it, is called."""
    if hasattr(value, "dtype"):
        return NumberType(str(value.dtype))
    return NumberType(str(value)) if str(value).startswith("torch.") else None
