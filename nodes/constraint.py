"""Constraints: what is known about the result, imposed on the predicted clean latent at every step."""

from typing import NamedTuple

from ..graph_runtime import node
from ..graph_runtime.core.values import plain
from ..methods.blended_diffusion import Blended
from ..methods.null_space import NullSpace
from .checks.before_run import Facts, Known, Params, rehearse
from .checks.constraint import require_mask_on_grid
from .ports import ConstraintPort, Latent, LatentMask


class Constrained(NamedTuple):
    """A constraint on the sampler."""

    constraint: ConstraintPort


def _check_null_space(known: Known, params: Params) -> Facts:
    return rehearse(null_space, known, params)


@node("constraint.null_space", version=1, check=_check_null_space)
def null_space(latent: Latent, latent_mask: LatentMask) -> Constrained:
    """Keep the encoded picture's values exactly in known cells; only their null space, the hole, is generated.

    x̂0 = Ml·Ey + (1 − Ml)·x0 with Ml = 1 − latent_mask (Kakinuma et al. 2024, eq. 5).

    Args:
        latent: Ey, the encoding of the picture whose hole was filled with grey.
        latent_mask: 1 = repaint, on the latent grid; give it the dilation of mask.to_latent.
    """
    known = plain(latent)
    return Constrained(NullSpace(known, require_mask_on_grid(latent_mask, known)))


def _check_blended(known: Known, params: Params) -> Facts:
    return rehearse(blended, known, params)


@node("constraint.blended", version=1, check=_check_blended)
def blended(latent: Latent, latent_mask: LatentMask) -> Constrained:
    """Replace the known cells by the picture at that noise level after each step; a baseline for comparison.

    Blended latent diffusion (Avrahami et al. 2023), with the run's own first noise.

    Args:
        latent: the encoded picture.
        latent_mask: 1 = repaint, on the latent grid.
    """
    known = plain(latent)
    return Constrained(Blended(known, require_mask_on_grid(latent_mask, known)))
