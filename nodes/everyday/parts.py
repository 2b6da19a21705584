"""What every method shares: the photo, the hole, windows around it, and the results."""

from dataclasses import dataclass

from .areas import holes, joined, padded, profile_of
from .graph import Graph
from .model import add_model, is_drawn, works_twice
from .options import WITH_MODEL
from .values import Wishes

CONTEXT = {"patches": 3.0}  # of the window; a model sees less of the photo, at its own size
CONTEXT_OF_MODEL = 2.0
CONTEXT_OF_DRAWN = 8.0  # the embedded models know whole rooms


@dataclass(frozen=True)
class Window:
    """A window around the hole, in which a method works.

    Attributes:
        node: that cuts it; its outputs are the pixels in the photo's own numbers, the hole in it, and where it lies.
        tail: of the names of nodes that work on it.
    """

    node: str = "crop"
    tail: str = ""

    @property
    def image(self) -> str:
        """Link to its pixels, in the photo's own numbers."""
        return f"{self.node}.image"

    @property
    def mask(self) -> str:
        """Link to the hole in it."""
        return f"{self.node}.mask"

    @property
    def place(self) -> str:
        """Link to where it lies."""
        return f"{self.node}.crop"


def begin(graph: Graph, wishes: Wishes, method: str, sample: tuple[str, str]) -> Window:
    """Read the photo and what is to be filled, and cut a window around it: at its own pixels, or at the model's size.

    The feather lies inside the hole that the mask marks, grown by as much: what the mask covers is filled whole.
    """
    graph.path("photo", "image.load", "path", wishes.image, sample[0])
    graph.input("image", "photo.path")
    image, hole = padded(graph, wishes, "photo.image", joined(graph, holes(graph, wishes, sample[1])))
    graph.add("area", "mask.grow", {"mask": hole}, pixels=wishes.grow + wishes.feather)
    graph.input("grow", "area.pixels")
    if method in WITH_MODEL:
        add_model(graph, wishes, method)
    return cut(graph, wishes, method, image, Window(), sized=not works_twice(wishes, method))


def cut(graph: Graph, wishes: Wishes, method: str, image: str, window: Window, *, sized: bool) -> Window:
    """A window around the hole of a picture; with a model at the model's size, or, if `sized`, at the one asked for."""
    links = {"image": image, "mask": "area.mask"}
    used: int | str | None = None
    if method in WITH_MODEL:
        links |= {"denoiser": "model.denoiser", "vae": "model.vae"}
        used = (wishes.size if sized else None) or "model"
        if sized:
            graph.input("size", f"{window.node}.size")
    edge = {"beyond": "mirrored"} if method in WITH_MODEL else {"multiple": 1}  # what is to go is nowhere known
    usual = CONTEXT_OF_DRAWN if is_drawn(wishes) else CONTEXT_OF_MODEL
    context = wishes.context or CONTEXT.get(method, usual)
    graph.add(window.node, "image.crop_to_mask", links, context=context, size=used, windows="each", **edge)
    graph.input("context", f"{window.node}.context")
    return window


def variations(wishes: Wishes) -> list[int]:
    """The numbers of the variations to make, from 1."""
    return [wishes.pick] if wishes.pick is not None else list(range(1, wishes.variations + 1))


def numbered(name: str, number: int, wishes: Wishes) -> str:
    """The name of a node of which each variation has its own."""
    return f"{name}_{number}" if wishes.variations > 1 and wishes.pick is None else name


def stitch(graph: Graph, name: str, patch: str, window: Window, **how: object) -> str:
    """Put a filled window back into its picture."""
    return graph.add(name, "image.stitch", {"patch": patch, "crop": window.place}, **how) + ".image"


def results(graph: Graph, wishes: Wishes, pictures: list[str], prefix: str) -> None:
    """Save each picture; of several, a sheet too."""
    told = {"profile": profile_of(graph)} if "pad" in graph.nodes else {}
    for number, picture in zip(variations(wishes), pictures, strict=True):
        graph.add(numbered("save", number, wishes), "image.save", {"image": picture} | told, prefix=prefix)
        graph.outputs[numbered("image", number, wishes)] = picture
    graph.input("feather", *(picture.replace(".image", ".feather") for picture in pictures))
    graph.input("prefix", *(f"{numbered('save', number, wishes)}.prefix" for number in variations(wishes)))
    if len(pictures) > 1:
        links = {f"image_{number}": picture for number, picture in enumerate(pictures, 1)}
        labels = {f"label_{number}": str(number) for number in range(1, len(pictures) + 1)}
        graph.add("sheet", "image.grid", links, **labels)
        graph.add("save_sheet", "image.save", {"image": "sheet.image"}, prefix=f"{prefix}_sheet")
        graph.outputs["sheet"] = "sheet.image"
