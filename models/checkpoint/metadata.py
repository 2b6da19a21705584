"""What a single checkpoint file says besides its weights: marker tensors, metadata, the schedule's own buffers.

`v_pred` and `ztsnr` are empty tensors that A1111, ComfyUI and trainers put into a file to say what it predicts and that
its schedule ends in pure noise. `modelspec.*` is Stability's metadata. Original checkpoints carry their `betas`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from ...graph_runtime import ModelError
from ...graph_runtime.core.errors import clean
from ..files.safetensors_header import read_header
from ..files.stamps import State, state_of
from ..lora.metadata import ARCHITECTURES, PREDICTIONS

EDM = ("edm_vpred.sigma_max", "edm_vpred.sigma_min", "edm_mean", "edm_std")
#: What the original code registers for training and sampling; all of it follows from the betas.
BUFFERS = frozenset(
    (
        "betas",
        "alphas_cumprod",
        "alphas_cumprod_prev",
        "sqrt_alphas_cumprod",
        "sqrt_one_minus_alphas_cumprod",
        "log_one_minus_alphas_cumprod",
        "sqrt_recip_alphas_cumprod",
        "sqrt_recipm1_alphas_cumprod",
        "posterior_variance",
        "posterior_log_variance_clipped",
        "posterior_mean_coef1",
        "posterior_mean_coef2",
        "lvlb_weights",
        "logvar",
    )
)
MARKERS = frozenset({"v_pred", "ztsnr", "scale_factor", *EDM})
LOOSE = {"F64": 2e-3, "F32": 2e-3}  # how far stored betas may be off and still be the usual ones; more in halves
SMALL = 2**20


@dataclass(frozen=True)
class Marks:
    """What a checkpoint's header says.

    Attributes:
        prediction: what the UNet predicts, by a marker or the metadata.
        zero_snr: the schedule ends in pure noise.
        side: of the pictures it was trained on, pixels.
        notes: what is said and not used, or contradicts.
    """

    prediction: str | None
    zero_snr: bool
    side: int | None
    notes: tuple[str, ...]


def marks_of(header: Mapping[str, Any], name: str, read: tuple[str, ...]) -> Marks:
    """The marks of a header; `read` are the prefixes of the keys that belong to the model's parts.

    Raises:
        ModelError: it is an EDM model, whose noise levels are others.
    """
    if odd := next((key for key in EDM if key in header), None):
        raise ModelError(
            "source",
            found=f"{name}, an EDM model ({odd})",
            expected="a model with betas (DDPM)",
            fix="EDM models are not supported: use Stable Diffusion 1.x or 2.x",
        )
    metadata = header.get("__metadata__")
    texts = {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, Mapping) else {}
    said = texts.get("modelspec.prediction_type") or texts.get("prediction_type") or ""
    stated = PREDICTIONS.get(said.lower())
    notes = []
    if "v_pred" in header and stated not in (None, "v_prediction"):
        notes.append(
            f"its metadata says that it predicts {stated}, its marker v_pred says v_prediction: the marker is used"
        )
    if said and stated is None:
        notes.append(f"prediction_type = {clean(said)[:40]!r} (not known here)")
    architecture = texts.get("modelspec.architecture", "").lower()
    family = next((family for start, family in ARCHITECTURES if architecture.startswith(start)), None)
    second = any(key.startswith("cond_stage_model.model.") for key in header)  # OpenCLIP
    own = f"Stable Diffusion {2 if second else 1}.x"
    if family not in (None, own):
        notes.append(f"modelspec.architecture says {family}, but its layers are those of {own}: the layers decide")
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", texts.get("modelspec.resolution", ""))
    side = int(match[1]) if match and match[1] == match[2] and int(match[1]) % 8 == 0 else None
    notes += _groups(header, read)
    return Marks("v_prediction" if "v_pred" in header else stated, "ztsnr" in header, side, tuple(notes))


def _groups(header: Mapping[str, Any], read: tuple[str, ...]) -> list[str]:
    """Tensors that no part reads, by the first word of their names."""
    left: dict[str, int] = {}
    for key in header:
        if key != "__metadata__" and not key.startswith(read) and key not in BUFFERS | MARKERS:
            left[key.partition(".")[0]] = left.get(key.partition(".")[0], 0) + 1
    notes = []
    if count := left.pop("model_ema", 0):
        notes.append(
            f"model_ema.* ({count} tensors: the average of the weights; those under model.diffusion_model. are used)"
        )
    return notes + [
        f"{clean(group)[:60]} ({count} tensor{'s' * (count > 1)} that nothing uses)"
        for group, count in sorted(left.items())[:8]
    ]


def schedule_of(path: Path) -> dict[str, Any]:
    """Betas and scaling factor of a checkpoint's own buffers, where they are not Stable Diffusion's; empty otherwise.

    Raises:
        ModelError: they are no betas.
    """
    return dict(_schedule(str(path), state_of(path)))


@lru_cache(maxsize=64)
def _schedule(name: str, state: State) -> Mapping[str, Any]:
    from safetensors import safe_open

    header = read_header(Path(name))
    small = [
        key
        for key in ("betas", "scale_factor")
        if key in header and header[key]["dtype"] in ("F16", "BF16", "F32", "F64") and _bytes(header[key]) <= SMALL
    ]
    if not small:
        return {}
    with safe_open(name, framework="pt") as file:
        stored = {key: file.get_tensor(key).double().flatten() for key in small}
    found: dict[str, Any] = {}
    betas = stored.get("betas")
    if betas is not None and len(betas):
        usual = torch.linspace(0.00085**0.5, 0.012**0.5, len(betas), dtype=torch.float64) ** 2
        loose = LOOSE.get(header["betas"]["dtype"], 2e-2)
        if not torch.isfinite(betas).all() or not ((betas >= 0) & (betas <= 1)).all():
            raise ModelError(
                "source",
                found=f"betas outside 0 … 1 in {Path(name).name}",
                expected="a schedule",
                fix="download the file again",
            )
        if len(betas) != 1000 or bool(((betas - usual).abs() > loose * usual).any()):
            found |= {"trained_betas": betas.tolist(), "num_train_timesteps": len(betas)}
    scale = stored.get("scale_factor")
    if scale is not None and len(scale) == 1 and 1e-6 < float(scale) < 1e6:
        found["scaling_factor"] = float(scale)
    return found


def _bytes(entry: Mapping[str, Any]) -> int:
    begin, end = entry["data_offsets"]
    return int(end - begin)
