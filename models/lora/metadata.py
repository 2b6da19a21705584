"""A LoRA's configuration and metadata: α, the form of the scale, the family of its base, its training.

diffusers writes peft's configuration into the safetensors header (`lora_adapter_metadata`, its keys behind `unet.`);
peft writes it beside the weights (`adapter_config.json`). kohya's `ss_*` and Stability's `modelspec.*` name the family.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from pydantic import Field, JsonValue, StrictBool, StrictFloat, StrictInt, StrictStr

from ...graph_runtime import ModelError
from ...graph_runtime.core.errors import clean, shorten
from ..config import Config, ConfigFile, read_config
from ..files.json_objects import read_json
from ..files.safetensors_header import Header
from ..known_keys.lora import ADAPTER
from ..known_keys.table import NOTHING, list_unused
from .patterns import Alphas, names_of

MAX_ALPHA, MAX_RANK, MAX_LAYERS, MAX_NAME = 1e6, 65_536, 20_000, 512
MAX_TEXT = 2**20  # characters of a configuration in the header
COMPONENT_KEY = re.compile(r"(unet|transformer|text_encoder(?:_\d)?|denoiser)\.(.+)")
BASE_KEPT = ("True", "gaussian", "orthogonal", "eva", "False")  # initialisations that do not change the base's weights
FAMILIES = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "SDXL", 1280: "the SDXL refiner"}
ARCHITECTURES = (
    ("stable-diffusion-v1", "Stable Diffusion 1.x"),
    ("stable-diffusion-v2", "Stable Diffusion 2.x"),
    ("stable-diffusion-xl", "SDXL"),
    ("stable-diffusion-3", "Stable Diffusion 3"),
    ("flux", "Flux"),
    ("stable-cascade", "Stable Cascade"),
    ("hunyuan", "Hunyuan"),
    ("lumina", "Lumina"),
    ("wan", "Wan"),
)
VERSIONS = (
    ("sdxl", "SDXL"),
    ("sd_v1", "Stable Diffusion 1.x"),
    ("sd_1", "Stable Diffusion 1.x"),
    ("sd1", "Stable Diffusion 1.x"),
    ("sd_v2", "Stable Diffusion 2.x"),
    ("sd_2", "Stable Diffusion 2.x"),
    ("sd3", "Stable Diffusion 3"),
    ("flux", "Flux"),
)
PREDICTIONS = {
    "v": "v_prediction",
    "v_prediction": "v_prediction",
    "epsilon": "epsilon",
    "eps": "epsilon",
    "sample": "sample",
}


Alpha = Annotated[StrictFloat, Field(ge=0, le=MAX_ALPHA)]


class AdapterConfig(ConfigFile):
    """The keys of peft's configuration that count; which layers there are, and their ranks, the tensors say."""

    r: Annotated[StrictInt, Field(ge=1, le=MAX_RANK)] | None = None
    lora_alpha: Alpha | None = None
    alpha_pattern: Annotated[
        dict[Annotated[StrictStr, Field(max_length=MAX_NAME)], Alpha] | None,
        Field(max_length=MAX_LAYERS, description=f"an object of up to {MAX_LAYERS:,} layers, each with its α"),
    ] = None
    use_rslora: StrictBool | None = None


@dataclass(frozen=True)
class LoraMetadata:
    """A LoRA's contents besides its tensors.

    Attributes:
        alpha: of every layer that `patterns` does not name; None if unknown.
        patterns: α of the layers that it names one by one.
        rooted: the scale is α/√r (rank-stabilised LoRA).
        rank: r of every layer, if it is stated.
        texts: the metadata of the safetensors header.
        notes: what is not used.
    """

    alpha: float | None = None
    patterns: Alphas = field(default_factory=Alphas)
    rooted: bool = False
    rank: int | None = None
    texts: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def alpha_of(self, layer: str, rank: int) -> float:
        """α for the scale α/r of a layer whose tensors hold none."""
        found = self.patterns.of(layer)
        alpha = self.alpha if found is None else found
        if alpha is None:
            return float(rank)
        return alpha * math.sqrt(rank) if self.rooted else alpha

    @property
    def family(self) -> str | None:
        """The kind of model that it says it was made for."""
        architecture = self.texts.get("modelspec.architecture", "").lower()
        version = self.texts.get("ss_base_model_version", "").lower()
        for name, table in ((architecture, ARCHITECTURES), (version, VERSIONS)):
            for start, family in table:
                if name.startswith(start):
                    return family
        second = self.texts.get("ss_v2", "").lower()
        return {"true": "Stable Diffusion 2.x", "false": None}.get(second)

    def mismatches(self, scheduler: Config) -> list[str]:
        """How its training differs from a model with this scheduler."""
        trained = PREDICTIONS.get(self.texts.get("modelspec.prediction_type", "").lower())
        if self.texts.get("ss_v_parameterization", "").lower() == "true":
            trained = "v_prediction"
        notes, predicts = [], scheduler.get("prediction_type", "epsilon")
        if trained is not None and trained != predicts:
            notes.append(f"it was made for a model that predicts {trained}, and this one predicts {predicts}")
        if self.texts.get("ss_zero_terminal_snr", "").lower() == "true" and not scheduler.get("rescale_betas_zero_snr"):
            notes.append(
                "it was made for a schedule that ends in pure noise (ss_zero_terminal_snr), and this model's does not"
            )
        return notes


def config_beside(path: Path) -> Path | None:
    """peft's adapter_config.json, where the file is peft's."""
    beside = path.with_name("adapter_config.json")
    return beside if beside.exists() or beside.is_symlink() else None


def read_lora_metadata(path: Path, header: Header, peft: bool) -> LoraMetadata:
    """The metadata of a file's header, and of the configuration in its folder if it is in peft's layout.

    Raises:
        ModelError: it is not a plain LoRA, or a value has the wrong type.
    """
    texts = header.metadata
    where = f"lora_adapter_metadata of {path.name}"
    if "lora_adapter_metadata" in texts:
        try:
            if len(texts["lora_adapter_metadata"]) > MAX_TEXT:
                raise ValueError(f"more than {MAX_TEXT:,} characters")
            config = json.loads(texts["lora_adapter_metadata"])
            if not isinstance(config, dict):
                raise TypeError(f"a JSON {type(config).__name__}")
        except (ValueError, TypeError, RecursionError) as error:
            raise _refused(
                path.name,
                f"lora_adapter_metadata that is not a JSON object ({error})",
                "peft's configuration, which says α",
            ) from error
    elif peft and (beside := config_beside(path)) is not None:
        config, where = dict(read_json(beside)), f"adapter_config.json beside {path.name}"
    else:
        notes = _kohya_notes(texts)
        if peft:
            notes.append("peft keeps α in adapter_config.json, which is missing in its folder: α = r is used")
        elif config_beside(path) is not None and not any(key.endswith(".alpha") for key in header.tensors):
            notes.append(
                "the adapter_config.json in its folder, because its layers are not named as peft names them: α = r "
                "is used (peft's own file is called adapter_model.safetensors)"
            )
        return LoraMetadata(texts=texts, notes=tuple(notes))
    return _read_adapter(path.name, where, _of_unet(config), texts)


def _of_unet(config: Config) -> dict[str, JsonValue]:
    """The keys of the UNet's adapter, without their prefix; all keys if none has a prefix."""
    flat: dict[str, JsonValue] = {}
    for key, value in config.items():
        if "." not in key and COMPONENT_KEY.fullmatch(f"{key}.r") and isinstance(value, dict):  # {"unet": {"r": …}}
            flat |= {f"{key}.{name}": inner for name, inner in value.items()}
        else:
            flat[key] = value
    matched = [
        (match[1], match[2], value) for key, value in flat.items() if (match := COMPONENT_KEY.fullmatch(str(key)))
    ]
    if not matched:
        return flat
    return {name: value for part, name, value in matched if part in ("unet", "denoiser")}


def _read_adapter(name: str, where: str, config: Config, texts: Mapping[str, str]) -> LoraMetadata:
    for key, value in config.items():
        entry = ADAPTER.get(key)
        if entry is None or entry.use != "refused" or value in NOTHING:
            continue
        plain = {"peft_type": value == "LORA", "bias": value == "none", "init_lora_weights": str(value) in BASE_KEPT}
        if not plain.get(key, False):
            raise _refused(name, f"{key} = {clean(shorten(value))} in {where}", f"a plain LoRA ({entry.what})")
    stated = read_config(AdapterConfig, config, where)
    patterns = stated.alpha_pattern or {}
    found = [names_of(key) for key in patterns]
    if None in found:
        odd = list(patterns)[found.index(None)]
        raise _refused(name, f"alpha_pattern for {clean(shorten(odd))} in {where}", "names of layers, not patterns")
    if sum(len(names.names) for names in found if names is not None) > MAX_LAYERS:
        raise _refused(name, f"alpha_pattern in {where}", f"at most {MAX_LAYERS:,} names of layers")
    return LoraMetadata(
        stated.lora_alpha,
        Alphas(patterns),
        stated.use_rslora is True,
        stated.r,
        texts,
        tuple(list_unused(ADAPTER, config)),
    )


def _refused(name: str, found: str, expected: str) -> ModelError:
    return ModelError(
        "source",
        found=f"{name}: {found}",
        expected=expected,
        fix="save the LoRA again as plain down and up weights (diffusers' or kohya's layout)",
    )


def _kohya_notes(texts: Mapping[str, str]) -> list[str]:
    notes = []
    skip = texts.get("ss_clip_skip", "")
    if re.fullmatch("[0-9]{1,4}", skip) and int(skip) > 1:
        notes.append(f"ss_clip_skip = {skip} (the text encoder's last layer is used)")
    return notes


def contradictions(metadata: LoraMetadata, ranks: Mapping[str, int], alphas: bool) -> list[str]:
    """Ranks and α of the metadata that differ from those of the tensors."""
    notes, found = [], sorted(set(ranks.values()))
    count = metadata.patterns.count
    if not alphas and (idle := metadata.patterns.idle(ranks)):
        notes.append(f"alpha_pattern: {idle} of its {count} entries name no layer of the file")
    if alphas and (metadata.alpha is not None or count or metadata.rooted):
        notes.append("its configuration states α, and so do its tensors: theirs is used")
    shown = ", ".join(map(str, found[:6]))
    if metadata.rank is not None and found and metadata.rank not in found:
        notes.append(f"r = {metadata.rank} is stated, but its tensors have rank {shown}: theirs is used")
    for key, what in (("ss_network_dim", "rank"), ("ss_network_alpha", "α")):
        try:
            stated = float(metadata.texts.get(key, ""))
        except ValueError:
            continue
        if what == "rank" and found and stated not in found:
            notes.append(f"{key} = {stated:g} is stated, but its tensors have rank {shown}: theirs is used")
        if what == "α" and not alphas and metadata.alpha is None and not (len(found) == 1 and stated == found[0]):
            notes.append(
                f"{key} = {stated:g} is stated, but no tensor holds α: α = r ({shown}) is used, as kohya's own "
                "tools do; if the stated α is meant, set weight to α/r"
            )
    return notes
