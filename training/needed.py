"""What a training makes in a device's memory, known before it: it is gone through once with tensors without values.

Models, gradients, moments, average and activations are made and freed as in the training itself: views are encoded, a
sheet is painted, a step is taken, and on a CPU a checkpoint is collected.
"""

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, cast

from ..graph_runtime import Needed
from ..graph_runtime.core.light.later import Tensor, nn, torch
from ..graph_runtime.core.memory.counted import CountedMemory, counted
from ..graph_runtime.core.values import without_gradients
from ..methods.paint_by_example import ExemplarDenoiser
from ..models.noise_levels import noise_levels
from ..models.paint_by_example.encoder import ExemplarEncoder
from .encoding import Batch, Encoders, UnencodedBatch, encode, encoders_for
from .exemplar import load_model as load_exemplar
from .exemplar_settings import ExemplarSettings
from .inputs import TrainingInputs, side_of
from .moving_average import averaged
from .objective import Objective, StepDraws
from .processes import Workers
from .sample_sheets import SHOWN
from .settings import TrainingSettings
from .subject import load_model as load_subject
from .subject_settings import SubjectSettings
from .trainer import Trainer, TrainerOptions

if TYPE_CHECKING:
    from pathlib import Path

WITHOUT = "meta"  # the device of tensors without values
MOST_KNOWN = 32
MARGIN = 1.02  # loss, learning rates and what else is small
_known: dict[tuple[object, ...], Needed] = {}  # by device, photos, settings and models


class _Training(NamedTuple):
    """What differs between trainings."""

    load: Callable[..., ExemplarDenoiser]
    names: Callable[[ExemplarDenoiser], list[str]]
    options: TrainerOptions
    writes_model: bool


def needed_by_exemplar(inputs: TrainingInputs, settings: ExemplarSettings, device: str) -> Needed:
    """Bytes of a training of `train_exemplar`, beside the VAE's weights."""
    options = settings.trainer_options()
    return _needed(
        inputs, settings, device, _Training(load_exemplar, ExemplarDenoiser.trainable, options, writes_model=True)
    )


def needed_by_subject(inputs: TrainingInputs, settings: SubjectSettings, device: str) -> Needed:
    """Bytes of a training of `train_subject`, beside the VAE's weights."""
    options = settings.trainer_options(2)
    return _needed(inputs, settings, device, _Training(load_subject, _of_lora, options, writes_model=False))


def _of_lora(model: ExemplarDenoiser) -> list[str]:
    return [name for name, _ in model.named_parameters() if ".lora_" in name]


def _needed(inputs: TrainingInputs, settings: TrainingSettings, device: str, training: _Training) -> Needed:
    """What a rehearsal finds, which takes seconds, once for the same device, photos, settings and models."""
    pairs = None if inputs.photos is None else len(inputs.photos.pairs())
    models = (inputs.denoiser, inputs.vae, inputs.scheduler, inputs.encoder)
    key = (device, pairs, type(settings), settings.model_dump_json(), *(model.fingerprint for model in models))
    if key not in _known:
        if len(_known) >= MOST_KNOWN:
            del _known[next(iter(_known))]
        _known[key] = _rehearsed(inputs, settings, device, training)
    return _known[key]


def _rehearsed(inputs: TrainingInputs, settings: TrainingSettings, device: str, training: _Training) -> Needed:
    from torch._subclasses.fake_tensor import FakeTensorMode

    side = side_of(inputs.denoiser, inputs.vae, settings.size)
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=[]):
        model = training.load(inputs, settings, side, torch.device(device), WITHOUT)
        vae = inputs.vae.load_as(WITHOUT, device)
        place = device if device.startswith("cuda") and torch.version.cuda else "cpu"  # elsewhere shapes are the same
        levels = noise_levels(inputs.scheduler.config)
        objective = Objective(levels.alpha_bars, levels.prediction, 0.0, 0, getattr(settings, "snr_limit", 0.0))
        with FakeTensorMode(allow_non_fake_inputs=True):
            _placed(vae, place)
            workers = Workers(place)
            encoder = cast(ExemplarEncoder, model.encoder)
            encoders = encoders_for(inputs, vae, encoder, workers, settings.precision, side)
            with counted(None, place) as memory:
                _placed(model, place)
                rehearsal = _Rehearsal(inputs, settings, training, objective, model, encoders, workers, memory)
                rehearsal.on_cpu = device == "cpu"
                usual = rehearsal.whole()
                least = usual if settings.checkpointing else rehearsal.with_checkpointing()
    return Needed(int(usual * MARGIN), None if least >= usual else int(least * MARGIN))


class _Rehearsal:
    """The phases of a training, on tensors without values.

    Args:
        inputs: describe the models.
        settings: of the training.
        training: which one it is.
        objective: its loss.
        model: what is trained.
        encoders: of its examples.
        workers: name the device.
        memory: counts what is made.
    """

    def __init__(
        self,
        inputs: TrainingInputs,
        settings: TrainingSettings,
        training: _Training,
        objective: Objective,
        model: ExemplarDenoiser,
        encoders: Encoders,
        workers: Workers,
        memory: CountedMemory,
    ) -> None:
        self._settings, self._model, self._encoders, self._memory = settings, model, encoders, memory
        self._training, self._device = training, workers.device
        self.on_cpu = True  # what waits in CPU memory counts
        self._pairs = len(inputs.photos.pairs()) if inputs.photos is not None else None
        self._exemplar = inputs.encoder.image_size
        self._pixels = encoders.latent[1] * inputs.vae.factor
        self._objective = objective
        options = dataclasses.replace(training.options, batch_size=training.options.batch_size // workers.count)
        alone = Workers.__new__(Workers)
        alone.rank, alone.count, alone.device = 0, 1, workers.device
        self._trainer = Trainer(cast("Path", None), "", model, training.names(model), options, alone)
        self._token: tuple[int, ...] = ()  # shape of an encoded exemplar
        self._held: list[object] = []  # what stays until the end
        self._rest = 0  # most bytes of what is not a step

    def whole(self) -> int:
        """Most bytes of everything."""
        with self._memory.step("encoding") as encoding:
            self._encode_views()
        with self._memory.step("sheet") as sheet:
            self._paint()
        steps = self._steps()
        with self._memory.step("writing") as writing:
            self._write()
        self._rest = max(encoding.peak, sheet.peak, writing.peak)
        return max(self._rest, steps)

    def with_checkpointing(self) -> int:
        """The same where a step recomputes its activations; called after `whole`."""
        self._model.unet.enable_gradient_checkpointing()
        return max(self._rest, self._steps())

    def _empty(self, *shape: int) -> Tensor:
        return torch.empty(shape, device=self._device, dtype=self._encoders.dtype)

    def _unencoded(self, rows: int) -> UnencodedBatch:
        """Examples as threads make them, which are not counted."""
        side, cells = self._pixels, self._encoders.latent
        batch = UnencodedBatch(
            torch.empty(rows, 3, side, side),
            torch.empty(rows, 1, side, side),
            torch.empty(rows, 1, *cells[1:]),
            torch.empty(rows, 3, self._exemplar, self._exemplar),
            torch.empty(rows, 2, *cells),
        )
        self._memory.exclude(*batch)
        return batch

    def _encode_views(self) -> None:
        """Views that are kept are encoded some at a time; all of them stay in CPU memory."""
        if not self._settings.variations:
            return
        chunk = self._settings.chunk
        count = chunk if self._pairs is None else self._pairs * self._settings.variations
        batch = encode(self._unencoded(min(chunk, count)), self._encoders)
        self._token = tuple(batch.token.shape[1:])
        if self.on_cpu:
            self._held.append(Batch(*(one.new_empty((count, *one.shape[1:])) for one in batch)))

    @without_gradients
    def _paint(self) -> None:
        """A sheet: its examples stay encoded, all are painted with guidance, and decoded one by one."""
        if not self._settings.sample_every:
            return
        batch = encode(self._unencoded(SHOWN), self._encoders)
        self._held.append(batch)
        with averaged(self._trainer.values, self._trainer.state.average):
            words = self._model.encoder.project(batch.token)
            extra = torch.cat([batch.masked, batch.keep], dim=1)
            both = torch.cat([torch.cat([self._empty(*batch.latent.shape), extra], dim=1)] * 2)
            steps = torch.zeros(len(both), dtype=torch.long, device=self._device)
            self._model.unet(both, steps, encoder_hidden_states=torch.cat([words, words]), return_dict=False)
        weight = next(self._encoders.vae.parameters())
        self._encoders.vae.decode(batch.latent[:1].to(weight.dtype), return_dict=False)  # type: ignore[operator]

    def _steps(self) -> int:
        """A step that has moments."""
        with self._memory.step("steps") as steps:
            self._trainer.rehearse(self._loss)
        return steps.peak

    def _loss(self, module: nn.Module, step: int, rows: range) -> Tensor:
        count, cells = len(rows), self._encoders.latent
        with torch.autocast(self._device.type, enabled=False):
            kept = self._settings.variations > 0
            batch = self._kept_rows(count) if kept else encode(self._unencoded(count), self._encoders)
        draws = StepDraws(
            torch.zeros(count, dtype=torch.long, device=self._device),
            torch.zeros(count, dtype=torch.bool, device=self._device),
            self._empty(count, *cells),
            self._empty(count),
        )
        return self._objective.of(module, batch, draws, self._device)

    def _kept_rows(self, count: int) -> Batch:
        """Views that were kept; on a CPU, threads have taken them."""
        cells = self._encoders.latent
        batch = Batch(*(self._empty(count, *shape) for shape in (cells, cells, (1, *cells[1:]), self._token)))
        if self.on_cpu:
            self._memory.exclude(*batch)
        return batch

    def _write(self) -> None:
        """What a checkpoint and a model take on the device."""
        trainer, state = self._trainer, self._trainer.state
        if self.on_cpu:
            moments = [one for held in state.optimizer.state.values() for one in held.values()]
            copies = [
                one.detach().contiguous() for one in (*trainer.values.values(), *state.average.values(), *moments)
            ]
            del copies
        if self._training.writes_model:
            with averaged(trainer.values, state.average):
                copies = [torch.empty_like(one) for one in self._model.unet.parameters()]
                del copies


def _placed(module: nn.Module, device: str) -> None:
    """Put weights without values on a device, as far as anyone asks; what several layers share stays shared."""
    made: dict[int, Tensor] = {}

    def like(value: Tensor) -> Tensor:
        if id(value) not in made:
            made[id(value)] = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device=device)
        return made[id(value)]

    for part in module.modules():
        for name, weight in part._parameters.items():
            if weight is not None:
                part._parameters[name] = nn.Parameter(like(weight), weight.requires_grad)
        part._buffers.update({name: like(one) for name, one in part._buffers.items() if one is not None})
