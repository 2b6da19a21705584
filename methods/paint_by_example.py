"""Paint by Example: fill a hole with the object of an exemplar picture.

Yang et al., "Paint by Example: Exemplar-based Image Editing with Diffusion Models", CVPR 2023.

The prompt of Stable Diffusion is replaced by one CLIP token of the exemplar, an information bottleneck that keeps the
model from copying it. The UNet takes nine channels: the noisy latent, the latent of the masked picture, and the mask.
Training is self-supervised: a box of the picture is the exemplar for the hole around it, both augmented.

Here: the channels, the model that trains, and the loss. Elsewhere:

    exemplar → CLIP token → mapper → embedding        models/paint_by_example/encoder.py
    augmented exemplars and arbitrary hole shapes     training/examples.py, pictures/augmentation.py
    attention to a single token                       attention/single_token.py
    the training run                                  training/exemplar.py, node train.exemplar
    sampling, 50 steps of PNDM, guidance 5            sampling/loop.py, workflows/exemplar/paint_by_example.json
"""

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

EXTRA = 5  # channels beside the latent: four of the masked picture's latent, one of the mask


class ExemplarEncoder(Protocol):
    """The encoder's interface for training."""

    one_token: bool
    uncond_vector: nn.Parameter

    def project(self, token: Tensor) -> Tensor:
        """CLIP tokens `[b n d']` -> embeddings `[b n d]`."""

    def inert(self) -> list[str]:
        """Names of the parameters that get no gradient with a single token."""


def exemplar_channels(masked: Tensor, hole: Tensor) -> Tensor:
    """The channels beside the latent `[b 5 lh lw]`: the masked picture's latent zm, then the mask, 1 = keep.

    Stable Diffusion's inpainting UNet has the same channels in the other order and polarity, [mask, zm] with
    1 = repaint.

    Args:
        masked: zm `[b 4 lh lw]`, scaled.
        hole: 1 = repaint `[b 1 lh lw]`.
    """
    return torch.cat([masked, 1 - hole], dim=1)


class ExemplarDenoiser(nn.Module):
    """UNet and exemplar encoder, trained together.

    Args:
        unet: takes 9 channels.
        encoder: its CLIP stays frozen.
    """

    unet: "UNet2DConditionModel"
    encoder: ExemplarEncoder

    def __init__(self, unet: "UNet2DConditionModel", encoder: ExemplarEncoder) -> None:
        super().__init__()
        self.unet, self.encoder = unet, encoder

    def forward(self, joined: Tensor, timesteps: Tensor, token: Tensor, dropped: Tensor) -> Tensor:
        """The model's output `[b 4 lh lw]`.

        Args:
            joined: noisy latent, zm and mask `[b 9 lh lw]`.
            timesteps: `[b]`.
            token: CLIP tokens of the exemplars `[b n d']`.
            dropped: True where the learned unconditional vector replaces the exemplar `[b]`.
        """
        embeddings = self.encoder.project(token)
        unconditional = self.encoder.uncond_vector.expand_as(embeddings)
        embeddings = torch.where(dropped[:, None, None], unconditional.to(embeddings.dtype), embeddings)
        output: Tensor = self.unet(joined, timesteps, encoder_hidden_states=embeddings, return_dict=False)[0]
        return output

    def trainable(self) -> list[str]:
        """Names of the trained parameters: UNet, mapper, last norm, projection and unconditional vector; CLIP is
        frozen.

        With one token, queries, keys and their norm get no gradient. They are left out, because weight decay would
        shrink them.
        """
        one_token = bool(self.encoder.one_token)
        inert = {f"encoder.{name}" for name in self.encoder.inert()} if one_token else set()
        names = []
        for name, _ in self.named_parameters():
            if name.startswith("encoder.model.") or name in inert:
                continue
            if (
                one_token
                and any(part in name for part in (".attn2.to_q.", ".attn2.to_k.", ".norm2."))
                and ".transformer_blocks." in name
            ):
                continue
            names.append(name)
        return names


def denoising_loss(
    model: nn.Module,
    latent: Tensor,
    masked: Tensor,
    keep: Tensor,
    token: Tensor,
    *,
    timesteps: Tensor,
    alpha_bars: Tensor,
    noise: Tensor,
    dropped: Tensor,
    prediction: str = "epsilon",
    snr_limit: float = 0.0,
) -> Tensor:
    """Mean of ‖ε − ε_θ([z_t, zm, m], t, c)‖² over the batch, or of the same for x₀ or v.

    Args:
        model: an ExemplarDenoiser, or a wrapper around it.
        latent: clean latents `[b 4 lh lw]`.
        masked: latents of the masked pictures, zm `[b 4 lh lw]`.
        keep: the mask m, 1 = keep `[b 1 lh lw]`.
        token: CLIP tokens of the exemplars `[b n d']`.
        timesteps: one for each row `[b]`.
        alpha_bars: ᾱ at these timesteps `[b]`.
        noise: ε `[b 4 lh lw]`.
        dropped: True where the unconditional vector replaces the exemplar `[b]`; the paper drops 20 %.
        prediction: what the model predicts: `epsilon`, `v_prediction` or `sample`.
        snr_limit: weights rows by min(SNR, limit)/SNR (Hang et al. 2023); 0 weights all rows equally.
    """
    a = alpha_bars[:, None, None, None]
    noisy = a.sqrt() * latent + (1 - a).sqrt() * noise
    target = {"epsilon": noise, "sample": latent, "v_prediction": a.sqrt() * noise - (1 - a).sqrt() * latent}[
        prediction
    ]
    output = model(torch.cat([noisy, masked, keep], dim=1), timesteps, token, dropped)
    error = (output[:, : latent.shape[1]].float() - target).square().flatten(1).mean(dim=1)
    if snr_limit:
        snr = (a / (1 - a)).flatten().clamp(min=1e-6)  # the SNR of pure noise is 0; its weight is 1
        error = error * snr.clamp(max=snr_limit) / snr
    loss: Tensor = error.mean()
    return loss


def widen(unet: "UNet2DConditionModel", extra: int = EXTRA) -> None:
    """Give a UNet `extra` more input channels with zero weights, so that training starts from Stable Diffusion."""
    old = unet.conv_in
    shape = (old.kernel_size, old.stride, old.padding)
    new = nn.Conv2d(old.in_channels + extra, old.out_channels, *shape)  # type: ignore[arg-type]  # torch types them wider
    new = new.to(old.weight)
    assert new.bias is not None
    assert old.bias is not None
    with torch.no_grad():
        new.weight.zero_()
        new.weight[:, : old.in_channels] = old.weight
        new.bias.copy_(old.bias)
    unet.conv_in = new
    unet.register_to_config(in_channels=old.in_channels + extra)
