"""What is to be filled: by a mask, a detector, a colour, strokes, or as room around the photo."""

from .graph import Graph
from .model import detector
from .options import AREAS
from .outpaint import read_outpaint
from .values import Wishes


def holes(graph: Graph, wishes: Wishes, sample: str) -> list[str]:
    """A mask for each option that marks something; the sample's where none does."""
    found = []
    if wishes.mask or not any(getattr(wishes, name) for name in AREAS):
        graph.path("hole", "mask.load", "path", wishes.mask, sample, channel="drawn", invert=wishes.invert)
        graph.nodes["hole"]["inputs"] = {"image": "photo.image", "profile": "photo.profile"}
        graph.input("mask", "hole.path")
        graph.input("invert", "hole.invert")
        found.append("hole.mask")
    if wishes.object is not None:
        found.append(_object(graph, wishes))
    if wishes.colour is not None:
        colour, tolerance = with_number(wishes.colour)
        how = {} if tolerance is None else {"tolerance": tolerance}
        found.append(graph.add("coloured", "mask.colour", {"image": _looked_at(graph)}, colour=colour, **how) + ".mask")
        graph.input("colour", "coloured.colour")
    if wishes.strokes is not None:
        strokes, width = with_number(wishes.strokes)
        how = {} if width is None else {"width": width}
        found.append(graph.add("drawn", "mask.strokes", {"image": "photo.image"}, strokes=strokes, **how) + ".mask")
        graph.input("strokes", "drawn.strokes")
    return found


def profile_of(graph: Graph) -> str:
    """What the photo's file says; with room around it, of the larger picture."""
    return next((f"{name}.profile" for name in ("pad_more", "pad") if name in graph.nodes), "photo.profile")


def with_number(text: str) -> tuple[str, float | None]:
    """What stands before and after `~`; no number, no tilde.

    Raises:
        ValueError: what stands after it is no number.
    """
    before, tilde, after = text.rpartition("~")
    return (before.strip(), float(after)) if tilde else (text, None)


def _looked_at(graph: Graph) -> str:
    """The whole photo in sRGB."""
    links = {"image": "photo.image", "profile": "photo.profile"}
    return graph.once("looked_at", "image.to_srgb", links) + ".image"


def joined(graph: Graph, found: list[str]) -> str | None:
    """One mask of all."""
    if len(found) > 1:
        return graph.add("holes", "mask.union", {f"mask_{n}": hole for n, hole in enumerate(found, 1)}) + ".mask"
    return found[0] if found else None


def padded(graph: Graph, wishes: Wishes, image: str, hole: str | None) -> tuple[str, str]:
    """The picture with room around it, and the mask with that room in it."""
    margins = read_outpaint(wishes.outpaint) if wishes.outpaint else []
    for number, margin in enumerate(margins if isinstance(margins, list) else []):
        name = "pad" if number == 0 else "pad_more"
        links = {"image": image, "profile": profile_of(graph)} | ({"mask": hole} if hole else {})
        graph.add(name, "image.pad", links, unit=margin.unit, **margin.sides)
        for side in margin.sides:
            graph.input(side, f"{name}.{side}")
        image, hole = f"{name}.image", f"{name}.mask"
    assert hole is not None
    return image, hole


def _object(graph: Graph, wishes: Wishes) -> str:
    """The box of the likeliest thing of that name, of any size, a little larger than the detector says."""
    links = {"image": _looked_at(graph), "detector": detector(graph, wishes)}
    bounds = {"score": 0.7, "min_area": 0.0, "max_area": 1.0, "padding": 0.05}
    graph.add("found", "mask.detect", links, label=wishes.object, pick="best", **bounds)
    graph.input("object", "found.label")
    return "found.mask"
