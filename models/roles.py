"""What a description of a model has to know to stand where it is wired."""

from typing import Any

from ..graph_runtime import BadInput
from ..graph_runtime.core.port_types import has_fact
from ..graph_runtime.core.values import describe


def require_denoiser(denoiser: Any) -> None:
    """Raise BadInput unless `denoiser` describes a UNet."""
    if not has_fact(denoiser, "cross_attention_dim"):
        raise BadInput(
            "denoiser",
            found=describe(denoiser),
            expected="the description of a UNet",
            fix="wire the denoiser output of a model node",
        )


def require_vae(vae: Any) -> None:
    """Raise BadInput unless `vae` describes a VAE."""
    if not has_fact(vae, "scaling_factor"):
        raise BadInput(
            "vae", found=describe(vae), expected="the description of a VAE", fix="wire the vae output of a model node"
        )
