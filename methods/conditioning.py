"""The conditioning of a denoiser: embeddings of the conditional and the unconditional half, and extra channels."""

from dataclasses import dataclass
from typing import Literal

from ..graph_runtime.core.light.later import Tensor, torch
from ..graph_runtime.core.port_types import PartlyKnown
from ..graph_runtime.core.values import same_values

ConditioningKind = Literal["text", "exemplar"]


@dataclass(frozen=True)
class ConditioningSummary(PartlyKnown):
    """The facts that a check knows about a conditioning, enough to refuse it for a model that it does not fit.

    Attributes:
        width: of the embeddings, d.
        extra: number of extra channels.
        name: the encoder's, for messages.
        kind: what was embedded.
    """

    width: int
    extra: int = 0
    name: str = "conditioning"
    kind: ConditioningKind = "text"

    @property
    def summary(self) -> "ConditioningSummary":
        """This object, so that a check can treat it as the conditioning."""
        return self


@dataclass(frozen=True, eq=False)
class Conditioning:
    """Embeddings and extra channels, on the CPU.

    Attributes:
        cond: conditional embeddings `[b n d]`.
        uncond: unconditional ones `[b n d]`; the same tensor where they do not differ.
        extra: channels joined to the latents `[b c lh lw]` (masked picture, mask), or None.
        drew_posterior: True if `extra` used the posterior's tensor of the run's noise, which the sampler then skips.
        name: the encoder's, for messages.
        kind: the kind of input that was embedded; it decides the order of the extra channels.
        tokens: of the conditional text, start, end and padding included; None without a text.
    """

    cond: Tensor
    uncond: Tensor
    extra: Tensor | None = None
    drew_posterior: bool = False
    name: str = "conditioning"
    kind: ConditioningKind = "text"
    tokens: tuple[int, ...] | None = None

    @property
    def summary(self) -> "ConditioningSummary":
        """Width of the embeddings, number of extra channels, and what was embedded."""
        extra = 0 if self.extra is None else self.extra.shape[1]
        return ConditioningSummary(self.cond.shape[-1], extra, self.name, self.kind)

    @property
    def differs(self) -> bool:
        """True if the two halves differ, so that guidance has an effect."""
        return self.cond is not self.uncond and not same_values(self.cond, self.uncond)


def inpaint_channels(masked: Tensor, hole: Tensor, layout: ConditioningKind) -> Tensor:
    """The five extra channels of an inpainting UNet `[b 5 lh lw]`, in the order of its family.

    Args:
        masked: latent of the masked picture, zm `[b 4 lh lw]`, scaled.
        hole: 1 = repaint, `[b 1 lh lw]`.
        layout: `text` for Stable Diffusion inpainting, [hole, zm]; `exemplar` for Paint by Example, [zm, 1 − hole].
    """
    from .paint_by_example import exemplar_channels

    return torch.cat([hole, masked], dim=1) if layout == "text" else exemplar_channels(masked, hole)
