"""The methods: from the window around the area to a filled one for each variation."""

from collections.abc import Callable, Mapping

from .graph import Graph
from .options import LARGEST_SEED, MOST_VARIATIONS
from .parts import Around, detector, is_drawn, numbered, variations
from .values import Wishes

Links = Mapping[str, str]


def patches(graph: Graph, wishes: Wishes, around: Around) -> list[str]:
    """Fill from the rest of the photo; variation n has the seed n − 1 later."""
    filled = []
    for number in variations(wishes):
        name = numbered("fill", number, wishes)
        links = {"image": around.image, "mask": around.mask}
        seed = (wishes.seed + number - 1) % (LARGEST_SEED + 1)
        graph.add(name, "image.fill", links, fill="patches", seed=seed)
        filled.append(f"{name}.image")
    if len(filled) == 1:
        graph.input("seed", filled[0].replace(".image", ".seed"))
    return filled


def null_space(graph: Graph, wishes: Wishes, around: Around) -> list[str]:
    """Sample the hole in the null space of what is known (Kakinuma et al. 2024), over a fill as its base."""
    _model(graph, wishes, "model.stable_diffusion")
    graph.add("base", "image.fill", {"image": _seen(graph, around), "mask": around.mask}, fill="patches")
    graph.add("known", "latent.encode", {"image": "base.image", "vae": "model.vae"})
    graph.add("cells", "mask.to_latent", {"mask": around.mask, "vae": "model.vae"}, dilate=0)
    links = {"latent": "known.latent", "latent_mask": "cells.latent_mask"}
    graph.add("keep", "constraint.null_space", links)
    _words(graph, wishes)
    graph.add("steps", "schedule.ddim", {"scheduler": "model.scheduler"}, steps=wishes.steps or 30, eta=0.85)
    links = {"conditioning": "words.conditioning", "constraint": "keep.constraint"}
    return _sampled(graph, wishes, around, "known.latent", lambda number: links, guidance=7.5)


def exemplar(graph: Graph, wishes: Wishes, around: Around) -> list[str]:
    """Paint the thing of another picture (Yang et al. 2022)."""
    _model(graph, wishes, "model.paint_by_example")
    seen = _seen(graph, around)
    graph.path("example", "image.load", "path", wishes.example, "exemplar.png")
    graph.input("example", "example.path")
    links = {"image": "example.image", "profile": "example.profile"}
    graph.add("example_seen", "image.to_srgb", links)
    encoder = {"exemplar_encoder": "model.exemplar_encoder"}
    if wishes.lora is not None and (wishes.detector is not None or is_drawn(wishes)):
        graph.add("told", "condition.exemplar", encoder | {"image": _subject(graph, wishes)}, preprocess="stretch")
    else:
        graph.add("told", "condition.exemplar", encoder | {"image": "example_seen.image", "mask": "example.mask"})
    return _inpainted(graph, wishes, around, seen, "told.conditioning", guidance=5.0)


def _subject(graph: Graph, wishes: Wishes) -> str:
    """The example cut to the thing in it, as the photos were from which the LoRA was learned."""
    links = {"image": "example_seen.image", "detector": detector(graph, wishes)}
    graph.add("subject", "mask.detect", links, pick="best")
    links = {"image": "example_seen.image", "mask": "subject.mask"}
    still = {"flip": 0.0, "rotate": 0.0, "blur": 0.0, "elastic": 0.0}
    graph.add("cut", "image.augment", links, **still, size=64 if is_drawn(wishes) else 224)
    return "cut.image"


def model(graph: Graph, wishes: Wishes, around: Around) -> list[str]:
    """Let an inpainting UNet fill the hole; it sees the picture around it."""
    _model(graph, wishes, "model.stable_diffusion")
    seen = _seen(graph, around)
    _words(graph, wishes)
    return _inpainted(graph, wishes, around, seen, "words.conditioning", guidance=7.5)


SAMPLERS: Mapping[str, Callable[[Graph, Wishes, Around], list[str]]] = {
    "patches": patches,
    "null_space": null_space,
    "exemplar": exemplar,
    "model": model,
}


def _model(graph: Graph, wishes: Wishes, kind: str) -> None:
    """The model, with a LoRA if one is asked for."""
    precision = {name: value for name in ("dtype", "vae_dtype") if (value := getattr(wishes, name)) is not None}
    assert wishes.source is not None
    graph.path("model", kind, "source", wishes.source, "", **precision)
    graph.input("source", "model.source")
    if wishes.lora is not None:
        weight = 1.0 if wishes.weight is None else wishes.weight
        graph.path("lora", "model.lora", "source", wishes.lora, "", weight=weight)
        graph.nodes["lora"]["inputs"] = {"denoiser": "model.denoiser"}
        graph.input("lora", "lora.source")
        graph.input("weight", "lora.weight")


def _seen(graph: Graph, around: Around) -> str:
    """The window in sRGB, which models expect."""
    return graph.add("seen", "image.to_srgb", {"image": around.image, "profile": around.profile}) + ".image"


def _words(graph: Graph, wishes: Wishes) -> None:
    links = {"text_encoder": "model.text_encoder"}
    graph.add("words", "condition.text", links, prompt=wishes.prompt or "", negative=wishes.negative or "")
    graph.input("prompt", "words.prompt")
    graph.input("negative", "words.negative")


def _inpainted(
    graph: Graph, wishes: Wishes, around: Around, seen: str, conditioning: str, guidance: float
) -> list[str]:
    """Variations of a UNet that also sees the masked picture and the mask."""
    graph.add("shape", "latent.encode", {"image": seen, "vae": "model.vae"})
    graph.add("steps", "schedule.solver", {"scheduler": "model.scheduler"}, kind="pndm", steps=wishes.steps or 50)

    def told(number: int) -> Links:
        name, noise = numbered("inpaint", number, wishes), numbered("noise", number, wishes)
        links = {"conditioning": conditioning, "image": seen, "mask": around.mask, "vae": "model.vae"}
        graph.add(name, "condition.inpaint", links | {"noise": f"{noise}.noise"})
        return {"conditioning": f"{name}.conditioning"}

    return _sampled(graph, wishes, around, "shape.latent", told, guidance)


def _sampled(
    graph: Graph,
    wishes: Wishes,
    around: Around,
    shape: str,
    links_of: Callable[[int], Links],
    guidance: float,
) -> list[str]:
    """A noise, a sampler and a decoder for each variation; each noise is one of the same batch."""
    filled = []
    denoiser = "lora.denoiser" if "lora" in graph.nodes else "model.denoiser"
    scale = guidance if wishes.guidance is None else wishes.guidance
    for number in variations(wishes):
        noise, sample, picture, own = (numbered(name, number, wishes) for name in ("noise", "sample", "picture", "own"))
        graph.add(noise, "noise.gaussian", {"latent": shape}, seed=wishes.seed, batch=MOST_VARIATIONS, pick=number - 1)
        links = {"denoiser": denoiser, "schedule": "steps.schedule", "noise": f"{noise}.noise"}
        graph.add(sample, "sample.denoise", links | dict(links_of(number)), guidance_scale=scale)
        graph.add(picture, "latent.decode", {"latent": f"{sample}.latent", "vae": "model.vae"})
        graph.add(own, "image.from_srgb", {"image": f"{picture}.image", "profile": around.profile})
        filled.append(f"{own}.image")
    numbers = variations(wishes)
    graph.input("seed", *(f"{numbered('noise', number, wishes)}.seed" for number in numbers))
    graph.input("steps", "steps.steps")
    graph.input("guidance", *(f"{numbered('sample', number, wishes)}.guidance_scale" for number in numbers))
    return filled
