"""How a node evaluates a denoiser, as its description asks for; what cannot be so here is said in a warning."""

from typing import TYPE_CHECKING, cast

from ..graph_runtime import Context
from ..graph_runtime.core.memory.compiled import compiled
from ..methods.sampling.evaluation import AsCompiled, Evaluate
from ..models.fast.component import FastDenoiser

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel


def evaluation_of(
    ctx: Context, unet: "UNet2DConditionModel", denoiser: object, *, why_plain: str = "", steps_alike: bool = True
) -> Evaluate | None:
    """How to evaluate a leased UNet; None: as it is.

    Args:
        ctx: of the node.
        unet: leased.
        denoiser: its description.
        why_plain: what this node does that needs the model as it is; empty if nothing.
        steps_alike: each evaluation differs little from the last, in a run that need not be retraced exactly.

    Raises:
        BadInput: nothing can be compiled for this device.
    """
    if not isinstance(denoiser, FastDenoiser) or next(unet.parameters()).is_meta:  # shapes alone
        return None
    if denoiser.compile != "off":
        denoiser.require_device(ctx.device)
        code = None if why_plain else compiled(unet, denoiser.compile)
        if code is not None:
            return AsCompiled(unet, code, denoiser.label, lambda note: ctx.progress(0, 1, note=note))
        _say(ctx, "compile", why_plain or "its weights are streamed")
    if denoiser.step_cache > 1:
        from ..methods.sampling.step_cache import WithStepCache, has_levels

        if not why_plain and steps_alike and has_levels(unet):
            return cast(Evaluate, WithStepCache(unet, denoiser.step_cache))
        _say(ctx, "step_cache", why_plain or ("an inversion" if not steps_alike else "a model of one level"))
    return None


def say_plain(ctx: Context, denoiser: object, why: str) -> None:
    """Warn of all that a description asks for and a node that evaluates the model as it is does not do."""
    if isinstance(denoiser, FastDenoiser):
        if denoiser.compile != "off":
            _say(ctx, "compile", why)
        if denoiser.step_cache > 1:
            _say(ctx, "step_cache", why)


def _say(ctx: Context, setting: str, reason: str) -> None:
    ctx.warn(f"{setting} does not apply here ({reason}): the model is evaluated as it is")
