"""The sampler against independent transcriptions of what was published."""

import gc
import weakref
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from inlay.graph_runtime import BadInput, Cancelled, Context
from inlay.graph_runtime.core.events import CancelToken, NodeProgress
from inlay.methods.attention.control import AttentionControl, AttentionRun
from inlay.methods.conditioning import ConditioningSummary
from inlay.methods.sampling.branch import Branch
from inlay.methods.sampling.guidance import Guidance
from inlay.methods.sampling.noise import GivenNoise
from inlay.nodes.condition import text as condition_text
from inlay.nodes.constraint import null_space
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


@pytest.mark.parametrize(
    ("eta", "variance", "steps"), [(0.85, "ddim", 30), (0.0, "ddim", 7), (1.0, "ddim", 7), (0.85, "ddnm", 7)]
)
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
    conditioning = condition_text(model.text_encoder, ctx).conditioning
    schedule = ddim(model.scheduler, steps=steps, eta=eta, variance=variance).schedule
    got = denoise(model.denoiser, schedule, noise, ctx, conditioning, null_space(known, h).constraint).latent

    generator = torch.Generator().manual_seed(3)
    noises = [torch.randn(1, 4, 6, 8, generator=generator).double() for _ in range(steps + 1)]
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    unet = UNet2DConditionModel.from_pretrained(shared_sd / "unet").double().eval()
    vae = AutoencoderKL.from_pretrained(shared_sd / "vae").double().eval()
    encoder = CLIPTextModel.from_pretrained(shared_sd / "text_encoder").double().eval()
    ids = CLIPTokenizer.from_pretrained(shared_sd / "tokenizer")(
        "", padding="max_length", max_length=12, return_tensors="pt"
    ).input_ids
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2
    bars = torch.cumprod(1 - betas, 0).double()
    want, Ey, Ml = algorithm_1(
        unet, vae, 0.6, encoder(ids)[0], x.permute(0, 3, 1, 2) * 2 - 1, hole[:, None], bars, noises, eta, 2, variance
    )
    assert (known - Ey).abs().max() < 1e-12
    assert (got - want).abs().max() < 1e-10 * want.abs().max()
    assert 0 < Ml.sum() < Ml.numel()
    keep = Ml.bool().expand_as(got)
    assert torch.equal(got[keep], known[keep])  # the last step ends at alpha 1: known cells are exact
    image = decode(got, model.vae, ctx).image
    assert image.shape == x.shape
    assert (image - (vae.decode(want / 0.6).sample / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)).abs().max() < 1e-10


# what the loop promises its users


@pytest.fixture
def sd(shared_sd):
    return stable_diffusion(str(shared_sd))


@pytest.fixture
def parts(sd, ctx):
    """A small inpainting run: known latent, hole, schedule, conditioning, noise."""
    generator = torch.Generator().manual_seed(0)
    known = torch.randn(1, 4, 5, 7, generator=generator)
    hole = torch.zeros(1, 1, 5, 7)
    hole[..., 1:4, 2:5] = 1
    return {
        "schedule": ddim(sd.scheduler, steps=4).schedule,
        "conditioning": condition_text(sd.text_encoder, ctx).conditioning,
        "constraint": null_space(known, hole).constraint,
        "noise": gaussian(known, seed=1).noise,
    }


def evaluations(ctx, sd, **inputs):
    """Rows of every model call of a run."""
    rows = []
    with ctx.lease(sd.denoiser) as unet:
        hook = unet.register_forward_pre_hook(lambda module, args: rows.append(args[0].shape[0]))
        try:
            denoise(sd.denoiser, ctx=ctx, **inputs)
        finally:
            hook.remove()
    return rows


@pytest.mark.parametrize(
    ("prompt", "negative", "scale", "rows"),
    [("", "", 7.5, 1), ("abc", "abc", 7.5, 1), ("abc", "", 1.0, 1), ("abc", "", 0.0, 1), ("abc", "", 7.5, 2)],
)
def test_thirty_steps_are_thirty_model_calls(sd, ctx, parts, prompt, negative, scale, rows):
    conditioning = condition_text(sd.text_encoder, ctx, prompt=prompt, negative=negative).conditioning
    inputs = parts | {
        "schedule": ddim(sd.scheduler, steps=30).schedule,
        "conditioning": conditioning,
        "guidance_scale": scale,
    }
    assert evaluations(ctx, sd, **inputs) == [rows] * 30


def test_guidance_of_one_and_zero_are_the_plain_halves(sd, ctx, parts):
    both = condition_text(sd.text_encoder, ctx, prompt="abc", negative="l").conditioning
    for scale, prompt in ((1.0, "abc"), (0.0, "l")):
        alone = condition_text(sd.text_encoder, ctx, prompt=prompt, negative=prompt).conditioning
        got = denoise(sd.denoiser, ctx=ctx, **parts | {"conditioning": both, "guidance_scale": scale}).latent
        want = denoise(sd.denoiser, ctx=ctx, **parts | {"conditioning": alone}).latent
        assert torch.allclose(got, want, atol=1e-5)


def test_the_same_noise_object_gives_the_same_bits_again(sd, ctx, parts):
    first = denoise(sd.denoiser, ctx=ctx, **parts).latent
    assert torch.equal(first, denoise(sd.denoiser, ctx=ctx, **parts).latent)
    assert first.dtype == torch.float32
    assert first.device.type == "cpu"


def test_a_batch_is_its_rows(sd, ctx):
    generator = torch.Generator().manual_seed(3)
    known = torch.randn(2, 4, 4, 4, generator=generator)
    hole = (torch.rand(2, 1, 4, 4, generator=generator) > 0.5).float()
    start, steps = torch.randn(4, 4, 4, 4, generator=generator), torch.randn(3, 4, 4, 4, 4, generator=generator)
    conditioning = condition_text(sd.text_encoder, ctx, prompt="abc").conditioning
    schedule = ddim(sd.scheduler, steps=3).schedule
    constraint = null_space(known, hole).constraint
    whole = denoise(sd.denoiser, schedule, GivenNoise(start, steps), ctx, conditioning, constraint).latent
    for row in range(4):
        picture = row // 2  # two variations of each of two pictures
        alone = denoise(
            sd.denoiser,
            schedule,
            GivenNoise(start[row : row + 1], steps[:, row : row + 1]),
            ctx,
            conditioning,
            null_space(known[picture : picture + 1], hole[picture : picture + 1]).constraint,
        ).latent
        assert torch.allclose(whole[row], alone[0], atol=1e-4)


def test_noise_is_drawn_in_the_documented_order(sd, ctx, parts):
    generator = torch.Generator().manual_seed(1)
    drawn = [torch.randn(1, 4, 5, 7, generator=generator) for _ in range(6)]
    plain = denoise(sd.denoiser, ctx=ctx, **parts).latent
    given = GivenNoise(drawn[0], torch.stack(drawn[1:5]))
    assert torch.equal(plain, denoise(sd.denoiser, ctx=ctx, **parts | {"noise": given}).latent)
    after_posterior = replace(parts["conditioning"], drew_posterior=True)
    skipped = denoise(sd.denoiser, ctx=ctx, **parts | {"conditioning": after_posterior}).latent
    given = GivenNoise(drawn[0], torch.stack(drawn[2:6]))
    assert torch.equal(skipped, denoise(sd.denoiser, ctx=ctx, **parts | {"noise": given}).latent)


def test_every_step_draws_whatever_eta_is(sd, ctx, parts):
    schedule = ddim(sd.scheduler, steps=4, eta=0).schedule
    start, steps = torch.zeros(1, 4, 5, 7), torch.zeros(3, 1, 4, 5, 7)
    with pytest.raises(BadInput, match="3 noise tensors"):
        denoise(sd.denoiser, ctx=ctx, **parts | {"schedule": schedule, "noise": GivenNoise(start, steps)})


def test_sdedit_begins_at_its_noise_level(sd, ctx, parts):
    latent = torch.randn(1, 4, 5, 7, generator=torch.Generator().manual_seed(8))
    schedule = ddim(sd.scheduler, steps=10, eta=0).schedule
    rows = evaluations(ctx, sd, **parts | {"schedule": schedule, "latent": latent, "strength": 0.7, "constraint": None})
    assert len(rows) == 7
    got = denoise(
        sd.denoiser, ctx=ctx, **parts | {"schedule": schedule, "latent": latent, "strength": 0.1, "constraint": None}
    ).latent
    a = schedule.alpha_bars[-1]
    noise = parts["noise"].stream().start()
    z = a**0.5 * latent + (1 - a) ** 0.5 * noise
    with ctx.lease(sd.denoiser) as unet, torch.no_grad():
        e = unet(z, 1, encoder_hidden_states=parts["conditioning"].cond).sample
    assert torch.allclose(got, (z - (1 - a) ** 0.5 * e) / a**0.5, atol=1e-5)


def test_progress_counts_model_calls_and_cancel_stops_between_them(sd, tmp_path, parts):
    token, seen = CancelToken(), []

    def listen(event):
        if isinstance(event, NodeProgress):
            seen.append((event.step, event.total))
            if event.step == 2:
                token.cancel()

    ctx = Context(out=tmp_path, listeners=(listen,), cancel=token)
    before = state(ctx, sd.denoiser)
    with pytest.raises(Cancelled):
        denoise(sd.denoiser, ctx=ctx, **parts)
    assert seen == [(1, 4), (2, 4)]
    assert state(ctx, sd.denoiser) == before


def state(ctx, description):
    """Processors and bits of a model."""
    with ctx.lease(description) as module:
        bits = {key: value.clone().numpy().tobytes() for key, value in module.state_dict().items()}
        processors = {key: type(value) for key, value in getattr(module, "attn_processors", {}).items()}
        hooks = sum(len(child._forward_hooks) + len(child._forward_pre_hooks) for child in module.modules())
        return bits, processors, hooks, module.training, any(p.requires_grad for p in module.parameters())


def test_nan_is_refused_at_once_and_the_model_is_left_as_it_was(sd, parts, tmp_path):
    ctx = Context(out=tmp_path)
    before = state(ctx, sd.denoiser)
    calls = []

    def spoil(module, args, output):
        calls.append(1)
        return (output[0] * float("nan"),) if len(calls) == 2 else output

    with ctx.lease(sd.denoiser) as unet:
        hook = unet.register_forward_hook(spoil)
        with pytest.raises(BadInput) as caught:
            denoise(sd.denoiser, ctx=ctx, **parts)
        hook.remove()
    assert len(calls) == 2
    assert "step 2 of 4" in caught.value.found
    assert "float32" in caught.value.fix
    assert state(ctx, sd.denoiser) == before


class Shadow(AttentionControl, AttentionRun):
    """Brings a companion that runs along for two steps and changes nothing."""

    def __init__(self, guidance, fail=False):
        self.guidance, self.fail, self.layouts, self.on = guidance, fail, [], False

    @contextmanager
    def installed(self, unet):
        self.on = True
        try:
            yield
        finally:
            self.on = False

    def begin(self):
        return self

    def companions(self, edit, steps):
        return [Branch("shadow", edit.z.clone(), self.guidance, until=2)]

    def before_step(self, step, layout):
        self.layouts.append(list(layout))
        if self.fail:
            raise RuntimeError("the control failed")


def test_companion_branches_do_not_change_the_edit(sd, ctx, parts):
    conditioning = condition_text(sd.text_encoder, ctx, prompt="abc").conditioning
    inputs = parts | {"conditioning": conditioning}
    alone = denoise(sd.denoiser, ctx=ctx, **inputs).latent
    shadow = Shadow(Guidance(conditioning.cond))
    together = denoise(sd.denoiser, ctx=ctx, **inputs | {"attention": shadow}).latent
    assert torch.allclose(alone, together, atol=1e-4)
    assert not shadow.on
    both = [("edit", "uncond"), ("edit", "cond")]
    assert shadow.layouts == [[*both, ("shadow", "cond")]] * 2 + [both] * 2
    failing = Shadow(Guidance(conditioning.cond), fail=True)
    with pytest.raises(RuntimeError):
        denoise(sd.denoiser, ctx=ctx, **inputs | {"attention": failing})
    assert not failing.on


def test_tuning_replaces_embeddings_step_by_step(sd, ctx, parts):
    words = [condition_text(sd.text_encoder, ctx, prompt=word).conditioning for word in ("abc", "d")]

    class Halves:
        def at(self, step):
            return None, words[0].cond if step < 4 else None

    conditioning = words[1]
    got = denoise(sd.denoiser, ctx=ctx, **parts | {"conditioning": conditioning, "tuning": Halves()}).latent
    want = denoise(sd.denoiser, ctx=ctx, **parts | {"conditioning": replace(conditioning, uncond=words[0].cond)}).latent
    assert torch.equal(got, want)


def test_inside_a_hosts_inference_mode(sd, tmp_path, parts):
    want = denoise(sd.denoiser, ctx=Context(out=tmp_path), **parts).latent
    with torch.inference_mode():
        ctx = Context(out=tmp_path)  # the weights are loaded inside it, too
        known, hole = parts["constraint"].known.clone(), parts["constraint"].hole.clone()
        conditioning = condition_text(sd.text_encoder, ctx).conditioning
        assert not conditioning.cond.is_inference()
        got = denoise(sd.denoiser, ctx=ctx, **parts | {"constraint": null_space(known, hole).constraint}).latent
        with ctx.lease(sd.denoiser) as unet:
            assert not any(parameter.is_inference() for parameter in unet.parameters())
    assert not got.is_inference()
    assert torch.equal(got, want)


def test_nothing_holds_a_model_after_its_lease(sd, tmp_path, parts):
    ctx = Context(out=tmp_path)
    got = denoise(sd.denoiser, ctx=ctx, **parts).latent
    with ctx.lease(sd.denoiser) as unet:
        watch = weakref.ref(unet)
    del unet
    ctx.models.evict_idle()
    gc.collect()
    assert watch() is None
    assert got.shape == (1, 4, 5, 7)


def test_inputs_are_not_changed(sd, ctx, parts):
    known = parts["constraint"].known
    before = known.clone()
    got = denoise(sd.denoiser, ctx=ctx, **parts).latent
    got.zero_()
    assert torch.equal(known, before)


# wrong pairings, found while checking and again while running


def test_nine_channels_where_four_are_wanted(tiny, ctx, parts):
    folder = tiny.stable_diffusion(unet={"in_channels": 9})
    model = stable_diffusion(str(folder))
    known = {"denoiser": model.denoiser, "conditioning": ConditioningSummary(24)}
    with pytest.raises(BadInput) as caught:
        denoise.spec.check(known, {"strength": 1.0})
    assert "9-channel UNet" in caught.value.found
    assert "4 channels" in caught.value.expected
    assert "condition.inpaint" in caught.value.fix
    with pytest.raises(BadInput, match="9-channel"):
        denoise(model.denoiser, ctx=ctx, **parts)
    denoise.spec.check(known | {"conditioning": ConditioningSummary(24, extra=5)}, {"strength": 1.0})


def test_a_text_encoder_of_another_model(tiny, sd, ctx, parts):
    other = stable_diffusion(str(tiny.stable_diffusion(text={"hidden_size": 32}, unet={"cross_attention_dim": 32})))
    facts = condition_text.spec.check({"text_encoder": other.text_encoder}, {})
    with pytest.raises(BadInput) as caught:
        denoise.spec.check({"denoiser": sd.denoiser, **facts}, {"strength": 1.0})
    assert "width 32" in caught.value.found
    assert "24" in caught.value.expected
    conditioning = condition_text(other.text_encoder, ctx).conditioning
    with pytest.raises(BadInput, match="width 32"):
        denoise(sd.denoiser, ctx=ctx, **parts | {"conditioning": conditioning})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"conditioning": None}, "nothing connected"),
        ({"strength": 0.5}, "no latent connected"),
        ({"strength": 0.1, "latent": torch.zeros(1, 4, 5, 7)}, "which is none"),
        ({"noise": GivenNoise(torch.zeros(1, 3, 5, 7))}, "noise of shape"),
        ({"noise": GivenNoise(None, torch.zeros(4, 1, 4, 5, 7))}, "no 'z_T'"),
        ({"noise": GivenNoise(torch.zeros(1, 4, 6, 7), torch.zeros(4, 1, 4, 6, 7))}, "a known latent of shape"),
    ],
)
def test_wrong_inputs_are_named(sd, ctx, parts, change, message):
    with pytest.raises(BadInput, match=message) as caught:
        denoise(sd.denoiser, ctx=ctx, **parts | change)
    assert caught.value.port
    assert caught.value.fix


def test_pixel_models_take_no_words_and_even_sides(shared_pixel, ctx, parts):
    model = pixel_diffusion(str(shared_pixel))
    schedule = ddim(model.scheduler, steps=2).schedule
    noise = gaussian(torch.zeros(1, 3, 8, 8)).noise
    with pytest.raises(BadInput, match="unconditional"):
        denoise(model.denoiser, schedule, noise, ctx, parts["conditioning"])
    with pytest.raises(BadInput, match="7×8") as caught:
        denoise(model.denoiser, schedule, gaussian(torch.zeros(1, 3, 8, 7)).noise, ctx)
    assert "image.fit" in caught.value.fix


def test_learned_variance_is_left_aside(tiny, ctx):
    model = pixel_diffusion(str(tiny.pixel(out_channels=6)))
    assert model.denoiser.latent_channels == 3
    got = denoise(model.denoiser, ddim(model.scheduler, steps=2).schedule, gaussian(torch.zeros(1, 3, 8, 8)).noise, ctx)
    assert got.latent.shape == (1, 3, 8, 8)
