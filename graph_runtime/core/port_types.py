"""Ports, and the check of values at sockets: they are moved to the CPU and must match the socket's annotation.

Between nodes every tensor is on the CPU; other devices are used only inside a lease. A host that keeps its pictures
on a GPU (ComfyUI with `--gpu-only`) passes them as they are, perhaps with a mask on the CPU. Both are moved to the
CPU, and so are the outputs of nodes.

What a socket may declare: a class; a jaxtyping shape (`Float[Tensor, "b h w 3"]`: dtype, number of axes, fixed sizes,
no axis empty); a Protocol of a model's description, of which only the attribute names are checked, because reading
one may download the model; a union of these. `object` and everything else is not checked.
"""

import builtins
import functools
import numbers
import operator
import sys
import types
import typing
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeGuard, Union

from .bounded.effort import imported
from .errors import BadInput
from .light.later import LaterType, ShapeType, shape_type
from .light.sketch import Sketch
from .memory.descriptions import ModelDescription

if TYPE_CHECKING:
    from jaxtyping import AbstractArray

#: Types of values that are on no device.
PLAIN = frozenset((int, float, bool, str, bytes, type(None)))
UNCHECKED = (object, Any)  # Any: an annotation may be it
#: Numbers are checked by what they can do, so that an int passes for a float, and numpy's numbers for Python's.
_NUMBERS: dict[object, type] = {float: numbers.Real, int: numbers.Integral, complex: numbers.Complex}


@dataclass(frozen=True)
class Port:
    """The type of a socket. Two sockets connect when their ports' `socket` names are equal.

    Attributes:
        socket: the name of the type.
        doc: what travels through it, in a few words.
        colour: in drawings, as `#rrggbb`; without one it is derived from the name.
        expected: what the error message gives as expected; empty: `doc`.
        fix: the fix that the message suggests.
        fix_dtype: the fix for a tensor of the right shape that is not floating point; empty: `fix`.
    """

    socket: str
    doc: str = ""
    colour: str = ""
    expected: str = field(default="", kw_only=True)
    fix: str = field(default="", kw_only=True)
    fix_dtype: str = field(default="", kw_only=True)


@dataclass(frozen=True)
class Named:
    """An annotation by name, as an index of definitions has it; what it names is imported when a value meets it.

    Attributes:
        text: arms of a union, joined by ` | `: `str`, `methods.conditioning:Conditioning`, `Float[b h w 3]`.
        root: the package that the modules are in.
    """

    text: str
    root: str

    @cached_property
    def hint(self) -> object:
        """The annotation itself."""
        arms = [_by_name(arm, self.root) for arm in self.text.split(" | ")]
        return functools.reduce(operator.or_, arms)

    @staticmethod
    def text_of(hint: object, root: str) -> str:
        """The name of an annotation; empty where it is not checked.

        Raises:
            ValueError: it has no such name.
        """
        if hint is object or hint is Any:  # Any: an annotation may be it
            return ""
        if typing.get_origin(hint) in (Union, types.UnionType):
            return " | ".join(Named.text_of(arm, root) for arm in typing.get_args(hint))
        if hint is type(None):
            return "None"
        if isinstance(hint, ShapeType):
            return f"{hint.kind}[{hint.sizes}]"
        if isinstance(hint, LaterType):
            module, name = hint.place
            return f"{module.removeprefix(root + '.')}:{name}"
        if typing.get_origin(hint) is list:  # items are not checked
            return "list"
        if isinstance(hint, type) and hint.__module__ == "builtins":
            return hint.__name__
        if isinstance(hint, type) and hint.__module__.startswith(root + ".") and "<" not in hint.__qualname__:
            return f"{hint.__module__.removeprefix(root + '.')}:{hint.__qualname__}"
        raise ValueError(f"an index cannot name {hint!r}")


def _by_name(text: str, root: str) -> Any:  # noqa: ANN401 - an annotation
    if text == "None":
        return None
    if text.endswith("]"):
        kind, _, sizes = text[:-1].partition("[")
        return shape_type(kind, sizes)
    module, colon, name = text.partition(":")
    return getattr(imported(f".{module}", root), name) if colon else getattr(builtins, text)


class PartlyKnown:
    """Base of stand-ins for values of which the check knows only some facts."""


def on_cpu(value: object) -> object:
    """Move a tensor, or a list of tensors, to the CPU; anything else is returned as it is."""
    torch = sys.modules.get("torch")
    if torch is None:
        return value
    if isinstance(value, torch.Tensor):
        return value if value.device.type in ("cpu", "meta") else value.detach().cpu()
    if isinstance(value, list) and any(isinstance(item, torch.Tensor) for item in value):
        return [on_cpu(item) for item in value]
    return value


def require_type(value: object, hint: object, name: str, port: Port) -> None:
    """Raise BadInput that names the socket `name` unless `value` matches its annotation.

    Values that are only partly known during the check pass.
    """
    if isinstance(value, PartlyKnown):
        return
    if isinstance(hint, Named):
        hint = hint.hint
    if isinstance(hint, LaterType):
        hint = hint.real()
    if is_of(value, hint):
        return
    from .values import describe  # imports torch

    wrong_dtype = _is_shape(hint) and is_of(value, _of_any_dtype(hint))
    raise BadInput(
        name,
        found=f"the {value.label}" if isinstance(value, ModelDescription) else describe(value),
        expected=(port.expected or port.doc or port.socket) + (", floating point" if wrong_dtype else ""),
        fix=(wrong_dtype and port.fix_dtype) or port.fix or f"connect an output of type {port.socket}",
    )


def is_of(value: object, hint: object) -> bool:
    """True if a value matches an annotation, as far as this is known without reading a model's files."""
    if hint is Any or hint is object:  # Any: an annotation may be it
        return True
    origin = typing.get_origin(hint)
    if origin in (Union, types.UnionType):
        return any(is_of(value, arm) for arm in typing.get_args(hint))
    if origin is typing.Annotated:
        return is_of(value, typing.get_args(hint)[0])
    if hint is None:
        return value is None
    if isinstance(hint, LaterType):
        hint = hint.real()
    kind = hint if origin is None else origin
    if not isinstance(kind, type):
        return True
    if getattr(kind, "_is_protocol", False) and not kind.__module__.startswith(("typing", "collections")):
        return has_facts(value, kind)
    if _is_shape(kind):
        if isinstance(value, Sketch) and not isinstance(kind, ShapeType):
            value = value.tensor()
        return isinstance(value, kind) and 0 not in value.shape  # type: ignore[attr-defined]
    return isinstance(value, _NUMBERS.get(kind, kind))


def has_facts(value: object, protocol: type) -> bool:
    """True if `value` has every name that `protocol` declares itself; its bases' names may be missing."""
    return all(
        has_fact(value, name) and (choices is None or _constant(value, name) in (None, *choices))
        for name, choices in _declared(protocol).items()
    )


def has_fact(value: object, name: str) -> bool:
    """True if a model's description has an attribute of that name. Never reads it: that may download the model."""
    if not isinstance(value, ModelDescription):
        return hasattr(value, name)
    return hasattr(type(value), name) or name in vars(value) or has_fact(getattr(value, "inner", None), name)


@functools.cache
def _declared(protocol: type) -> dict[str, tuple[object, ...] | None]:
    """Names that a Protocol declares itself, and, of those that are a Literal, which values they may have."""
    declared: dict[str, tuple[object, ...] | None] = {}
    for name, member in vars(protocol).items():
        getter = member.fget if isinstance(member, property) else member
        if not name.startswith("_") and isinstance(getter, types.FunctionType):
            hint = typing.get_type_hints(getter).get("return")
            declared[name] = typing.get_args(hint) if typing.get_origin(hint) is Literal else None
    return declared


def _constant(value: object, name: str) -> object:
    """An attribute that needs no files: one of the class or the instance that is not a property; else None."""
    found = vars(value).get(name, getattr(type(value), name, None)) if hasattr(value, "__dict__") else None
    return None if hasattr(found, "__get__") else found


def _is_shape(hint: object) -> TypeGuard["type[AbstractArray]"]:
    jaxtyping = sys.modules.get("jaxtyping")  # whoever wrote such an annotation has imported it
    own = isinstance(hint, ShapeType)
    return own or (jaxtyping is not None and isinstance(hint, type) and issubclass(hint, jaxtyping.AbstractArray))


def _of_any_dtype(hint: "type[AbstractArray]") -> object:
    if isinstance(hint, ShapeType):
        return shape_type("Shaped", hint.sizes)
    return sys.modules["jaxtyping"].Shaped[hint.array_type, hint.dim_str]
