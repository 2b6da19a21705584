"""What a host has in memory, as values of our nodes, and ours as tensors for a host. No node by itself."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from ..graph_runtime import BadInput
from ..graph_runtime.core.light.later import Tensor, torch

#: Our sockets that a bridge leads to or from.
SOCKETS = {
    "denoiser": "INLAY_DENOISER",
    "scheduler": "INLAY_SCHEDULER",
    "vae": "INLAY_VAE",
    "text_encoder": "INLAY_TEXT_ENCODER",
    "latent": "INLAY_LATENT",
    "conditioning": "INLAY_CONDITIONING",
}
EXTRA_CHANNELS = "condition.inpaint"
LORA_NODE = "model.lora"

if TYPE_CHECKING:
    from ..methods.conditioning import Conditioning
    from ..models.component import Component
    from ..models.given.component import Holder
    from ..models.protocols import VaeDescription


def denoiser_of(holder: "Holder", prediction: str, zero_snr: bool) -> tuple[object, object]:
    """A host's UNet as a denoiser, and its scheduler."""
    from ..models.given.component import given_denoiser

    return given_denoiser(holder, prediction, zero_snr)


def vae_of(holder: "Holder", scaling_factor: float) -> object:
    """A host's VAE."""
    from ..models.given.component import given_vae

    return given_vae(holder, scaling_factor)


def text_encoder_of(holder: "Holder", second: bool, vocabulary: Path | None) -> object:
    """A host's CLIP; `second`: of Stable Diffusion 2."""
    from ..models.given.component import given_text_encoder

    return given_text_encoder(holder, second, vocabulary)


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """A hash of names, shapes, types and numbers."""
    from ..models.given.component import digest_of

    return digest_of(tensors)


def conditioning_of(positive: Tensor, negative: Tensor, name: str) -> "Conditioning":
    """Two embeddings `[b n d]` as a conditioning; the shorter one is repeated, as the host does.

    Raises:
        BadInput: they are of different widths.
    """
    from ..methods.conditioning import Conditioning

    if positive.shape[-1] != negative.shape[-1]:
        raise BadInput(
            "negative",
            found=f"embeddings of width {negative.shape[-1]}, and {positive.shape[-1]} in positive",
            expected="both from one CLIP",
            fix="encode both texts with the CLIP of one model",
        )
    length = math.lcm(positive.shape[1], negative.shape[1])
    cond, uncond = (one.repeat(1, length // one.shape[1], 1).float().cpu() for one in (positive, negative))
    return Conditioning(cond, uncond, name=name)


def to_scaled(samples: Tensor, vae: "VaeDescription") -> Tensor:
    """A VAE's own latents in the space of the diffusion model."""
    scaled: Tensor = (samples.to("cpu", torch.float32) - vae.shift_factor) * vae.scaling_factor
    return scaled


def from_scaled(latent: Tensor, vae: "VaeDescription") -> Tensor:
    """Latents of the diffusion model in a VAE's own space."""
    own: Tensor = latent / vae.scaling_factor + vae.shift_factor
    return own


def weights_of(described: "Component", port: str) -> dict[str, Tensor]:
    """The tensors of a model's component from its files, under the names that they have there without a prefix.

    Raises:
        BadInput: a LoRA is on it.
        ModelError: a file is missing or damaged.
    """
    from ..models.weights import list_stored, read_all

    if getattr(described, "adapters", ()):
        raise BadInput(
            port,
            found=f"{described.label}, with a LoRA",
            expected="a model without one",
            fix="connect the model before its LoRA, and put the LoRA on it in ComfyUI",
        )
    described.fetch()
    found = described.origin.weights(described.component)
    prefixes = (found.prefix,) if isinstance(found.prefix, str) else found.prefix
    stored = read_all(list_stored(found.files, found.prefix))
    return {_without(name, prefixes): tensor for name, tensor in stored.items()}


def _without(name: str, prefixes: tuple[str, ...]) -> str:
    return next((name.removeprefix(one) for one in prefixes if one and name.startswith(one)), name)


def holder_of(described: object) -> object | None:
    """Whoever has the weights of a description, if a host does."""
    from ..models.given.component import is_given

    return described.origin.holder if is_given(described) else None  # type: ignore[attr-defined]


def prediction_of(described: "Component") -> str:
    """What a denoiser predicts: `epsilon` or `v_prediction`; a denoiser alone predicts noise."""
    from ..graph_runtime import ModelError

    try:
        return str(described.origin.config("scheduler").get("prediction_type", "epsilon"))
    except ModelError:
        return "epsilon"
