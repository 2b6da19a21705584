"""The model of a method, with a LoRA and at the precision that is asked for."""

from .graph import Graph
from .values import Wishes

NODES = {
    "null_space": "model.stable_diffusion",
    "model": "model.stable_diffusion",
    "exemplar": "model.paint_by_example",
}
DRAWN = "dollhouse"
DETECTOR, DRAWN_DETECTOR = "facebook/detr-resnet-50", "dollhouse-detector"


def add_model(graph: Graph, wishes: Wishes, method: str) -> None:
    """The node `model`, and `lora` after it."""
    named = ("dtype", "vae_dtype", "quantize")
    precision = {name: value for name in named if (value := getattr(wishes, name)) is not None}
    assert wishes.source is not None
    graph.path("model", NODES[method], "source", wishes.source, "", **precision)
    graph.input("source", "model.source")
    if wishes.lora is not None:
        weight = 1.0 if wishes.weight is None else wishes.weight
        graph.path("lora", "model.lora", "source", wishes.lora, "", weight=weight)
        graph.nodes["lora"]["inputs"] = {"denoiser": "model.denoiser"}
        graph.input("lora", "lora.source")
        graph.input("weight", "lora.weight")


def denoiser(graph: Graph) -> str:
    """The UNet, with its LoRA if there is one."""
    return "lora.denoiser" if "lora" in graph.nodes else "model.denoiser"


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


def continues(wishes: Wishes, method: str) -> bool:
    """True where the hole continues its surroundings, and nothing new is painted."""
    return method == "null_space" and not wishes.prompt


def works_twice(wishes: Wishes, method: str) -> bool:
    """True where a second pass works over the first result: to paint it better, or larger."""
    return wishes.quality == "best" and (wishes.size is not None or not continues(wishes, method))
