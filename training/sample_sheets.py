"""Sample sheets: a few fixed examples painted with the current weights."""

from pathlib import Path

from PIL import Image

from ..graph_runtime.core.files import replacing
from ..graph_runtime.core.light.later import F, Tensor, nn, torch
from ..graph_runtime.core.values import without_gradients
from ..methods.latents import decode_latent
from ..methods.paint_by_example import ExemplarDenoiser
from ..methods.sampling.ddim import ddim_schedule
from ..methods.sampling.guidance import Guidance
from ..methods.sampling.loop import run_denoising
from ..methods.sampling.noise import gaussian_noise
from ..models.noise_levels import noise_levels
from ..pictures.sheet import draw_sheet
from .encoding import Encoders, collate, encode
from .errors import TrainingFailed
from .example_source import ExampleSource
from .inputs import TrainingInputs
from .moving_average import averaged
from .trainer import Trainer

SHOWN, SHEET_STEPS, SHEET_GUIDANCE = 4, 20, 5.0


class SampleSheets:
    """Paints a few fixed examples with the averaged weights, and keeps the sheets in a folder.

    Args:
        folder: of the sheets.
        source: of the examples.
        model: what is trained.
        trainer: holds its weights and their average.
        inputs: contain the scheduler, and the scaling of the VAE.
        vae: on its device.

    Attributes:
        likeness: of the last sheet: mean cosine between exemplars and painted holes, in the encoder's embedding.
    """

    def __init__(
        self,
        folder: Path,
        source: ExampleSource,
        model: ExemplarDenoiser,
        trainer: Trainer,
        inputs: TrainingInputs,
        vae: nn.Module,
    ) -> None:
        places = [(number * 7919 % len(source.pairs), 2**41 + number) for number in range(SHOWN)]
        self._examples, generators = source.examples(places)
        self._batch = encode(collate(self._examples, generators, source.encoders), source.encoders)
        self._schedule = ddim_schedule(noise_levels(inputs.scheduler.config), steps=SHEET_STEPS, eta=0.0)
        self._model, self._trainer, self._vae, self._folder = model, trainer, vae, folder
        self._encoders: Encoders = source.encoders
        self._exemplar_size = source.options.exemplar_size
        self._scale, self._shift = inputs.vae.scaling_factor, inputs.vae.shift_factor
        self.likeness = 0.0

    @without_gradients
    def draw(self, step: int) -> Image.Image:
        """Rows of: the picture with its hole, the exemplar, the picture as the model fills it.

        Raises:
            TrainingFailed: the sheet cannot be written.
        """
        state = torch.get_rng_state()
        painted = self._paint()
        self.likeness = self._likeness(painted)
        pictures: list[Tensor] = []
        for example, filled in zip(self._examples, painted, strict=True):
            hole = example.picture * example.keep + 0.5 * (1 - example.keep)
            pictures += [hole.permute(1, 2, 0), example.exemplar.permute(1, 2, 0), filled]
        sheet = draw_sheet(pictures, ["hole", "exemplar", f"step {step}"] * len(self._examples), 6)[0]
        picture = Image.fromarray((sheet * 255).round().to(torch.uint8).numpy())
        _save(picture, self._file(step))
        torch.set_rng_state(state)
        return picture

    def has(self, step: int) -> bool:
        """True if the sheet of this step was written."""
        return self._file(step).is_file()

    def _file(self, step: int) -> Path:
        return self._folder / f"step-{step:07d}.png"

    def _paint(self) -> list[Tensor]:
        """The examples' pictures `[h w 3]`, filled with the averaged weights."""
        model, batch, device = self._model, self._batch, self._trainer.workers.device
        model.eval()
        with averaged(self._trainer.values, self._trainer.state.average):
            embeddings = model.encoder.project(batch.token.to(device))
            extra = torch.cat([batch.masked, batch.keep], dim=1).to(device)
            stream = gaussian_noise(tuple(batch.latent.shape), 0).stream()
            unconditional = model.encoder.uncond_vector.expand_as(embeddings)
            guidance = Guidance(embeddings, unconditional, SHEET_GUIDANCE, True, extra)

            def predict(z: Tensor, t: Tensor, states: Tensor | None) -> Tensor:
                output: Tensor = model.unet(z, t, encoder_hidden_states=states, return_dict=False)[0]
                return output

            z = stream.start().to(device, embeddings.dtype)
            clean = run_denoising(predict, self._schedule, z, stream, guidance)
        model.train()
        return [decode_latent(self._vae, row[None], self._scale, self._shift)[0].float().cpu() for row in clean]

    def _likeness(self, painted: list[Tensor]) -> float:
        """Mean cosine between the exemplars and the painted holes."""
        encoders, side = self._encoders, self._exemplar_size
        filled = []
        for example, picture in zip(self._examples, painted, strict=True):
            rows, columns = (torch.nonzero((example.keep[0] < 0.5).any(axis)).flatten() for axis in (1, 0))
            cut = picture[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1].permute(2, 0, 1)
            filled.append(F.interpolate(cut[None], (side, side), mode="bicubic", antialias=True)[0].clamp(0, 1))
        exemplars = torch.stack([example.exemplar for example in self._examples])
        of_holes, of_exemplars = (
            encoders.clip(((pictures - encoders.mean) / encoders.std).to(encoders.device)).flatten(1)
            for pictures in (torch.stack(filled), exemplars)
        )
        return float(F.cosine_similarity(of_holes, of_exemplars, dim=-1).mean())


def _save(picture: Image.Image, path: Path) -> None:
    try:
        with replacing(path, parents=True) as beside:
            picture.save(beside, "PNG")
    except OSError as error:
        raise TrainingFailed(
            None,
            found=f"{path.name} could not be written: {error.strerror or error}",
            expected="room for it on the disk",
            fix="make room, then run again",
        ) from error
