"""Previews while sampling: what is shown, what it costs, and that it changes nothing."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.events import NodeProgress, Record
from inlay.methods.latent_colours import LatentColours
from inlay.methods.latents import encode_picture
from inlay.nodes import sample_previews
from inlay.nodes.latent import encode
from inlay.nodes.model import pixel_diffusion, stable_diffusion
from inlay.nodes.noise import gaussian
from inlay.nodes.sample import denoise
from inlay.nodes.sample_previews import Previews, is_stable_diffusion
from inlay.nodes.schedule import ddim
from PIL import Image

ROOM = Path(__file__).resolve().parents[2] / "workflows"


@pytest.fixture(autouse=True)
def nothing_fitted(monkeypatch):
    monkeypatch.setattr(sample_previews, "_fitted", {})


@cache
def room():
    path = next(path for path in sorted(ROOM.rglob("living-room.png")))
    return torch.from_numpy(np.array(Image.open(path).convert("RGB"))).float()[None] / 255


class Watcher(list):
    """A listener that looks at previews."""

    def __call__(self, event):
        if isinstance(event, NodeProgress):
            self.append(event)


class Deaf(Watcher):
    shows_previews = False


def sampled(model, *listeners, steps=3, batch=1, **extra):
    latent = torch.zeros(1, model.denoiser.latent_channels, 8, 8)
    schedule = ddim(model.scheduler, steps=steps).schedule
    noise = gaussian(latent, seed=7, batch=batch).noise
    with torch.no_grad():
        return denoise(model.denoiser, schedule, noise, Context(listeners=listeners), **extra).latent


@pytest.fixture
def text_model(shared_sd):
    model = stable_diffusion(str(shared_sd))
    from inlay.nodes.condition import text

    return model, text(model.text_encoder, Context(), prompt="a room").conditioning


def test_a_run_with_previews_gives_the_same_bits_as_one_without(text_model):
    model, words = text_model
    watcher = Watcher()
    before = torch.get_rng_state()
    seen = sampled(model, watcher, conditioning=words)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(seen, sampled(model, conditioning=words))
    assert watcher[0].preview is not None


def test_nothing_is_computed_when_nobody_looks(text_model, monkeypatch):
    model, words = text_model
    for name in ("fitted", "pictures"):
        monkeypatch.setattr(LatentColours, name, lambda *_: pytest.fail("computed"))
    deaf = Deaf()
    sampled(model, deaf, Record(), conditioning=words)
    assert [event.preview for event in deaf] == [None] * 3
    sampled(model, conditioning=words)


def test_the_map_is_fitted_once_for_a_vae_and_found_again_on_disk(text_model, monkeypatch):
    from inlay.graph_runtime.front.kept_between_runs import disk_store

    model, words = text_model
    fits = []
    fitted = LatentColours.fitted.__func__
    monkeypatch.setattr(LatentColours, "fitted", classmethod(lambda cls, *a: fits.append(1) or fitted(cls, *a)))
    monkeypatch.setattr(sample_previews, "code_digest", lambda *_: "the same code")
    shown = []
    for _ in range(3):
        ctx, watcher = Context(store=disk_store("cpu")), Watcher()
        ctx.listeners = (watcher,)
        noise = gaussian(torch.zeros(1, 4, 8, 8), seed=7).noise
        denoise(model.denoiser, ddim(model.scheduler, steps=1).schedule, noise, ctx, conditioning=words)
        shown.append(watcher[0].preview.tobytes())
        if len(shown) == 2:
            sample_previews._fitted.clear()
    assert len(fits) == 1
    assert len(set(shown)) == 1


def test_the_fitted_map_of_the_embedded_model_shows_the_drawn_room():
    model = stable_diffusion()
    ctx = Context()
    latent = encode(room(), model.vae, ctx).latent
    colours = sample_previews._fit(ctx, model.vae)
    seen = colours.pictures(latent).float() / 255
    cells = torch.nn.functional.avg_pool2d(room().permute(0, 3, 1, 2), model.vae.factor).permute(0, 2, 3, 1)
    psnr = -10 * torch.log10((seen - cells).square().mean())
    assert psnr > 17, psnr  # the best linear map of this very picture: 21.4


def test_a_linear_vae_is_fitted_exactly():
    mixing = torch.tensor([[1.0, 0.5, 0.0], [0.0, -2.0, 1.0], [0.3, 0.0, 1.0], [1.0, 1.0, 1.0]])

    def linear(pictures):
        cells = torch.nn.functional.avg_pool2d(pictures.permute(0, 3, 1, 2), 8)
        return torch.einsum("oc,bchw->bohw", mixing, cells) - 0.25

    colours = LatentColours.fitted(linear, 8)
    picture = torch.rand(1, 32, 32, 3)
    cells = torch.nn.functional.avg_pool2d(picture.permute(0, 3, 1, 2), 8).permute(0, 2, 3, 1)
    assert (colours.pictures(linear(picture)).float() / 255 - cells).abs().max() < 2 / 255


def test_a_pixel_models_preview_is_the_predicted_picture_itself(shared_pixel):
    model = pixel_diffusion(str(shared_pixel))
    watcher = Watcher()
    clean = sampled(model, watcher, steps=1)
    small = watcher[0].preview.resize((8, 8), Image.Resampling.BOX)
    expected = ((clean[0].permute(1, 2, 0) + 1) / 2).clamp(0, 1)
    assert (torch.from_numpy(np.array(small)).float() / 255 - expected).abs().mean() < 0.1


def test_stable_diffusions_vae_is_not_loaded_for_previews(text_model, monkeypatch):
    model, words = text_model
    monkeypatch.setattr(sample_previews, "is_stable_diffusion", lambda vae: True)
    monkeypatch.setattr(type(model.vae), "load", lambda *_: pytest.fail("the VAE was loaded"))
    watcher = Watcher()
    sampled(model, watcher, conditioning=words)
    assert watcher[0].preview is not None


def test_stable_diffusions_vae_is_known_by_its_shape_and_scale(shared_sd):
    assert not is_stable_diffusion(stable_diffusion().vae)
    assert not is_stable_diffusion(stable_diffusion(str(shared_sd)).vae)


def test_a_vae_that_cannot_be_read_costs_the_previews_and_not_the_run(text_model, monkeypatch):
    model, words = text_model

    def damaged(*_):
        raise RuntimeError("damaged")

    monkeypatch.setattr(type(model.vae), "load", damaged)
    watcher = Watcher()
    sampled(model, watcher, conditioning=words)
    assert [event.preview for event in watcher] == [None] * 3


def test_variations_are_shown_side_by_side(text_model):
    model, words = text_model
    watcher = Watcher()
    sampled(model, watcher, batch=4, conditioning=words)
    assert watcher[0].preview.size == (256, 256)


class Clock:
    """Seconds that pass as the test says: `each` at every look."""

    def __init__(self):
        self.now, self.each = 0.0, 0.0

    def __call__(self):
        self.now += self.each
        return self.now


def previewed(cost, seconds_a_step, steps):
    clock = Clock()
    colours = LatentColours.of_pixels()
    previews, made = Previews(colours, clock), 0
    for _ in range(steps):
        clock.now += seconds_a_step
        clock.each = cost
        made += previews.of(torch.zeros(1, 3, 4, 4)) is not None
    return made


def test_previews_come_at_most_four_times_a_second():
    assert previewed(cost=1e-4, seconds_a_step=0.01, steps=1000) <= 41
    assert previewed(cost=1e-4, seconds_a_step=0.01, steps=1000) >= 30
    assert previewed(cost=1e-4, seconds_a_step=2.0, steps=10) == 10


def test_slow_previews_take_two_percent_of_the_time_at_most():
    cost = 0.1
    assert previewed(cost, seconds_a_step=0.05, steps=1000) * cost <= 0.03 * 1000 * 0.15


def test_events_are_kept_without_their_previews():
    kept = Record()
    kept(NodeProgress("a", 1, 2, Image.new("RGB", (4, 4)), "words"))
    assert kept == [NodeProgress("a", 1, 2, None, "words")]


def test_identity_of_pixels_is_bytes():
    encoded = encode_picture(torch.nn.Identity(), room()[:, :8, :8], 1.0, 0.0)
    seen = LatentColours.of_pixels().pictures(encoded)
    assert torch.equal(seen, (room()[:, :8, :8] * 255).round().to(torch.uint8))
