"""The collapsed cross-attention: equal to the plain one, computed once, and gone when a run is over."""

import threading

import pytest
import torch
from diffusers.models.attention_processor import AttnProcessor
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.errors import Cancelled
from inlay.methods.attention.control import AttentionControl
from inlay.methods.attention.single_token import CollapsedProcessor, collapsed
from inlay.nodes import condition, model, noise, sample, schedule
from pbe_oracle import tensors


@pytest.fixture
def unet(tiny):
    return tiny.unet(in_channels=9, block_out_channels=(16, 32), transformer_layers_per_block=2).double()


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("rows", [1, 3])
def test_equal_to_the_plain_one_to_twelve_digits(tiny, linear, rows):
    unet = tiny.unet(in_channels=9, use_linear_projection=linear, transformer_layers_per_block=2).double()
    unet.set_attn_processor(AttnProcessor())  # the maps written out
    z, e = torch.randn(rows, 9, 8, 8).double(), torch.randn(rows, 1, 24).double()
    with torch.no_grad():
        wanted = unet(z, 500, encoder_hidden_states=e).sample
        with collapsed(unet):
            found = unet(z, 500, encoder_hidden_states=e).sample
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)


def test_queries_and_keys_are_not_evaluated_and_values_once(unet):
    counts = {"to_q": 0, "to_k": 0, "to_v": 0}
    for name, module in unet.named_modules():
        for part in counts:
            if name.endswith(f"attn2.{part}"):
                module.register_forward_hook(lambda *_, part=part: counts.__setitem__(part, counts[part] + 1))
    layers = sum(name.endswith("attn2") for name, _ in unet.named_modules())
    e = torch.randn(1, 1, 24).double()
    with torch.no_grad(), collapsed(unet):
        for step in range(5):
            unet(torch.randn(1, 9, 8, 8).double(), step, encoder_hidden_states=e)
    assert counts == {"to_q": 0, "to_k": 0, "to_v": layers}


def test_another_embedding_is_computed_anew(unet):
    z = torch.randn(1, 9, 8, 8).double()
    with torch.no_grad(), collapsed(unet):
        for _ in range(2):
            e = torch.randn(1, 1, 24).double()
            found = unet(z, 5, encoder_hidden_states=e).sample
            with torch.no_grad():
                fresh = unet(z, 5, encoder_hidden_states=e.clone()).sample
            assert torch.equal(found, fresh)


def test_more_than_one_token_is_left_to_what_was_there(unet):
    z, e = torch.randn(1, 9, 8, 8).double(), torch.randn(1, 4, 24).double()
    with torch.no_grad():
        wanted = unet(z, 5, encoder_hidden_states=e).sample
        with collapsed(unet):
            assert torch.equal(unet(z, 5, encoder_hidden_states=e).sample, wanted)


class Boom(Exception):
    pass


@pytest.mark.parametrize("how", [None, Boom, Cancelled, KeyboardInterrupt])
def test_processors_are_as_before_whatever_happens(unet, how):
    before = dict(unet.attn_processors)
    try:
        with collapsed(unet):
            assert any(isinstance(p, CollapsedProcessor) for p in unet.attn_processors.values())
            if how is not None:
                raise how("x")
    except (Boom, Cancelled, KeyboardInterrupt):
        pass
    after = unet.attn_processors
    assert before.keys() == after.keys()
    assert all(before[name] is after[name] for name in before)


def test_runs_that_share_a_unet_leave_it_as_it_was(unet):
    before = dict(unet.attn_processors)
    inside, leave = threading.Barrier(2), threading.Event()

    def first():
        with collapsed(unet):
            inside.wait()
            leave.wait()

    thread = threading.Thread(target=first)
    thread.start()
    with collapsed(unet):
        inside.wait()
    assert any(isinstance(p, CollapsedProcessor) for p in unet.attn_processors.values())  # the first is still at it
    leave.set()
    thread.join()
    assert all(before[name] is value for name, value in unet.attn_processors.items())


def job(folder, **wired):
    ctx = Context()
    parts = model.paint_by_example(str(folder), dtype="float64")
    image, mask, exemplar = tensors((64, 64), torch.float64)
    stream = noise.gaussian(torch.zeros(2, 4, 8, 8)).noise
    exemplars = torch.cat([exemplar, exemplar.flip(1)])  # two rows, each with an exemplar of its own
    conditioning = condition.exemplar(parts.exemplar_encoder, exemplars, ctx).conditioning
    conditioning = condition.inpaint(conditioning, image, mask, parts.vae, ctx, stream).conditioning
    steps = schedule.ddim(parts.scheduler, steps=4, eta=0.0).schedule
    return sample.denoise(parts.denoiser, steps, stream, ctx, conditioning, guidance_scale=5.0, **wired).latent


class Changing:
    """A tuning: another unconditional embedding at each step."""

    def at(self, step):
        return None, torch.full((2, 1, 24), 0.1 * step, dtype=torch.float64)


@pytest.mark.parametrize(
    "wired", [{}, {"tuning": Changing()}, {"attention": AttentionControl()}], ids=["plain", "tuning", "attention"]
)
def test_a_whole_run_is_that_of_plain_attention(shared_pbe, monkeypatch, wired):
    found = job(shared_pbe, **wired)
    monkeypatch.setattr(sample, "one_token", lambda guidance: False)
    torch.testing.assert_close(found, job(shared_pbe, **wired), rtol=0, atol=1e-12)
