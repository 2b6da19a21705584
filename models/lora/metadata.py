"""What a LoRA says of itself outside its tensors: α and the scale's form in a configuration, the base, the training.

diffusers writes peft's configuration into the safetensors header (`lora_adapter_metadata`, its keys behind `unet.`);
peft writes it beside the weights (`adapter_config.json`). kohya's `ss_*` and Stability's `modelspec.*` name the family.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...graph_runtime import ModelError
from ...graph_runtime.core.errors import clean, shorten
from ..files.json_objects import read_json
from ..known_keys.lora import ADAPTER
from ..known_keys.table import NOTHING, list_unused

MAX_ALPHA = 1e6
COMPONENT_KEY = re.compile(r"(unet|transformer|text_encoder(?:_\d)?|denoiser)\.(.+)")
PATTERN = re.compile(r"[\w.^$\\+*()|-]{1,300}")  # of layer names; what could take for ever to match is refused
BASE_KEPT = ("True", "gaussian", "orthogonal", "eva", "False")  # starts that leave the base's weights as they are
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


@dataclass(frozen=True)
class Claims:
    """A LoRA's own words.

    Attributes:
        alpha: of every layer that `patterns` does not name; None where nothing is said.
        patterns: α by layer, names or regular expressions of them.
        rooted: the scale is α/√r (rank-stabilised LoRA).
        rank: r of every layer, where it is said.
        metadata: of the safetensors header: texts by name.
        notes: what is said and not used.
    """

    alpha: float | None = None
    patterns: tuple[tuple[re.Pattern[str], float], ...] = ()
    rooted: bool = False
    rank: int | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def alpha_of(self, layer: str, rank: int) -> float:
        """α for the scale α/r of a layer whose tensors do not say one."""
        said = next((alpha for pattern, alpha in self.patterns if pattern.fullmatch(layer)), self.alpha)
        if said is None:
            return float(rank)
        return said * math.sqrt(rank) if self.rooted else said

    @property
    def family(self) -> str | None:
        """Which kind of model it says it was made for."""
        architecture = self.metadata.get("modelspec.architecture", "").lower()
        version = self.metadata.get("ss_base_model_version", "").lower()
        for said, table in ((architecture, ARCHITECTURES), (version, VERSIONS)):
            for start, family in table:
                if said.startswith(start):
                    return family
        second = self.metadata.get("ss_v2", "").lower()
        return {"true": "Stable Diffusion 2.x", "false": None}.get(second)

    def beside(self, scheduler: Mapping[str, Any]) -> list[str]:
        """What it says of its training that is not so for a model with this scheduler."""
        said = PREDICTIONS.get(self.metadata.get("modelspec.prediction_type", "").lower())
        if self.metadata.get("ss_v_parameterization", "").lower() == "true":
            said = "v_prediction"
        notes, predicts = [], scheduler.get("prediction_type", "epsilon")
        if said is not None and said != predicts:
            notes.append(f"it was made for a model that predicts {said}, and this one predicts {predicts}")
        if self.metadata.get("ss_zero_terminal_snr", "").lower() == "true" and not scheduler.get(
            "rescale_betas_zero_snr"
        ):
            notes.append(
                "it was made for a schedule that ends in pure noise (ss_zero_terminal_snr), and this model's does not"
            )
        return notes


def config_beside(path: Path) -> Path | None:
    """peft's adapter_config.json, where the file is peft's."""
    beside = path.with_name("adapter_config.json")
    return beside if beside.exists() or beside.is_symlink() else None


def claims_of(path: Path, header: Mapping[str, Any], peft: bool) -> Claims:
    """What a file's header, and a configuration beside it where it is in peft's layout, say.

    Raises:
        ModelError: it says something that plain LoRA is not, or a value of another type.
    """
    metadata = header.get("__metadata__")
    texts = {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, Mapping) else {}
    where = f"lora_adapter_metadata of {path.name}"
    if "lora_adapter_metadata" in texts:
        try:
            said = json.loads(texts["lora_adapter_metadata"])
            if not isinstance(said, dict):
                raise ValueError(f"a JSON {type(said).__name__}")
        except (ValueError, RecursionError) as error:
            raise _refused(
                path.name,
                f"lora_adapter_metadata that is no JSON object ({error})",
                "peft's configuration, which says α",
            ) from error
    elif peft and (beside := config_beside(path)) is not None:
        said, where = dict(read_json(beside)), f"adapter_config.json beside {path.name}"
    else:
        notes = _kohya_notes(texts)
        if peft:
            notes.append("peft keeps α in adapter_config.json, which is not beside it: α = r is used")
        elif config_beside(path) is not None and not any(key.endswith(".alpha") for key in header):
            notes.append(
                "the adapter_config.json beside it, since its layers are not named as peft names them: α = r "
                "is used (peft's own file is called adapter_model.safetensors)"
            )
        return Claims(metadata=MappingProxyType(texts), notes=tuple(notes))
    return _adapter(path.name, where, _of_unet(said), texts)


def _of_unet(said: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of the UNet's adapter, their prefix taken off; all, where none has one."""
    flat: dict[str, Any] = {}
    for key, value in said.items():
        whole = "." not in key and COMPONENT_KEY.fullmatch(f"{key}.r") and isinstance(value, dict)  # {"unet": {"r": …}}
        flat |= {f"{key}.{name}": inner for name, inner in value.items()} if whole else {key: value}
    matched = [
        (match[1], match[2], value) for key, value in flat.items() if (match := COMPONENT_KEY.fullmatch(str(key)))
    ]
    if not matched:
        return flat
    return {name: value for part, name, value in matched if part in ("unet", "denoiser")}


def _adapter(name: str, where: str, said: Mapping[str, Any], texts: Mapping[str, str]) -> Claims:
    for key, value in said.items():
        entry = ADAPTER.get(key)
        if entry is None or entry.use != "refused" or value in NOTHING:
            continue
        plain = {"peft_type": value == "LORA", "bias": value == "none", "init_lora_weights": str(value) in BASE_KEPT}
        if not plain.get(key, False):
            raise _refused(name, f"{key} = {clean(shorten(value))} in {where}", f"a plain LoRA ({entry.what})")
    alpha = _number(name, where, "lora_alpha", said.get("lora_alpha"))
    rank = _number(name, where, "r", said.get("r"))
    patterns = said.get("alpha_pattern") or {}
    if not isinstance(patterns, Mapping):
        raise _refused(name, f"alpha_pattern = {clean(shorten(patterns))} in {where}", "α by layer")
    return Claims(
        alpha,
        tuple(_pattern(name, where, key, value) for key, value in patterns.items()),
        said.get("use_rslora") is True,
        None if rank is None else int(rank),
        MappingProxyType(dict(texts)),
        tuple(list_unused(ADAPTER, said)),
    )


def _pattern(name: str, where: str, key: str, value: Any) -> tuple[re.Pattern[str], float]:
    alpha = _number(name, where, f"alpha_pattern[{shorten(key)}]", value)
    try:
        if (
            not PATTERN.fullmatch(key)
            or key.count("*") + key.count("+") > 2
            or re.search(r"\)[*+]", key)
            or alpha is None
        ):
            raise ValueError
        inner = key.removeprefix("^").removesuffix("$")
        plain = re.fullmatch(r"[\w.]+", inner) is not None  # kohya writes _ for .
        kohya = rf"|lora_unet_(?:.*_)?{inner.replace('.', '_')}" if plain else ""
        return re.compile(rf"(?:{inner})" if key.startswith("^") else rf"(?:.*\.)?(?:{inner}){kohya}"), alpha
    except (ValueError, re.error):
        raise _refused(name, f"alpha_pattern for {clean(shorten(key))} in {where}", "the name of a layer") from None


def _number(name: str, where: str, key: str, value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MAX_ALPHA:
        raise _refused(name, f"{key} = {clean(shorten(value))} in {where}", f"a number from 0 to {MAX_ALPHA:g}")
    return float(value)


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
    if skip.isdecimal() and int(skip) > 1:
        notes.append(f"ss_clip_skip = {skip} (the text encoder's last layer is used)")
    return notes


def contradictions(claims: Claims, ranks: Mapping[str, int], alphas: bool) -> list[str]:
    """Ranks and α that the metadata says and the tensors do not."""
    notes, found = [], sorted(set(ranks.values()))
    if not alphas and (idle := sum(not any(map(pattern.fullmatch, ranks)) for pattern, _ in claims.patterns)):
        notes.append(f"alpha_pattern: {idle} of its {len(claims.patterns)} entries name no layer of the file")
    if alphas and (claims.alpha is not None or claims.patterns or claims.rooted):
        notes.append("its configuration states α, and so do its tensors: theirs is used")
    shown = ", ".join(map(str, found[:6]))
    if claims.rank is not None and found and claims.rank not in found:
        notes.append(f"r = {claims.rank} is stated, but its tensors have rank {shown}: theirs is used")
    for key, what in (("ss_network_dim", "rank"), ("ss_network_alpha", "α")):
        try:
            said = float(claims.metadata.get(key, ""))
        except ValueError:
            continue
        if what == "rank" and found and said not in found:
            notes.append(f"{key} = {said:g} is stated, but its tensors have rank {shown}: theirs is used")
        if what == "α" and not alphas and claims.alpha is None and not (len(found) == 1 and said == found[0]):
            notes.append(
                f"{key} = {said:g} is stated, but no tensor holds α: α = r ({shown}) is used, as kohya's own "
                "tools do; if the stated α is meant, set weight to α/r"
            )
    return notes
