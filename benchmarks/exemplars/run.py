"""What appears in a hole filled by example: identity, copying, guidance, ablations, text compared with image.

    python benchmarks/exemplars/run.py --split val --scenes 60     the embedded model, guidance 0 (no exemplar) 1 3 5 7
    python benchmarks/exemplars/run.py --train DIR --steps 600 …   trains the ablations first (resumable)

The test split was run once, for docs/results/exemplars.md.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from inlay.benchmarks.exemplars.tasks import Task, copied, judge_fills, make_task, pasted, pil, right
from inlay.dollhouse.evaluate import wilson
from inlay.dollhouse.judge import load as load_judge
from inlay.graph_runtime import Context
from inlay.methods.latents import decode_latent, encode_picture
from inlay.methods.null_space import NullSpace
from inlay.methods.sampling.ddim import ddim
from inlay.methods.sampling.guidance import Guidance
from inlay.methods.sampling.loop import denoise
from inlay.methods.sampling.noise import gaussian
from inlay.models.image_encoder import preprocess_images
from inlay.models.noise_levels import noise_levels
from inlay.models.text_encoder import encode_text
from inlay.pictures.sheet import draw_sheet
from torch import Tensor
from torch.nn import functional as F

STEPS, BATCH = 30, 20


class Model(NamedTuple):
    """A Paint-by-Example model, loaded."""

    unet: Any
    encoder: Any
    vae: Any
    scale: float
    config: Any
    image_size: int


def load_model(source: str) -> Model:
    """By name or folder, in float32."""
    from inlay.nodes.model import paint_by_example

    parts = paint_by_example(source, dtype="float32")
    with torch.inference_mode(False):
        return Model(
            parts.denoiser.load("cpu"),
            parts.exemplar_encoder.load("cpu"),
            parts.vae.load("cpu"),
            parts.vae.scaling_factor,
            parts.scheduler.config,
            parts.exemplar_encoder.image_size,
        )


@torch.no_grad()
def by_example(model: Model, tasks: Sequence[Task], guidance: float, seed: int = 0) -> Tensor:
    """Fills `[b h w 3]`, pasted back."""
    truth = torch.stack([task.truth for task in tasks])
    keep = 1 - torch.stack([task.hole for task in tasks])[:, None]
    pixels = torch.cat([preprocess_images(task.exemplar[None], model.image_size, "stretch") for task in tasks])
    told = model.encoder(pixels)
    empty = model.encoder.uncond_vector.expand_as(told).contiguous()
    masked = encode_picture(
        model.vae, truth * keep.permute(0, 2, 3, 1) + 0.5 * (1 - keep.permute(0, 2, 3, 1)), model.scale, 0.0
    )
    extra = torch.cat([masked, F.interpolate(keep, masked.shape[2:])], dim=1)
    return paste(
        model.vae,
        model.scale,
        tasks,
        run(model.unet, model.config, masked.shape, seed, Guidance(told, empty, guidance, guidance != 1, extra)),
    )


def run(unet: Any, config: Any, shape: Sequence[int], seed: int, guidance: Guidance, constraint: Any = None) -> Tensor:
    """The loop on a loaded UNet, DDIM, 30 steps."""

    def call(z: Tensor, t: Tensor, told: Tensor | None) -> Tensor:
        return unet(z, t, encoder_hidden_states=told, return_dict=False)[0]

    stream = gaussian(tuple(shape), seed).stream()
    z = stream.start()
    eta = 0.0 if constraint is None else 0.85
    return denoise(
        call,
        ddim(noise_levels(config), steps=STEPS, eta=eta),
        z,
        stream,
        guidance,
        constraint=None if constraint is None else constraint.begin(z),
    )


def paste(vae: Any, scale: float, tasks: Sequence[Task], latent: Tensor) -> Tensor:
    """Decoded, and put into the hole; every other pixel is the room's own."""
    painted = torch.cat([decode_latent(vae, row, scale, 0.0) for row in latent.split(1)])
    holes = torch.stack([task.hole for task in tasks])[..., None]
    return torch.where(holes > 0, painted, torch.stack([task.truth for task in tasks]))


@torch.no_grad()
def by_text(tasks: Sequence[Task], guidance: float, seed: int = 0) -> Tensor:
    """The same holes from the caption, by method 1 on dollhouse."""
    from inlay.nodes.model import stable_diffusion
    from inlay.pictures.masks.latent import grow_cells, latent_hole

    parts = stable_diffusion("dollhouse", dtype="float32")
    unet, vae, text = (part.load("cpu") for part in (parts.denoiser, parts.vae, parts.text_encoder))
    told = torch.cat([encode_text(text, task.words)[0] for task in tasks])
    empty = encode_text(text, "")[0].expand_as(told).contiguous()
    holes = torch.stack([task.hole for task in tasks])
    truth = torch.stack([task.truth for task in tasks])
    scale = parts.vae.scaling_factor
    grey = truth * (1 - holes[..., None]) + 0.5 * holes[..., None]
    known = torch.cat([encode_picture(vae, row, scale, 0.0) for row in grey.split(1)])
    latent_mask = grow_cells(latent_hole(holes > 0, parts.vae.factor, "max"), 2)
    return paste(
        vae,
        scale,
        tasks,
        run(
            unet,
            parts.scheduler.config,
            known.shape,
            seed,
            Guidance(told, empty, guidance, True),
            NullSpace(known, latent_mask),
        ),
    )


def score(tasks: Sequence[Task], fills: Tensor, judge: Any) -> dict[str, Any]:
    """How many show class, pose and colour of the exemplar, and how much they copy it."""
    readings = judge_fills(judge, fills)
    found = [right(task, reading) for task, reading in zip(tasks, readings, strict=True)]
    row: dict[str, Any] = {}
    for name in found[0]:
        count = sum(item[name] for item in found)
        low, high = wilson(count, len(found))
        row[name] = {
            "right": count,
            "of": len(found),
            "share": round(count / len(found), 4),
            "low": round(low, 4),
            "high": round(high, 4),
        }
    scores = torch.tensor(
        [copied(task, fill, reading) for task, fill, reading in zip(tasks, fills, readings, strict=True)]
    )
    return row | {"copied": round(float(scores.mean()), 3)}


def in_batches(paint: Callable[[Sequence[Task], int], Tensor], tasks: Sequence[Task]) -> Tensor:
    """`paint` over all tasks, a batch at a time, each batch from a seed of its own."""
    return torch.cat([paint(tasks[start : start + BATCH], start) for start in range(0, len(tasks), BATCH)])


def compare(
    tasks: Sequence[Task],
    models: dict[str, Model],
    guidances: Sequence[float],
    text: float,
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Every row of the tables, and the fills."""
    judge = load_judge()
    rows: dict[str, Any] = {}
    fills: dict[str, Tensor] = {
        "the true drawing": torch.stack([task.truth for task in tasks]),
        "copy and paste": torch.stack([pasted(task) for task in tasks]),
    }
    whole = [task._replace(exemplar=task.elsewhere) for task in tasks]
    for guidance in guidances:
        fills[f"guidance {guidance:g}"] = in_batches(
            lambda some, seed, g=guidance: by_example(models["full"], some, g, seed), tasks
        )
    fills["shown in its own room"] = in_batches(lambda some, seed: by_example(models["full"], some, 5.0, seed), whole)
    for name, model in models.items():
        if name != "full":
            fills[name] = in_batches(lambda some, seed, m=model: by_example(m, some, 5.0, seed), tasks)
    if text:
        fills["from its caption"] = in_batches(lambda some, seed: by_text(some, text, seed), tasks)
    for name, fill in fills.items():
        rows[name] = score(tasks, fill, judge)
        print(name, json.dumps(rows[name]), flush=True)
    return rows, fills


def sheet(tasks: Sequence[Task], fills: dict[str, Tensor], count: int = 6) -> Tensor:
    """One line a task: hole, exemplar, and what each way made of it."""
    pictures, labels = [], []
    for number, task in enumerate(tasks[:count]):
        hole = task.truth * (1 - task.hole[..., None]) + 0.5 * task.hole[..., None]
        pictures += [hole, task.exemplar, *(fill[number] for fill in fills.values())]
        labels += ["hole", "exemplar", *fills] if number == 0 else [""] * (2 + len(fills))
    return draw_sheet(pictures, labels, 2 + len(fills))


# ---------------------------------------------------------------------------------------------------- ablations


class SpatialEncoder:
    """The ablation without a bottleneck: every token of CLIP instead of the one; wraps an exemplar encoder's class."""

    @staticmethod
    def install(encoder: Any) -> Any:
        """Give one encoder spatial tokens and a mapper that attends."""
        from types import MethodType

        def token(self: Any, pixels: Tensor) -> Tensor:
            seen = self.model(pixels)
            norm = getattr(self.model, "vision_model", self.model).post_layernorm
            return norm(seen.last_hidden_state)

        def project(self: Any, tokens: Tensor) -> Tensor:
            for block in self.mapper.blocks:
                normed = block.norm1(tokens)
                attended = F.scaled_dot_product_attention(
                    block.attn1.to_q(normed), block.attn1.to_k(normed), block.attn1.to_v(normed)
                )
                tokens = tokens + block.attn1.to_out[0](attended)
                tokens = tokens + block.ff.net[2](block.ff.net[0](block.norm3(tokens)))
            return self.proj_out(self.final_layer_norm(tokens))

        encoder.token, encoder.project = MethodType(token, encoder), MethodType(project, encoder)
        encoder.forward = lambda pixels: encoder.project(encoder.token(pixels))
        encoder.one_token = False
        return encoder


@dataclasses.dataclass(frozen=True)
class Altered:
    """A description whose module is altered after loading."""

    inner: Any
    alter: Callable[[Any], Any]
    mark: str
    dtype: str = "float32"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def fingerprint(self) -> str:
        """Another than the unaltered one's."""
        return f"{self.inner.fingerprint}-{self.mark}"

    def load(self, device: str) -> Any:
        """The altered module."""
        return self.alter(dataclasses.replace(self.inner, dtype=self.dtype).load(device))


def forget(unet: Any) -> Any:
    """A UNet of the same shape that has learned nothing: no generative prior."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(11)
        return type(unet)(**dict(unet.config))


def train_ablations(folder: Path, photos: Any, base: Any, clip: Any, steps: int, batch: int) -> dict[str, Model]:
    """Each variant from the same start, with the same budget; goes on where it was left."""
    from inlay.training.exemplar import ExemplarSettings, Parts, train_exemplar

    plain: dict[str, Any] = {
        "steps": steps, "batch_size": batch, "learning_rate": 4e-4, "condition_dropout": 0.15, "size": None,
        "variations": 1, "flip": 0.5, "rotate": 20.0, "blur": 0.3, "elastic": 0.3, "arbitrary_mask": 0.5,
        "mask_jitter": 0.4, "warmup": 100, "decay": 0.4, "weight_decay": 0.01, "ema": 0.99, "snr_limit": 5.0,
        "precision": "bfloat16", "micro_batch": 0, "checkpointing": False, "seed": 0, "resume": True,
        "save_every": 100, "sample_every": 0, "half": False, "prefix": "full",
    }  # fmt: skip
    none = {"flip": 0.0, "rotate": 0.0, "blur": 0.0, "elastic": 0.0}
    variants: dict[str, tuple[dict[str, Any], Any, Any]] = {
        "full, short": ({}, base.denoiser, clip),
        "no prior": ({}, Altered(base.denoiser, forget, "forgotten"), clip),
        "no bottleneck": ({}, base.denoiser, Altered(clip, SpatialEncoder.install, "spatial")),
        "no augmentation": (none, base.denoiser, clip),
        "no arbitrary mask": ({"arbitrary_mask": 0.0}, base.denoiser, clip),
    }
    models = {}
    for name, (changes, denoiser, encoder) in variants.items():
        settings = ExemplarSettings(**{**plain, **changes, "prefix": name.replace(", ", "-").replace(" ", "-")})
        parts = Parts(denoiser, base.vae, base.scheduler, encoder, photos)
        print(f"training: {name}", flush=True)
        began = time.monotonic()
        found = train_exemplar(parts, settings, Context(out=folder))
        print(f"{name}: {time.monotonic() - began:.0f} s", flush=True)
        model = load_model(str(found[0].origin.root))
        if name == "no bottleneck":
            SpatialEncoder.install(model.encoder)
        models[name] = model
    return models


def main() -> None:
    """Train what is asked for, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="dollhouse-exemplar")
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--guidance", type=float, nargs="+", default=[0, 1, 3, 5, 7])
    parser.add_argument("--text", type=float, default=5.0, help="guidance of the fill from a caption; 0 leaves it out")
    parser.add_argument("--train", type=Path, help="folder to train the ablations in; needs --photos and --boxes")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--boxes", type=Path)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--out", type=Path, help="folder for exemplars.json and exemplars.png")
    options = parser.parse_args()
    models = {"full": load_model(options.source)}
    if options.train:
        models |= ablations(options)
    tasks = [make_task(options.split, number) for number in range(options.scenes)]
    rows, fills = compare(tasks, models, options.guidance, options.text)
    if options.out:
        options.out.mkdir(parents=True, exist_ok=True)
        about = {"split": options.split, "scenes": options.scenes, "steps": STEPS, "source": options.source}
        (options.out / "exemplars.json").write_text(json.dumps(about | {"rows": rows}, indent=2) + "\n", "utf-8")
        pil(sheet(tasks, fills)[0]).save(options.out / "exemplars.png")


def ablations(options: argparse.Namespace) -> dict[str, Model]:
    """Photos, base and encoder for the ablations, and the trained models."""
    from inlay.nodes.model import exemplar_encoder, stable_diffusion
    from inlay.nodes.subject import photos

    pictures = photos(str(options.photos), ctx=Context(), boxes=str(options.boxes)).photos
    clip = exemplar_encoder("dollhouse-clip", width=160).exemplar_encoder
    return train_ablations(options.train, pictures, stable_diffusion("dollhouse"), clip, options.steps, options.batch)


if __name__ == "__main__":
    main()
