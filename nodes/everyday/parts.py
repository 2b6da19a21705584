"""What every method shares: the photo, the area, the window around it, and the results."""

from dataclasses import dataclass

from .graph import Graph
from .options import AREAS
from .values import Wishes

DRAWN = "dollhouse"
DETECTOR, DRAWN_DETECTOR = "facebook/detr-resnet-50", "dollhouse-detector"


@dataclass(frozen=True)
class Around:
    """The window around the area, as links.

    Attributes:
        image: its pixels, in the photo's own numbers.
        mask: the area in it.
        crop: where it lies in the photo.
        profile: how the photo's numbers are to be read.
    """

    image: str = "crop.image"
    mask: str = "crop.mask"
    crop: str = "crop.crop"
    profile: str = "photo.profile"


def area(graph: Graph, wishes: Wishes, sample: tuple[str, str], *, context: float, size: int | None = None) -> Around:
    """Read the photo and what is to be filled, and cut a window around it.

    The feather lies inside the area that the mask marks, grown by as much: what the mask covers is filled whole.
    """
    graph.path("photo", "image.load", "path", wishes.image, sample[0])
    graph.input("image", "photo.path")
    holes = _holes(graph, wishes, sample[1])
    if len(holes) > 1:
        graph.add("holes", "mask.union", {f"mask_{number}": hole for number, hole in enumerate(holes, 1)})
        holes = ["holes.mask"]
    graph.add("area", "mask.grow", {"mask": holes[0]}, pixels=wishes.grow + wishes.feather)
    graph.input("grow", "area.pixels")
    links = {"image": "photo.image", "mask": "area.mask"}
    graph.add("crop", "image.crop_to_mask", links, context=wishes.context or context, size=size)
    graph.input("context", "crop.context")
    return Around()


def _holes(graph: Graph, wishes: Wishes, sample: str) -> list[str]:
    """What each option marks."""
    holes = []
    if wishes.mask or not any(getattr(wishes, name) for name in AREAS):
        graph.path("hole", "mask.load", "path", wishes.mask, sample, invert=wishes.invert)
        graph.input("mask", "hole.path")
        graph.input("invert", "hole.invert")
        holes.append("hole.mask")
    if wishes.object is not None:
        holes.append(_found(graph, wishes))
    return holes


def is_drawn(wishes: Wishes) -> bool:
    """True with the embedded models, which know drawn rooms."""
    return wishes.source is not None and wishes.source.startswith(DRAWN)


def detector(graph: Graph, wishes: Wishes) -> str:
    """The detector, once."""
    if "detector" not in graph.nodes:
        used = DRAWN_DETECTOR if is_drawn(wishes) else DETECTOR
        graph.path("detector", "model.detector", "source", wishes.detector, used)
        graph.input("detector", "detector.source")
    return "detector.detector"


def _found(graph: Graph, wishes: Wishes) -> str:
    """The box of the likeliest thing of that name, of any size, a little larger than the detector says."""
    graph.add("looked_at", "image.to_srgb", {"image": "photo.image", "profile": "photo.profile"})
    links = {"image": "looked_at.image", "detector": detector(graph, wishes)}
    bounds = {"score": 0.7, "min_area": 0.0, "max_area": 1.0, "padding": 0.05}
    graph.add("found", "mask.detect", links, label=wishes.object, pick="best", **bounds)
    graph.input("object", "found.label")
    return "found.mask"


def variations(wishes: Wishes) -> list[int]:
    """The numbers of the variations to make, from 1."""
    return [wishes.pick] if wishes.pick is not None else list(range(1, wishes.variations + 1))


def numbered(name: str, number: int, wishes: Wishes) -> str:
    """The name of a node of which each variation has its own."""
    return f"{name}_{number}" if wishes.variations > 1 and wishes.pick is None else name


def results(graph: Graph, wishes: Wishes, around: Around, patches: list[str], prefix: str, **stitch: object) -> None:
    """Put each patch back into the photo and save it; of several, a sheet too."""
    pictures = []
    for number, patch in zip(variations(wishes), patches, strict=True):
        name = numbered("stitch", number, wishes)
        graph.add(name, "image.stitch", {"patch": patch, "crop": around.crop}, feather=wishes.feather, **stitch)
        save = numbered("save", number, wishes)
        graph.add(save, "image.save", {"image": f"{name}.image"}, prefix=prefix)
        graph.outputs[numbered("image", number, wishes)] = f"{name}.image"
        pictures.append(name)
    graph.input("feather", *(f"{name}.feather" for name in pictures))
    graph.input("prefix", *(f"{numbered('save', number, wishes)}.prefix" for number in variations(wishes)))
    if len(pictures) > 1:
        links = {f"image_{number}": f"{name}.image" for number, name in enumerate(pictures, 1)}
        labels = {f"label_{number}": str(number) for number in range(1, len(pictures) + 1)}
        graph.add("sheet", "image.grid", links, **labels)
        graph.add("save_sheet", "image.save", {"image": "sheet.image"}, prefix=f"{prefix}_sheet")
        graph.outputs["sheet"] = "sheet.image"
