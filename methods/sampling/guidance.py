"""Classifier-free guidance, and the per-step embeddings that may replace one of its halves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


class Tuning(Protocol):
    """Per-step embeddings."""

    def at(self, step: int) -> tuple[Tensor | None, Tensor | None]:
        """(conditional, unconditional) `[b n d]` for a reverse step; None keeps the conditioning's own."""


@dataclass(frozen=True, eq=False)
class Guidance:
    """What the denoiser is told, on its device, and how strongly: ε_u + scale·(ε_c − ε_u) (Ho & Salimans 2022).

    Attributes:
        cond: `[b n d]`, or None for an unconditional model.
        uncond: `[b n d]`, or None.
        scale: 1 is the conditional prediction alone, 0 the unconditional one.
        differs: the halves differ; where they do not, one evaluation a step is enough.
        extra: channels joined to the latents `[b c lh lw]`.
        tuning: per-step embeddings that replace cond or uncond.
    """

    cond: Tensor | None = None
    uncond: Tensor | None = None
    scale: float = 1.0
    differs: bool = False
    extra: Tensor | None = None
    tuning: Tuning | None = None

    def halves(self, step: int) -> list[tuple[str, Tensor | None]]:
        """The embeddings to evaluate at a step: both halves, unconditional first, or the only one that counts."""
        cond, uncond, differs = self.cond, self.uncond, self.differs
        if self.tuning is not None:
            tuned_cond, tuned_uncond = self.tuning.at(step)
            cond = cond if tuned_cond is None else tuned_cond
            uncond = uncond if tuned_uncond is None else tuned_uncond
            differs = True
        if not differs or self.scale == 1:
            return [("cond", cond)]
        return [("uncond", uncond)] if self.scale == 0 else [("uncond", uncond), ("cond", cond)]

    def combine(self, outputs: Sequence[Tensor]) -> Tensor:
        """The guided output of one or both halves."""
        if len(outputs) == 1:
            return outputs[0]
        return outputs[0] + self.scale * (outputs[1] - outputs[0])
