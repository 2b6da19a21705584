"""One .safetensors file in the original layout of Stable Diffusion 1.x and 2.x, inpainting forms and Paint by Example.

Such a file has no configuration, and none is downloaded: it follows from the shapes in the safetensors header, and
    the rest (heads, activation, scaling) is fixed for each family. The keys are renamed by diffusers' own conversion;
    only the tokenizer's vocabulary (1.5 MB) comes from elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ...graph_runtime import ModelError
from ...graph_runtime.core.current_run import model_folders
from ...graph_runtime.core.errors import first_line
from ...graph_runtime.core.light.later import Tensor, nn, torch
from ...graph_runtime.core.opening import may_read
from ...graph_runtime.core.out_of_memory import is_out_of_memory
from ..component import M
from ..config import Config
from ..files.safetensors_header import read_header
from ..files.stamps import stamp_of
from ..folder import WeightFiles
from ..hub.client import Request, download, listing
from ..hub.snapshots import snapshots
from ..paint_by_example.original import ENCODER, rename_encoder
from ..tokens.files import has_vocabulary, tokenizer_files
from ..weights import FLOATS, StoredTensor, fill, list_stored, read_all, require_fit, without_weights
from .layouts import UNET, VAE, Configs, infer, metadata_of, text_prefix
from .metadata import stored_schedule

PREFIXES: Mapping[str, str | tuple[str, ...]] = {"unet": UNET, "vae": VAE, "image_encoder": ENCODER}
TOKENIZER = "openai/clip-vit-large-patch14"  # the vocabulary of every Stable Diffusion 1.x and 2.x
TOKENIZER_FILES = ["vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]


@dataclass(frozen=True)
class SingleFile:
    """A checkpoint file.

    Attributes:
        path: the file.
        prediction: the prediction type, if the user gave it.
        family: the kind of model that is needed.
    """

    path: Path
    prediction: str | None = None
    family: str = "stable_diffusion"

    known = True

    @classmethod
    def read(cls, path: Path, prediction: str | None, family: str = "stable_diffusion") -> "SingleFile":
        """The file, if its keys are those of a Stable Diffusion 1.x or 2.x, or of a Paint-by-Example checkpoint.

        Raises:
            ModelError: it is another kind of file; the message names the kind if it is known.
        """
        origin = cls(path, prediction, family)
        origin._configs()
        return origin

    @property
    def name(self) -> str:
        """The file's name."""
        return self.path.name

    @property
    def pad_token(self) -> str | None:
        """OpenCLIP pads prompts with `!`."""
        return "!" if text_prefix(read_header(self.path).tensors) == "cond_stage_model.model." else None

    def _configs(self) -> Configs:
        found = infer(read_header(self.path), self.name, self.prediction, self.family)
        stored = stored_schedule(self.path)
        if stored.scaling_factor is not None:
            found["vae"]["scaling_factor"] = stored.scaling_factor
        if stored.betas is not None:
            found["scheduler"] |= {"trained_betas": [*stored.betas], "num_train_timesteps": len(stored.betas)}
        return found

    def notes(self) -> list[str]:
        """Contents of the file that nothing uses."""
        metadata = metadata_of(read_header(self.path), self.name, self.family)
        notes = list(metadata.notes)
        if self.prediction is not None and metadata.prediction not in (None, self.prediction):
            notes.append(f"it says that it predicts {metadata.prediction} (prediction is set to {self.prediction})")
        return notes

    def config(self, component: str) -> Config:
        """The component's configuration, derived from the shapes of its weights."""
        return MappingProxyType(dict(self._configs()[component]))

    def stamp(self, component: str) -> str:
        """State of the file, and of the tokenizer's if that is already on this machine."""
        if component == "tokenizer":
            folder = self._local_tokenizer()
            return TOKENIZER if folder is None else stamp_of(tokenizer_files(folder, "clip"))
        return stamp_of([self.path]) + (self.prediction or "" if component == "scheduler" else "")

    def optional(self, component: str) -> Config:
        """Nothing: such a file holds no configuration."""
        return MappingProxyType({})

    def index(self) -> Config:
        """Nothing: there is no `model_index.json`."""
        return MappingProxyType({})

    def weights(self, component: str) -> WeightFiles:
        """The file, and the prefix of the component's keys in it."""
        prefix = PREFIXES.get(component) or text_prefix(read_header(self.path).tensors)
        return WeightFiles(self.path.parent, None, (self.path,), prefix)

    def stored(self, component: str) -> dict[str, Tensor]:
        """The tensors of the exemplar encoder, under their names in the diffusers layout."""
        assert component == "image_encoder"
        return rename_encoder(read_all(list_stored([self.path], ENCODER)))

    def layer_sizes(self, component: str) -> dict[str, list[int]]:
        """Shapes of the weights of the UNet's linear and convolution layers, by their names in diffusers."""
        assert component == "unet"
        shapes = _shapes(list_stored([self.path], UNET))
        renamed = rename(component, shapes, None, self.config(component))
        return layer_sizes(renamed)

    def convert(self, component: str, model_class: type[M]) -> M:
        """The component as a module of diffusers or transformers.

        Raises:
            ModelError: keys are missing or left over, or a tensor has another shape.
        """
        stored, config = list_stored([self.path], self.weights(component).prefix), self.config(component)
        with without_weights():
            module = build(component, model_class, config)
        assert isinstance(module, nn.Module)
        assert isinstance(module, model_class)
        what = f"{component} of {self.name}"
        require_fit(module, _without_positions(rename(component, _shapes(stored), module, config)), what)
        return fill(module, _without_positions(rename(component, read_all(stored), module, config)), what)

    def tokenizer_folder(self) -> Path:
        """A folder with CLIP's vocabulary: `tokenizer` beside the file, the hub's cache, or the hub.

        Raises:
            ModelError: it is not found, and the network fails or must not be used.
        """
        folder = self._local_tokenizer()
        if folder is not None:
            return folder
        wanted = Request(TOKENIZER, None, "tokenizer")
        try:
            found = listing(wanted)
            return download(wanted, [name for name in found.names if name in TOKENIZER_FILES], found.sizes)
        except ModelError as error:
            raise ModelError(
                "source",
                expected="CLIP's vocabulary",
                found=f"no tokenizer for {self.name}: none in {self.path.parent / 'tokenizer'}; {error.found}",
                fix=f"put the files of {TOKENIZER} (vocab.json, merges.txt) into a folder `tokenizer` beside the file; "
                f"or {error.fix}",
            ) from error

    @property
    def tokenizer_known(self) -> bool:
        """True if the vocabulary is on this machine."""
        return self._local_tokenizer() is not None

    def fetch_tokenizer(self) -> bool:
        """Download the vocabulary if it is not on this machine; True if something was downloaded."""
        if self.tokenizer_known:
            return False
        self.tokenizer_folder()
        return True

    def _local_tokenizer(self) -> Path | None:
        beside = self.path.parent / "tokenizer"
        if may_read(beside) and has_vocabulary(beside, "clip"):
            return beside
        folders = model_folders()
        known = [*snapshots(TOKENIZER, only=TOKENIZER_FILES), *(folders.vocabularies if folders is not None else ())]
        return next((folder for folder in known if has_vocabulary(folder, "clip")), None)


def layer_sizes(weights: Mapping[str, torch.Tensor]) -> dict[str, list[int]]:
    """Shapes of the weights of linear and convolution layers, by the layers' names."""
    return {
        key.removesuffix(".weight"): list(value.shape)
        for key, value in weights.items()
        if key.endswith(".weight") and value.ndim in (2, 4)
    }


def _shapes(stored: Mapping[str, StoredTensor]) -> dict[str, Tensor]:
    """Tensors of these shapes without numbers, which a conversion of names takes as well."""
    return {
        key: torch.empty(tensor.shape, dtype=torch.float32 if tensor.dtype in FLOATS else torch.int64, device="meta")
        for key, tensor in stored.items()
    }


def _without_positions(renamed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in renamed.items() if not key.endswith("position_ids")}


def build(component: str, model_class: type[M], config: Config) -> M:
    """A module of diffusers or transformers for a component's configuration."""
    if component != "text_encoder":
        return model_class.from_config(dict(config))  # type: ignore[attr-defined, no-any-return]  # of diffusers
    arguments = {key: value for key, value in config.items() if key != "architectures"}
    return model_class(model_class.config_class(**arguments))  # type: ignore[attr-defined, call-arg]  # transformers


def rename(component: str, stored: dict[str, Tensor], module: nn.Module | None, config: Config) -> dict[str, Tensor]:
    """Convert original keys to those of the libraries, by diffusers' own tables.

    Raises:
        ModelError: the tables fail on a key or shape.
    """
    try:
        return _renamed(component, stored, module, config)
    except Exception as error:  # whatever the library does with a stranger's names
        if is_out_of_memory(error):
            raise
        raise ModelError(
            "source",
            found=f"a {component} whose layers are not those of Stable Diffusion ({first_line(error)})",
            expected="a whole Stable Diffusion 1.x or 2.x checkpoint",
            fix="download the file again, or use a diffusers folder",
        ) from error


def _renamed(component: str, stored: dict[str, Tensor], module: nn.Module | None, config: Config) -> dict[str, Tensor]:
    from diffusers.loaders.single_file_utils import (
        convert_ldm_unet_checkpoint,
        convert_ldm_vae_checkpoint,
        convert_open_clip_checkpoint,
    )

    if component == "unet":
        return dict(convert_ldm_unet_checkpoint(stored, dict(config)))
    if component == "vae":
        return dict(convert_ldm_vae_checkpoint(stored, dict(config)))
    assert module is not None, "only the text encoder's names depend on its module"
    prefix = text_prefix(stored)
    if prefix == "cond_stage_model.model.":  # the last layer is not used: Stable Diffusion 2 reads the one before
        last = f"{prefix}transformer.resblocks.{config['num_hidden_layers']}."
        kept = {
            key: value
            for key, value in stored.items()
            if not key.startswith(last)
            and key.removeprefix(prefix) not in ("logit_scale", "text_projection", "attn_mask")
        }
        renamed = convert_open_clip_checkpoint(module, kept, prefix=prefix)
    else:
        renamed = {key.removeprefix(prefix): value for key, value in stored.items()}
    if not any(key.startswith("text_model.") for key in module.state_dict()):
        renamed = {key.removeprefix("text_model."): value for key, value in renamed.items()}
    return dict(renamed)
