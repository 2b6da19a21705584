"""The branches that attention controls sample beside the edit, and the sampler inputs that a control requires."""

from dataclasses import dataclass

from ...graph_runtime.core.light.later import Tensor, torch
from ..conditioning import Conditioning
from ..inversion.tuning import Tuned
from ..sampling.branch import Branch
from ..sampling.guidance import Guidance
from ..sampling.rows import expand_rows
from .control import RowGroup

EDIT_C: RowGroup = ("edit", "cond")
EDIT_U: RowGroup = ("edit", "uncond")
RECONSTRUCTION: RowGroup = ("reconstruction", "cond")
TRANSITION: RowGroup = ("transition", "cond")
SOURCE_C: RowGroup = ("source", "cond")
SOURCE_U: RowGroup = ("source", "uncond")


@dataclass(frozen=True, eq=False)
class ExpectedInputs:
    """The inputs that the sampler must get together with a control; with others, the edit is a different one.

    Attributes:
        text_hash: hash of the embeddings of the conditional text.
        guidance_scale: 0 is any.
        paired: a tuning of the empty text must be connected to both the control and the sampler, or to neither.
        tuning: the control's.
    """

    text_hash: str
    guidance_scale: float
    paired: bool = False
    tuning: Tuned | None = None


def steps_until(share: float, steps: int) -> int:
    """How many of the first steps a window covers: int(share · T)."""
    return int(share * steps + 1e-9)


def like_edit(value: Tensor, edit: Branch, port: str) -> Tensor:
    """Embeddings `[b n d]` with the edit's number of rows, device and dtype."""
    assert edit.guidance.cond is not None
    return expand_rows(value, edit.z, port).to(edit.guidance.cond.dtype)


def tuning_like_edit(tuning: Tuned, edit: Branch) -> Tuned:
    """A tuning with the number of rows, device and dtype of the edit's embeddings."""
    moved = tuning.embeddings.to(edit.z.device)  # all steps at once: every copy makes the host wait
    embeddings = torch.stack([like_edit(value, edit, "tuning") for value in moved])
    return tuning.to(embeddings.device, embeddings.dtype)


def source_branch(edit: Branch, conditioning: Conditioning, until: int | None = None) -> Branch:
    """A branch from the edit's start under another conditioning, with the edit's guidance scale."""
    cond, uncond = (like_edit(value, edit, "source") for value in (conditioning.cond, conditioning.uncond))
    guidance = Guidance(cond, uncond, edit.guidance.scale, conditioning.differs, edit.guidance.extra)
    return Branch("source", edit.z.clone(), guidance, until=until)


def reconstruction_branch(name: str, edit: Branch, tuning: Tuned, until: int, cond: Tensor | None = None) -> Branch:
    """The branch along which a tuning was made; its conditional half gives the attention maps.

    If the inversion kept its latents, one row per step is enough; otherwise both halves are sampled.

    Args:
        name: of the branch.
        edit: the edit's branch.
        tuning: per-step embeddings of either half.
        until: reverse steps in which the branch takes part.
        cond: conditional embeddings `[b n d]`; None takes the edit's.
    """
    placed, known = tuning_like_edit(tuning, edit), tuning.achieved
    cond = edit.guidance.cond if cond is None else cond
    extra, uncond = edit.guidance.extra, edit.guidance.uncond
    if tuning.blended:
        guidance = Guidance(cond, uncond, edit.guidance.scale, True, extra, placed)
        return Branch(name, edit.z.clone(), guidance, until=until)
    latents = [expand_rows(value, edit.z, "tuning") for value in known[:until].to(edit.z.device)]
    guidance = Guidance(cond, None, 1.0, False, extra, placed if tuning.half == "cond" else None)
    return Branch(name, edit.z, guidance, known_latents=lambda reverse_step: latents[reverse_step], until=until)
