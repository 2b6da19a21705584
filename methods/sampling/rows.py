"""Repeat the rows of a smaller batch for a larger one."""

from ...graph_runtime import BadInput
from ...graph_runtime.core.light.later import Tensor


def expand_rows(value: Tensor, like: Tensor, port: str) -> Tensor:
    """`value` `[n …]` with the device, dtype and number of rows of `like` `[b …]`.

    Each row is repeated b/n times, so row i of the result comes from row i // (b/n).

    Raises:
        BadInput: b is not a multiple of n; it names `port`.
    """
    rows, wanted = value.shape[0], like.shape[0]
    if wanted % rows:
        raise BadInput(
            port,
            found=f"{rows} rows for a batch of {wanted}",
            expected="one row, or as many as there are pictures",
            fix="load as many pictures as masks, and make the noise from their latent",
        )
    value = value.to(like)
    return value if rows == wanted else value.repeat_interleave(wanted // rows, dim=0)
