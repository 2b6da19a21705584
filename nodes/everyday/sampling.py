"""The methods: from the window around the hole to the photo with it filled, for each variation."""

from .areas import profile_of
from .graph import Graph
from .model import continues, denoiser, detector, is_drawn, works_twice
from .options import LARGEST_SEED, MOST_VARIATIONS
from .parts import Window, cut, numbered, stitch, variations
from .values import Wishes

STEPS = {"null_space": 30, "exemplar": 50, "model": 50}
GUIDANCE = {"null_space": 7.5, "exemplar": 5.0, "model": 7.5}
GUIDANCE_OF_DRAWN = {"null_space": 3.0}
AGAIN = 0.5  # strength of a second pass


def filled(graph: Graph, wishes: Wishes, method: str, window: Window) -> list[str]:
    """The photo with its hole filled, for each variation."""
    return [_one(graph, wishes, method, window, number) for number in variations(wishes)]


def _one(graph: Graph, wishes: Wishes, method: str, window: Window, number: int) -> str:
    name = numbered("stitch", number, wishes)
    if method == "patches":
        return stitch(graph, name, _patches(graph, wishes, window, number), window, feather=wishes.feather)
    how = {
        "blend": "gradients" if continues(wishes, method) else "membrane"
    }  # the latter keeps shading that is painted
    patch = _sampled(graph, wishes, method, window, number, wishes.strength or 1.0)
    if works_twice(wishes, method):  # once more, over the first result, and as large as is asked for
        tail = numbered("_again", number, wishes)
        first = stitch(graph, f"first{tail}", patch, window, **how)
        window = cut(graph, wishes, method, first, Window(f"crop{tail}", tail), sized=True)
        patch = _sampled(graph, wishes, method, window, number, AGAIN)
    return stitch(graph, name, patch, window, feather=wishes.feather, **how)


def _patches(graph: Graph, wishes: Wishes, window: Window, number: int) -> str:
    """Fill from the rest of the photo; variation n has the seed n − 1 later."""
    name = numbered("fill", number, wishes)
    seed = (wishes.seed + number - 1) % (LARGEST_SEED + 1)
    links = {"image": window.image, "mask": window.mask}
    if name == "fill":
        graph.input("seed", "fill.seed")
    return graph.add(name, "image.fill", links, fill="patches", seed=seed) + ".image"


def _sampled(graph: Graph, wishes: Wishes, method: str, window: Window, number: int, strength: float) -> str:
    """A noise, a sampler and a decoder of its own for each variation; each noise is one of the same batch.

    With a strength below 1, what the window holds is where it begins; in the first pass, that is a fill.
    """
    start = _encoded(graph, window, _base(method, window, strength))
    together = wishes.together and not window.tail and len(variations(wishes)) > 1
    noise, sample, picture = (
        name if together else _named(name, window, number, wishes) for name in ("noise", "sample", "picture")
    )
    which: dict[str, object] = {"count": len(variations(wishes))} if together else {"pick": number - 1}
    graph.once(noise, "noise.gaussian", {"latent": start}, seed=wishes.seed, batch=MOST_VARIATIONS, **which)
    links = {"denoiser": denoiser(graph), "schedule": _steps(graph, wishes, method), "noise": f"{noise}.noise"}
    if method == "null_space":
        links |= {"conditioning": _words(graph, wishes), "constraint": _constraint(graph, wishes, window, start)}
    else:
        told = _example(graph, wishes) if method == "exemplar" else _words(graph, wishes)
        links["conditioning"] = _masked(
            graph,
            window,
            "inpaint" if together else _named("inpaint", window, number, wishes),
            told,
            f"{noise}.noise",
        )
    usual = GUIDANCE | (GUIDANCE_OF_DRAWN if is_drawn(wishes) else {})
    how: dict[str, object] = {"guidance_scale": usual[method] if wishes.guidance is None else wishes.guidance}
    graph.input("seed", f"{noise}.seed")
    graph.input("guidance", f"{sample}.guidance_scale")
    if strength < 1:
        links["latent"], how["strength"] = start, strength
        if not window.tail:
            graph.input("strength", f"{sample}.strength")
    graph.once(sample, "sample.denoise", links, **how)
    graph.once(picture, "latent.decode", {"latent": f"{sample}.latent", "vae": "model.vae"})
    if together:
        links, how = {"image": f"{picture}.image"}, {"number": number, "of": len(variations(wishes))}
        picture = graph.add(numbered("picked", number, wishes), "image.pick", links, **how)
    own, links = _named("own", window, number, wishes), {"image": f"{picture}.image", "profile": profile_of(graph)}
    return graph.add(own, "image.from_srgb", links) + ".image"


def _named(name: str, window: Window, number: int, wishes: Wishes) -> str:
    """The name of a node of one variation in one window."""
    return f"{name}{window.tail}" if window.tail else numbered(name, number, wishes)


def _seen(graph: Graph, window: Window) -> str:
    """The window in sRGB, which models expect."""
    links = {"image": window.image, "profile": profile_of(graph)}
    return graph.once(f"seen{window.tail}", "image.to_srgb", links) + ".image"


def _base(method: str, window: Window, strength: float) -> str | None:
    """What stands in the hole of the first pass; None: what is there, which nothing keeps."""
    if window.tail:
        return None
    if strength < 1:
        return "patches"
    return "neutral" if method == "null_space" else None  # whatever it is, pixel space replaces its traces


def _encoded(graph: Graph, window: Window, fill: str | None) -> str:
    """The latent of the window, as it is or with its hole filled."""
    image = _seen(graph, window)
    if fill is not None:
        image = graph.once("base", "image.fill", {"image": image, "mask": window.mask}, fill=fill) + ".image"
    return graph.once(f"known{window.tail}", "latent.encode", {"image": image, "vae": "model.vae"}) + ".latent"


def _constraint(graph: Graph, wishes: Wishes, window: Window, known: str) -> str:
    """Keep what is known in the null space of the hole (Kakinuma et al. 2024), and in a late step in pixel space."""
    links = {"image": _seen(graph, window), "mask": window.mask, "vae": "model.vae"}
    late = {"share": 0.67, "times": 3 if _careful(wishes, "null_space") else 1, "blend": "membrane"}
    pixels = graph.once(f"pixels{window.tail}", "constraint.pixel_space", links, **late)
    cells = graph.once(f"cells{window.tail}", "mask.to_latent", {"mask": window.mask, "vae": "model.vae"}, dilate=0)
    links = {"latent": known, "latent_mask": f"{cells}.latent_mask", "then": f"{pixels}.constraint"}
    return graph.once(f"keep{window.tail}", "constraint.null_space", links) + ".constraint"


def _steps(graph: Graph, wishes: Wishes, method: str) -> str:
    links, steps = {"scheduler": "model.scheduler"}, wishes.steps or STEPS[method]
    if method == "null_space":
        graph.once("steps", "schedule.ddim", links, steps=steps, eta=1.0 if _careful(wishes, method) else 0.85)
    else:
        graph.once("steps", "schedule.solver", links, kind="pndm", steps=steps)
    graph.input("steps", "steps.steps")
    return "steps.schedule"


def _careful(wishes: Wishes, method: str) -> bool:
    """True where quality=best is one slower pass: one over the first result would lose what that continues."""
    return wishes.quality == "best" and not works_twice(wishes, method)


def _words(graph: Graph, wishes: Wishes) -> str:
    links = {"text_encoder": "model.text_encoder"}
    graph.once("words", "condition.text", links, prompt=wishes.prompt or "", negative=wishes.negative or "")
    graph.input("prompt", "words.prompt")
    graph.input("negative", "words.negative")
    return "words.conditioning"


def _example(graph: Graph, wishes: Wishes) -> str:
    """The thing of another picture (Yang et al. 2022)."""
    if "told" in graph.nodes:
        return "told.conditioning"
    graph.path("example", "image.load", "path", wishes.example, "exemplar.png")
    graph.input("example", "example.path")
    graph.add("example_seen", "image.to_srgb", {"image": "example.image", "profile": "example.profile"})
    links = {"exemplar_encoder": "model.exemplar_encoder", "image": "example_seen.image", "mask": "example.mask"}
    if wishes.lora is not None and (wishes.detector is not None or is_drawn(wishes)):
        links = {"exemplar_encoder": "model.exemplar_encoder", "image": _subject(graph, wishes)}
        return graph.add("told", "condition.exemplar", links, preprocess="stretch") + ".conditioning"
    return graph.add("told", "condition.exemplar", links) + ".conditioning"


def _subject(graph: Graph, wishes: Wishes) -> str:
    """The example cut to the thing in it, as the photos were from which the LoRA was learned."""
    links = {"image": "example_seen.image", "detector": detector(graph, wishes)}
    graph.add("subject", "mask.detect", links, pick="best")
    links = {"image": "example_seen.image", "mask": "subject.mask"}
    still = {"flip": 0.0, "rotate": 0.0, "blur": 0.0, "elastic": 0.0}
    return graph.add("cut", "image.augment", links, **still, size=64 if is_drawn(wishes) else 224) + ".image"


def _masked(graph: Graph, window: Window, name: str, told: str, noise: str) -> str:
    """What an inpainting UNet sees besides the latent: the masked picture and the mask."""
    links = {"conditioning": told, "image": _seen(graph, window), "mask": window.mask, "vae": "model.vae"}
    return graph.once(name, "condition.inpaint", links | {"noise": noise}) + ".conditioning"
