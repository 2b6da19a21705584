"""What every method shares: the photo, the area, the window around it, and the results."""

from dataclasses import dataclass

from .graph import Graph
from .values import Wishes


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
    graph.path("hole", "mask.load", "path", wishes.mask, sample[1], invert=wishes.invert)
    graph.add("area", "mask.grow", {"mask": "hole.mask"}, pixels=wishes.grow + wishes.feather)
    links = {"image": "photo.image", "mask": "area.mask"}
    graph.add("crop", "image.crop_to_mask", links, context=wishes.context or context, size=size)
    for name, target in (
        ("image", "photo.path"),
        ("mask", "hole.path"),
        ("invert", "hole.invert"),
        ("grow", "area.pixels"),
        ("context", "crop.context"),
    ):
        graph.input(name, target)
    return Around()


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
