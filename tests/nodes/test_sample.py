"""The sampler against independent transcriptions of what was published."""

import pytest
import torch
import torch.nn.functional as F
from inlay.nodes.condition import text as condition_text
from inlay.nodes.constraint import blended, null_space
from inlay.nodes.latent import decode, encode
from inlay.nodes.model import pixel_diffusion, stable_diffusion
from inlay.nodes.noise import gaussian
from inlay.nodes.sample import denoise
from inlay.nodes.schedule import ddim


def picture(height=48, width=64, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(batch, 3, 5, 6, generator=generator, dtype=torch.float64)
    return F.interpolate(small, (height, width), mode="bilinear").permute(0, 2, 3, 1).contiguous()


def algorithm_1(unet, vae, sf, text, x, hole, bars, noises, eta, dilate, variance, steps_offset=1):
    """Kakinuma et al. 2024, algorithm 1, written down line by line."""
    steps = len(noises) - 1
    y = x * (1 - hole)
    Ey = vae.encode(y).latent_dist.mode() * sf
    h = F.interpolate(hole, Ey.shape[2:], mode="nearest")
    for _ in range(dilate):
        h = F.max_pool2d(h, 3, 1, 1)
    Ml = 1 - h
    stride = 1000 // steps
    ts = [i * stride + steps_offset for i in range(steps)][::-1]
    z = noises[0]
    for i, t in enumerate(ts):
        a = bars[t]
        ap = bars[ts[i + 1]] if i + 1 < steps else torch.tensor(1.0, dtype=torch.float64)
        e = unet(z, t, encoder_hidden_states=text).sample
        x0 = (z - (1 - a).sqrt() * e) / a.sqrt()
        x0h = Ml * Ey + (1 - Ml) * x0
        if variance == "ddim":
            s = eta * ((1 - ap) / (1 - a) * (1 - a / ap)).sqrt()
            c = (1 - ap - s**2).clamp(min=0).sqrt()
        else:
            s, c = eta * (1 - ap).sqrt(), (1 - eta**2) ** 0.5 * (1 - ap).sqrt()
        z = ap.sqrt() * x0h + c * e + s * noises[i + 1]
    return z, Ey, Ml


@pytest.mark.parametrize(("eta", "variance", "steps"), [(0.85, "ddim", 30), (0.0, "ddim", 7), (1.0, "ddim", 7),
                                                        (0.85, "ddnm", 7)])
@torch.no_grad()
def test_graph_is_algorithm_1(shared_sd, ctx, eta, variance, steps):
    model = stable_diffusion(str(shared_sd), dtype="float64")
    x = picture()
    hole = torch.zeros(1, 48, 64, dtype=torch.float64)
    hole[:, 11:30, 20:41] = 1
    y = x * (1 - hole[..., None]) + 0.5 * hole[..., None]  # mid-grey is 0 in [-1, 1]
    known = encode(y, model.vae, ctx).latent
    assert known.dtype == torch.float64
    h = F.interpolate(hole[:, None], known.shape[2:], mode="nearest")
    for _ in range(2):
        h = F.max_pool2d(h, 3, 1, 1)
    noise = gaussian(known, seed=3).noise
    told = condition_text(model.text_encoder, ctx).conditioning
    schedule = ddim(model.scheduler, steps=steps, eta=eta, variance=variance).schedule
    got = denoise(model.denoiser, schedule, noise, ctx, told, null_space(known, h).constraint).latent

    generator = torch.Generator().manual_seed(3)
    noises = [torch.randn(1, 4, 6, 8, generator=generator).double() for _ in range(steps + 1)]
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer
    unet = UNet2DConditionModel.from_pretrained(shared_sd / "unet").double().eval()
    vae = AutoencoderKL.from_pretrained(shared_sd / "vae").double().eval()
    encoder = CLIPTextModel.from_pretrained(shared_sd / "text_encoder").double().eval()
    ids = CLIPTokenizer.from_pretrained(shared_sd / "tokenizer")("", padding="max_length", max_length=12,
                                                                 return_tensors="pt").input_ids
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2
    bars = torch.cumprod(1 - betas, 0).double()
    want, Ey, Ml = algorithm_1(unet, vae, 0.6, encoder(ids)[0], x.permute(0, 3, 1, 2) * 2 - 1, hole[:, None], bars,
                               noises, eta, 2, variance)
    assert (known - Ey).abs().max() < 1e-12
    assert (got - want).abs().max() < 1e-10 * want.abs().max()
    assert 0 < Ml.sum() < Ml.numel()
    keep = Ml.bool().expand_as(got)
    assert torch.equal(got[keep], known[keep])  # the last step ends at alpha 1: known cells are exact
    image = decode(got, model.vae, ctx).image
    assert image.shape == x.shape
    assert (image - (vae.decode(want / 0.6).sample / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)).abs().max() < 1e-10
