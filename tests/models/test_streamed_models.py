"""Whole edits with streamed weights: inversions, attention controls and LoRAs give the bits of resident weights."""

from contextlib import contextmanager

import pytest
import torch
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.memory.manager import ModelManager
from inlay.graph_runtime.core.memory.streaming import KEPT
from inlay.models.lora.file import Pair, stored_names
from inlay.nodes import attention, condition, embed, invert, latent, model, noise, sample, schedule
from inlay.nodes.model_lora import lora
from inlay.training.checkpoint import write_tensors


class Streaming(ModelManager):
    """Streams whatever can be streamed, with the least that it needs on the device."""

    def __init__(self):
        super().__init__()
        self.hosts = {}

    @contextmanager
    def lease(self, description, device=None):
        base = description.base()
        least = base.least_resident("cpu")
        if least is None:
            with super().lease(description, device) as module:
                yield module
            return
        host = self.hosts.setdefault(base, base.load("cpu"))
        with base.streamed(host, "cpu", least) as there, description.adapted(there) as module:
            assert sum(value.isnan().all() for value in there.parameters()) > 10, "streamed, indeed"
            yield module


@pytest.fixture(scope="module")
def parts(shared_sd):
    return model.stable_diffusion(str(shared_sd))


@pytest.fixture(params=["plain", "LoRA"])
def denoiser(request, parts, tmp_path):
    if request.param == "plain":
        return parts.denoiser
    with Context().lease(parts.denoiser) as unet:
        sizes = {n: m.weight.shape for n, m in unet.named_modules() if n.endswith(("to_q", "to_v", "to_out.0"))}
    draws = torch.Generator().manual_seed(1)
    pairs = {
        name: Pair(torch.randn(2, size[1], generator=draws), torch.randn(size[0], 2, generator=draws), 2.0)
        for name, size in sizes.items()
    }
    write_tensors(stored_names(pairs, "diffusers"), tmp_path / "some.safetensors", None)
    return lora(parts.denoiser, source=str(tmp_path / "some.safetensors"), weight=0.3).denoiser


def edit(parts, denoiser, kind, ctx):
    """Encode, invert, edit under a control, decode."""
    draws = torch.Generator().manual_seed(2)
    z = latent.encode(torch.rand(1, 64, 64, 3, generator=draws), parts.vae, ctx).latent
    words = condition.text(parts.text_encoder, ctx, prompt="a b c").conditioning
    other = condition.text(parts.text_encoder, ctx, prompt="a d c").conditioning
    plan = schedule.ddim(parts.scheduler, steps=3, eta=0.0).schedule
    if kind == "null-space":
        found = sample.denoise(denoiser, plan, noise.gaussian(z).noise, ctx, words).latent
        return latent.decode(found, parts.vae, ctx).image
    trajectory = invert.ddim(denoiser, words, plan, z, ctx).trajectory
    start, tuning = noise.from_trajectory(trajectory).noise, None
    if kind == "BARET":
        tuned = invert.target_text(denoiser, words, plan, trajectory, ctx, iterations=2).tuning
        control = attention.balanced(tuned, embed.transition(tuned, words).tuning).attention
        target = words
    elif kind == "null-text":
        tuning = invert.null_text(denoiser, words, plan, trajectory, ctx, iterations=2).tuning
        control = attention.prompt_to_prompt(words, other, tuning).attention
        target = other
    else:
        control, target = attention.mutual_self(words, start_step=1, start_layer=0).attention, other
    found = sample.denoise(denoiser, plan, start, ctx, target, attention=control, tuning=tuning).latent
    return latent.decode(found, parts.vae, ctx).image


@pytest.mark.parametrize("kind", ["null-space", "BARET", "null-text", "MasaCtrl"])
def test_streamed_weights_give_the_bits_of_resident_ones_in_every_edit(parts, denoiser, kind):
    wanted = edit(parts, denoiser, kind, Context())
    streaming = Streaming()
    assert torch.equal(edit(parts, denoiser, kind, Context(streaming)), wanted)
    for base, host in streaming.hosts.items():
        assert KEPT in host.__dict__
        base.strip(host)
        assert not [name for name in host.__dict__ if name.startswith("_inlay")]


def test_the_least_that_must_be_resident_is_known_from_the_headers_alone(parts):
    for part, holds in ((parts.denoiser, True), (parts.vae, True), (parts.text_encoder, False)):
        least = part.least_resident("cpu")
        assert (least is not None) == holds
        if least is not None:
            assert least < part.nbytes_on("cpu")
            with part.streamed(part.load("cpu"), "cpu", least) as module:
                assert next(module.parameters()).isfinite().all()
