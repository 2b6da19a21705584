"""Model folders of every family, LoRAs and latents: configurations, tokenizers, indexes and headers, mutated."""

import json
from dataclasses import dataclass

from . import json_trees, lures, odd_values, safetensors_files, templates
from .case import Case, random_of


def _load_picture(name="p"):
    return {name: {"type": "image.load", "params": {"path": "a.png"}}}


def _flow(nodes, outputs):
    return {"format": 1, "nodes": nodes, "outputs": outputs}


def _latent_model(kind, source, conditioning):
    """A workflow that uses every part of a latent model."""
    nodes = _load_picture() | {
        "m": {"type": kind, "params": {"source": source}},
        "e": {"type": "latent.encode", "inputs": {"image": "p.image", "vae": "m.vae"}},
        "t": {"type": "schedule.ddim", "params": {"steps": 1}, "inputs": {"scheduler": "m.scheduler"}},
        "n": {"type": "noise.gaussian", "inputs": {"latent": "e.latent"}},
        "s": {
            "type": "sample.denoise",
            "params": {"guidance_scale": 2.0},
            "inputs": {
                "denoiser": "m.denoiser",
                "schedule": "t.schedule",
                "noise": "n.noise",
                "conditioning": "c.conditioning",
            },
        },
        "d": {"type": "latent.decode", "inputs": {"latent": "s.latent", "vae": "m.vae"}},
    }
    return _flow(nodes | conditioning, {"image": "d.image"})


def _sd(source="./sd"):
    text = {
        "c": {
            "type": "condition.text",
            "version": 2,
            "params": {"prompt": "a b c"},
            "inputs": {"text_encoder": "m.text_encoder"},
        }
    }
    return _latent_model("model.stable_diffusion", source, text)


def _pbe(source="./pbe"):
    mask = {"k": {"type": "mask.load", "params": {"path": "mask.png"}}}
    exemplar = {
        "x": {"type": "condition.exemplar", "inputs": {"image": "p.image", "exemplar_encoder": "m.exemplar_encoder"}},
        "c": {
            "type": "condition.inpaint",
            "inputs": {
                "conditioning": "x.conditioning",
                "image": "p.image",
                "mask": "k.mask",
                "vae": "m.vae",
                "noise": "n.noise",
            },
        },
    }
    return _latent_model("model.paint_by_example", source, mask | exemplar)


def _pixel(source="./pixel"):
    nodes = _load_picture() | {
        "m": {"type": "model.pixel_diffusion", "params": {"source": source}},
        "e": {"type": "latent.encode", "inputs": {"image": "p.image", "vae": "m.vae"}},
        "t": {"type": "schedule.ddim", "params": {"steps": 1}, "inputs": {"scheduler": "m.scheduler"}},
        "n": {"type": "noise.gaussian", "inputs": {"latent": "e.latent"}},
        "s": {
            "type": "sample.denoise",
            "inputs": {"denoiser": "m.denoiser", "schedule": "t.schedule", "noise": "n.noise"},
        },
    }
    return _flow(nodes, {"latent": "s.latent"})


def _lora(source="lora.safetensors"):
    flow = _sd()
    flow["nodes"]["l"] = {"type": "model.lora", "params": {"source": source}, "inputs": {"denoiser": "m.denoiser"}}
    flow["nodes"]["s"]["inputs"]["denoiser"] = "l.denoiser"
    return flow


def _detr(source="./detr"):
    nodes = _load_picture() | {
        "m": {"type": "model.detector", "params": {"source": source}},
        "d": {
            "type": "mask.detect",
            "params": {"score": 0.0},
            "inputs": {"image": "p.image", "detector": "m.detector"},
        },
    }
    return _flow(nodes, {"mask": "d.mask"})


def _clip(source="./clip"):
    nodes = _load_picture() | {
        "m": {"type": "model.clip", "params": {"source": source}},
        "s": {"type": "metric.clip_score", "params": {"text": "a"}, "inputs": {"image": "p.image", "clip": "m.clip"}},
        "i": {"type": "metric.clip_image", "inputs": {"image": "p.image", "reference": "p.image", "clip": "m.clip"}},
    }
    return _flow(nodes, {"score": "s.value", "same": "i.value"})


def _dino(source="./dino"):
    nodes = _load_picture() | {
        "m": {"type": "model.dino", "params": {"source": source}},
        "d": {"type": "metric.dino", "inputs": {"image": "p.image", "reference": "p.image", "dino": "m.dino"}},
    }
    return _flow(nodes, {"value": "d.value"})


def _blip(source="./blip"):
    nodes = _load_picture() | {
        "m": {"type": "model.captioner", "params": {"source": source}},
        "c": {"type": "caption.blip", "inputs": {"image": "p.image", "captioner": "m.captioner"}},
    }
    return _flow(nodes, {"text": "c.text"})


def _latent(source="latent.safetensors"):
    nodes = {
        "l": {"type": "latent.load", "params": {"path": source}},
        "s": {"type": "latent.save", "inputs": {"latent": "l.latent"}},
    }
    return _flow(nodes, {"latent": "l.latent"})


FLOWS = {
    "sd": _sd,
    "pbe": _pbe,
    "pixel": _pixel,
    "detr": _detr,
    "clip": _clip,
    "dino": _dino,
    "blip": _blip,
    "lora": _lora,
    "latent": _latent,
}


def _files_of(family):
    """The mutable files of a family, by their names in the case's folder."""
    place = templates.FOLDER
    if family == "latent":
        return {"latent.safetensors": place / "static" / "latent.safetensors"}
    if family == "lora":
        return {"lora.safetensors": place / "lora.safetensors"}
    return {
        f"{family}/{path.relative_to(place / family)}": path
        for path in sorted((place / family).rglob("*"))
        if path.is_file()
    }


@dataclass(frozen=True)
class Models:
    """A workflow that loads a model and uses all its parts."""

    name: str
    families: tuple[str, ...]
    needs: tuple[str, ...]
    share: int
    changes: tuple[tuple[str, int], ...]

    @property
    def mutations(self):
        return dict(self.changes)

    def build(self, plan):
        family = random_of(plan.base).choice(self.families)
        flow, files, links, pipes = FLOWS[family](), {}, {}, []
        if family == "lora":
            files["lora.safetensors"] = (templates.FOLDER / "lora.safetensors").read_bytes()
        there = _files_of(family)
        for name, seed in plan.mutations:
            _mutate(name, random_of(seed), family, there, files, links, pipes)
        needs = [need for need in ("sd" if family == "lora" else family,) if need in templates.FOLDERS]
        files["w.json"] = json.dumps(flow).encode()
        return Case("run", "w.json", files=files, links=links, pipes=pipes, needs=needs, tame=True)


def _mutate(name, rng, family, there, files, links, pipes):
    suffixes = (".json",) if name in ("tree", "key") else (".safetensors",) if name.startswith("st ") else None
    names = [one for one in there if suffixes is None or one.endswith(suffixes)]
    if name == "beside":
        folders = sorted({one.rpartition("/")[0] for one in there})
        folder, beside = rng.choice(folders), rng.choice(list(lures.BESIDE))
        files[f"{folder}/{beside}" if folder else beside] = lures.BESIDE[beside]
        return
    if not names:
        return
    chosen = rng.choice(names)
    data = files.get(chosen) if chosen in files else there[chosen].read_bytes()
    if name == "link":
        links[chosen] = rng.choice(
            ("/dev/zero", "nowhere", chosen, "../../../secret/s.png", "/etc/passwd", "/proc/self/environ")
        )
    elif name == "pipe":
        pipes[:] = [*(one for one in pipes if one != chosen), chosen]
    elif name == "text":
        files[chosen] = json_trees.TEXT[rng.choice(list(json_trees.TEXT))](data[:100_000], rng)
    elif name == "empty":
        files[chosen] = rng.choice((b"", b"{}", b"[]", b"null", b"\x80\x02", lures.PICKLE))
    elif name.startswith("st "):
        files[chosen] = safetensors_files.changed(data, name[3:], rng)
    else:
        try:
            tree = json.loads(data)
        except (ValueError, RecursionError):
            return
        if name == "key" and isinstance(tree, dict):
            known = [key for key in lures.KEYS if key in tree]
            key = rng.choice(known) if known and rng.random() < 0.6 else rng.choice(list(lures.KEYS))
            tree[key] = rng.choice(lures.KEYS[key]) if rng.random() < 0.8 else odd_values.value(rng)
        elif isinstance(tree, (dict, list)):
            json_trees.TREE[rng.choice(list(json_trees.TREE))](tree, rng)
        files[chosen] = json_trees.dumps(tree)
    for other in (links, pipes):
        if chosen in files and chosen in other:
            other.pop(chosen) if isinstance(other, dict) else other.remove(chosen)
    if chosen in links or chosen in pipes:
        files.pop(chosen, None)
        if chosen in links and chosen in pipes:
            pipes.remove(chosen)


_ST = tuple((f"st {name}", weight) for name, weight in safetensors_files.CHANGES.items())
_CONFIGS = (("tree", 25), ("key", 40), ("text", 8), ("empty", 4), ("beside", 15), ("link", 4), ("pipe", 2))
_FAMILIES = ("sd", "sd", "pbe", "pixel", "detr", "clip", "dino", "blip")
_NEEDED = ("sd", "pbe", "pixel", "detr", "clip", "dino", "blip")
TARGETS = (
    Models("model", _FAMILIES, _NEEDED, 1, _CONFIGS),
    Models("weights", ("lora", "lora", "latent", "sd", "pixel", "detr", "clip"), (*_NEEDED, "lora"), 1, _ST),
)
