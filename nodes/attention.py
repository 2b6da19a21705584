"""Attention controls: what an edit takes from branches that are denoised beside it."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from ..graph_runtime import BadInput, node
from ..graph_runtime.core.values import same_values
from ..methods.baret.balanced_attention import BalancedAttention
from ..methods.inversion.tuning import Tuned
from ..methods.masactrl import MutualSelfAttention
from ..methods.prompt_to_prompt import PromptToPrompt
from .checks.before_run import Facts, Known, Params, rehearse
from .ports import Attention, ConditioningPort, TunedPort

Share = Annotated[float, Field(ge=0, le=1)]


class Controlled(NamedTuple):
    """An attention control, for sample.denoise."""

    attention: Attention


def _check_balanced(known: Known, params: Params) -> Facts:
    return rehearse(balanced, known, params)


@node("attention.balanced", version=1, check=_check_balanced)
def balanced(
    reconstruction: TunedPort,
    transition: TunedPort,
    self_until: Share = 0.3,
    cross_until: Share = 0.6,
    layers: Literal["all", "down", "mid", "up"] = "all",
) -> Controlled:
    """Keep the picture's layout while the text changes what is in it (BARET, balanced attention injection).

    The edit's self-attention uses queries and keys of the reconstruction, its cross-attention those of the transition;
    values stay its own. Conditional half only. Longer self-attention keeps more of the picture's shapes, longer
    cross-attention more of its layout.

    Args:
        reconstruction: from invert.target_text.
        transition: from embed.transition.
        self_until: share of the steps, from the noisiest, in which self-attention is the reconstruction's.
        cross_until: share of the steps in which cross-attention is the transition's.
        layers: part of the UNet in which attention is replaced.

    Raises:
        BadInput: tunings of the empty text, or of two different inversions.
    """
    for port, value in (("reconstruction", reconstruction), ("transition", transition)):
        _require_tuned(port, value, "cond")
    if reconstruction.blended and not transition.blended:
        raise BadInput(
            "reconstruction",
            found="a blended tuning, with the unblended one at transition",
            expected="the tuning of invert.target_text here, that of embed.transition there",
            fix="swap the two connections",
        )
    if reconstruction.inversion_key != transition.inversion_key or not same_values(
        reconstruction.start, transition.start
    ):
        raise BadInput(
            "transition",
            found="a tuning of another inversion than the reconstruction's",
            expected="both made from one inversion",
            fix="connect one invert.target_text to both, the transition through embed.transition",
        )
    return Controlled(BalancedAttention(reconstruction, transition, self_until, cross_until, layers))


def _check_mutual_self(known: Known, params: Params) -> Facts:
    return rehearse(mutual_self, known, params)


@node("attention.mutual_self", version=1, check=_check_mutual_self)
def mutual_self(
    source: ConditioningPort,
    start_step: Annotated[int, Field(ge=0, le=10_000)] = 4,
    start_layer: Annotated[int, Field(ge=0, le=1000)] = 10,
) -> Controlled:
    """Let the edit take its textures from the picture (MasaCtrl, Cao et al. 2023, a baseline).

    From a step and a layer on, self-attention takes its keys and values from a branch that samples the source.

    Args:
        source: conditioning of that branch: the text that the picture was inverted with, often empty.
        start_step: first step, from 0.
        start_layer: first self-attention of the UNet in the order they are called, from 0; Stable Diffusion has 16.
    """
    return Controlled(MutualSelfAttention(source, start_step, start_layer))


def _check_prompt_to_prompt(known: Known, params: Params) -> Facts:
    return rehearse(prompt_to_prompt, known, params)


@node("attention.prompt_to_prompt", version=1, check=_check_prompt_to_prompt)
def prompt_to_prompt(
    source: ConditioningPort,
    target: ConditioningPort,
    tuning: TunedPort | None = None,
    self_until: Share = 0.5,
    cross_until: Share = 0.8,
) -> Controlled:
    """Change words of the text that describes the picture (Hertz et al. 2022; with null-text inversion, a baseline).

    Cross-attention's maps are the source's for the words that both texts share, and for words that stand in the place
    of others; words that are only added keep their own. Self-attention's maps are the source's up to 32 × 32 cells.

    Args:
        source: the text that the picture was inverted with.
        target: the text of the edit; the same that is connected to sample.denoise.
        tuning: from invert.null_text; connect it to sample.denoise too. Without it the source is
            sampled from the noise.
        self_until: share of the steps, from the noisiest, in which self-attention is the source's.
        cross_until: share of the steps in which cross-attention is the source's.

    Raises:
        BadInput: a tuning of the target text, or a conditioning without a text.
    """
    for port, value in (("source", source), ("target", target)):
        if value.tokens is None:
            raise BadInput(
                port,
                found=f"a conditioning of the {value.name}, which has no words",
                expected="that of a text",
                fix="connect the output of condition.text",
            )
    if tuning is not None:
        _require_tuned("tuning", tuning, "uncond")
    return Controlled(PromptToPrompt(source, target, tuning, self_until, cross_until))


def _require_tuned(port: str, value: Tuned, half: Literal["cond", "uncond"]) -> None:
    if value.half != half:
        names = {"cond": "invert.target_text", "uncond": "invert.null_text"}
        raise BadInput(
            port,
            found=f"a tuning of the {'empty' if value.half == 'uncond' else 'target'} text",
            expected=f"one from {names[half]}",
            fix=f"use {names[half]}",
        )
