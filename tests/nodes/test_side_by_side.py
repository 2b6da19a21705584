"""What the libraries hold for the whole process does not reach another run: layers, draws, precisions, controls."""

import threading

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime.core.events import NodeProgress, Warned
from inlay.graph_runtime.core.processors import attentions, wrapped_processors
from inlay.graph_runtime.core.quiet import quiet
from inlay.methods.subject_lora import add_lora
from inlay.models.lora.file import attach
from inlay.models.paint_by_example.encoder import new_encoder
from PIL import Image


@pytest.fixture
def loading():
    """Another thread in the middle of a load, as the libraries do it: layers without weights, random draws."""
    from accelerate import init_empty_weights

    begun, draw = threading.Event(), threading.Event()

    def load():
        with quiet("diffusers", "transformers"), init_empty_weights(), torch.random.fork_rng(devices=[]):
            begun.set()
            draw.wait(0.2)
            torch.manual_seed(0)
            torch.rand(7)

    thread = threading.Thread(target=load)
    thread.start()
    begun.wait()
    yield
    draw.set()
    thread.join()


def _kinds():
    from inlay.methods.subject_lora import PATTERNS

    return list(PATTERNS)[:1]


def test_a_fresh_lora_is_the_same_while_another_run_loads(tiny, request):
    alone, beside = tiny.unet(), tiny.unet()
    add_lora(alone, _kinds(), 2, None, 5)
    request.getfixturevalue("loading")
    before = torch.random.get_rng_state()
    add_lora(beside, _kinds(), 2, None, 5)
    assert torch.equal(torch.random.get_rng_state(), before)
    values = dict(beside.named_parameters())
    for name, value in alone.named_parameters():
        assert not values[name].is_meta, name
        assert torch.equal(values[name], value), name


def test_a_new_encoder_is_the_same_while_another_run_loads(tiny, request):
    from transformers import CLIPVisionModel

    torch.manual_seed(0)
    vision = CLIPVisionModel(tiny.exemplar_encoder().config)
    alone = new_encoder(vision, 24, 3).state_dict()
    request.getfixturevalue("loading")
    beside = new_encoder(vision, 24, 3).state_dict()
    assert all(torch.equal(value, beside[name]) for name, value in alone.items())


def test_a_lora_is_put_on_without_the_controls_of_another_run(tiny):
    unet = tiny.unet()
    usual = {name: type(module.processor) for name, module in attentions(unet)}

    class Control:
        def __call__(self, *args, **kwargs):
            raise AssertionError("another run's")

    with wrapped_processors(unet, "control", lambda name, module, before: Control()):
        clone = attach(unet, [])
        assert {name: type(module.processor) for name, module in attentions(clone)} == usual
        assert all(type(module.processor) is Control for _, module in attentions(unet))
    assert {name: type(module.processor) for name, module in attentions(unet)} == usual


def test_no_load_changes_the_precision_of_others(shared_sd, tiny, monkeypatch):
    """transformers makes the file's precision the process's default while it loads; a run beside it would get that."""
    from inlay.nodes import model

    wished = []
    real = torch.set_default_dtype
    monkeypatch.setattr(torch, "set_default_dtype", lambda dtype: wished.append(dtype) or real(dtype))
    from transformers import CLIPConfig, CLIPModel

    folder = tiny.root / "clip"
    small = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2)
    CLIPModel(
        CLIPConfig(
            text_config={
                **small,
                "vocab_size": 64,
                "max_position_embeddings": 12,
                "bos_token_id": 0,
                "eos_token_id": 1,
                "pad_token_id": 1,
            },
            vision_config={**small, "image_size": 16, "patch_size": 8},
            projection_dim=8,
        )
    ).half().save_pretrained(folder)
    tiny.save_tokenizer(folder)
    from inlay.nodes.model_vision import clip

    wished.clear()
    part = clip(str(folder))[0]
    parts = model.stable_diffusion(str(shared_sd), dtype="float16")
    for one in (part, parts.text_encoder, parts.denoiser, parts.vae):
        one.load("cpu")
    assert set(wished) <= {torch.float32}
    assert torch.get_default_dtype() == torch.float32


def test_two_workflows_at_once_give_what_each_gives_alone(tmp_path):
    wanted = {"zero_shot_inpaint": {"steps": 3, "size": 64}, "paint_by_example": {"steps": 3}}

    def run(name, where):
        heard = []
        result = inlay.run(
            name, out=tmp_path / where / name, cache=False, metadata=False, listeners=[heard.append], **wanted[name]
        )
        with Image.open(result.paths[0]) as picture:
            return np.asarray(picture), heard, result

    alone = {name: run(name, "alone") for name in wanted}
    beside: dict = {}
    threads = [threading.Thread(target=lambda name=name: beside.update({name: run(name, "beside")})) for name in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in wanted:
        (picture, first, _), (again, heard, result) = alone[name], beside[name]
        assert np.array_equal(picture, again)
        steps = [(event.node, event.step, event.total) for event in first if isinstance(event, NodeProgress)]
        assert [(event.node, event.step, event.total) for event in heard if isinstance(event, NodeProgress)] == steps
        assert [event for event in heard if isinstance(event, Warned)] == [
            event for event in first if isinstance(event, Warned)
        ]
        assert all(path.is_relative_to(tmp_path / "beside" / name) for path in result.paths)
