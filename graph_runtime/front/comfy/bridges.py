"""Nodes between ComfyUI's own sockets and ours: its MODEL, CLIP, VAE, LATENT and CONDITIONING. Only ComfyUI has them.

Stable Diffusion 1.x and 2.x. Weights go over without a copy; what cannot go over is an error of the bridge that names
the socket. Our latents are in the space of the diffusion model, ComfyUI's are the VAE's own, so both ways need the VAE.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import ClassVar, NamedTuple

from ....nodes.given import EXTRA_CHANNELS, SOCKETS, conditioning_of, from_scaled, to_scaled
from ...core.errors import BadInput, shorten
from .host.bridged import to_clip, to_model, to_vae
from .host.modules import HostObject
from .host.weights import denoiser_of, text_encoder_description, vae_description
from .host_values import owned
from .node_run import host_run

Sockets = Mapping[str, tuple[str, Mapping[str, object]]]
#: What a conditioning may carry besides its embedding without any effect on our sampler.
UNUSED = frozenset({"pooled_output", "tokens", "weights"})


class Bridge(NamedTuple):
    """A bridge: its title, what it says of itself, its sockets and widgets, and its function."""

    title: str
    doc: str
    required: Sockets
    outputs: tuple[tuple[str, str], ...]  # socket, name
    run: Callable[..., tuple[object, ...]]
    optional: Sockets = MappingProxyType({})
    words: tuple[str, ...] = ()


class BridgeNode:
    """Base of the host's classes, which differ only in their `bridge`."""

    bridge: ClassVar[Bridge]
    FUNCTION = "execute"
    CATEGORY = "inlay/bridge"
    OUTPUT_NODE = False

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Mapping[str, object]]:
        """Sockets and widgets."""
        return {"required": dict(cls.bridge.required), "optional": dict(cls.bridge.optional)}

    def execute(self, **inputs: object) -> tuple[object, ...]:
        """Take what is connected to the other side.

        Raises:
            NodeError: it cannot go there; names the socket and what was found.
        """
        with host_run(self.bridge.title, type(self).__name__, {}):
            return self.bridge.run(**{name: owned(value) for name, value in inputs.items() if value is not None})


def _denoiser(model: object) -> tuple[object, ...]:
    return denoiser_of(model)


def _vae(vae: object, scaling_factor: float = 0.18215) -> tuple[object, ...]:
    return (vae_description(vae, scaling_factor),)


def _text_encoder(clip: object) -> tuple[object, ...]:
    return (text_encoder_description(clip),)


def _latent(latent: HostObject, vae: HostObject) -> tuple[object, ...]:
    import torch
    from torch.nn.functional import interpolate

    samples = latent["samples"]
    if not isinstance(samples, torch.Tensor) or samples.ndim != 4 or samples.shape[1] != vae.latent_channels:
        found = tuple(samples.shape) if isinstance(samples, torch.Tensor) else shorten(samples)
        raise BadInput(
            "latent",
            found=f"samples {found}",
            expected=f"[b, {vae.latent_channels}, lh, lw], the latent of a picture",
            fix="connect the latent of a model of the same family as the VAE",
        )
    size = [side * vae.factor for side in samples.shape[-2:]]
    mask = latent.get("noise_mask")
    if mask is None:
        return to_scaled(samples, vae), torch.ones(samples.shape[0], *size)
    mask = mask.reshape(-1, 1, *mask.shape[-2:]).float()
    if list(mask.shape[-2:]) != size:
        whole = all(a % b == 0 for a, b in zip(size, mask.shape[-2:], strict=True))
        mask = interpolate(mask, size=size, mode="nearest") if whole else interpolate(mask, size=size, mode="bilinear")
    return to_scaled(samples, vae), mask[:, 0]


def _to_latent(latent: HostObject, vae: HostObject, mask: HostObject = None) -> tuple[object, ...]:
    found = {"samples": from_scaled(latent, vae)}
    if mask is not None:
        found["noise_mask"] = mask.reshape(-1, 1, *mask.shape[-2:])
    return (found,)


def _conditioning(positive: object, negative: object) -> tuple[object, ...]:
    wanted, unwanted = _embedding("positive", positive), _embedding("negative", negative)
    return (conditioning_of(wanted, unwanted, "a conditioning of ComfyUI"),)


def _embedding(port: str, value: HostObject) -> HostObject:
    if len(value) != 1:
        raise BadInput(
            port,
            found=f"{len(value)} conditionings in one",
            expected="one text for the whole picture",
            fix="connect one CLIP Text Encode; our sampler takes no combined or scheduled prompts",
        )
    embedding, more = value[0]
    used = [name for name, item in more.items() if name not in UNUSED and item is not None]
    if used:
        raise BadInput(
            port,
            found=f"a conditioning with {', '.join(used[:5])}",
            expected="one text for the whole picture, at all steps",
            fix="connect the text before the node that added this; the picture and mask of an inpainting model go to "
            + EXTRA_CHANNELS,
        )
    return embedding


_TEXT_ENCODER = (SOCKETS["text_encoder"], {"tooltip": "ours, as a model node gives it"})
_OUR_VAE = (SOCKETS["vae"], {"tooltip": "the VAE that the latent belongs to"})
BRIDGES = {
    "InlayBridgeModel": Bridge(
        "MODEL to denoiser (inlay)",
        "ComfyUI's MODEL (Stable Diffusion 1.x or 2.x) for our samplers, with the noise levels that it was trained on.",
        {"model": ("MODEL", {"tooltip": "as it was loaded: LoRAs go onto ours"})},
        ((SOCKETS["denoiser"], "denoiser"), (SOCKETS["scheduler"], "scheduler")),
        _denoiser,
        words=("unet", "checkpoint", "convert"),
    ),
    "InlayBridgeVae": Bridge(
        "VAE to VAE (inlay)",
        "ComfyUI's VAE (Stable Diffusion 1.x or 2.x) for our nodes.",
        {"vae": ("VAE", {"tooltip": "of the model that samples"})},
        ((SOCKETS["vae"], "vae"),),
        _vae,
        {
            "scaling_factor": (
                "FLOAT",
                {
                    "default": 0.18215,
                    "min": 0.001,
                    "max": 100.0,
                    "step": 0.00001,
                    "round": False,
                    "tooltip": "what the model multiplies latents by; ComfyUI keeps it with the MODEL",
                },
            )
        },
        words=("convert",),
    ),
    "InlayBridgeClip": Bridge(
        "CLIP to text encoder (inlay)",
        "ComfyUI's CLIP (Stable Diffusion 1.x or 2.x) for our prompts.",
        {"clip": ("CLIP", {"tooltip": "as it was loaded"})},
        ((SOCKETS["text_encoder"], "text_encoder"),),
        _text_encoder,
        words=("prompt", "convert"),
    ),
    "InlayBridgeLatent": Bridge(
        "LATENT to latent (inlay)",
        "ComfyUI's LATENT in the space of the diffusion model, and its noise mask at the size of the picture.",
        {"latent": ("LATENT", {"tooltip": "of a picture"}), "vae": _OUR_VAE},
        ((SOCKETS["latent"], "latent"), ("MASK", "mask")),
        _latent,
        words=("samples", "convert"),
    ),
    "InlayBridgeToLatent": Bridge(
        "Latent to LATENT (inlay)",
        "Our latent as ComfyUI's, with a noise mask if one is connected.",
        {"latent": (SOCKETS["latent"], {"tooltip": "ours"}), "vae": _OUR_VAE},
        (("LATENT", "LATENT"),),
        _to_latent,
        {"mask": ("MASK", {"tooltip": "1 = repaint"})},
        words=("samples", "convert"),
    ),
    "InlayBridgeConditioning": Bridge(
        "CONDITIONING to conditioning (inlay)",
        "Two texts that ComfyUI has encoded, for our samplers.",
        {
            "positive": ("CONDITIONING", {"tooltip": "what the picture should show"}),
            "negative": ("CONDITIONING", {"tooltip": "what it should not show; the unconditional half of guidance"}),
        },
        ((SOCKETS["conditioning"], "conditioning"),),
        _conditioning,
        words=("prompt", "convert"),
    ),
    "InlayBridgeToModel": Bridge(
        "Denoiser to MODEL (inlay)",
        "Our denoiser (Stable Diffusion 1.x or 2.x, without LoRA) for ComfyUI's samplers.",
        {"denoiser": (SOCKETS["denoiser"], {"tooltip": "as a model node gives it"})},
        (("MODEL", "MODEL"),),
        lambda denoiser: (to_model(denoiser),),
        words=("unet", "convert"),
    ),
    "InlayBridgeToVae": Bridge(
        "VAE to ComfyUI's VAE (inlay)",
        "Our VAE for ComfyUI's nodes.",
        {"vae": (SOCKETS["vae"], {"tooltip": "as a model node gives it"})},
        (("VAE", "VAE"),),
        lambda vae: (to_vae(vae),),
        words=("convert",),
    ),
    "InlayBridgeToClip": Bridge(
        "Text encoder to CLIP (inlay)",
        "Our text encoder (Stable Diffusion 1.x or 2.x) for ComfyUI's CLIP Text Encode.",
        {"text_encoder": _TEXT_ENCODER},
        (("CLIP", "CLIP"),),
        lambda text_encoder: (to_clip(text_encoder),),
        words=("prompt", "convert"),
    ),
}


def bridge_class(name: str, bridge: Bridge) -> type[BridgeNode]:
    """The host's class for one bridge."""
    attributes = {
        "bridge": bridge,
        "__doc__": bridge.doc,
        "__module__": __name__,
        "RETURN_TYPES": tuple(socket for socket, _ in bridge.outputs),
        "RETURN_NAMES": tuple(name for _, name in bridge.outputs),
        "OUTPUT_TOOLTIPS": tuple("" for _ in bridge.outputs),
        "DESCRIPTION": bridge.doc,
        "SEARCH_ALIASES": ["bridge", *bridge.words],
    }
    return type(name, (BridgeNode,), attributes)


def bridge_mappings() -> tuple[dict[str, type[BridgeNode]], dict[str, str]]:
    """Classes and display names by the host's id."""
    classes = {name: bridge_class(name, bridge) for name, bridge in BRIDGES.items()}
    return classes, {name: bridge.title for name, bridge in BRIDGES.items()}
