"""Values of sockets as data: a structure of JSON, and tensors. No pickle, and no code.

Texts, numbers, lists and tensors; of other values only the types in an allow-list (see `types.py`), field by field. In
the JSON, a list is always `[kind, …]`; everything else stands for itself.
"""

import base64
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from .types import NotStorable, StorableTypes, is_named_tuple

if TYPE_CHECKING:
    from torch import Tensor

    from .layout import Layout

_SAFE_INTEGER = 2**53
DEPTH = 32  # levels of nesting


@dataclass
class Encoded:
    """A value as data: its structure, and the tensors that the structure names."""

    structure: JsonValue = None
    tensors: "dict[str, Tensor]" = field(default_factory=dict)


def encode(value: object, types: StorableTypes) -> Encoded:
    """A value as data.

    Raises:
        NotStorable: it holds something else than texts, numbers, lists, tensors and values of `types`.
    """
    encoded = Encoded()
    seen: dict[int, tuple[str, Layout]] = {}

    def of(part: object, depth: int) -> JsonValue:
        if depth > DEPTH:
            raise NotStorable("a value nested too deeply")
        kind = type(part)
        if part is None or kind in (bool, str):
            return cast(JsonValue, part)
        if isinstance(part, int) and kind is int:
            return part if abs(part) < _SAFE_INTEGER else ["int", hex(part)]
        if isinstance(part, float) and kind is float:
            return ["float", part.hex()]
        if isinstance(part, bytes) and kind is bytes:
            return ["bytes", base64.b64encode(part).decode()]
        if kind is list or kind is tuple:
            items = cast("list[object]", part)
            return [kind.__name__, *(of(item, depth + 1) for item in items)]
        if isinstance(part, dict) and kind is dict and all(type(key) is str for key in part):
            return ["dict", *([key, of(item, depth + 1)] for key, item in part.items())]
        if "torch" in sys.modules and isinstance(part, sys.modules["torch"].Tensor):
            return _tensor(part, encoded, seen)
        if kind in types.names:
            word = "named" if is_named_tuple(kind) else "object"
            return [word, types.names[kind], *([name, of(item, depth + 1)] for name, item in parts_of(part).items())]
        raise NotStorable(f"a {kind.__name__}")

    encoded.structure = of(value, 0)
    return encoded


def _tensor(part: "Tensor", encoded: Encoded, seen: dict[int, tuple[str, "Layout"]]) -> JsonValue:
    from .layout import take_apart

    if id(part) not in seen:
        numbers, layout = take_apart(part)
        places = [one.untyped_storage().data_ptr() for one in encoded.tensors.values()]
        name = str(len(encoded.tensors))  # safetensors takes no tensors that share their memory
        encoded.tensors[name] = numbers.clone() if numbers.untyped_storage().data_ptr() in places else numbers.detach()
        seen[id(part)] = name, layout
    name, layout = seen[id(part)]
    return ["tensor", name, str(part.dtype).removeprefix("torch."), list(part.shape), cast(JsonValue, layout)]


def parts_of(value: object) -> dict[str, object]:
    """The fields of a frozen dataclass or NamedTuple.

    Raises:
        NotStorable: it holds more than its fields.
    """
    if isinstance(value, tuple):
        return dict(zip(value._fields, value, strict=True))  # type: ignore[attr-defined]
    found = {one.name: getattr(value, one.name) for one in fields_of(value)}  # type: ignore[arg-type]
    cached = set(getattr(value, "__dict__", found)) - set(found)
    if any(not hasattr(getattr(type(value), name, None), "func") for name in cached):  # `cached_property` has it
        raise NotStorable(f"a {type(value).__name__} that holds more than its fields")
    return found


def decode(structure: JsonValue, tensor: "Callable[[str], Tensor]", types: StorableTypes) -> object:
    """The value of a structure.

    Args:
        structure: as `encode` made it.
        tensor: the numbers of a tensor by its name, called only if there are tensors.
        types: the allow-list.

    Raises:
        ValueError: the structure is none of ours, or names a type that is not in the list.
    """
    made: dict[str, Tensor] = {}

    def of(part: JsonValue) -> object:
        if not isinstance(part, list):
            return part
        match part:
            case ["int", str(digits)]:
                return int(digits, 16)
            case ["float", str(digits)]:
                return float.fromhex(digits)
            case ["bytes", str(text)]:
                return base64.b64decode(text, validate=True)
            case ["list", *items]:
                return [of(item) for item in items]
            case ["tuple", *items]:
                return tuple(of(item) for item in items)
            case ["dict", *pairs]:
                return dict(_pair(pair, of) for pair in pairs)
            case ["object" | "named", str(name), *pairs] if name in types.by_name:
                return types.by_name[name](**dict(_pair(pair, of) for pair in pairs))
            case ["tensor", str(name), str(), list(), layout]:
                if name not in made:
                    from .layout import put_together

                    made[name] = put_together(tensor(name), cast("Layout", layout))
                return made[name]
        raise ValueError("not a structure of a kept value")

    return of(structure)


def _pair(pair: JsonValue, of: "Callable[[JsonValue], object]") -> tuple[str, object]:
    match pair:
        case [str(name), item]:
            return name, of(item)
    raise ValueError("not a structure of a kept value")


def described(structure: JsonValue) -> JsonValue:
    """A value for `--json`, without making it: tensors by type and shape, values of other types by their name."""
    match structure:
        case ["tensor", _, dtype, shape, _]:
            return {"dtype": dtype, "shape": shape}
        case ["named", str(), *pairs]:
            return [described(pair[1]) for pair in pairs if isinstance(pair, list)]
        case ["object", str(name), *_]:
            return {"type": name.rpartition(":")[2].rpartition(".")[2]}
        case ["float", str(digits)]:
            value = float.fromhex(digits)
            return value if math.isfinite(value) else str(value)
        case ["int", str(digits)]:
            return int(digits, 16)
        case ["list" | "tuple", *items]:
            return [described(item) for item in items]
        case ["bytes" | "dict" as kind, *_]:
            return {"type": kind}
    return structure
