"""Models that the host has loaded: what they are, whether they can be lent, and their tensors."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from .....nodes.given import LORA_NODE, digest_of, text_encoder_of, vae_of
from .....nodes.given import denoiser_of as _denoiser_of
from ....core.errors import BadInput
from .models import vocabularies
from .modules import HostObject, ask

if TYPE_CHECKING:
    from torch import Tensor

PLAIN = ("torch.float32", "torch.float16", "torch.bfloat16", "torch.float64")
PREDICTIONS = {"EPS": "epsilon", "V_PREDICTION": "v_prediction"}
OWN = frozenset({"manual_cast_dtype"})  # what the host itself puts in place of a part when it loads a model
WIDTHS = (768, 1024)  # of the embeddings of Stable Diffusion 1.x and 2.x
_EXPECTED = "Stable Diffusion 1.x or 2.x as it was loaded"
_digests: "WeakKeyDictionary[object, str]" = WeakKeyDictionary()


class Held:
    """A part of a model in the host's hands.

    Attributes:
        name: for messages.
        owner: the host's object, which goes back as it came.
    """

    def __init__(self, name: str, owner: HostObject, patcher: HostObject, module: HostObject) -> None:
        self.name, self.owner, self._patcher, self._module = name, owner, patcher, module

    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Shapes of the tensors by name."""
        return {name: tuple(tensor.shape) for name, tensor in self._module.state_dict().items()}

    def tensors(self) -> "Mapping[str, Tensor]":
        """The tensors where the host computes, without what a clone of this model has patched into them."""
        ask("comfy.model_management", "load_models_gpu", [self._patcher])
        found: Mapping[str, Tensor] = self._module.state_dict()
        return found

    def digest(self) -> str:
        """A hash of the numbers, made once for a model."""
        if self._module not in _digests:
            _digests[self._module] = digest_of(self.tensors())
        return _digests[self._module]


def denoiser_of(model: HostObject) -> tuple[object, object]:
    """The host's MODEL as a denoiser and its scheduler.

    Raises:
        BadInput: it is of another family, or another node has changed it.
    """
    config = getattr(getattr(model, "model", None), "model_config", None)
    kind = type(config).__name__
    unet = getattr(config, "unet_config", {})
    if unet.get("context_dim") not in WIDTHS or unet.get("adm_in_channels") is not None or "model_channels" not in unet:
        raise _cannot("model", f"{kind}", "a MODEL of Stable Diffusion 1.x or 2.x", "use such a checkpoint here")
    prediction = PREDICTIONS.get(getattr(model.model.model_type, "name", ""))
    settings = set(getattr(config, "sampling_settings", {}) or {}) - {"zsnr"}
    if prediction is None or settings:
        found = f"{kind} with noise levels of its own ({', '.join(sorted(settings)) or model.model.model_type})"
        raise _cannot("model", found, "the noise levels of Stable Diffusion", "use another checkpoint here")
    require_unchanged("model", kind, model)
    options = {key: value for key, value in model.model_options.items() if key != "transformer_options" and value}
    inner = {key: value for key, value in model.model_options.get("transformer_options", {}).items() if value}
    if changed := [*options, *inner]:
        raise _cannot("model", f"{kind} with {', '.join(map(str, changed))}", _EXPECTED, _BEFORE)
    held = Held(f"ComfyUI ({kind})", model, model, model.model.diffusion_model)
    require_plain("model", held)
    zero_snr = bool(getattr(model.model.model_sampling, "zsnr", False))
    return _denoiser_of(held, prediction, zero_snr)


def vae_description(vae: HostObject, scaling_factor: float) -> object:
    """The host's VAE.

    Raises:
        BadInput: it is of another family.
    """
    module = getattr(vae, "first_stage_model", None)
    names = set() if module is None else set(module.state_dict())
    kind = type(module).__name__
    if not {"encoder.conv_in.weight", "post_quant_conv.weight"} <= names or getattr(vae, "latent_dim", 2) != 2:
        raise _cannot("vae", kind, "the VAE of Stable Diffusion 1.x or 2.x", "use that of such a checkpoint")
    require_unchanged("vae", kind, vae.patcher)
    held = Held(f"ComfyUI ({kind})", vae, vae.patcher, module)
    require_plain("vae", held)
    return vae_of(held, scaling_factor)


def text_encoder_description(clip: HostObject) -> object:
    """The host's CLIP as a text encoder.

    Raises:
        BadInput: it is of another family, or another node has changed it.
    """
    stage = getattr(clip, "cond_stage_model", None)
    parts = [name for name in ("clip_l", "clip_h", "clip_g", "t5xxl") if hasattr(stage, name)]
    kind = type(stage).__name__
    if parts not in (["clip_l"], ["clip_h"]):
        raise _cannot("clip", f"{kind}", "the CLIP of Stable Diffusion 1.x or 2.x", "use that of such a checkpoint")
    if clip.layer_idx is not None and (parts, clip.layer_idx) not in ((["clip_l"], -1), (["clip_h"], -2)):
        raise _cannot(
            "clip", f"{kind} that stops at layer {clip.layer_idx}", _EXPECTED, "connect the CLIP before that node"
        )
    require_unchanged("clip", kind, clip.patcher)
    held = Held(f"ComfyUI ({kind})", clip, clip.patcher, getattr(stage, parts[0]).transformer)
    require_plain("clip", held)
    folders: tuple[Path, ...] = vocabularies()
    return text_encoder_of(held, parts == ["clip_h"], folders[0] if folders else None)


_BEFORE = "connect the model before the nodes that change it; a LoRA goes onto ours with " + LORA_NODE


def require_unchanged(port: str, kind: str, patcher: HostObject) -> None:
    """Refuse a model that another node of the host has changed.

    Raises:
        BadInput: a LoRA or another patch is on it.
    """
    named = {
        "patches": "a LoRA or other patches",
        "object_patches": "other parts",
        "hook_patches": "hooks",
        "injections": "injections",
        "wrappers": "wrappers",
        "callbacks": "callbacks",
    }
    parts = {name: part for name, part in (getattr(patcher, "object_patches", None) or {}).items() if name not in OWN}
    there = {**{name: getattr(patcher, name, None) for name in named}, "object_patches": parts}
    found = [said for name, said in named.items() if any(_inside(there[name]))]
    if found:
        more = ", ".join(map(str, parts))
        said = f"{kind} with {' and '.join(found)}" + (f" ({more})" if more else "")
        raise _cannot(port, said, _EXPECTED, _BEFORE)


def _inside(value: object) -> Iterable[object]:
    """What is in a mapping of mappings, without the empty ones."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _inside(item) if isinstance(item, Mapping) else [item] if item else []


def require_plain(port: str, held: Held) -> None:
    """Refuse weights that are no plain numbers.

    Raises:
        BadInput: they are quantised.
    """
    kinds = {str(getattr(tensor, "dtype", type(tensor))) for tensor in held._module.state_dict().values()}
    types = {type(tensor).__name__ for tensor in held._module.parameters()} - {"Parameter", "Tensor"}
    odd = sorted({kind for kind in kinds if kind.startswith("torch.float") and kind not in PLAIN} | types)
    if odd:
        fix = "use a checkpoint in float16 or float32"
        raise _cannot(port, f"{held.name}, quantised ({', '.join(odd)})", "plain floating-point weights", fix)


def _cannot(port: str, found: str, expected: str, fix: str) -> BadInput:
    return BadInput(port, found=found, expected=expected, fix=fix)
