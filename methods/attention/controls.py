"""The attention controls themselves: which rows run along, and what they lend, step by step."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...graph_runtime import BadInput
from ...graph_runtime.core.kept_tensors import content_key
from ..conditioning import Conditioning
from ..inversion.tuning import Tuned
from ..sampling.constraints import spread
from ..sampling.loop import AttentionControl, Chain, Guidance
from .gather import Borrowing, GatheredRun, Kind, Layers, Mixing, Row, aligned, self_attentions

EDIT_C: Row = ("edit", "cond")
EDIT_U: Row = ("edit", "uncond")
RECONSTRUCTION: Row = ("reconstruction", "cond")
TRANSITION: Row = ("transition", "cond")
SOURCE_C: Row = ("source", "cond")
SOURCE_U: Row = ("source", "uncond")
LARGEST = 32 * 32  # queries up to which prompt-to-prompt lends self-attention maps, as in null-text's published code


@dataclass(frozen=True, eq=False)
class Wanted:
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


def _placed(value: Tensor, picture: Chain, port: str) -> Tensor:
    """A value as the picture's rows have theirs: rows, device, and the embeddings' dtype."""
    assert picture.guidance.cond is not None
    return spread(value, picture.z, port).to(picture.guidance.cond.dtype)


def _told(picture: Chain, conditioning: Conditioning, tuning: Tuned | None) -> Guidance:
    """Guidance of the picture's strength for other embeddings; the empty text is the picture's where it is tuned."""
    cond, uncond = (_placed(value, picture, "source") for value in (conditioning.cond, conditioning.uncond))
    return Guidance(
        cond,
        uncond,
        picture.guidance.scale,
        conditioning.differs,
        picture.guidance.extra,
        None if tuning is None else _on(tuning, picture),
    )


def _on(tuning: Tuned, picture: Chain) -> Tuned:
    moved = tuning.embeddings.to(picture.z.device)  # all steps at once: every copy holds the host
    embeddings = torch.stack([_placed(value, picture, "tuning") for value in moved])
    return tuning.on(embeddings.device, embeddings.dtype)


def _walked(name: str, picture: Chain, tuning: Tuned, until: int, cond: Tensor | None = None) -> Chain:
    """The chain that a tuning was made along: it lends its conditional half.

    Where the inversion wrote down where it arrived, the latents are known and one row a step is enough; else the chain
    is walked with both halves.
    """
    placed, known = _on(tuning, picture), tuning.achieved
    cond = picture.guidance.cond if cond is None else cond
    extra, uncond = picture.guidance.extra, picture.guidance.uncond
    if len(known) != len(tuning.embeddings) + 1:
        return Chain(
            name, picture.z.clone(), Guidance(cond, uncond, picture.guidance.scale, True, extra, placed), until=until
        )
    given = [spread(value, picture.z, "tuning") for value in known[:until].to(picture.z.device)]
    told = Guidance(cond, None, 1.0, False, extra, placed if tuning.half == "cond" else None)
    return Chain(name, picture.z, told, given=lambda step: given[step], until=until)


@dataclass(frozen=True, eq=False)
class Balanced(AttentionControl):
    """Balanced attention injection (BARET, 2023).

    Attributes:
        reconstruction: walks the picture back; lends the maps of self-attention.
        transition: between picture and text; lends those of cross-attention.
        self_until: share of the steps.
        cross_until: share of the steps.
        layers: which part of the UNet.
    """

    reconstruction: Tuned
    transition: Tuned
    self_until: float = 0.3
    cross_until: float = 0.6
    layers: Layers = "all"

    @property
    def belongs(self) -> str:
        """Model, schedule and size that it was made for."""
        return self.reconstruction.key

    @property
    def start(self) -> Tensor:
        """Where the edit must begin."""
        return self.reconstruction.start

    @property
    def wanted(self) -> Wanted:
        """What has to be wired into the sampler beside it."""
        return Wanted(self.reconstruction.told, self.reconstruction.scale)

    def begin(self) -> "_BalancedRun":
        """The control for one run."""
        return _BalancedRun(self)


class _BalancedRun(GatheredRun):
    def __init__(self, control: Balanced):
        super().__init__()
        self._control = control
        self._self = self._cross = 0

    def companions(self, picture: Chain, steps: int) -> list[Chain]:
        control = self._control
        self._self, self._cross = steps_until(control.self_until, steps), steps_until(control.cross_until, steps)
        told, chains = picture.guidance, []
        if told.scale == 0 or told.cond is None:
            return []  # there is no conditional half to lend to
        if self._cross:
            guidance = Guidance(told.cond, told.uncond, told.scale, True, told.extra, _on(control.transition, picture))
            chains.append(Chain("transition", picture.z.clone(), guidance, until=self._cross))
        if self._self:
            chains.append(_walked("reconstruction", picture, control.reconstruction, self._self))
        return chains

    def plan(self, step: int) -> dict[Kind, Borrowing]:
        plans: dict[Kind, Borrowing] = {}
        for kind, until, lender in (("self", self._self, RECONSTRUCTION), ("cross", self._cross, TRANSITION)):
            if step < until:
                plans[kind] = Borrowing(  # type: ignore[index]
                    query={EDIT_C: lender}, key={EDIT_C: lender}, layers=self._control.layers
                )
        return plans


@dataclass(frozen=True, eq=False)
class MutualSelf(AttentionControl):
    """Mutual self-attention (MasaCtrl, Cao et al. 2023): the edit looks for its keys and values in the source.

    Attributes:
        source: what the source chain is told.
        start_step: first step.
        start_layer: first self-attention, in the order they are called.
    """

    source: Conditioning
    start_step: int = 4
    start_layer: int = 10

    def require(self, denoiser: Any, steps: int) -> None:
        """Raise BadInput where no step is left for it."""
        if self.start_step >= steps:
            raise BadInput(
                "attention",
                found=f"start_step {self.start_step} in attention.mutual_self, of {steps} steps",
                expected=f"at most {steps - 1}",
                fix="lower start_step there (the paper begins at 4 of 50), or use more steps",
            )

    def require_layers(self, count: int) -> None:
        """Raise BadInput where a UNet of so many self-attentions has none left for it."""
        if self.start_layer >= count:
            raise BadInput(
                "attention",
                found=f"start_layer {self.start_layer} in attention.mutual_self",
                expected=f"at most {count - 1}: this UNet has {count} self-attentions",
                fix=f"set start_layer to about {count * 5 // 8} there; of Stable Diffusion's 16 the paper "
                "leaves out 10",
            )

    def begin(self) -> "_MutualRun":
        """The control for one run."""
        return _MutualRun(self)


class _MutualRun(GatheredRun):
    def __init__(self, control: MutualSelf):
        super().__init__()
        self._control = control
        self._rows_of_source = {EDIT_U: SOURCE_U, EDIT_C: SOURCE_C}

    def installed(self, denoiser: Any) -> Any:
        self._control.require_layers(self_attentions(denoiser))
        return super().installed(denoiser)

    def companions(self, picture: Chain, steps: int) -> list[Chain]:
        self._control.require(None, steps)
        guidance = _told(picture, self._control.source, None)
        if len(guidance.halves(0)) == 1:  # one row serves both halves
            self._rows_of_source = {EDIT_U: SOURCE_C, EDIT_C: SOURCE_C}
            if guidance.scale == 0 and guidance.differs:
                self._rows_of_source = {EDIT_U: SOURCE_U, EDIT_C: SOURCE_U}
        return [Chain("source", picture.z.clone(), guidance)]

    def plan(self, step: int) -> dict[Kind, Borrowing]:
        if step < self._control.start_step:
            return {}
        lent = self._rows_of_source
        return {"self": Borrowing(key=lent, value=lent, first_layer=self._control.start_layer)}


@dataclass(frozen=True, eq=False)
class PromptToPrompt(AttentionControl):
    """Prompt-to-prompt (Hertz et al. 2022), with null-text inversion where a tuning is given.

    Attributes:
        source: the text that the picture was inverted with.
        target: the text of the edit.
        tuning: of the empty text.
        self_until: share of the steps in which self-attention's maps are the source's.
        cross_until: share of the steps in which cross-attention's are, for the words that both texts share.
    """

    source: Conditioning
    target: Conditioning
    tuning: Tuned | None = None
    self_until: float = 0.5
    cross_until: float = 0.8

    @property
    def belongs(self) -> str:
        """Model, schedule and size that it was made for."""
        return "" if self.tuning is None else self.tuning.key

    @property
    def start(self) -> Tensor | None:
        """Where the edit must begin."""
        return None if self.tuning is None else self.tuning.start

    @property
    def wanted(self) -> Wanted:
        """What has to be wired into the sampler beside it."""
        scale = 0.0 if self.tuning is None else self.tuning.scale
        return Wanted(content_key(self.target.cond).hex(), scale, True, self.tuning)

    def begin(self) -> "_PromptRun":
        """The control for one run."""
        return _PromptRun(self)


class _PromptRun(GatheredRun):
    def __init__(self, control: PromptToPrompt):
        super().__init__()
        self._control = control
        self._self = self._cross = 0
        self._mixing = Mixing(SOURCE_C, *aligned(control.source.tokens or (), control.target.tokens or ()))

    def companions(self, picture: Chain, steps: int) -> list[Chain]:
        control = self._control
        self._self, self._cross = steps_until(control.self_until, steps), steps_until(control.cross_until, steps)
        until = max(self._self, self._cross)
        if not until or picture.guidance.scale == 0:
            return []
        if control.tuning is not None:
            return [_walked("source", picture, control.tuning, until, _placed(control.source.cond, picture, "source"))]
        return [Chain("source", picture.z.clone(), _told(picture, control.source, None), until=until)]

    def plan(self, step: int) -> dict[Kind, Borrowing]:
        plans: dict[Kind, Borrowing] = {}
        if step < self._self:
            plans["self"] = Borrowing(query={EDIT_C: SOURCE_C}, key={EDIT_C: SOURCE_C}, largest=LARGEST)
        if step < self._cross:
            plans["cross"] = Borrowing(mixing={EDIT_C: self._mixing})
        return plans
