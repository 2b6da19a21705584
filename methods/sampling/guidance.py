"""Classifier-free guidance, and per-step embeddings that replace one of its halves.

Ho & Salimans, "Classifier-Free Diffusion Guidance", 2022.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ...graph_runtime.core.light.later import Tensor

Half = Literal["cond", "uncond"]


class Tuning(Protocol):
    """Per-step embeddings."""

    def at(self, reverse_step: int) -> tuple[Tensor | None, Tensor | None]:
        """(conditional, unconditional) embeddings `[b n d]` of a reverse step; None keeps the conditioning's own."""


@dataclass(frozen=True, eq=False)
class Guidance:
    """ε_u + scale·(ε_c − ε_u), with the embeddings of both halves, on the model's device.

    Attributes:
        cond: conditional embeddings `[b n d]`; None for an unconditional model.
        uncond: unconditional embeddings `[b n d]`, or None.
        scale: the guidance scale; 1 is the conditional prediction alone, 0 the unconditional one.
        differs: the halves differ; where they do not, one evaluation a step is enough.
        extra: channels joined to the latents `[b c lh lw]`.
        tuning: per-step embeddings that replace `cond` or `uncond`.
    """

    cond: Tensor | None = None
    uncond: Tensor | None = None
    scale: float = 1.0
    differs: bool = False
    extra: Tensor | None = None
    tuning: Tuning | None = None

    def halves(self, reverse_step: int) -> list[tuple[Half, Tensor | None]]:
        """The halves to evaluate at a step with their embeddings: both, unconditional first, or only one."""
        cond, uncond, differs = self.cond, self.uncond, self.differs
        if self.tuning is not None:
            tuned_cond, tuned_uncond = self.tuning.at(reverse_step)
            cond = cond if tuned_cond is None else tuned_cond
            uncond = uncond if tuned_uncond is None else tuned_uncond
            differs = True
        if not differs or self.scale == 1:
            return [("cond", cond)]
        return [("uncond", uncond)] if self.scale == 0 else [("uncond", uncond), ("cond", cond)]

    def combine(self, outputs: Sequence[Tensor]) -> Tensor:
        """The guided output of one or both halves, each `[b c lh lw]`."""
        if len(outputs) == 1:
            return outputs[0]
        return outputs[0] + self.scale * (outputs[1] - outputs[0])
