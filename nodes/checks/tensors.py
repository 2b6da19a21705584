"""Tensors between nodes: checked at the door, and out of a host's inference mode.

A tensor made in inference mode may never be saved for backward or changed in place outside it.
"""

from typing import Any

from torch import Tensor

from ...graph_runtime import BadInput
from ...graph_runtime.core.values import describe, plain


def require_latent(latent: Any, port: str = "latent") -> Tensor:
    """`latent` if it is `[b, c, lh, lw]` floating point and not empty; raises BadInput that names `port` otherwise."""
    if not isinstance(latent, Tensor) or latent.ndim != 4 or 0 in latent.shape or not latent.is_floating_point():
        raise BadInput(
            port,
            found=describe(latent),
            expected="a latent [b, c, lh, lw], floating point",
            fix="wire the output of latent.encode or latent.load",
        )
    return plain(latent)


def require_latent_mask(mask: Any, latent: Tensor, port: str = "latent_mask") -> Tensor:
    """`mask` if it is `[b, 1, lh, lw]` in [0, 1] on the grid of `latent`, with one mask or one for each row."""
    if not isinstance(mask, Tensor) or mask.ndim != 4 or mask.shape[1] != 1 or not mask.is_floating_point():
        raise BadInput(
            port,
            found=describe(mask),
            expected="a latent mask [b, 1, lh, lw], 1 = repaint",
            fix="wire the output of mask.to_latent",
        )
    if mask.shape[2:] != latent.shape[2:]:
        raise BadInput(
            port,
            found=f"a latent mask of {mask.shape[3]}×{mask.shape[2]} cells",
            expected=f"the latent's grid, {latent.shape[3]}×{latent.shape[2]}",
            fix="make both from one picture size, with the same vae",
        )
    if mask.shape[0] not in (1, latent.shape[0]) and latent.shape[0] != 1:
        raise BadInput(
            port,
            found=f"{mask.shape[0]} masks for {latent.shape[0]} latents",
            expected="one mask, or one for each latent",
            fix="load as many masks as pictures",
        )
    if not mask.is_meta and not ((mask >= 0) & (mask <= 1)).all():
        raise BadInput(
            port,
            found=f"values from {float(mask.min()):g} to {float(mask.max()):g}",
            expected="0 (keep) to 1 (repaint)",
            fix="wire the output of mask.to_latent",
        )
    return plain(mask)
