"""Learning one subject from a few photos (Lim & Kim): `train.subject_lora` without its sockets.

Paint by Example's own objective, with the photos as their own exemplars; what learns is a LoRA on the UNet alone.
"""

import dataclasses
import json
import math
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from ..graph_runtime import BadInput, Context
from ..graph_runtime.core.port_types import has_fact
from ..graph_runtime.core.values import describe
from ..methods.paint_by_example import ExemplarDenoiser
from ..methods.subject_lora import Targets, add_lora, kinds_of
from ..models.lora.component import weights_hash
from ..models.lora.file import Layout, Pair, stored_names
from ..models.lora.source import LoraSource
from ..models.noise_levels import alphas_cumprod, check_prediction_type
from ..models.roles import require_denoiser
from ..pictures.augmentation import Augment
from .examples import Recipes, Source
from .exemplar import SMALL, Parts, encoders_of, fit, side_of
from .exemplar_output import Run, Sheets, append_line
from .objective import Objective, prepare
from .processes import Workers
from .settings import TrainingSettings
from .trainer import Progress, Recipe, Trainer, TrainingFailed, generator_of, write_tensors

Count = Annotated[int, Field(ge=1, le=10**6)]
VIEWS = 100  # augmented views of each photo in an epoch
FEW, MANY = 2, 8  # photos
LITTLE = 0.10  # share of a photo that a subject should fill
GAIN = 1e-3  # likeness by which a sheet must be better to count
ALIKE = 0.999  # cosine from which two photos show the same thing in the same way
#: Likeness, from 0 (a subject and a room) to 1 (a subject and its mirror image), below which photos show other things.
#: Of drawn subjects the least alike photos of one are at 0.25; half of those of different kinds lie below 0.2.
ALIEN = 0.2


class SubjectSettings(TrainingSettings):
    """Settings of `train.subject_lora`.

    Attributes:
        rank: of the LoRA; 1 to 64, the file grows with it.
        alpha: scale of the LoRA; null is the rank, which is a scale of 1.
        targets: attention, or the feed-forward layers too.
        epochs: how long; an epoch is 100 augmented views of each photo. More of them go on where the training ended,
            unless decay is set: then another number is another training.
        variations: examples made of each photo once and kept encoded; 0 makes new ones at each step, which takes more
            than twice as long.
        precision: what is computed in; the LoRA learns in float32. auto: bfloat16 on a GPU that has it.
        patience: sheets without more likeness to the subject after which training ends; 0 goes to the last epoch.
        layout: names of the tensors in the file, as diffusers or as kohya writes them.
    """

    FREE = TrainingSettings.FREE | {"patience", "layout"}
    LENGTH = "epochs"
    ORDER = (
        *("rank", "alpha", "targets", "epochs", "batch_size", "learning_rate", "condition_dropout", "size"),
        *("variations", "flip", "rotate", "blur", "mask_jitter", "arbitrary_mask", "decay", "weight_decay"),
        *("precision", "micro_batch", "checkpointing", "seed", "resume", "save_every", "sample_every", "patience"),
        *("layout", "prefix"),
    )

    rank: Annotated[int, Field(ge=1, le=1024)] = 4
    alpha: Annotated[float, Field(gt=0, le=4096)] | None = None
    targets: Targets = "attention"
    epochs: Count = 40
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 3e-5
    variations: Annotated[int, Field(ge=0, le=10_000)] = 100
    save_every: Count = 100
    sample_every: Annotated[int, Field(ge=0)] = 100
    patience: Annotated[int, Field(ge=0)] = 0
    layout: Layout = "diffusers"
    prefix: str = "subject"

    def steps(self, photos: int) -> int:
        """Optimizer steps: an epoch is 100 augmented views of each photo."""
        return math.ceil(self.epochs * VIEWS * photos / self.batch_size)


def train_subject(parts: Parts, settings: SubjectSettings, ctx: Context) -> tuple[LoraSource, str]:
    """Train to the last epoch, going on where the training was left; the LoRA's file, and a report.

    Raises:
        BadInput: the parts do not fit together, or the rank is larger than a layer.
        TrainingFailed: the loss is not finite, or a file cannot be written.
    """
    _require_subject(parts, ctx)
    side = side_of(parts, settings.size)
    workers = Workers(ctx.device)
    steps = settings.steps(len(parts.photos.pairs()))
    recipe = Recipe(steps, settings.batch_size, settings.learning_rate, settings.weight_decay, decay=settings.decay,
                    ema=0.0, seed=settings.seed, micro_batch=settings.micro_batch, precision=settings.precision,
                    save_every=settings.save_every)
    with torch.inference_mode(False), torch.enable_grad():
        model = _model(parts, settings, side, workers)
        key = settings.key(side, [part.fingerprint for part in parts])
        run = Run.open(ctx, settings.prefix, key, settings.resume, workers)
        names = [name for name, _ in model.named_parameters() if ".lora_" in name]
        trainer = Trainer(run.folder, run.key, model, names, recipe, workers)
        if settings.resume and trainer.resume():
            ctx.warn(f"going on from step {trainer.step}, found in {run.folder}")
        with ctx.models.lease(parts.vae, str(workers.device)) as vae:
            encoders = encoders_of(vae, parts, model.encoder, workers, settings.precision, side)
            augment = Augment(flip=settings.flip, rotate=settings.rotate, blur=settings.blur, elastic=0.0)
            how = Recipes(side, parts.encoder.image_size, augment, settings.arbitrary_mask, settings.mask_jitter)
            source = Source(parts.photos, how, encoders, settings.seed, settings.variations)
            _compare_photos(parts, source, ctx)
            if settings.variations and trainer.step < steps:
                source.keep(run.folder / "examples", workers,
                            lambda done, total: ctx.progress(done, total, note="encoding views"))
            draw = Sheets(source, model, trainer, parts, vae, run) if settings.sample_every else None
            stopped = _fit(parts, settings, ctx, run, trainer, source, draw)
        path = run.folder / "lora.safetensors"
        if workers.main:
            _write(path, trainer, parts, settings, stopped)
        workers.wait()
    if workers.main:
        ctx.announce(path)
    return LoraSource(str(path)), _report(path, trainer, parts, settings, stopped)


def _fit(parts: Parts, settings: SubjectSettings, ctx: Context, run: Run, trainer: Trainer, source: Source, draw: Any,
         ) -> str:
    """Train; says why it ended before the last step, or nothing."""
    objective = Objective(alphas_cumprod(parts.scheduler.config), check_prediction_type(
        parts.scheduler.prediction_type), settings.condition_dropout, settings.seed)
    watch = _Watch(run.folder / "likeness.jsonl", settings.patience, trainer.step)
    total, begun, main = trainer.recipe.steps, trainer.step, trainer.workers.main

    def on_step(now: Progress) -> None:
        if main and (now.step % 10 == 0 or now.step == total):
            append_line(run.folder / "log.jsonl", dataclasses.asdict(now))
        sheet, said = None, ""
        drawn = draw is not None and now.step % settings.sample_every == 0
        if drawn and main:
            sheet = draw(now.step)
            watch.see(now.step, draw.likeness)
            said = f" · likeness {draw.likeness:.3f}"
        ctx.progress(now.step, total, sheet, f"loss {now.mean:.4f} · {now.per_second:.1f} views/s{said}")
        # the main process alone has seen the sheet; one that went on without it would wait for it for ever
        if settings.patience and (drawn or now.step == begun + 1) and trainer.workers.any(watch.over):
            raise _Enough

    try:
        fit(trainer, objective, source, on_step, ctx.warn)
    except _Enough:  # the trainer has written its checkpoint
        return (f"stopped at step {trainer.step} of {total}: the samples' likeness to the subject has not grown for "
                f"{settings.patience} sheets")
    return ""


class _Enough(Exception):
    """The samples stopped improving."""


class _Watch:
    """Whether the samples still become more like the subject; remembers over a resumed training."""

    def __init__(self, path: Path, patience: int, step: int):
        self._path, self._patience = path, patience
        self._seen: list[tuple[int, float]] = []
        try:
            lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
            self._seen = [(line["step"], line["likeness"]) for line in lines if line["step"] <= step]
        except (OSError, ValueError, KeyError):
            pass  # a log that is gone or cut off only means a longer training

    def see(self, step: int, likeness: float) -> None:
        """Note the likeness of a sheet."""
        self._seen = [*(seen for seen in self._seen if seen[0] < step), (step, likeness)]
        append_line(self._path, {"step": step, "likeness": likeness})

    @property
    def over(self) -> bool:
        """True when the best sheet is `patience` sheets ago; never where patience is 0."""
        if not self._patience or len(self._seen) <= self._patience:
            return False
        values = [likeness for _, likeness in self._seen]
        return max(values[-self._patience:]) < max(values[:-self._patience]) + GAIN


def require_models(parts: Parts) -> None:
    """Raise BadInput unless a LoRA of a subject can be trained on these models."""
    require_denoiser(parts.denoiser)
    if hasattr(parts.denoiser, "adapters"):
        raise BadInput("denoiser", found=f"the {parts.denoiser.label}", expected="a base model, without LoRAs",
                       fix="wire the model node itself; the finished LoRA can be stacked on others")
    if not has_fact(parts.encoder, "image_size"):
        raise BadInput("exemplar_encoder", found=describe(parts.encoder), expected="an exemplar encoder",
                       fix="wire the exemplar_encoder output of model.paint_by_example")
    wanted = 2 * parts.denoiser.latent_channels + 1
    if parts.denoiser.in_channels != wanted:
        raise BadInput("denoiser", found=f"the {parts.denoiser.label}, of {parts.denoiser.in_channels} input channels",
                       expected=f"{wanted}: a Paint-by-Example model", fix="wire model.paint_by_example")
    if parts.encoder.width != parts.denoiser.cross_attention_dim:
        raise BadInput("exemplar_encoder", found=f"tokens of width {parts.encoder.width}",
                       expected=f"{parts.denoiser.cross_attention_dim}, as the {parts.denoiser.label} listens to",
                       fix="take both from one model.paint_by_example")


def _require_subject(parts: Parts, ctx: Context) -> None:
    require_models(parts)
    if not hasattr(parts.photos, "pairs"):
        raise BadInput("photos", found=describe(parts.photos), expected="photos of the subject",
                       fix="wire the photos output of subject.photos")
    pairs, photos = parts.photos.pairs(), parts.photos.photos
    if len(pairs) < FEW:
        ctx.warn("one photo: what it shows is learned with its pose and its light; two to four photos are better")
    if len(pairs) > MANY:
        ctx.warn(f"{len(pairs)} views of the subject: two to four are enough, and training takes as many times longer")
    for number, (left, top, right, bottom) in pairs:
        share = (right - left) * (bottom - top) / (photos[number].width * photos[number].height)
        if share < LITTLE:
            ctx.warn(f"{photos[number].name}: the subject fills {share:.0%} of it; cut the photo closer, or little of "
                     "its detail is learned")


@torch.no_grad()
def _compare_photos(parts: Parts, source: Source, ctx: Context) -> None:
    """Warn of photos that are one and the same, or that seem to show something else, as the exemplar encoder sees them.

    Encoders differ in what a cosine means, so 0 is how alike subjects are to rooms without them, 1 to their mirror
    images.
    """
    if not 2 <= len(source.pairs) <= MANY:
        return
    plain = Recipes(source.how.size, source.how.exemplar_size, Augment(0.0, 0.0, 0.0, 0.0))
    seen = Source(parts.photos, plain, source.encoders, source.seed, 0)
    exemplars = torch.stack([example.exemplar for example in seen.examples(
        [(number, 0) for number in range(len(seen.pairs))])[0]])
    rooms = torch.cat([_without(source.photos.photos[photo].picture(), box, plain.exemplar_size)
                       for photo, box in seen.pairs])
    subjects, mirrored, empty = (_tokens(pictures, source) for pictures in (exemplars, exemplars.flip(3), rooms))
    close = subjects @ subjects.T
    low, high = float((subjects @ empty.T).mean()), float((subjects * mirrored).sum(1).mean())
    names = [parts.photos.photos[number].name for number, _ in source.pairs]
    for one, other in combinations(range(len(names)), 2):
        if close[one, other] > ALIKE:
            ctx.warn(f"{names[one]} and {names[other]} show the subject alike: photos from other sides, or in other "
                     "light, teach more")
    if high - low > ALIEN:
        nearest = ((close - 2 * torch.eye(len(names)).to(close)).amax(1) - low) / (high - low)
        strange = [name for name, value in zip(names, nearest.tolist(), strict=True) if value < ALIEN]
        if strange and len(names) == 2:
            ctx.warn(f"{names[0]} and {names[1]} seem to show different things: are they photos of one subject?")
        elif strange:
            ctx.warn(f"{', '.join(strange)} seem{'s' * (len(strange) == 1)} to show something else than the other "
                     "photos: are they all of one subject?")


def _without(picture: Tensor, box: Sequence[int], side: int) -> Tensor:
    """A picture `[h w 3]` with its subject's box grey, `[1 3 s s]`."""
    left, top, right, bottom = box
    room = picture.clone()
    room[top:bottom, left:right] = 0.5
    return F.interpolate(room.permute(2, 0, 1)[None], (side, side), mode="bicubic", antialias=True).clamp(0, 1)


def _tokens(pictures: Tensor, source: Source) -> Tensor:
    """Unit vectors of pictures `[b 3 s s]`, as the exemplar encoder sees them."""
    with_ = source.encoders
    return F.normalize(with_.clip(((pictures - with_.mean) / with_.std).to(with_.device)).flatten(1).float(), dim=-1)


def _model(parts: Parts, settings: SubjectSettings, side: int, workers: Workers) -> ExemplarDenoiser:
    """UNet with a fresh LoRA and the encoder, in training precision, nobody else's."""
    name = "float64" if parts.denoiser.dtype == "float64" else "float32"
    unet, encoder = (dataclasses.replace(part, dtype=name).load(str(workers.device))
                     for part in (parts.denoiser, parts.encoder))
    plain = workers.device.type == "cpu" and (side // parts.vae.factor) ** 2 <= SMALL
    prepare(unet, one_token=encoder.one_token, plain_attention=plain, checkpointing=settings.checkpointing)
    kinds = kinds_of(encoder.one_token, settings.targets)
    add_lora(unet, kinds, settings.rank, settings.alpha, generator_of(settings.seed, "lora").initial_seed())
    return ExemplarDenoiser(unet, encoder).to(workers.device)










def _pairs(trainer: Trainer, settings: SubjectSettings) -> dict[str, Pair]:
    """The learned pairs by the UNet's own names, on the CPU: what becomes of them there may need float64."""
    values = {name: value.cpu() for name, value in trainer.result().items()}
    alpha = float(settings.alpha or settings.rank)
    pairs = {}
    for name, down in values.items():
        stem, mark, _ = name.partition(".lora_A.")
        if mark:
            up = values[f"{stem}.lora_B.subject.weight"]
            pairs[stem.removeprefix("unet.")] = Pair(down, up, alpha)
    return pairs


def _write(path: Path, trainer: Trainer, parts: Parts, settings: SubjectSettings, stopped: str) -> None:
    base = parts.denoiser.base()
    about = {"base": base.origin.name, "base_sha256": weights_hash(base), "rank": settings.rank,
             "alpha": float(settings.alpha or settings.rank), "targets": settings.targets, "steps": trainer.step,
             "photos_sha256": parts.photos.fingerprint, "stopped": stopped, "training": settings.values()}
    tensors = {name: value.half() if value.ndim else value
               for name, value in stored_names(_pairs(trainer, settings), settings.layout).items()}
    for name, value in tensors.items():
        if not torch.isfinite(value).all():
            raise TrainingFailed("learning_rate", found=f"numbers in {name} that half precision cannot hold",
                                 expected=f"less than {torch.finfo(torch.float16).max:g}",
                                 fix="set another prefix and a lower learning_rate or alpha")
    write_tensors(tensors, path, about)


def _report(path: Path, trainer: Trainer, parts: Parts, settings: SubjectSettings, stopped: str) -> str:
    count = sum(value.numel() for value in trainer.values.values())
    rows = {"base": parts.denoiser.base().origin.name, "photos": len(parts.photos), "rank": settings.rank,
            "steps": trainer.step, "loss, running mean": f"{trainer.mean:.5f}", "parameters": f"{count:,}",
            "file": f"{path} ({path.stat().st_size / 1e6:.2f} MB)" if path.exists() else str(path)}
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"# {path.parent.name}\n\n| | |\n|---|---|\n{table}\n" + (f"\n{stopped}\n" if stopped else "")

