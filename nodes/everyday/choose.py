"""Choose the method, and refuse options that contradict it or each other."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ...graph_runtime.core.errors import BadInput, Problem
from .model import DRAWN
from .options import USED_BY, WITH_MODEL
from .values import Wishes, problem

if TYPE_CHECKING:
    from ...models.purpose import Purpose

DRAWN_EXEMPLAR = "dollhouse-exemplar"
BY_PURPOSE = {"text": "null_space", "inpaint": "model", "exemplar": "exemplar"}
MADE_FOR = {
    "text": "prompts (a UNet of 4 channels)",
    "inpaint": "inpainting by prompts (a UNet of 9 channels)",
    "exemplar": "examples (Paint by Example)",
}
NO_MODEL = (
    "no model is named, so the hole is filled from the rest of the photo (method patches); to paint something new, "
    "name a model with --source: owner/name of the hub, a folder or a .safetensors file"
)
A_MODEL = "name a model with --source: owner/name of the hub, a folder, or a .safetensors file"


@dataclass(frozen=True)
class Choice:
    """The method for some wishes.

    Attributes:
        method: any but auto.
        source: of the model; None for patches.
        notes: what to tell about it.
        problems: what contradicts it.
        undecided: fetches the configuration that decides; None if it is decided.
    """

    method: str
    source: str | None
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    undecided: Callable[[], object] | None = None


def choose(wishes: Wishes) -> Choice:
    """The method that is asked for, or the one that the model and the other options call for."""
    if wishes.source is None:
        return _without_model(wishes)
    wishes = replace(wishes, source=_embedded_for(wishes))
    assert wishes.source is not None
    purpose, fetch = _purpose(wishes.source)
    method = wishes.method
    notes: tuple[str, ...] = ()
    if method == "auto":
        fits = "exemplar" if wishes.example else None
        method = BY_PURPOSE[purpose] if purpose else fits or "null_space"
        if fetch is not None:
            notes = (
                f"{wishes.source} is not on this machine: a run reads its configuration first, and then chooses "
                "null_space for a text-to-image model, model for an inpainting model, exemplar for Paint by "
                "Example; --method says it now",
            )
    found = [*_against_model(wishes, method, purpose), *_unused(wishes, method)]
    return Choice(method, wishes.source, notes, tuple(found), fetch if wishes.method == "auto" else None)


def _embedded_for(wishes: Wishes) -> str | None:
    """dollhouse is two models: one takes words, the other examples."""
    exemplar = wishes.method == "exemplar" or (wishes.method == "auto" and wishes.example is not None)
    return DRAWN_EXEMPLAR if wishes.source == DRAWN and exemplar else wishes.source


def _purpose(source: str) -> "tuple[Purpose | None, Callable[[], object] | None]":
    """What the model is made for; None with a function to call if that is to be fetched, and alone if it is no model.

    What is wrong with a model, the check of its node says.
    """
    from ...models.purpose import fetch_configuration, purpose_of

    try:
        found = purpose_of(source)
    except (BadInput, OSError, ValueError):
        return None, None
    return found, partial(fetch_configuration, source) if found is None else None


def _without_model(wishes: Wishes) -> Choice:
    if wishes.method in WITH_MODEL:
        names = f"{A_MODEL}; {DRAWN} is embedded and knows drawn rooms"
        found = problem("source", f"no model for method {wishes.method}", "a model", names)
        # with another model in its place, the check would list problems of that one
        return Choice("patches", None, problems=(found, *_unused(wishes, wishes.method)))
    notes = (NO_MODEL,) if wishes.method == "auto" else ()
    return Choice("patches", None, notes, tuple(_unused(wishes, "patches")))


def _unused(wishes: Wishes, method: str) -> list[Problem]:
    """Options that the method does not use: nothing that was asked for is ignored."""
    found = []
    for name in wishes.asked:
        if method in USED_BY.get(name, (method,)):
            continue
        fix = f"leave it out, or use --method {' or '.join(USED_BY[name])}"
        if method == "patches":
            fix = A_MODEL if wishes.method == "auto" else f"leave it out, or {A_MODEL}, without --method patches"
        what = "without a model" if wishes.method == "auto" and method == "patches" else f"with method {method}"
        found.append(problem(name, f"--{name} {what}", f"an option that {method} uses", fix))
    return found


def _against_model(wishes: Wishes, method: str, purpose: "Purpose | None") -> list[Problem]:
    found = []
    if method == "exemplar" and not wishes.example:
        found.append(problem("example", "nothing", "a picture of the thing to paint", "add --example PICTURE"))
    if wishes.method != "auto" and purpose and method in WITH_MODEL and method != BY_PURPOSE[purpose]:
        made = f"{wishes.source}, which is made for {MADE_FOR[purpose]}"
        found.append(problem("source", made, f"a model for method {method}", f"use --method {BY_PURPOSE[purpose]}"))
    if wishes.weight is not None and wishes.lora is None:
        found.append(problem("weight", "--weight without --lora", "a LoRA that it is the weight of", "add --lora FILE"))
    return found
