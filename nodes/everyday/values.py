"""Read what a person asked for: each value of its kind and within its bounds, and every problem at once."""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields

from ...graph_runtime.core.errors import Problem, did_you_mean, shorten
from ...graph_runtime.core.expander import Option, Value
from .options import MAY_BE_EMPTY, OPTIONS

_SWITCH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


@dataclass(frozen=True)
class Wishes:
    """The options by name, with their defaults; None where nothing was asked for."""

    image: str | None = None
    mask: str | None = None
    invert: bool = False
    object: str | None = None
    detector: str | None = None
    colour: str | None = None
    strokes: str | None = None
    outpaint: str | None = None
    method: str = "auto"
    source: str | None = None
    prompt: str | None = None
    negative: str | None = None
    example: str | None = None
    lora: str | None = None
    weight: float | None = None
    grow: int = 0
    feather: int = 0
    context: float | None = None
    size: int | None = None
    variations: int = 1
    pick: int | None = None
    quality: str = "fast"
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    strength: float | None = None
    dtype: str | None = None
    vae_dtype: str | None = None
    quantize: str | None = None
    together: bool = False

    @property
    def asked(self) -> tuple[str, ...]:
        """The options that are not as they are by default."""
        return tuple(field.name for field in fields(self) if getattr(self, field.name) != field.default)


def read_wishes(values: Mapping[str, object]) -> tuple[Wishes, list[Problem]]:
    """The options, those with a problem left at their default, and the problems."""
    known = {option.name: option for option in OPTIONS}
    read: dict[str, Value] = {}
    problems = []
    for name, value in values.items():
        option = known.get(name)
        if option is None:
            problems.append(
                Problem(
                    None, f"--{name}", f"an option {shorten(name)}", "an option of inpaint", did_you_mean(name, known)
                )
            )
        elif value is not None and value not in ("null", "None"):
            found = _read(option, value)
            if isinstance(found, Problem):
                problems.append(found)
            else:
                read[name] = found
    return Wishes(**read), problems  # type: ignore[arg-type]  # each is of its option's kind


def _read(option: Option, value: object) -> Value | Problem:
    """A value of the option's kind, or what is wrong with it."""
    if option.kind in ("text", "file", "model") and isinstance(value, str):
        if value or option.name in MAY_BE_EMPTY:
            return value
        return problem(option.name, "an empty text", option.doc.partition(":")[0], "leave it out")
    if option.kind == "choice" and isinstance(value, str):
        if value in option.choices:
            return value
        return problem(option.name, shorten(value), " | ".join(option.choices), did_you_mean(value, option.choices))
    if option.kind == "switch":
        switched = value if isinstance(value, bool) else _SWITCH.get(value.lower()) if isinstance(value, str) else None
        if switched is not None:
            return switched
        return problem(option.name, shorten(value), "true or false", f"--{option.name}, or leave it out")
    if option.kind in ("integer", "number"):
        return _number(option, value)
    return problem(option.name, shorten(value), "text", "check the value")


def _plain(high: float) -> str:
    return f"{high:,g}" if high < 1e6 else f"{int(high):,}"


def _number(option: Option, value: object) -> Value | Problem:
    given = value
    if isinstance(value, str):
        with contextlib.suppress(ValueError, RecursionError):
            given = json.loads(value)
    low, high = option.minimum, option.maximum
    assert low is not None
    assert high is not None
    kind, near = "a whole number" if option.kind == "integer" else "a number", ""
    if isinstance(given, int | float) and not isinstance(given, bool):
        if low <= given <= high and (option.kind == "number" or given == int(given)):
            return float(given) if option.kind == "number" else int(given)
        near = f"{low if given < low else high if given > high else round(given):,g}" if given == given else ""
    return problem(
        option.name,
        shorten(value),
        f"{kind} from {low:,g} to {_plain(high)}",
        f"use {near}" if near else "give a number",
    )


def problem(name: str, found: str, expected: str, fix: str) -> Problem:
    """A problem with an option."""
    return Problem(None, f"--{name}", found, expected, fix)
