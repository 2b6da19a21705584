"""Whether a UNet fits its conditioning: the width of the embeddings, and the channels beside the latent."""

from ...graph_runtime import BadInput
from ...methods.conditioning import ConditioningSummary
from ...models.protocols import DenoiserDescription


def require_pair(denoiser: DenoiserDescription, conditioning: ConditioningSummary | None) -> None:
    """Raise BadInput unless the UNet fits the conditioning or, where none is connected, needs none."""
    require_channels(denoiser, 0 if conditioning is None else conditioning.extra)
    width = denoiser.cross_attention_dim
    if width is None and conditioning is not None:
        raise BadInput(
            "conditioning",
            found=f"a conditioning for the unconditional {denoiser.label}",
            expected="none",
            fix="disconnect the conditioning",
        )
    if width is not None and conditioning is None:
        raise BadInput(
            "conditioning",
            found="nothing connected",
            expected=f"a conditioning for the {denoiser.label}",
            fix="add condition.text; its prompt may stay empty",
        )
    if conditioning is not None and conditioning.width != width:
        raise BadInput(
            "conditioning",
            found=f"embeddings of width {conditioning.width} from the {conditioning.name}",
            expected=f"{width}, which the {denoiser.label} expects",
            fix="use the text encoder and the denoiser of one model",
        )


def require_channels(denoiser: DenoiserDescription, extra: int) -> None:
    """Raise BadInput unless latents and `extra` channels together are what the UNet takes."""
    latent = denoiser.latent_channels
    if denoiser.in_channels == latent + extra:
        return
    found = f"the {denoiser.label}, a {denoiser.in_channels}-channel UNet"
    if extra:
        raise BadInput(
            "conditioning",
            found=f"{extra} extra channels for {found}",
            expected=f"{denoiser.in_channels - latent} extra channels",
            fix="condition.inpaint is for 9-channel UNets; use condition.text alone with others",
        )
    raise BadInput(
        "denoiser",
        found=found,
        expected=f"{latent} channels, as many as the latent has",
        fix="an inpainting model needs condition.inpaint before conditioning; or name a plain model",
    )
