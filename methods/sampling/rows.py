"""How few rows serve a larger batch."""

import torch
from torch import Tensor

from ...graph_runtime import BadInput


def spread(value: Tensor, like: Tensor, port: str) -> Tensor:
    """`value` with device, precision and number of rows of `like`: each row serves as many neighbouring rows.

    Raises:
        BadInput: the rows do not divide.
    """
    rows, wanted = value.shape[0], like.shape[0]
    if wanted % rows:
        raise BadInput(
            port,
            found=f"{rows} rows for a batch of {wanted}",
            expected="one row, or as many as there are pictures",
            fix="load as many pictures as masks, and make the noise from their latent",
        )
    value = value.to(device=like.device, dtype=like.dtype)
    return value if rows == wanted else torch.repeat_interleave(value, wanted // rows, dim=0)
