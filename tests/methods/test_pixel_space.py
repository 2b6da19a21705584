"""constraint.pixel_space, a dilation that shrinks, and constraints in turn: against plain transcriptions in float64."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from inlay.graph_runtime import BadInput, Cancelled, Context, ModelError
from inlay.graph_runtime.core.events import CancelToken
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.methods.sampling.constraints import Constraint, InTurn, in_turn
from inlay.methods.sampling.noise import GivenNoise
from inlay.nodes.condition import text as condition_text
from inlay.nodes.constraint import blended, null_space, pixel_space
from inlay.nodes.latent import encode
from inlay.nodes.model import pixel_diffusion, stable_diffusion
from inlay.nodes.noise import gaussian
from inlay.nodes.sample import denoise
from inlay.nodes.schedule import ddim, solver
from seamless import cloned


def picture(height=48, width=64, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    small = torch.rand(batch, 3, 5, 6, generator=generator, dtype=torch.float64)
    return F.interpolate(small, (height, width), mode="bilinear").permute(0, 2, 3, 1).contiguous()


def mask_of(height=48, width=64):
    hole = torch.zeros(1, height, width, dtype=torch.float64)
    hole[:, 11:30, 20:41] = 1
    return hole


class Plain:
    """The published modules in float64, and the method written down line by line."""

    def __init__(self, folder, scale, factor, shift=0.0, prediction="epsilon"):
        from diffusers import AutoencoderKL, UNet2DConditionModel
        from transformers import CLIPTextModel, CLIPTokenizer

        self.unet = UNet2DConditionModel.from_pretrained(folder / "unet").double().eval()
        self.vae = AutoencoderKL.from_pretrained(folder / "vae").double().eval()
        words = CLIPTokenizer.from_pretrained(folder / "tokenizer")(
            "", padding="max_length", max_length=12, return_tensors="pt"
        )
        self.text = CLIPTextModel.from_pretrained(folder / "text_encoder").double().eval()(words.input_ids)[0]
        betas = torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=torch.float32) ** 2
        self.bars = torch.cumprod(1 - betas, 0).double()
        self.scale, self.factor, self.shift, self.prediction = scale, factor, shift, prediction

    def encode(self, x):
        return self.vae.encode(x.permute(0, 3, 1, 2) * 2 - 1).latent_dist.mode() * self.scale - self.shift * self.scale

    def decode(self, z):
        return (self.vae.decode(z / self.scale + self.shift).sample / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)

    def run(self, x, hole, noises, *, at, membrane, eta, final, first=0, grow=None, known=None, start=None):
        """Null-space replacement with a growth that changes from grow[0] to grow[1], then the projection on pixels."""
        steps = len(noises) - 1 + first
        ts = [i * (1000 // steps) + 1 for i in range(steps)][::-1]
        cells = F.max_pool2d(hole[:, None], self.factor)
        z = (
            noises[0]
            if first == 0
            else self.bars[ts[first]].sqrt() * start + (1 - self.bars[ts[first]]).sqrt() * noises[0]
        )
        encoded, count = None, steps - first
        for i in range(count):
            t = ts[first + i]
            a = self.bars[t]
            ap = self.bars[ts[first + i + 1]] if first + i + 1 < steps else torch.tensor(final).double()
            e = made = self.unet(z, t, encoder_hidden_states=self.text).sample
            x0 = (z - (1 - a).sqrt() * e) / a.sqrt()
            if self.prediction == "v_prediction":
                x0, e = a.sqrt() * z - (1 - a).sqrt() * made, a.sqrt() * made + (1 - a).sqrt() * z
            elif self.prediction == "sample":
                x0, e = made, (z - a.sqrt() * made) / (1 - a).sqrt()
            if known is not None:
                d = round(grow[0] + (grow[1] - grow[0]) * i / (count - 1))
                wide = F.max_pool2d(cells, 2 * d + 1, 1, d)
                x0 = (1 - wide) * known + wide * x0
            if i >= at[0]:
                if i in at:
                    made = self.decode(x0)
                    if membrane:
                        made = torch.from_numpy(cloned(x[0].numpy(), made[0].numpy(), hole[0].numpy() > 0)).clamp(0, 1)
                    encoded = self.encode(torch.where(hole[..., None] > 0, made, x))
                    x0 = encoded
                else:
                    x0 = (1 - cells) * encoded + cells * x0
            s = eta * ((1 - ap) / (1 - a) * (1 - a / ap)).sqrt()
            z = ap.sqrt() * x0 + (1 - ap - s**2).clamp(min=0).sqrt() * e + s * noises[i + 1]
        return z


#: Settings of the node; and, counted by hand for nine steps, those in which it projects.
CASES = {
    "the last four": ({"last_steps": 4}, [5, 6, 7, 8], dict(membrane=False, eta=0.85, final="one")),
    "three of six, with a membrane": (
        {"last_steps": 6, "times": 3, "blend": "membrane"},
        [3, 5, 7],
        dict(membrane=True, eta=0.85, final="one"),
    ),
    "no noise, last alpha of the model": ({"last_steps": 3}, [6, 7, 8], dict(membrane=False, eta=0.0, final="config")),
    "all steps": ({"last_steps": 100}, list(range(9)), dict(membrane=False, eta=1.0, final="one")),
    "after the null space": (
        {"share": 2 / 3, "times": 2},
        [3, 6],
        dict(membrane=False, eta=0.85, final="one", grow=(2, 0)),
    ),
    "from a latent, five steps": (
        {"share": 0.6, "times": 9, "blend": "membrane"},
        [2, 3, 4],
        dict(membrane=True, eta=0.5, final="config", first=4, grow=(1, 1)),
    ),
}


@pytest.mark.parametrize("levels", [4, 3])
@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_the_graph_is_the_plain_loop(tiny, ctx, case, levels):
    settings, at, told = CASES[case]
    told = dict(told)
    folder = tiny.stable_diffusion(vae={"levels": levels})
    model, plain = stable_diffusion(str(folder), dtype="float64"), Plain(folder, 0.6, 2 ** (levels - 1))
    x, hole, steps, first = picture(), mask_of(), 9, told.get("first", 0)
    known = encode(torch.where(hole[..., None] > 0, 0.5, x), model.vae, ctx).latent
    rule = pixel_space(
        torch.where(hole[..., None] > 0, torch.nan, x),  # what the hole held is never looked at
        hole,
        model.vae,
        **settings,
    ).constraint
    if grow := told.get("grow"):
        cells = F.max_pool2d(hole[:, None], plain.factor)
        rule = null_space(known, cells, then=rule, dilate_start=grow[0], dilate_end=grow[1]).constraint
        told["known"] = known
    start = encode(x, model.vae, ctx).latent
    noise = gaussian(known, seed=3).noise
    got = denoise(
        model.denoiser,
        ddim(model.scheduler, steps=steps, eta=told["eta"], final_alpha=told["final"]).schedule,
        noise,
        ctx,
        condition_text(model.text_encoder, ctx).conditioning,
        rule,
        latent=start if first else None,
        strength=(steps - first) / steps,
    ).latent
    stream = noise.stream()
    noises = [stream.start().double()] + [stream.step().double() for _ in range(steps - first)]
    final = 1.0 if told["final"] == "one" else float(plain.bars[0])
    want = plain.run(x, hole, noises, at=at, **{**told, "final": final, "start": start})
    assert float((got - want).abs().max()) < (1e-5 if told["membrane"] else 1e-10) * float(want.abs().max())


@pytest.mark.parametrize(
    ("levels", "shift", "prediction"), [(2, 0.0, "sample"), (3, 0.3, "v_prediction"), (5, -0.2, "epsilon")]
)
@torch.no_grad()
def test_every_factor_shift_and_prediction(tiny, ctx, levels, shift, prediction):
    folder = tiny.stable_diffusion(
        vae={"levels": levels, "shift_factor": shift}, scheduler={"prediction_type": prediction}
    )
    model, plain = (
        stable_diffusion(str(folder), dtype="float64"),
        Plain(folder, 0.6, 2 ** (levels - 1), shift, prediction),
    )
    x, hole = picture(), mask_of() * 0.2  # a soft mask: all of it is hole
    noise = gaussian(encode(x, model.vae, ctx).latent, seed=3).noise
    rule = pixel_space(x, hole, model.vae, share=0.5, times=2).constraint
    schedule = ddim(model.scheduler, steps=6, eta=0.85, final_alpha="config").schedule
    words = condition_text(model.text_encoder, ctx).conditioning
    got = denoise(model.denoiser, schedule, noise, ctx, words, rule).latent
    stream = noise.stream()
    noises = [stream.start().double(), *(stream.step().double() for _ in range(6))]
    want = plain.run(x, mask_of(), noises, at=[3, 4], membrane=False, eta=0.85, final=float(plain.bars[0]))
    assert float((got - want).abs().max()) < 1e-10 * float(want.abs().max())


class Noting(Constraint):
    def __init__(self, name, said):
        self.name, self.said, self.steps = name, said, 0

    def within(self, run):
        self.steps = run.steps
        return self

    def apply(self, x0, step):
        self.said.append((self.name, "x0", float(x0.flatten()[0])))
        return x0 + 1

    def after_step(self, z, step):
        self.said.append((self.name, "z", float(z.flatten()[0])))
        return z * 2


def test_then_comes_after_and_sees_what_the_first_made():
    said = []
    both = in_turn(Noting("a", said), Noting("b", said))
    assert isinstance(both, InTurn)
    assert float(both.apply(torch.zeros(1), None)) == 2
    assert float(both.after_step(torch.ones(1), None)) == 4
    assert said == [("a", "x0", 0), ("b", "x0", 1), ("a", "z", 1), ("b", "z", 2)]
    alone = Noting("a", said)
    assert in_turn(alone, None) is alone


def test_every_constraint_takes_then(shared_sd, ctx):
    model = stable_diffusion(str(shared_sd))
    x, hole = picture().float(), mask_of().float()
    known = encode(x, model.vae, ctx).latent
    cells = F.max_pool2d(hole[:, None], 8)
    last = null_space(known, torch.zeros_like(cells)).constraint  # all known: the end is the known latent
    noise = gaussian(known).noise
    for rule in (
        null_space(known, cells, then=last),
        blended(known, cells, then=last),
        pixel_space(x, hole, model.vae, then=last),
    ):
        schedule = ddim(model.scheduler, steps=3).schedule
        words = condition_text(model.text_encoder, ctx).conditioning
        assert torch.equal(denoise(model.denoiser, schedule, noise, ctx, words, rule.constraint).latent, known)


def test_each_variation_is_projected_onto_its_own_picture_and_alone_has_the_same_result(shared_sd, ctx):
    model = stable_diffusion(str(shared_sd), dtype="float64")
    x, hole = picture(batch=2), mask_of()
    known = encode(x, model.vae, ctx).latent
    words = condition_text(model.text_encoder, ctx).conditioning
    schedule = ddim(model.scheduler, steps=4, eta=0, travel_length=2, travel_repeat=2).schedule

    def run(image, noise):
        rule = pixel_space(image, hole, model.vae, last_steps=4, times=2).constraint
        return denoise(model.denoiser, schedule, noise, ctx, words, rule).latent

    noise = gaussian(known, seed=5, batch=2).noise
    together = run(x, noise)
    assert len(together) == 4
    stream = noise.stream()
    start, steps = stream.start(), torch.stack([stream.step() for _ in range(12)])
    for row in range(4):
        alone = run(x[row // 2][None], GivenNoise(start[row : row + 1], steps[:, row : row + 1]))
        assert torch.allclose(alone[0], together[row], atol=1e-10)


def test_a_pixel_model_has_its_known_pixels_put_in_exactly(shared_pixel, ctx):
    model = pixel_diffusion(str(shared_pixel))
    side = model.denoiser.sample_size or 16
    x, hole = picture(side, side).float(), torch.zeros(1, side, side)
    hole[:, 2:6, 3:9] = 1
    latent = encode(x, model.vae, ctx).latent
    rule = pixel_space(x, hole, model.vae, last_steps=1).constraint
    got = denoise(
        model.denoiser, ddim(model.scheduler, steps=3).schedule, gaussian(latent).noise, ctx, None, rule
    ).latent
    assert torch.equal(got[:, :, hole[0] == 0], latent[:, :, hole[0] == 0])


def test_a_budget_that_does_not_hold_both_models_is_refused_before_the_first_step(shared_sd):
    model = stable_diffusion(str(shared_sd))
    x, hole = picture().float(), mask_of().float()
    sizes = [model.denoiser.nbytes(), model.vae.nbytes()]
    ctx = Context(ModelManager(budget=max(sizes) + min(sizes) // 2))
    known, words = encode(x, model.vae, ctx).latent, condition_text(model.text_encoder, ctx).conditioning
    rule = pixel_space(x, hole, model.vae).constraint
    steps, noise = ddim(model.scheduler, steps=3).schedule, gaussian(known).noise
    with pytest.raises(ModelError, match="in use together"):
        denoise(model.denoiser, steps, noise, ctx, words, rule)
    ctx = Context(ModelManager(budget=sum(sizes)))
    assert len(denoise(model.denoiser, steps, noise, ctx, words, rule).latent) == 1
    assert all(entry.pins == 0 for entry in ctx.models._resident.values())


def test_a_run_that_is_cancelled_stops_within_a_projection(shared_sd):
    model = stable_diffusion(str(shared_sd))
    cancel = CancelToken()
    ctx = Context(cancel=cancel)
    x, hole = picture().float(), mask_of().float()
    known, words = encode(x, model.vae, ctx).latent, condition_text(model.text_encoder, ctx).conditioning
    rule = pixel_space(x, hole, model.vae, last_steps=3).constraint
    decoded = []
    with ctx.lease(model.vae) as vae:
        hook = vae.decoder.register_forward_hook(lambda *parts: decoded.append(cancel.cancel()))
        with pytest.raises(Cancelled):
            denoise(model.denoiser, ddim(model.scheduler, steps=3).schedule, gaussian(known).noise, ctx, words, rule)
        hook.remove()
    assert len(decoded) == 1


def test_a_vae_that_gives_nan_is_named(shared_sd, ctx):
    model = stable_diffusion(str(shared_sd))
    x, hole = picture().float(), mask_of().float()
    known, words = encode(x, model.vae, ctx).latent, condition_text(model.text_encoder, ctx).conditioning
    rule = pixel_space(x, hole, model.vae).constraint
    with ctx.lease(model.vae) as vae:
        hook = vae.decoder.register_forward_hook(lambda module, given, made: made * np.nan)
        with pytest.raises(BadInput, match="NaN") as caught:
            denoise(model.denoiser, ddim(model.scheduler, steps=3).schedule, gaussian(known).noise, ctx, words, rule)
        hook.remove()
    assert caught.value.port == "vae"


@pytest.mark.parametrize(
    ("image", "mask", "port"),
    [
        (picture(), mask_of(48, 56), "mask"),
        (picture(44, 60), mask_of(44, 60), "image"),
        (picture(batch=2), mask_of().repeat(3, 1, 1), "mask"),
        (picture() * torch.nan, mask_of(), "image"),
        (picture(), None, "mask"),
    ],
)
def test_what_does_not_fit_is_named(shared_sd, image, mask, port):
    with pytest.raises(BadInput) as caught:
        pixel_space(image, mask, stable_diffusion(str(shared_sd)).vae)
    assert caught.value.port == port
    assert caught.value.fix


def test_another_size_and_a_solver_are_refused(shared_sd, ctx):
    model = stable_diffusion(str(shared_sd))
    words = condition_text(model.text_encoder, ctx).conditioning
    rule = pixel_space(picture().float(), mask_of().float(), model.vae).constraint
    other = gaussian(torch.zeros(1, 4, 8, 8)).noise
    with pytest.raises(BadInput, match="8×6 latent cells"):
        denoise(model.denoiser, ddim(model.scheduler, steps=3).schedule, other, ctx, words, rule)
    fitting = gaussian(torch.zeros(1, 4, 6, 8)).noise
    with pytest.raises(BadInput, match="DDIM"):
        denoise(model.denoiser, solver(model.scheduler, kind="euler", steps=3).schedule, fitting, ctx, words, rule)
