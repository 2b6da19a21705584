"""train.exemplar: what learns and what does not, resuming, files, refusals; on tiny models and drawn pictures."""

import json
import os
import signal
import subprocess
import sys
import time

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.events import NodeProgress, Warned
from inlay.methods.attention.single_token import OneTokenProcessor
from inlay.methods.paint_by_example import ExemplarDenoiser, widen
from inlay.models.noise_levels import alphas_cumprod
from inlay.nodes import condition, model, train
from inlay.nodes.subject import photos
from inlay.pictures.augmentation import Augment
from inlay.training.encoding import Batch, Encoders, collate, encode
from inlay.training.example_source import ExampleSource
from inlay.training.examples import Example, ExampleOptions, make_example
from inlay.training.objective import Objective, prepare
from inlay.training.randomness import generator_of
from picture_toys import save_noise
from PIL import Image
from safetensors.torch import load_file

SETTINGS = {
    "steps": 3,
    "batch_size": 2,
    "size": 64,
    "save_every": 2,
    "sample_every": 0,
    "learning_rate": 1e-3,
    "ema": 0.5,
    "half": False,
    "warmup": 2,
}


@pytest.fixture
def pictures(tmp_path):
    """Four pictures with a box each, and the CSV."""
    draws = np.random.default_rng(0)
    folder = tmp_path / "photos"
    folder.mkdir()
    lines = ["file,left,top,right,bottom,label"]
    for number in range(4):
        save_noise(folder / f"{number}.png", draws, 72, 64)
        lines.append(f"{number}.png,{10 + number},12,{40 + number},44,thing")
    (tmp_path / "boxes.csv").write_text("\n".join(lines))
    return tmp_path


@pytest.fixture
def clip(tiny):
    from transformers import CLIPConfig, CLIPModel

    torch.manual_seed(4)
    vision = dict(
        hidden_size=16, intermediate_size=32, num_hidden_layers=4, num_attention_heads=2, image_size=16, patch_size=8
    )
    text = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, vocab_size=64)
    folder = tiny.root / "clip"
    CLIPModel(CLIPConfig(vision_config=vision, text_config=text, projection_dim=8)).save_pretrained(folder)
    return folder


def parts(sd, clip):
    base = model.stable_diffusion(str(sd))
    return base.denoiser, base.vae, base.scheduler, model.exemplar_encoder(str(clip), width=24).exemplar_encoder


def run(pictures, sd, clip, out="out", listeners=(), **changes):
    some = photos(str(pictures / "photos"), Context(), boxes=str(pictures / "boxes.csv")).photos
    ctx = Context(out=pictures / out, listeners=listeners)
    return train.exemplar(*parts(sd, clip), some, ctx, **{**SETTINGS, **changes})


def folder_of(pictures, out="out"):
    found = list((pictures / out).glob("paint-by-example-*"))
    assert len(found) == 1
    return found[0]


def test_gradients_reach_what_shall_learn_and_nothing_else(tiny, shared_sd, clip):
    torch.manual_seed(0)
    unet = tiny.unet().double()
    widen(unet)
    encoder = model.exemplar_encoder(str(clip), width=24).exemplar_encoder.load("cpu").double()
    whole = ExemplarDenoiser(unet, encoder)
    names = whole.trainable()
    for value in whole.parameters():
        value.requires_grad_(True)
    joined, token = torch.randn(4, 9, 8, 8).double(), encoder.token(torch.randn(4, 3, 16, 16).double())
    dropped = torch.tensor([True, False, False, True])
    whole(joined, torch.tensor([1, 300, 600, 999]), token, dropped).square().sum().backward()
    for name, value in whole.named_parameters():
        largest = 0.0 if value.grad is None else float(value.grad.abs().max())
        if name in names:
            assert largest > 0, name
        elif not name.startswith("encoder.model."):
            assert largest < 1e-9, name  # queries, keys and their norm, in attention computed in full
    left = {name for name, _ in whole.named_parameters()} - set(names)
    assert all(
        name.startswith("encoder.model.")
        or any(part in name for part in (".attn2.to_q.", ".attn2.to_k.", ".norm2.", ".attn1.to_q.", ".attn1.to_k."))
        for name in left
    )
    assert not any(name.startswith("unet.") and ".attn1." in name for name in left)
    assert "encoder.uncond_vector" in names


def test_a_widened_unet_is_what_it_was_until_it_learns(tiny):
    plain = tiny.unet().double()
    wide = tiny.unet().double()
    widen(wide)
    z, e = torch.randn(2, 4, 8, 8).double(), torch.randn(2, 1, 24).double()
    with torch.no_grad():
        wanted = plain(z, 7, encoder_hidden_states=e).sample
        found = wide(torch.cat([z, torch.randn(2, 5, 8, 8).double()], 1), 7, encoder_hidden_states=e).sample
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    assert wide.config.in_channels == 9


def test_training_processors_give_the_gradients_of_plain_attention(tiny):
    z, e = torch.randn(2, 4, 8, 8).double(), torch.randn(2, 1, 24).double()
    grads = []
    for special in (False, True):
        unet = tiny.unet().double()
        if special:
            prepare(unet, one_token=True, plain_attention=True, checkpointing=False)
            assert any(isinstance(p, OneTokenProcessor) for p in unet.attn_processors.values())
        told = e.clone().requires_grad_(True)
        unet(z, 7, encoder_hidden_states=told).sample.square().sum().backward()
        grads.append(
            [
                told.grad,
                *(
                    dict(unet.named_parameters())[name].grad
                    for name in ("conv_in.weight", "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_v.weight")
                ),
            ]
        )
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("snr_limit", [0.0, 5.0])
def test_the_loss_against_a_transcription(prediction, snr_limit):
    config = {"num_train_timesteps": 1000, "beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    alphas = alphas_cumprod(config)
    stock = Batch(
        torch.randn(5, 4, 3, 3).double(),
        torch.randn(5, 4, 3, 3).double(),
        torch.ones(5, 1, 3, 3).double(),
        torch.randn(5, 1, 6).double(),
    )
    seen = {}

    class Fixed:
        def batch(self, draws):
            rows = torch.tensor([one % 5 for one, _ in draws])
            return Batch(*(value[rows] for value in stock))

    def net(joined, t, token, dropped):
        seen.update(joined=joined, t=t, dropped=dropped)
        return 0.3 * joined[:, :4] + 0.1 * joined[:, 4:8]

    objective = Objective(alphas, prediction, 0.5, 11, snr_limit)
    found = objective.loss(net, Fixed(), 7, range(2, 5), torch.device("cpu"))
    total = 0.0
    for row in range(2, 5):
        g = generator_of(11, "step", 7, row)
        pick = int(torch.randint(2**40, (2,), generator=g)[0]) % 5
        t = int(torch.randint(1000, (1,), generator=g))
        drop = float(torch.rand(1, generator=g)) < 0.5
        n = torch.randn(4, 3, 3, generator=g).double()
        a = alphas[t]
        z = stock.latent[pick]
        noisy = a**0.5 * z + (1 - a) ** 0.5 * n
        guess = 0.3 * noisy + 0.1 * stock.masked[pick]
        wanted = n if prediction == "epsilon" else a**0.5 * n - (1 - a) ** 0.5 * z
        snr = a / (1 - a)
        weight = min(float(snr), snr_limit) / float(snr) if snr_limit else 1.0
        total += weight * float((guess.float() - wanted).square().mean()) / 3
        assert int(seen["t"][row - 2]) == t
        assert bool(seen["dropped"][row - 2]) == drop
        torch.testing.assert_close(seen["joined"][row - 2, 8], stock.keep[pick][0])
    assert float(found) == pytest.approx(total, rel=1e-6)


def test_an_example_shows_the_box_hides_it_and_keeps_the_rest():
    picture = torch.rand(50, 50, 3)
    how = ExampleOptions(50, 16, Augment(0, 0, 0, 0), arbitrary_mask=0.0, mask_jitter=0.4)
    for seed in range(8):
        made = make_example(picture, (12, 10, 33, 36), how, torch.Generator().manual_seed(seed))
        assert torch.equal(made.picture, picture.permute(2, 0, 1))  # a square picture is taken whole
        assert set(made.keep.unique().tolist()) == {0.0, 1.0}
        assert not made.keep[:, 10:36, 12:33].any()
        assert made.keep[:, 0, 0] == 1
        wanted = torch.nn.functional.interpolate(
            picture.permute(2, 0, 1)[None, :, 10:36, 12:33], (16, 16), mode="bicubic", antialias=True
        )[0].clamp(0, 1)
        torch.testing.assert_close(made.exemplar, wanted, rtol=0, atol=2e-2)


def test_what_is_trained_is_a_model_that_loads_and_paints(pictures, shared_sd, clip):
    heard = []
    found = run(pictures, shared_sd, clip, listeners=(heard.append,), sample_every=2)
    folder = folder_of(pictures)
    assert found.denoiser.in_channels == 9
    assert "steps | 3" in found.report
    parts_ = model.paint_by_example(str(folder / "model"))
    token = condition.exemplar(parts_.exemplar_encoder, torch.rand(1, 20, 20, 3), Context()).conditioning
    assert token.cond.shape == (1, 1, 24)
    averaged = load_file(folder / "checkpoint.safetensors")
    stored = load_file(folder / "model" / "unet" / "diffusion_pytorch_model.safetensors")
    assert torch.equal(stored["conv_in.weight"], averaged["average.unet.conv_in.weight"])
    assert float(stored["conv_in.weight"][:, 4:].abs().max()) > 0  # the new channels learned something
    clip_before = load_file(clip / "model.safetensors")
    clip_after = load_file(folder / "model" / "image_encoder" / "model.safetensors")
    key = "vision_model.encoder.layers.0.mlp.fc1.weight"
    assert torch.equal(clip_after[f"model.{key}"], clip_before[key])
    steps = [event for event in heard if isinstance(event, NodeProgress)]
    assert "loss" in steps[-1].note
    assert "pictures/s" in steps[-1].note
    assert steps[1].preview is not None
    assert (folder / "samples" / "step-0000002.png").is_file()
    assert json.loads((folder / "log.jsonl").read_text().splitlines()[-1])["step"] == 3
    assert str(pictures) not in (folder / "model" / "unet" / "config.json").read_text()
    assert not list(folder.rglob("*.part"))


def test_the_same_settings_give_the_same_bytes_and_a_finished_training_is_not_repeated(pictures, shared_sd, clip):
    run(pictures, shared_sd, clip, "one")
    run(pictures, shared_sd, clip, "two")
    one, two = (
        folder_of(pictures, name) / "model" / "unet" / "diffusion_pytorch_model.safetensors" for name in ("one", "two")
    )
    assert one.read_bytes() == two.read_bytes()
    heard = []
    run(pictures, shared_sd, clip, "one", listeners=(heard.append,))
    assert any("continuing from step 3" in event.message for event in heard if isinstance(event, Warned))
    assert not [event for event in heard if isinstance(event, NodeProgress)]
    assert one.read_bytes() == two.read_bytes()


def test_kept_examples_are_made_once_and_found_again(pictures, shared_sd, clip):
    run(pictures, shared_sd, clip, variations=2)
    files = list((folder_of(pictures) / "examples").glob("*.safetensors"))
    assert [len(load_file(file)["latent"]) for file in files] == [8]  # four boxes, twice
    before = files[0].stat().st_mtime_ns
    run(pictures, shared_sd, clip, variations=2, steps=5)
    assert files[0].stat().st_mtime_ns == before


def test_examples_that_other_code_made_are_made_anew(pictures, shared_sd, clip, monkeypatch):
    from inlay.training import example_source

    run(pictures, shared_sd, clip, variations=2)
    (old,) = (folder_of(pictures) / "examples").glob("*.safetensors")
    monkeypatch.setattr(example_source, "code_digest", lambda *things, since: "of-another-version")
    run(pictures, shared_sd, clip, variations=2, steps=5)
    (new,) = (folder_of(pictures) / "examples").glob("*.safetensors")
    assert new != old


def test_other_settings_or_pictures_are_another_training(pictures, shared_sd, clip):
    run(pictures, shared_sd, clip, steps=1)
    run(pictures, shared_sd, clip, steps=1, seed=1)
    assert len(list((pictures / "out").iterdir())) == 2
    Image.new("RGB", (72, 64)).save(pictures / "photos" / "0.png")
    run(pictures, shared_sd, clip, steps=1)
    assert len(list((pictures / "out").iterdir())) == 3


def test_a_rate_that_falls_towards_the_end_makes_the_end_part_of_the_training(pictures, shared_sd, clip):
    run(pictures, shared_sd, clip, steps=1, decay=0.5)
    run(pictures, shared_sd, clip, steps=2, decay=0.5)
    assert len(list((pictures / "out").iterdir())) == 2


def test_beginning_anew_sets_the_old_checkpoint_aside(pictures, shared_sd, clip):
    run(pictures, shared_sd, clip, steps=2)
    run(pictures, shared_sd, clip, steps=2, resume=False)
    assert len(list(folder_of(pictures).glob("checkpoint*.safetensors"))) == 2


def workflow(pictures, sd, clip, **settings):
    return {
        "format": 1,
        "outputs": {"report": "train.report"},
        "nodes": {
            "photos": {
                "type": "subject.photos",
                "version": 1,
                "params": {"path": str(pictures / "photos"), "boxes": str(pictures / "boxes.csv")},
            },
            "model": {"type": "model.stable_diffusion", "version": 1, "params": {"source": str(sd)}},
            "encoder": {"type": "model.exemplar_encoder", "version": 1, "params": {"source": str(clip), "width": 24}},
            "train": {
                "type": "train.exemplar",
                "version": 1,
                "params": {**SETTINGS, **settings},
                "inputs": {
                    "denoiser": "model.denoiser",
                    "vae": "model.vae",
                    "scheduler": "model.scheduler",
                    "exemplar_encoder": "encoder.exemplar_encoder",
                    "photos": "photos.photos",
                },
            },
        },
    }


@pytest.mark.slow
def test_killed_from_outside_the_command_goes_on_to_the_same_model(pictures, shared_sd, clip):
    flow = pictures / "flow.json"
    flow.write_text(json.dumps(workflow(pictures, shared_sd, clip, steps=25, save_every=3)))

    def start(out):
        command = [
            sys.executable,
            "-m",
            "inlay",
            "run",
            str(flow),
            "--out",
            str(pictures / out),
            "--inputs",
            str(pictures.parent.parent),
            "--quiet",
        ]
        return subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )

    whole = start("whole")
    assert whole.wait(120) == 0, whole.stderr.read()
    victim = start("cut")
    deadline = time.monotonic() + 60
    while not list((pictures / "cut").glob("*/checkpoint.safetensors")) and time.monotonic() < deadline:
        time.sleep(0.005)
    victim.send_signal(signal.SIGKILL)
    assert victim.wait(10) == -signal.SIGKILL
    again = start("cut")
    assert again.wait(120) == 0, again.stderr.read()
    for part in ("unet/diffusion_pytorch_model", "image_encoder/model"):
        one, two = (folder_of(pictures, name) / "model" / f"{part}.safetensors" for name in ("whole", "cut"))
        assert one.read_bytes() == two.read_bytes()


def test_a_nan_loss_is_refused_loudly_with_the_nodes_name(pictures, shared_sd, clip):
    with pytest.raises(inlay.NodeError) as caught:
        inlay.run(
            workflow(
                pictures,
                shared_sd,
                clip,
                learning_rate=1.0,
                steps=400,
                weight_decay=0.0,
                warmup=0,
                precision="float16" if torch.cuda.is_available() else "auto",
                batch_size=2,
                ema=0.0,
                mask_jitter=0.0,
            )
            | {},
            out=str(pictures / "out"),
            set={"train.learning_rate": 1.0},
        )
    assert caught.value.problem.node == "train"


def test_wrong_parts_are_refused_by_name(tiny, pictures, shared_sd, shared_pbe, clip):
    denoiser, vae, scheduler, encoder = parts(shared_sd, clip)
    some = photos(str(pictures / "photos"), Context(), boxes=str(pictures / "boxes.csv")).photos
    ctx = Context(out=pictures / "out")
    text = model.stable_diffusion(str(shared_sd)).text_encoder
    wide = model.exemplar_encoder(str(clip), width=32).exemplar_encoder
    five = model.stable_diffusion(str(tiny.stable_diffusion("five", unet={"in_channels": 5}))).denoiser
    for broken, port in (
        ((denoiser, vae, scheduler, text, some), "exemplar_encoder"),
        ((denoiser, vae, scheduler, wide, some), "exemplar_encoder"),
        ((five, vae, scheduler, encoder, some), "denoiser"),
        ((denoiser, vae, scheduler, encoder, [1]), "photos"),
    ):
        with pytest.raises(BadInput) as caught:
            train.exemplar(*broken, ctx, **SETTINGS)
        assert caught.value.port == port
        assert caught.value.fix
    with pytest.raises(BadInput, match="size"):
        train.exemplar(denoiser, vae, scheduler, encoder, some, ctx, **{**SETTINGS, "size": 60})
    with pytest.raises(BadInput, match="prefix"):
        train.exemplar(denoiser, vae, scheduler, encoder, some, ctx, **SETTINGS, prefix="../elsewhere")
    assert not (pictures / "elsewhere").exists()


def test_a_trained_model_can_be_trained_further(pictures, shared_sd, clip):
    first = run(pictures, shared_sd, clip)
    base = model.stable_diffusion(str(shared_sd))
    some = photos(str(pictures / "photos"), Context(), boxes=str(pictures / "boxes.csv")).photos
    again = train.exemplar(
        first.denoiser,
        base.vae,
        base.scheduler,
        first.exemplar_encoder,
        some,
        Context(out=pictures / "more"),
        **SETTINGS,
    )
    assert again.denoiser.in_channels == 9


def test_encoding_masks_the_picture_and_samples_both_posteriors(tiny, clip):
    vae = tiny.vae().double()
    picture = torch.rand(3, 32, 32)
    keep = torch.ones(1, 32, 32)
    keep[:, 8:20, 8:24] = 0
    seed = torch.Generator().manual_seed(5)
    encoders = Encoders(
        vae,
        0.6,
        0.0,
        lambda pixels: pixels.mean(dim=(2, 3))[:, None],
        torch.zeros(3, 1, 1),
        torch.ones(3, 1, 1),
        torch.device("cpu"),
        (4, 4, 4),
        torch.float64,
    )
    found = encode(collate([Example(picture, keep, torch.rand(3, 16, 16))], [seed], encoders), encoders)
    noise = torch.randn((2, 4, 4, 4), generator=torch.Generator().manual_seed(5)).double()
    for value, shown, drawn in (
        (found.latent, picture, noise[0]),
        (found.masked, picture * keep + 0.5 * (1 - keep), noise[1]),
    ):
        posterior = vae.encode((shown.double() * 2 - 1)[None]).latent_dist
        torch.testing.assert_close(value, (posterior.mean + posterior.std * drawn) * 0.6, rtol=0, atol=1e-6)
    assert torch.equal(found.keep[0, 0].float(), torch.nn.functional.interpolate(keep[None], (4, 4))[0, 0])


def test_a_source_without_boxes_is_refused():
    class Nothing:
        def pairs(self):
            return ()

    with pytest.raises(BadInput, match="no box"):
        ExampleSource(Nothing(), ExampleOptions(32, 16, Augment()), None, 0, 0)
