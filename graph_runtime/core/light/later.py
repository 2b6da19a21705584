"""torch, and jaxtyping's names for shapes, imported when they are first used.

Most of what a workflow's check calls only names torch in annotations, or where it has numbers in hand. Importing torch
takes many times as long as a check, so these modules write

    from ..graph_runtime.core.light.later import F, Float, Tensor, nn, torch

in place of `import torch` and the like. `torch.…` is torch's own; `Tensor`, `nn.Module`, `torch.device` and the like
are classes that stand for torch's in annotations and in `isinstance`, to which a `Sketch` is a tensor. A class that
derives from torch's needs torch itself.
"""

import re
import sys
from typing import TYPE_CHECKING, Any

from ..bounded.effort import imported
from .sketch import Sketch

if TYPE_CHECKING:
    import torch
    from jaxtyping import Bool, Float, Int, Shaped
    from torch import Tensor, nn
    from torch.nn import functional as F

__all__ = ["Bool", "F", "Float", "Int", "Shaped", "Tensor", "nn", "torch"]


class LaterType(type):
    """The class of classes that stand for a class of torch."""

    place: tuple[str, str]
    also: tuple[type, ...]

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> "LaterType":  # Any: of a class
        """A class that stands for another; it is no base class."""
        if bases:
            raise TypeError(f"class {name}: derive from torch's own class, not from the one that stands for it")
        return super().__new__(mcs, name, bases, body)

    def real(cls) -> Any:  # noqa: ANN401 - a class of torch
        """The class itself."""
        module, name = cls.place
        return getattr(imported(module), name)

    def __instancecheck__(cls, value: object) -> bool:
        if isinstance(value, cls.also):
            return True
        real = getattr(
            sys.modules.get(cls.place[0]), cls.place[1], None
        )  # nothing is of it while torch is not imported
        return real is not None and isinstance(value, real)

    def __subclasscheck__(cls, kind: type) -> bool:
        real = getattr(sys.modules.get(cls.place[0]), cls.place[1], None)
        return kind is cls or (real is not None and issubclass(kind, real))

    def __call__(cls, *arguments: object, **named: object) -> Any:  # noqa: ANN401 - an object of torch
        return cls.real()(*arguments, **named)

    def __getattr__(cls, name: str) -> Any:  # noqa: ANN401 - whatever the class has
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(cls.real(), name)


def later_class(module: str, name: str) -> LaterType:
    """A class that stands for the one of that name in annotations and in `isinstance`, without importing its module."""
    return _later(module, name)


def _later(module: str, name: str, *also: type) -> LaterType:
    return LaterType(name, (), {"place": (module, name), "also": also, "__module__": module, "__slots__": ()})


class _Module:
    """A module that is imported when one of its names is used, aside from `types`, which are known before."""

    def __init__(self, module: str, **types: object) -> None:
        self.__dict__.update(types)
        self.__dict__["_module"] = module

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(imported(self.__dict__["_module"]), name)

    def __setattr__(self, name: str, value: object) -> None:
        setattr(imported(self.__dict__["_module"]), name, value)


class ShapeType(type):
    """The class of tensors of some type and shape, `Float[Tensor, "b h w 3"]`, as jaxtyping writes them."""

    kind: str
    sizes: str

    def __instancecheck__(cls, value: object) -> bool:
        if isinstance(value, Sketch):
            return cls._fits(value)
        torch = sys.modules.get("torch")
        return torch is not None and isinstance(value, torch.Tensor) and cls._fits(value)

    def _fits(cls, value: "Sketch | torch.Tensor") -> bool:
        names = cls.sizes.split()
        if cls.kind not in ("Float", "Shaped") or not all(re.fullmatch(r"\w+", name) for name in names):
            real = value.tensor() if isinstance(value, Sketch) else value  # a form that only jaxtyping knows
            return isinstance(real, getattr(imported("jaxtyping"), cls.kind)[type(real), cls.sizes])
        sized = dict(zip(names, value.shape, strict=False))
        return (
            (cls.kind == "Shaped" or value.is_floating_point())
            and len(names) == value.ndim
            and all(
                size == (int(name) if name.isdigit() else sized[name])
                for name, size in zip(names, value.shape, strict=True)
            )
        )


def shape_type(kind: str, sizes: str, array: str = "Tensor") -> ShapeType:
    """The class of tensors of a type (`Float`, `Shaped`, …) and of sizes, as jaxtyping writes them."""
    body = {"kind": kind, "sizes": sizes, "__module__": "jaxtyping", "__slots__": ()}
    return ShapeType(f"{kind}[{array}, {sizes!r}]", (), body)


class _Shapes:
    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __getitem__(self, described: tuple[object, str]) -> ShapeType:
        array, sizes = described
        return shape_type(self.kind, sizes, getattr(array, "__name__", str(array)))


if not TYPE_CHECKING:
    Tensor = _later("torch", "Tensor", Sketch)
    nn = _Module("torch.nn", Module=_later("torch.nn", "Module"), Parameter=_later("torch.nn", "Parameter"))
    F = _Module("torch.nn.functional")
    torch = _Module(
        "torch",
        nn=nn,
        Tensor=Tensor,
        Size=_later("torch", "Size"),
        device=_later("torch", "device"),
        dtype=_later("torch", "dtype"),
        Generator=_later("torch", "Generator"),
        optim=_Module("torch.optim", Optimizer=_later("torch.optim", "Optimizer")),
    )
    Bool, Float, Int, Shaped = map(_Shapes, ("Bool", "Float", "Int", "Shaped"))
