"""Train the embedded models from scratch: `python -m inlay.dollhouse.train --work DIR`.

Stages, in order: draw (pictures), vae, latents, patterns (the autoencoder's second training), text (the text encoder's
first), unet, clip, detector, judge, export, exemplar (the Paint-by-Example model, by the shipped workflow
train_exemplar), evaluate. An interrupted stage resumes from its checkpoint, bit for bit. Two CPU cores take
about four hours.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from rich.console import Console
from torch import Tensor
from transformers import CLIPModel, CLIPTokenizer

from . import evaluate, judge
from ._clip_stage import boxes, train_clip, untrained
from ._detector_stage import export_detector, train_detector
from ._detector_stage import untrained as untrained_detector
from ._draw_stage import pictures
from ._exemplar_stage import train_exemplar
from ._export import export, export_clip, export_exemplar
from ._latent_stage import make_latents
from ._loop import averaged
from ._pattern_stage import patterned, patterned_vae, train_patterns
from ._text_stage import caption_ids, text_encoder, token_ids, train_text
from ._unet_stage import UNET_CONFIG, Denoiser, train_unet
from ._vae_stage import train_vae
from ._words import write_tokenizer
from ._workers import in_workers

HERE = Path(__file__).parent
#: Steps of each stage that learns.
STEPS = {
    "vae": 4700,
    "patterns": 2500,
    "text": 300,
    "unet": 6400,
    "clip": 1500,
    "detector": 2800,
    "judge": 600,
    "exemplar": 5000,
}
VAE_BATCH, UNET_BATCH, CLIP_BATCH = 16, 32, 128
#: Numbers of processes that share the batches evenly.
WORKERS = (1, 2, 4)


@dataclass
class Job:
    """Settings of a training run."""

    work: Path
    device: str = "cpu"
    workers: int = 1
    drawn: int = 30_000  # pictures for the autoencoder
    encoded: int = 20_000  # of these, pictures for the denoiser
    worn: int = 4_000  # pictures of patterned subjects
    photographed: int = 12_000  # of these, pictures for the exemplar model
    steps: dict[str, int] = field(default_factory=lambda: dict(STEPS))
    weights: Path = HERE / "weights"
    judge_weights: Path = HERE / "judge.safetensors"
    results: Path = HERE.parent / "docs" / "results"
    images: Path = HERE.parent / "docs" / "images"

    @property
    def torch_device(self) -> torch.device:
        """The device for torch."""
        return torch.device(self.device)


def _draw(job: Job) -> None:
    pictures(job.work, job.drawn)


def _vae_worker(job: Job) -> None:
    batch = VAE_BATCH // job.workers
    train_vae(job.work, pictures(job.work, job.drawn), job.torch_device, steps=job.steps["vae"], batch=batch)


def _vae(job: Job) -> None:
    in_workers(job.workers, _vae_worker, job)


def _latents(job: Job) -> None:
    make_latents(job.work, job.drawn, job.encoded, job.torch_device, job.workers)


def _patterns(job: Job) -> None:
    vae = AutoencoderKL.from_pretrained(job.work / "vae-final")
    train_patterns(
        job.work,
        vae,
        pictures(job.work, job.drawn),
        patterned(job.work, job.worn),
        job.torch_device,
        steps=job.steps["patterns"],
    )


def _text(job: Job) -> None:
    tokenizer = write_tokenizer(job.work / "tokenizer")
    train_text(job.work, tokenizer, job.torch_device, steps=job.steps["text"])
    torch.save(caption_ids(tokenizer, job.encoded), job.work / "captions.pt")


def _denoiser(job: Job) -> Denoiser:
    """The denoiser before training: the trained text encoder, an untrained UNet."""
    torch.manual_seed(4)
    encoder = text_encoder(CLIPTokenizer.from_pretrained(job.work / "tokenizer"))
    prefix = "encoder."
    first = {k.removeprefix(prefix): v for k, v in averaged(job.work, "text").items() if k.startswith(prefix)}
    encoder.load_state_dict(first)
    return Denoiser(encoder, UNet2DConditionModel(**UNET_CONFIG))


def _unet_worker(job: Job) -> None:
    tokenizer = CLIPTokenizer.from_pretrained(job.work / "tokenizer")

    def candidate(step: int, average: dict[str, Tensor]) -> None:
        if step % 1000 == 0 or step == job.steps["unet"]:
            _write(job, average, job.work / "candidate")

    train_unet(
        job.work,
        _denoiser(job),
        torch.load(job.work / "latents.pt", weights_only=True),
        torch.load(job.work / "captions.pt", weights_only=True),
        token_ids(tokenizer, [""])[0],
        job.torch_device,
        steps=job.steps["unet"],
        batch=UNET_BATCH // job.workers,
        on_save=candidate,
    )


def _unet(job: Job) -> None:
    in_workers(job.workers, _unet_worker, job)


def _clip_model(job: Job) -> CLIPModel:
    """The CLIP before training: dollhouse's own text encoder, an untrained vision model."""
    torch.manual_seed(6)
    model = _denoiser(job)
    model.load_state_dict(averaged(job.work, "unet"))
    return untrained(model.text_encoder)


def _clip_worker(job: Job) -> None:
    train_clip(
        job.work,
        _clip_model(job),
        pictures(job.work, job.drawn),
        boxes(job.work, job.encoded),
        torch.load(job.work / "captions.pt", weights_only=True),
        job.torch_device,
        steps=job.steps["clip"],
        batch=CLIP_BATCH // job.workers,
    )


def _clip(job: Job) -> None:
    boxes(job.work, job.encoded)
    in_workers(job.workers, _clip_worker, job)


def _detector(job: Job) -> None:
    train_detector(
        job.work,
        pictures(job.work, job.drawn),
        boxes(job.work, job.encoded),
        job.torch_device,
        worn=patterned(job.work, job.worn),
        steps=job.steps["detector"],
    )


def _judge(job: Job) -> None:
    judge.save(judge.train_judge(job.work, job.torch_device, steps=job.steps["judge"]), job.judge_weights)


def _write(job: Job, average: dict[str, Tensor], folder: Path) -> None:
    model = _denoiser(job)
    model.load_state_dict(average)
    vae = patterned_vae(job.work, AutoencoderKL.from_pretrained(job.work / "vae-final"))
    export(folder, vae, model.text_encoder, CLIPTokenizer.from_pretrained(job.work / "tokenizer"), model.unet)


def _export(job: Job) -> None:
    _write(job, averaged(job.work, "unet"), job.weights)
    clip = _clip_model(job)
    clip.load_state_dict(averaged(job.work, "clip"))
    export_clip(job.weights.with_name("clip"), clip)
    detector = untrained_detector()
    detector.load_state_dict(averaged(job.work, "detector"))
    export_detector(job.weights.with_name("detector"), detector)


def _exemplar(job: Job) -> None:
    trained = train_exemplar(
        job.work,
        count=job.photographed,
        steps=job.steps["exemplar"],
        source=job.weights.resolve(),
        clip=job.weights.with_name("clip").resolve(),
        device=job.device,
        workers=job.workers,
    )
    export_exemplar(job.weights.with_name("exemplar"), trained)


def _evaluate(job: Job) -> None:
    evaluate.report(evaluate.evaluate(job.weights, job.judge_weights, "test"), job.results, job.images)


STAGES: dict[str, Callable[[Job], None]] = {
    "draw": _draw,
    "vae": _vae,
    "latents": _latents,
    "patterns": _patterns,
    "text": _text,
    "unet": _unet,
    "clip": _clip,
    "detector": _detector,
    "judge": _judge,
    "export": _export,
    "exemplar": _exemplar,
    "evaluate": _evaluate,
}


def _step_override(text: str) -> tuple[str, int]:
    stage, _, count = text.partition("=")
    if stage not in STEPS or not count.isdigit() or int(count) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not STAGE=COUNT with STAGE one of {', '.join(STEPS)}")
    return stage, int(count)


def parse(arguments: list[str] | None = None) -> tuple[Job, list[str]]:
    """Command line -> the job and its stages."""
    parser = argparse.ArgumentParser(
        prog="python -m inlay.dollhouse.train",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for pictures and checkpoints (2 GB)")
    parser.add_argument("--stage", action="append", choices=list(STAGES), help="only this stage; may be repeated")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--workers", type=int, help="processes to train with (default: one a core; 1 on a GPU)")
    parser.add_argument(
        "--steps", action="append", type=_step_override, default=[], metavar="STAGE=COUNT",
        help=f"another number of steps (defaults: {', '.join(f'{k}={v}' for k, v in STEPS.items())})",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, help="where to put weights, judge and report (default: this package)")
    options = parser.parse_args(arguments)
    device = options.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    cores = 1 if device == "cuda" else os.cpu_count() or 1
    workers = options.workers or max(count for count in WORKERS if count <= cores)
    if workers not in WORKERS:
        parser.error(f"--workers {workers}: must be 1, 2 or 4, so that batches divide evenly")
    job = Job(options.work, device, workers, steps=STEPS | dict(options.steps))
    if options.out:
        job.weights, job.judge_weights = options.out / "weights", options.out / "judge.safetensors"
        job.results = job.images = options.out
    return job, options.stage or list(STAGES)


def main() -> None:
    """Run the requested stages."""
    job, stages = parse()
    job.work.mkdir(parents=True, exist_ok=True)
    console = Console()
    for stage in STAGES:
        if stage in stages:
            console.rule(f"{stage} ({job.device}, {job.workers} at a time)")
            STAGES[stage](job)


if __name__ == "__main__":
    main()
