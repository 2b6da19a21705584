"""Whether a mask on the latent grid fits the latent that it is for."""

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor
from ...graph_runtime.core.values import plain


def require_mask_on_grid(mask: Tensor, latent: Tensor, port: str = "latent_mask") -> Tensor:
    """`mask` `[b 1 lh lw]` if it lies on the grid of `latent`, is in [0, 1], and has one row or as many.

    Raises:
        BadInput: it has not; names `port`.
    """
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
            fix="connect the output of mask.to_latent",
        )
    return plain(mask)
