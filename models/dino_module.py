"""A vision transformer, as a module."""

from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from transformers import Dinov2Model, ViTModel


class DinoModule(nn.Module):
    """A vision transformer; a picture is its class token after the last norm (Caron et al. 2021)."""

    def __init__(self, model: "ViTModel | Dinov2Model") -> None:
        super().__init__()
        self.model = model

    def pictures(self, pixels: Tensor) -> Tensor:
        """`[b 3 s s]`, normalised, to `[b d]`."""
        seen: Tensor = self.model(pixels).last_hidden_state[:, 0]
        return seen
