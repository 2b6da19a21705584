"""Attention is torch's fused function wherever no map is needed: in UNet, VAE and encoders, and under controls."""

import pytest
import torch
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.processors import attentions
from inlay.nodes import attention, condition, latent, model, noise, sample, schedule
from torch.overrides import TorchFunctionMode


class Counted(TorchFunctionMode):
    """Counts calls of the fused function, and of softmax, with which a map is made."""

    def __init__(self):
        super().__init__()
        self.fused = self.maps = 0

    def __torch_function__(self, func, types, args=(), kwargs=None):
        self.fused += func is torch.nn.functional.scaled_dot_product_attention
        self.maps += getattr(func, "__name__", "") in ("softmax", "_softmax")
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def parts(shared_sd):
    return model.stable_diffusion(str(shared_sd))


def test_every_attention_of_unet_vae_and_text_encoder_is_fused(parts):
    ctx = Context()
    with ctx.lease(parts.denoiser) as unet, torch.no_grad(), Counted() as counted:
        unet(torch.ones(1, 4, 8, 8), torch.tensor(5), torch.ones(1, 5, parts.denoiser.cross_attention_dim))
    assert (counted.fused, counted.maps) == (len(attentions(unet)), 0)
    with ctx.lease(parts.vae) as vae, Counted() as counted:
        latent.decode(latent.encode(torch.full((1, 64, 64, 3), 0.5), parts.vae, ctx).latent, parts.vae, ctx)
    assert (counted.fused, counted.maps) == (len(attentions(vae)), 0)
    with Counted() as counted:
        condition.text(parts.text_encoder, ctx, prompt="a dog")
    assert counted.fused > 0
    assert counted.maps == 0


def test_rows_that_use_those_of_others_are_fused_too(parts):
    ctx = Context()
    told = condition.text(parts.text_encoder, ctx, prompt="a dog").conditioning
    other = condition.text(parts.text_encoder, ctx, prompt="a cat").conditioning
    plan = schedule.ddim(parts.scheduler, steps=2, eta=0.0).schedule
    control = attention.mutual_self(told, start_step=0, start_layer=0).attention
    with Counted() as counted:
        sample.denoise(
            parts.denoiser,
            plan,
            noise.gaussian(torch.zeros(1, 4, 8, 8)).noise,
            ctx,
            conditioning=other,
            attention=control,
        )
    with ctx.lease(parts.denoiser) as unet:
        assert (counted.fused, counted.maps) == (2 * len(attentions(unet)), 0)
