"""Values of a model's configuration files: read once by type and range, so that a damaged file is refused by name."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..graph_runtime import ModelError
from ..graph_runtime.core.errors import shorten

MAX_CHANNELS = 1024  # of a latent; models have 3 to 64
MAX_WIDTH = 65_536  # of a layer or an embedding


@lru_cache(maxsize=256)
def _kept_config(origin: Any, component: str, stamp: str) -> Mapping[str, Any]:
    config: Mapping[str, Any] = origin.config(component)
    return config


def config_at(origin: Any, component: str, stamp: str) -> Mapping[str, Any]:
    """A component's configuration, read once per state of its files: a run asks some eighty times."""
    if stamp:
        return _kept_config(origin, component, stamp)
    config: Mapping[str, Any] = origin.config(component)
    return config


@dataclass(frozen=True)
class Settings:
    """A configuration and what to call it in messages.

    Attributes:
        values: what the file holds.
        where: the file, e.g. `unet/config.json of dollhouse`.
        port: the port that a message names.
    """

    values: Mapping[str, Any]
    where: str
    port: str = "source"

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """A whole number from `low` to `high`; `default` where the key is absent.

        Raises:
            ModelError: it is something else.
        """
        value = self.values.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.refused(key, value, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """A finite number from `low` to `high`; `default` where the key is absent.

        Raises:
            ModelError: it is something else.
        """
        value = self.values.get(key, default)
        if not _within(value, low, high):
            raise self.refused(key, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def wholes(self, key: str, default: tuple[int, ...], low: int, high: int, longest: int) -> tuple[int, ...]:
        """A list of 1 to `longest` whole numbers from `low` to `high`; `default` where the key is absent.

        Raises:
            ModelError: it is something else.
        """
        value = self.values.get(key, default)
        if (
            not isinstance(value, (list, tuple))
            or not 1 <= len(value) <= longest
            or not all(isinstance(item, int) and _within(item, low, high) for item in value)
        ):
            raise self.refused(key, value, f"a list of 1 to {longest} whole numbers from {low} to {high}")
        return tuple(value)

    def numbers(self, key: str, low: float, high: float, longest: int) -> tuple[float, ...]:
        """A list of 1 to `longest` numbers from `low` to `high`.

        Raises:
            ModelError: it is something else.
        """
        value = self.values.get(key)
        if (
            not isinstance(value, (list, tuple))
            or not 1 <= len(value) <= longest
            or not all(_within(item, low, high) for item in value)
        ):
            raise self.refused(key, value, f"a list of 1 to {longest} numbers from {low:g} to {high:g}")
        return tuple(map(float, value))

    def flag(self, key: str, default: bool) -> bool:
        """True or false; `default` where the key is absent or null.

        Raises:
            ModelError: it is something else, such as the text "false".
        """
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.refused(key, value, "true or false")
        return default if value is None else value

    def text(self, key: str, default: str) -> str:
        """A text; `default` where the key is absent.

        Raises:
            ModelError: it is something else.
        """
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise self.refused(key, value, "a text")
        return value

    def texts(self, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        """A list of texts; `default` where the key is absent, null or the list is empty.

        Raises:
            ModelError: it is something else.
        """
        value = self.values.get(key)
        if value is None or value == []:
            return default
        if not isinstance(value, (list, tuple)) or not all(isinstance(item, str) for item in value):
            raise self.refused(key, value, "a list of texts")
        return tuple(value)

    def refused(self, key: str, value: Any, expected: str) -> ModelError:
        """The message about a value."""
        return ModelError(
            self.port,
            found=f"{key} = {shorten(value)} in {self.where}",
            expected=expected,
            fix=f"correct {key} in that file, or download the model again",
        )


def _within(value: Any, low: float, high: float) -> bool:
    """True for a number in that range; false for NaN, infinity, true and false."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= high
