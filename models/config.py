"""Configuration files as pydantic models: types, bounds and defaults in one place, and a damaged value named.

Values are read strictly: true is not an integer, "3" is not a number, and NaN and infinity are refused. Unknown keys
    are ignored here; `known_keys` decides which of them a warning lists.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
)
from pydantic_core import PydanticCustomError

from ..graph_runtime import ModelError
from ..graph_runtime.core.errors import shorten

if TYPE_CHECKING:
    from .component import Origin

MAX_CHANNELS = 1024  # of a latent; models have 3 to 64
MAX_WIDTH = 65_536  # of a layer or an embedding
UNEVEN = "uneven"  # pydantic's type of the errors that `uneven` makes

Config = Mapping[str, JsonValue]  # a configuration as its file has it
Arguments = dict[str, Any]  # of a configuration class of transformers, which checks them itself
Width = Annotated[StrictInt, Field(ge=1, le=MAX_WIDTH)]
Channels = Annotated[StrictInt, Field(ge=1, le=MAX_CHANNELS)]
Widths = Annotated[tuple[Width, ...], Field(min_length=1, max_length=12)]  # one for each level of a network
Strings = tuple[StrictStr, ...]
Switch = StrictBool | None  # old files have null for false
Activation = Literal["silu", "swish", "mish", "gelu", "relu"]
Epsilon = Annotated[StrictFloat, Field(ge=0, le=1)]


class ConfigFile(BaseModel):
    """The keys of a configuration file that this package reads itself."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, allow_inf_nan=False, protected_namespaces=(), defer_build=True
    )

    def arguments(self) -> Arguments:
        """The keys that the file has, checked, as a library's own configuration takes them."""
        return self.model_dump(mode="json", exclude_unset=True)


class Architecture(ConfigFile):
    """Which class of diffusers or transformers a configuration belongs to; read before anything else is."""

    class_name: StrictStr = Field("", alias="_class_name")
    architectures: Strings | None = None
    model_type: StrictStr = ""

    @property
    def first(self) -> str:
        """The first of the architectures; empty if there is none."""
        return self.architectures[0] if self.architectures else ""


C = TypeVar("C", bound=ConfigFile)


def read_config(kind: type[C], values: Config, where: str, port: str = "source") -> C:
    """The values of a configuration file.

    Args:
        kind: the keys, with their types, bounds and defaults.
        values: what the file holds.
        where: the file, for messages: `unet/config.json of dollhouse`.
        port: the port that a message names.

    Raises:
        ModelError: a value is of another type or out of bounds.
    """
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        if first["type"] == UNEVEN:
            key, expected = first["ctx"]["key"], first["ctx"]["expected"]
        else:
            key = str(first["loc"][0])
            expected = describe_schema(kind.model_json_schema()["properties"][key])
        raise refused(key, values.get(key), expected, where, port) from error


def uneven(key: str, expected: str) -> PydanticCustomError:
    """What a validator raises about a value that does not fit the others; `read_config` makes the message of it."""
    return PydanticCustomError(UNEVEN, "expected {expected}", {"key": key, "expected": expected})


def refused(key: str, value: object, expected: str, where: str, port: str = "source") -> ModelError:
    """The message about a value of a configuration file."""
    return ModelError(
        port,
        found=f"{key} = {shorten(value)} in {where}",
        expected=expected,
        fix=f"correct {key} in that file, or download the model again",
    )


def describe_schema(schema: Mapping[str, JsonValue]) -> str:
    """A JSON schema's requirement in words: `an integer from 1 to 64`, `a list of 1 to 12 integers from 1 to 64`."""
    if isinstance(stated := schema.get("description"), str):
        return stated
    if "const" in schema:
        return json.dumps(schema["const"])
    options = schema.get("anyOf") or schema.get("enum")
    if isinstance(options, list):
        return " or ".join(
            describe_schema(option) if isinstance(option, dict) else str(option)
            for option in options
            if option != {"type": "null"}
        )
    if "const" in schema:
        return str(schema["const"])
    kind, items = schema.get("type"), schema.get("items")
    if kind == "array" and isinstance(items, dict):
        low, high = schema.get("minItems"), schema.get("maxItems")
        count = "" if high is None else f"{high} " if low == high else f"{low or 0} to {high} "
        return f"a list of {count}{_plural(items)}"
    if kind == "boolean":
        return "true or false"
    if kind == "null":
        return "null"
    return f"an integer{_bounds(schema)}" if kind == "integer" else f"a {kind}{_bounds(schema)}"


def _plural(schema: Mapping[str, JsonValue]) -> str:
    options = schema.get("anyOf") or schema.get("enum")
    if isinstance(options, list):
        return f"values, each {describe_schema(schema)}"
    return f"{schema.get('type')}s{_bounds(schema)}"


def _bounds(schema: Mapping[str, JsonValue]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if not isinstance(low, (int, float)) or not isinstance(high, (int, float)):
        return ""
    if schema.get("type") == "integer":
        return f" from {low} to {high}"
    return f" from {low:g} to {high:g}"


@lru_cache(maxsize=256)
def _kept_config(origin: "Origin", component: str, stamp: str) -> Config:
    return origin.config(component)


def config_at(origin: "Origin", component: str, stamp: str) -> Config:
    """A component's configuration, read once per state of its files: a run asks some eighty times."""
    return _kept_config(origin, component, stamp) if stamp else origin.config(component)
