"""Text conditions: CLIP's last hidden state, padded, with a warning for what it cannot read."""

import pytest
import torch
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.events import Warned
from inlay.nodes.condition import text
from inlay.nodes.model import stable_diffusion


@pytest.fixture
def encoder(shared_sd):
    return stable_diffusion(str(shared_sd)).text_encoder


@torch.no_grad()
def test_embeddings_are_the_padded_last_hidden_state(shared_sd, encoder, ctx):
    from transformers import CLIPTextModel, CLIPTokenizer

    told = text(encoder, ctx, prompt="abc d", negative="l").conditioning
    model = CLIPTextModel.from_pretrained(shared_sd / "text_encoder").eval()
    tokenizer = CLIPTokenizer.from_pretrained(shared_sd / "tokenizer")
    for got, words in ((told.cond, "abc d"), (told.uncond, "l")):
        ids = tokenizer(words, padding="max_length", max_length=12, return_tensors="pt").input_ids
        assert got.shape == (1, 12, 24)
        assert torch.allclose(got, model(ids).last_hidden_state, atol=1e-6)
    assert told.differs


@pytest.mark.parametrize(("prompt", "negative", "differs"), [("", "", False), ("abc", "abc", False), ("abc", "", True)])
def test_equal_halves_are_one(encoder, ctx, prompt, negative, differs):
    told = text(encoder, ctx, prompt=prompt, negative=negative).conditioning
    assert told.differs is differs
    assert (told.cond is told.uncond) is not differs


def test_a_wired_text_overrides_the_prompt(encoder, ctx):
    got = text(encoder, ctx, text="abc", prompt="d").conditioning
    assert torch.equal(got.cond, text(encoder, ctx, prompt="abc").conditioning.cond)
    assert not text(encoder, ctx, text="", prompt="d").conditioning.differs  # an empty caption is a caption


def test_what_the_encoder_cannot_read_is_said(encoder, tmp_path):
    said = []
    ctx = Context(out=tmp_path, listeners=(said.append,))
    text(encoder, ctx, prompt="a b c d e f g h i j")
    assert not said
    text(encoder, ctx, prompt="a b c d e f g h i j k l")
    warnings = [event.message for event in said if isinstance(event, Warned)]
    assert len(warnings) == 1
    assert "10 tokens" in warnings[0]
    assert "'k l'" in warnings[0]


def test_wrong_inputs_are_named(encoder, ctx, shared_sd):
    with pytest.raises(BadInput, match="text_encoder"):
        text(stable_diffusion(str(shared_sd)).vae, ctx)
    with pytest.raises(BadInput, match="a list"):
        text(encoder, ctx, text=["abc"])


def test_facts_are_known_before_anything_runs(encoder, ctx):
    facts = text.spec.check({"text_encoder": encoder}, {})["conditioning"]
    told = text(encoder, ctx).conditioning
    assert facts.summary == told.summary
    assert facts.cond.shape == told.cond.shape
    assert facts.cond.is_meta
    assert text.spec.check({}, {}) == {}
