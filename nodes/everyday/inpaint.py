"""`inpaint`: from options to a plain workflow."""

from collections.abc import Mapping, Set
from dataclasses import replace
from pathlib import PurePath

from ...graph_runtime.core.errors import Problem, shorten
from ...graph_runtime.core.expander import Expander, Expansion, Inside
from .areas import with_number
from .choose import Choice, choose
from .graph import Graph
from .inside import taken_in
from .options import AREAS, OPTIONS
from .outpaint import read_outpaint
from .parts import begin, results
from .sampling import filled
from .values import Wishes, problem, read_wishes

TITLE = "Take things out of a photo, or paint new ones in, without a seam"
DESCRIPTION = (
    "What the mask marks is the hole. inlay fills it in a window of the photo and puts the window back.\nEvery pixel "
    "outside the hole keeps its exact bits, and the photo its size and metadata.\n"
    "Without a model, the hole is filled from the rest of the photo (method patches)."
)
EXAMPLES = (
    ("photo.jpg hole.png", "remove what the mask marks; needs no model"),
    ("photo.jpg hole.png --source owner/name --prompt 'a red cat'", "paint something there"),
    ("photo.jpg hole.png --source owner/name --example cat.jpg", "paint the thing of another picture"),
    ("photo.jpg --object dog", "remove a dog, which a detector finds"),
    ("photo.jpg --outpaint left=30%,right=30%", "make the photo wider"),
    ("photo.jpg hole.png --variations 4", "four results, and a sheet of them"),
    ("photo.jpg hole.png --pick 3", "the third of them again, alone"),
    ("photo.jpg hole.png --source owner/name --pick 3 --quality best --size 1024", "the third, refined and larger"),
)
SAMPLE = ("photo.jpg", "hole.png")
#: What is checked for an area that is written wrongly, so that the rest is judged with no other problem of its own.
STAND_IN = {"outpaint": "8", "colour": "black", "strokes": "0,0"}


def expand(values: Mapping[str, object]) -> Expansion:
    """The plain workflow for some options."""
    wishes, problems = read_wishes(values)
    if wishes.outpaint is not None and isinstance(wrong := read_outpaint(wishes.outpaint), Problem):
        problems.append(wrong)
    for name in ("colour", "strokes"):
        text = getattr(wishes, name)
        try:
            with_number(text or "")
        except ValueError:
            after = text.rpartition("~")[2]
            problems.append(
                problem(name, shorten(text), f"a number after ~, not {shorten(after)}", "correct or leave it out")
            )
    wrong_ones = {one.port for one in problems}
    for name, area in STAND_IN.items():
        if f"--{name}" in wrong_ones:
            wishes = replace(wishes, **{name: area})  # type: ignore[arg-type]  # each is a text
    choice = choose(wishes)
    problems += [
        *choice.problems,
        *_contradictions(wishes, {name for name, value in values.items() if value is not None}),
    ]
    workflow, given = build(wishes, choice)
    return Expansion(workflow, given, choice.notes, tuple(problems), choice.undecided, "model")


def build(wishes: Wishes, choice: Choice) -> tuple[dict[str, object], frozenset[tuple[str, str]]]:
    """The workflow file of a method, and the parameters in it that hold a path of the person who asks."""
    graph = Graph()
    wishes = replace(wishes, source=choice.source)
    window = begin(graph, wishes, choice.method, SAMPLE)
    results(graph, wishes, filled(graph, wishes, choice.method, window), prefix_of(wishes.image))
    return graph.file(TITLE, DESCRIPTION), frozenset(graph.given)


def prefix_of(image: str | None) -> str:
    """The beginning of the results' names: the photo's own name, where that can be one on every system."""
    from ...graph_runtime.core.context import safe_prefix

    stem = PurePath(image.replace("\\", "/")).stem if image else "image"
    return stem if safe_prefix(stem, windows=True) and not stem.startswith(".") else "image"


def _contradictions(wishes: Wishes, given: Set[str]) -> list[Problem]:
    found = []
    marked = [name for name in AREAS if name in given]
    if "image" not in given and marked:
        what = "a mask without a photo" if marked == ["mask"] else f"--{marked[0]} without a photo"
        found.append(problem("image", what, "the photo that it belongs to", "add --image PHOTO"))
    if "image" in given and not marked:
        fix = "add --mask MASK (white, or transparent, is filled), or " + " or ".join(f"--{name}" for name in AREAS[1:])
        found.append(problem("mask", "no hole to fill", "a mask, or another option that marks a hole", fix))
    if "invert" in given and wishes.invert and marked and "mask" not in given:
        found.append(problem("invert", "--invert without --mask", "a mask to invert", "leave it out"))
    if "detector" in given and not {"object", "lora"} & given:
        fix = "add --object NAME; with --lora, it also cuts the example to the thing in it"
        found.append(problem("detector", "--detector without --object", "what it should find", fix))
    if wishes.size is not None and wishes.size % 8:
        near = round(wishes.size / 8) * 8
        found.append(problem("size", f"{wishes.size} pixels", "a multiple of 8", f"use {near}"))
    if wishes.pick is not None and wishes.variations > 1 and wishes.pick > wishes.variations:
        found.append(
            problem(
                "pick",
                f"--pick {wishes.pick} of {wishes.variations} variations",
                f"1 to {wishes.variations}",
                f"pick one of the {wishes.variations}, or leave out --variations",
            )
        )
    return found


def inside(values: Mapping[str, object], wired: Set[str]) -> Inside:
    """The workflow in the place of the node `Inpaint (inlay)`."""
    return taken_in(values, wired, expand)


INPAINT = Expander(TITLE, DESCRIPTION, OPTIONS, ("image", "mask"), EXAMPLES, expand, inside)
