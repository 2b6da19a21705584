"""Words of a person as values of a setting."""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ..core.spec import NodeSpec


def convert(text: str, target: tuple["NodeSpec | None", str]) -> "JsonValue":
    """A word of the command line as a value of a setting; see `reader`."""
    return reader(target)(text)


def reader(target: tuple["NodeSpec | None", str]) -> "Callable[[str], JsonValue]":
    """What makes values of words: text if the setting takes that text, else parsed as JSON.

    Args:
        target: the node type (None: unknown) and the setting.
    """
    from pydantic import TypeAdapter, ValidationError

    spec, parameter = target
    if spec is None or parameter not in spec.params.model_fields:
        return lambda text: text
    annotation: object = spec.params.model_fields[parameter].annotation
    takes: TypeAdapter[object] = TypeAdapter(annotation)  # type: ignore[arg-type]  # mypy knows no type of types yet

    def read(text: str) -> "JsonValue":
        for candidate in ([None] if text in ("null", "None") else []) + [text]:
            try:
                takes.validate_python(candidate, strict=True)
            except ValidationError:
                continue
            return candidate
        try:
            value: JsonValue = json.loads({"True": "true", "False": "false", "None": "null"}.get(text, text))
        except (ValueError, RecursionError):
            return text
        return value

    return read
