"""Contents of a single checkpoint file besides weights: marker tensors, metadata, and buffers of the schedule.

`v_pred` and `ztsnr` are empty tensors that A1111, ComfyUI and trainers put into a file to say what it predicts and that
its schedule ends in pure noise. `modelspec.*` is Stability's metadata. Original checkpoints carry their `betas`.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import NamedTuple

from ...graph_runtime import ModelError
from ...graph_runtime.core.errors import clean
from ...graph_runtime.core.light.later import torch
from ...graph_runtime.core.reading.file_state import FileState
from ..files.safetensors_header import Header, read_header
from ..files.stamps import state_of
from ..lora.metadata import ARCHITECTURES, PREDICTIONS
from ..weights import list_stored, read_all

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
BYTES = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}  # of a number, by the dtypes that buffers may have
SMALL = 2**20  # bytes of the largest buffer that is read


class StoredSchedule(NamedTuple):
    """Values of buffers that differ from Stable Diffusion's; None if none do."""

    betas: list[float] | None = None
    scaling_factor: float | None = None


@dataclass(frozen=True)
class CheckpointMetadata:
    """The model's metadata in a checkpoint's header.

    Attributes:
        prediction: what the UNet predicts, by a marker or the metadata.
        zero_snr: the schedule ends in pure noise.
        side: of the pictures it was trained on, pixels.
        notes: what is not used, or contradictory.
    """

    prediction: str | None
    zero_snr: bool
    side: int | None
    notes: tuple[str, ...]


def read_metadata(header: Header, name: str, read: tuple[str, ...]) -> CheckpointMetadata:
    """The metadata of a header; `read` are the prefixes of the keys of the model's components.

    Raises:
        ModelError: it is an EDM model, which has different noise levels.
    """
    if odd := next((key for key in EDM if key in header.tensors), None):
        raise ModelError(
            "source",
            found=f"{name}, an EDM model ({odd})",
            expected="a model with betas (DDPM)",
            fix="EDM models are not supported: use Stable Diffusion 1.x or 2.x",
        )
    texts, keys = header.metadata, header.tensors
    given = texts.get("modelspec.prediction_type") or texts.get("prediction_type") or ""
    stated = PREDICTIONS.get(given.lower())
    notes = []
    if "v_pred" in keys and stated not in (None, "v_prediction"):
        notes.append(
            f"its metadata says that it predicts {stated}, but its marker v_pred says v_prediction: the marker is used"
        )
    if given and stated is None:
        notes.append(f"prediction_type = {clean(given)[:40]!r} (not known here)")
    architecture = texts.get("modelspec.architecture", "").lower()
    family = next((family for start, family in ARCHITECTURES if architecture.startswith(start)), None)
    second = any(key.startswith("cond_stage_model.model.") for key in keys)  # OpenCLIP
    own = f"Stable Diffusion {2 if second else 1}.x"
    if family not in (None, own):
        notes.append(f"modelspec.architecture says {family}, but its layers are those of {own}: the layers count")
    match = re.fullmatch(r"(\d{2,4})x(\d{2,4})", texts.get("modelspec.resolution", ""))
    side = int(match[1]) if match and match[1] == match[2] and int(match[1]) % 8 == 0 else None
    notes += _groups(keys, read)
    return CheckpointMetadata("v_prediction" if "v_pred" in keys else stated, "ztsnr" in keys, side, tuple(notes))


def _groups(keys: Iterable[str], read: tuple[str, ...]) -> list[str]:
    """Tensors that no component reads, grouped by the first word of their names."""
    left: dict[str, int] = {}
    for key in keys:
        if not key.startswith(read) and key not in BUFFERS | MARKERS:
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


def stored_schedule(path: Path) -> StoredSchedule:
    """Betas and scaling factor from a checkpoint's own buffers, if they differ from Stable Diffusion's.

    Raises:
        ModelError: they are not valid betas.
    """
    state = state_of(path)
    return _kept_schedule(str(path), state) if state.settled else _read_schedule(path)


@lru_cache(maxsize=64)
def _kept_schedule(name: str, state: FileState) -> StoredSchedule:
    return _read_schedule(Path(name))


def _read_schedule(path: Path) -> StoredSchedule:
    tensors = read_header(path).tensors
    small = [
        key
        for key in ("betas", "scale_factor")
        if key in tensors
        and tensors[key].dtype in BYTES
        and prod(tensors[key].shape) * BYTES[tensors[key].dtype] <= SMALL
    ]
    if not small:
        return StoredSchedule()
    read = read_all({key: value for key, value in list_stored([path]).items() if key in small})
    stored = {key: value.double().flatten() for key, value in read.items()}
    trained_betas = scaling_factor = None
    betas = stored.get("betas")
    if betas is not None and len(betas):
        usual = torch.linspace(0.00085**0.5, 0.012**0.5, len(betas), dtype=torch.float64) ** 2
        loose = LOOSE.get(tensors["betas"].dtype, 2e-2)
        if not torch.isfinite(betas).all() or not ((betas >= 0) & (betas <= 1)).all():
            raise ModelError(
                "source",
                found=f"betas outside 0 … 1 in {path.name}",
                expected="a schedule",
                fix="download the file again",
            )
        if len(betas) != 1000 or bool(((betas - usual).abs() > loose * usual).any()):
            trained_betas = betas.tolist()
    scale = stored.get("scale_factor")
    if scale is not None and len(scale) == 1 and 1e-6 < float(scale) < 1e6:
        scaling_factor = float(scale)
    return StoredSchedule(trained_betas, scaling_factor)
