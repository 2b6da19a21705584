"""The methods that learn one subject, compared by subjects/run.py on the same views, steps and seed."""

import dataclasses
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from inlay.benchmarks.exemplars.fill import Model
from inlay.graph_runtime import Context
from inlay.methods.paint_by_example import ExemplarDenoiser, widen
from inlay.methods.subject_lora import add_lora
from inlay.models.noise_levels import noise_levels
from inlay.nodes import model as models
from inlay.nodes.subject import photos
from inlay.pictures.augmentation import Augment
from inlay.training.encoding import encoders_for
from inlay.training.example_source import ExampleSource
from inlay.training.examples import ExampleOptions
from inlay.training.inputs import TrainingInputs
from inlay.training.objective import Objective, prepare
from inlay.training.processes import Workers
from inlay.training.randomness import generator_of
from inlay.training.trainer import Trainer, TrainerOptions
from torch import Tensor, nn

#: Parameters of an SD-1.5 UNet with nine input channels, and of a LoRA of rank 1 on its attention (methods: §3) and on
#: its feed-forward layers.
SD15_WHOLE, SD15_RANK, SD15_FORWARD, SD15_WIDTH = 859_535_364, 149_568, 174_720, 768


@dataclass(frozen=True)
class Way:
    """One method: which parameters learn, where they start, and how views are augmented.

    Attributes:
        learns: lora, whole (every parameter of the UNet), word (one vector in place of the exemplar's), or nothing.
        rate: of AdamW.
        prior: start from the model trained to paint by example; otherwise from the text model with an untrained
            exemplar encoder.
        reference: flip, rotate and blur the exemplars.
        masks: holes larger than their boxes and of arbitrary shapes.
        rank: of a LoRA.
        forward: the LoRA is on the feed-forward layers too.
    """

    learns: str
    rate: float = 0.0
    prior: bool = True
    reference: bool = True
    masks: bool = True
    rank: int = 16
    forward: bool = False

    def stored(self, parameters: int) -> tuple[float, float]:
        """Megabytes in half precision: here, and with SD-1.5's shapes."""
        rank = self.rank * (SD15_RANK + SD15_FORWARD * self.forward)
        large = {"lora": rank, "whole": SD15_WHOLE, "word": SD15_WIDTH, "": 0}[self.learns]
        return 2 * parameters / 1e6, 2 * large / 1e6


@dataclass(frozen=True)
class Budget:
    """The same for all methods. The learning rate falls to zero over the second half of the steps."""

    steps: int
    batch: int
    views: int  # of each photo, made once and kept encoded


@dataclass(frozen=True)
class Taught:
    """A model that has learned a subject, and what that took."""

    model: Model
    seconds: float
    parameters: int


class OneWord(nn.Module):
    """An exemplar encoder that returns one learned vector for every input: textual inversion (Gal et al. 2022)."""

    def __init__(self, encoder: Any, start: Tensor):
        super().__init__()
        self.inner, self.word, self.one_token = encoder, nn.Parameter(start.detach().clone()), True

    @property
    def uncond_vector(self) -> Any:
        """The vector for no exemplar."""
        return self.inner.uncond_vector

    def token(self, pixels: Tensor) -> Any:
        """The encoder's token; `project` ignores it."""
        return self.inner.token(pixels)

    def project(self, tokens: Tensor) -> Tensor:
        """`[b n d]` -> the vector, `[b 1 d]`."""
        return self.word.expand(len(tokens), -1, -1)

    def forward(self, pixels: Tensor) -> Tensor:
        """`[b 3 s s]` -> the vector, `[b 1 d]`."""
        return self.word.expand(len(pixels), -1, -1)


def base_of(prior: bool) -> Any:
    """The components that a method starts from."""
    parts: Any = models.paint_by_example("dollhouse-exemplar", dtype="float32")
    if prior:
        return parts
    plain = models.stable_diffusion("dollhouse", dtype="float32")
    encoder = models.exemplar_encoder("dollhouse-clip", width=parts.denoiser.cross_attention_dim).exemplar_encoder
    return parts._replace(denoiser=plain.denoiser, exemplar_encoder=dataclasses.replace(encoder, dtype="float32"))


def teach(way: Way, folder: Path, budget: Budget, seed: int = 0) -> Taught:
    """Train one method on the photos and masks in `folder`; encoded views are kept there for the next method."""
    base, workers = base_of(way.prior), Workers("cpu")
    pictures = photos(str(folder / "photos"), Context(), masks=str(folder / "masks")).photos
    parts = TrainingInputs(base.denoiser, base.vae, base.scheduler, base.exemplar_encoder, pictures)
    with torch.inference_mode(False), torch.enable_grad():
        unet, encoder, vae = (part.load("cpu") for part in (parts.denoiser, parts.encoder, parts.vae))
        if parts.denoiser.in_channels == parts.denoiser.latent_channels:
            widen(unet, parts.denoiser.latent_channels + 1)
        prepare(unet, one_token=True, plain_attention=True, checkpointing=False)
        side = int(parts.denoiser.sample_size * parts.vae.factor)
        augment = Augment(elastic=0.0) if way.reference else Augment(0.0, 0.0, 0.0, 0.0)
        how = ExampleOptions(side, parts.encoder.image_size, augment, *((0.5, 0.4) if way.masks else (0.0, 0.0)))
        source = ExampleSource(
            pictures, how, encoders_for(parts, vae, encoder, workers, "float32", side), seed, budget.views
        )
        if way.learns:
            source.keep(folder / f"views-{way.reference:d}{way.masks:d}-{budget.views}", workers, lambda *_: None)
        began = time.process_time()
        module = ExemplarDenoiser(unet, encoder)
        names = list(_learning(way, module, source, seed))
        if way.learns:
            recipe = TrainerOptions(
                budget.steps,
                budget.batch,
                way.rate,
                warmup=20,
                decay=0.5,
                ema=0.0,
                precision="float32",
                save_every=10**9,
            )
            levels = noise_levels(parts.scheduler.config)
            objective = Objective(
                levels.alpha_bars,
                levels.prediction,
                0.2,
                seed,
            )
            trainer = Trainer(folder / "run", "benchmark", module, names, recipe, workers)
            trainer.save = lambda: None  # type: ignore[method-assign]
            trainer.fit(
                lambda net, step, rows: objective.loss(net, source, step, rows, workers.device), lambda _: None, print
            )
        count = sum(value.numel() for name, value in module.named_parameters() if name in set(names))
    module.requires_grad_(False).eval()
    return Taught(
        Model(
            module.unet, module.encoder, vae, parts.vae.scaling_factor, parts.scheduler.config, parts.encoder.image_size
        ),
        time.process_time() - began,
        count,
    )


def _learning(way: Way, module: ExemplarDenoiser, source: ExampleSource, seed: int) -> Iterable[str]:
    """Create what learns; returns the names of its parameters."""
    if way.learns == "whole":
        return [name for name in module.trainable() if name.startswith("unet.")]
    if way.learns == "word":
        assert source.kept is not None
        module.encoder = OneWord(module.encoder, module.encoder.project(source.kept.token).mean(0, keepdim=True))
        return ["encoder.word"]
    if way.learns == "lora":
        kinds = ["self", "one"] + ["feedforward"] * way.forward
        add_lora(module.unet, kinds, way.rank, None, generator_of(seed, "lora").initial_seed())
        return [name for name, _ in module.named_parameters() if ".lora_" in name]
    return []
