"""The branches that attention controls sample beside the edit, and what a control expects of the other inputs."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..conditioning import Conditioning
from ..inversion.tuning import Tuned
from ..sampling.branch import Chain
from ..sampling.guidance import Guidance
from ..sampling.rows import spread
from .gather import Row

EDIT_C: Row = ("edit", "cond")
EDIT_U: Row = ("edit", "uncond")
RECONSTRUCTION: Row = ("reconstruction", "cond")
TRANSITION: Row = ("transition", "cond")
SOURCE_C: Row = ("source", "cond")
SOURCE_U: Row = ("source", "uncond")


@dataclass(frozen=True, eq=False)
class ExpectedInputs:
    """What a control expects beside it in the sampler; an edit without is another one than was asked for.

    Attributes:
        told: the conditional text, as a hash of its embedding.
        scale: the guidance; 0: any.
        paired: a tuning of the empty text belongs into control and sampler, or into neither.
        tuning: the control's.
    """

    told: str
    scale: float
    paired: bool = False
    tuning: Tuned | None = None


def steps_until(share: float, steps: int) -> int:
    """How many of the first steps a window covers: int(share · T)."""
    return int(share * steps + 1e-9)


def expanded(value: Tensor, picture: Chain, port: str) -> Tensor:
    """A value as the picture's rows have theirs: rows, device, and the embeddings' dtype."""
    assert picture.guidance.cond is not None
    return spread(value, picture.z, port).to(picture.guidance.cond.dtype)


def guidance_with(picture: Chain, conditioning: Conditioning, tuning: Tuned | None) -> Guidance:
    """Guidance of the picture's strength for other embeddings; the empty text is the picture's where it is tuned."""
    cond, uncond = (expanded(value, picture, "source") for value in (conditioning.cond, conditioning.uncond))
    return Guidance(
        cond,
        uncond,
        picture.guidance.scale,
        conditioning.differs,
        picture.guidance.extra,
        None if tuning is None else tuning_on(tuning, picture),
    )


def tuning_on(tuning: Tuned, picture: Chain) -> Tuned:
    """A tuning with the rows, device and dtype of the edit's embeddings."""
    moved = tuning.embeddings.to(picture.z.device)  # all steps at once: every copy holds the host
    embeddings = torch.stack([expanded(value, picture, "tuning") for value in moved])
    return tuning.on(embeddings.device, embeddings.dtype)


def tuned_branch(name: str, picture: Chain, tuning: Tuned, until: int, cond: Tensor | None = None) -> Chain:
    """The chain that a tuning was made along: it lends its conditional half.

    Where the inversion wrote down where it arrived, the latents are known and one row a step is enough; else the chain
    is walked with both halves.
    """
    placed, known = tuning_on(tuning, picture), tuning.achieved
    cond = picture.guidance.cond if cond is None else cond
    extra, uncond = picture.guidance.extra, picture.guidance.uncond
    if len(known) != len(tuning.embeddings) + 1:
        return Chain(
            name, picture.z.clone(), Guidance(cond, uncond, picture.guidance.scale, True, extra, placed), until=until
        )
    given = [spread(value, picture.z, "tuning") for value in known[:until].to(picture.z.device)]
    told = Guidance(cond, None, 1.0, False, extra, placed if tuning.half == "cond" else None)
    return Chain(name, picture.z, told, given=lambda step: given[step], until=until)
