"""Paint by Example: the published pipeline on the same weights, both layouts, and what is refused."""

import json
from itertools import pairwise

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput, Context, ModelError, WorkflowError
from inlay.models.image_encoder import preprocess_images
from inlay.models.paint_by_example.encoder import ExemplarEncoder, fit_encoder, save_encoder
from inlay.models.text_encoder import TextEncoderComponent
from inlay.nodes import condition, constraint, model, noise, sample, schedule
from pbe_oracle import ours, pictures, pipeline, tensors, theirs
from safetensors.torch import load_file, save_file
from single_files import original_unet, original_vae


def ddim(scheduler):
    return schedule.ddim(scheduler, steps=10, eta=0.0, final_alpha="config").schedule


@pytest.mark.parametrize("size", [(64, 64), (160, 96)])
@pytest.mark.parametrize("guidance", [5.0, 1.0])
def test_latents_are_those_of_the_published_pipeline(shared_pbe, size, guidance):
    wanted, stream = theirs(shared_pbe, size=size, guidance=guidance)
    found = ours(shared_pbe, ddim, stream, size=size, guidance=guidance)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


@pytest.mark.parametrize("size", [(64, 64), (160, 96)])
@pytest.mark.parametrize("guidance", [5.0, 1.0])
def test_latents_to_nine_digits_in_double_precision(shared_pbe, size, guidance):
    wanted, stream = theirs(shared_pbe, size=size, guidance=guidance, dtype=torch.float64)
    found = ours(shared_pbe, ddim, stream, size=size, guidance=guidance, dtype="float64")
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-9)


def test_the_published_prefix_and_the_short_one_give_the_same_token(tiny):
    pixels = torch.randn(2, 3, 16, 16)
    tokens = []
    for name, published in (("long", True), ("short", False)):
        folder = tiny.paint_by_example(name, published=published)
        keys = load_file(str(folder / "image_encoder" / "model.safetensors"))
        assert any(key.startswith("model.vision_model.") for key in keys) == published
        module = model.paint_by_example(str(folder)).exemplar_encoder.load("cpu")
        tokens.append(module(pixels))
        torch.testing.assert_close(
            tokens[-1], pipeline(folder, "ddim", torch.float32).image_encoder(pixels), rtol=0, atol=1e-6
        )
    assert torch.equal(*tokens)


def test_what_is_saved_is_read_by_diffusers_own_class(tiny, tmp_path):
    reference = tiny.exemplar_encoder()
    encoder = ExemplarEncoder(reference.config, 24)
    encoder.load_state_dict(fit_encoder(reference.state_dict(), encoder))
    save_encoder(encoder, tmp_path / "image_encoder")
    stored = load_file(str(tmp_path / "image_encoder" / "model.safetensors"))
    assert all(key.startswith(("model.vision_model.", "mapper.", "final", "proj", "uncond")) for key in stored)
    again = tiny.exemplar_encoder(seed=9)
    again.load_state_dict(fit_encoder(stored, again), strict=True)
    pixels = torch.randn(1, 3, 16, 16)
    torch.testing.assert_close(again(pixels), reference(pixels), rtol=0, atol=0)
    said = json.loads((tmp_path / "image_encoder" / "config.json").read_text())
    assert said["architectures"] == ["PaintByExampleImageEncoder"]
    assert said["proj_size"] == 24


def test_the_inert_parameters_are_those_without_gradient(tiny):
    """In diffusers' module, whose attention is computed in full: exactly zero, or rounding of it."""
    reference = tiny.exemplar_encoder().double()
    reference(torch.randn(2, 3, 16, 16).double()).square().sum().backward()
    encoder = ExemplarEncoder(reference.config, 24)
    inert = set(encoder.inert())
    assert inert
    for name, value in reference.named_parameters():
        if name == "uncond_vector" or name.startswith("model."):
            continue
        largest = float(value.grad.abs().max())
        assert (largest < 1e-12) == (name in inert), (name, largest)


@pytest.mark.parametrize("shape", [(44, 31), (31, 44), (16, 16), (141, 99), (5, 7), (3, 50), (1, 1)])
def test_an_exemplar_is_cut_as_the_library_cuts_it(shape):
    from PIL import Image
    from transformers import CLIPImageProcessor

    levels = torch.randint(0, 256, (*shape, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    processor = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16})
    wanted = processor(images=Image.fromarray(levels.numpy()), return_tensors="pt").pixel_values
    torch.testing.assert_close(preprocess_images(levels[None].float() / 255, 16), wanted, rtol=0, atol=1e-6)


def test_stretch_squeezes_the_whole_exemplar():
    from PIL import Image

    levels = torch.randint(0, 256, (20, 60, 3), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    small = Image.fromarray(levels.numpy()).resize((16, 16), Image.Resampling.BICUBIC)
    import numpy as np

    wanted = torch.from_numpy(np.asarray(small).copy()).permute(2, 0, 1).double() / 255 * 2 - 1
    found = preprocess_images(levels[None].double() / 255, 16, "stretch", (0.5,) * 3, (0.5,) * 3)
    torch.testing.assert_close(found[0], wanted, rtol=0, atol=1e-12)


def original_keys(encoder):
    """The encoder's keys in the original checkpoint (after Fantasy-Studio's ldm/modules/encoders), by names alone."""
    names = {
        "norm1": "ln_1",
        "norm3": "ln_2",
        "attn1.to_out.0": "attn.c_proj",
        "ff.net.0.proj": "mlp.c_fc",
        "ff.net.2": "mlp.c_proj",
    }
    stored = {"learnable_vector": encoder["uncond_vector"]}
    for kind in ("weight", "bias"):
        stored[f"cond_stage_model.mapper.resblocks.0.attn.c_qkv.{kind}"] = torch.cat(
            [encoder[f"mapper.blocks.0.attn1.to_{letter}.{kind}"] for letter in "qkv"]
        )
    for key, value in encoder.items():
        if key.startswith("mapper.blocks."):
            _, _, number, *middle, kind = key.split(".")
            if ".".join(middle) in names:
                stored[f"cond_stage_model.mapper.resblocks.{number}.{names['.'.join(middle)]}.{kind}"] = value
        elif key.startswith("final_layer_norm."):
            stored[key.replace("final_layer_norm", "cond_stage_model.final_ln")] = value
        elif key.startswith("proj_out."):
            stored[key] = value
        elif key.startswith("model."):
            stored[f"cond_stage_model.transformer.vision_model.{key.removeprefix('model.')}"] = value
    return stored


def original_folder(tiny):
    """A folder whose shapes are those that the original layout fixes (64-wide heads, 32 groups), and the same as one
    file."""
    folder = tiny.paint_by_example(
        "original",
        unet={
            "block_out_channels": (32, 64, 64),
            "norm_num_groups": 32,
            "cross_attention_dim": 64,
            "layers_per_block": 2,
            "attention_head_dim": 8,
            "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        },
        vae={"levels": 3, "block_out_channels": (32, 32, 64), "norm_num_groups": 32, "scaling_factor": 0.18215},
        encoder={"proj_size": 64, "hidden_size": 64, "num_attention_heads": 1, "image_size": 224, "patch_size": 32},
    )
    state = original_unet(load_file(folder / "unet" / "diffusion_pytorch_model.safetensors"), 2, (True, True, False))
    state |= original_vae(load_file(folder / "vae" / "diffusion_pytorch_model.safetensors"), 3)
    state |= original_keys(load_file(folder / "image_encoder" / "model.safetensors"))
    state |= {
        "cond_stage_model.transformer.vision_model.embeddings.position_ids": torch.arange(50)[None],
        "model_ema.decay": torch.tensor(0.9),
    }
    file = folder / "original.safetensors"
    save_file({key: value.contiguous().clone() for key, value in state.items()}, file)
    return folder, file


def test_the_original_checkpoint_gives_the_same_parts_bit_for_bit(tiny):
    folder, file = original_folder(tiny)
    parts, whole = model.paint_by_example(str(folder)), model.paint_by_example(str(file))
    for name in ("denoiser", "vae", "exemplar_encoder"):
        wanted, found = (getattr(some, name).load("cpu").state_dict() for some in (parts, whole))
        assert wanted.keys() == found.keys()
        assert all(torch.equal(wanted[key], found[key]) for key in wanted), name
    assert whole.exemplar_encoder.width == 64
    assert whole.exemplar_encoder.image_size == 224
    assert (
        whole.exemplar_encoder.nbytes()
        == sum(value.numel() for value in load_file(folder / "image_encoder" / "model.safetensors").values()) * 4
        + 50 * 4
    )


def test_the_original_checkpoint_is_distinguished_from_stable_diffusion(tiny):
    _, file = original_folder(tiny)
    with pytest.raises(ModelError) as caught:
        model.stable_diffusion(str(file))
    assert "model.paint_by_example" in caught.value.at("x").fix
    stored = {key: value for key, value in load_file(file).items() if key != "learnable_vector"}
    other = file.with_name("plain.safetensors")
    save_file(stored, other)
    with pytest.raises(ModelError) as caught:
        model.paint_by_example(str(other))
    assert "model.stable_diffusion" in caught.value.at("x").fix


def test_refused_by_name_while_loading(tiny, shared_sd, tmp_path):
    with pytest.raises(ModelError) as caught:
        model.paint_by_example(str(shared_sd))
    assert "model.stable_diffusion" in caught.value.at("x").fix
    with pytest.raises(ModelError) as caught:
        model.stable_diffusion(str(tiny.paint_by_example()))
    assert "model.paint_by_example" in caught.value.at("x").fix
    with pytest.raises(BadInput) as caught:
        model.paint_by_example(str(tiny.paint_by_example("four", unet={"in_channels": 4})))
    assert "4 input channels" in caught.value.at("x").found
    assert "9" in caught.value.at("x").expected
    with pytest.raises(BadInput, match="width"):
        model.paint_by_example(str(tiny.paint_by_example("wide", encoder={"proj_size": 32})))
    with pytest.raises(ModelError) as caught:
        model.stable_diffusion("dollhouse-exemplar")
    assert "model.paint_by_example" in caught.value.at("x").fix


def workflow(folder, **changes):
    nodes = {
        "model": {"type": "model.paint_by_example", "params": {"source": str(folder)}},
        "photo": {"type": "image.load", "params": {"path": "photo.png"}},
        "hole": {"type": "mask.load", "params": {"path": "hole.png"}},
        "example": {"type": "image.load", "params": {"path": "example.png"}},
        "conditioning": {
            "type": "condition.exemplar",
            "inputs": {"exemplar_encoder": "model.exemplar_encoder", "image": "example.image"},
        },
        "size": {"type": "latent.encode", "inputs": {"image": "photo.image", "vae": "model.vae"}},
        "noise": {"type": "noise.gaussian", "inputs": {"latent": "size.latent"}},
        "inpaint": {
            "type": "condition.inpaint",
            "inputs": {
                "conditioning": "conditioning.conditioning",
                "image": "photo.image",
                "mask": "hole.mask",
                "vae": "model.vae",
                "noise": "noise.noise",
            },
        },
        "steps": {
            "type": "schedule.ddim",
            "params": {"steps": 4, "eta": 0.0},
            "inputs": {"scheduler": "model.scheduler"},
        },
        "sample": {
            "type": "sample.denoise",
            "inputs": {
                "denoiser": "model.denoiser",
                "schedule": "steps.schedule",
                "noise": "noise.noise",
                "conditioning": "inpaint.conditioning",
            },
        },
    }
    nodes.update(changes)
    return {
        "format": 1,
        "nodes": {name: {"version": 1, **entry} for name, entry in nodes.items()},
        "outputs": {"latent": "sample.latent"},
    }


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, picture in zip(("photo", "hole", "example"), pictures(), strict=True):
        picture.save(tmp_path / f"{name}.png")
    return tmp_path


def test_a_workflow_gives_what_the_nodes_give(shared_pbe, files):
    assert inlay.check(workflow(shared_pbe)) == []
    found = inlay.run(workflow(shared_pbe))["latent"]
    stream = noise.gaussian(torch.zeros(1, 4, 8, 8)).noise
    wanted = ours(shared_pbe, lambda s: schedule.ddim(s, steps=4, eta=0.0).schedule, stream, guidance=7.5)
    assert torch.equal(found, wanted)


def test_a_text_encoder_in_its_place_is_refused_while_checking(shared_pbe, shared_sd, files):
    wrong = {
        "type": "condition.exemplar",
        "inputs": {"exemplar_encoder": "other.text_encoder", "image": "example.image"},
    }
    other = {"type": "model.stable_diffusion", "params": {"source": str(shared_sd)}}
    problems = inlay.check(workflow(shared_pbe, conditioning=wrong, other=other))
    assert problems
    assert problems[0].node == "conditioning"
    with pytest.raises(BadInput) as caught:
        condition.exemplar(
            TextEncoderComponent.describe(model.locate(str(shared_sd))), torch.rand(1, 8, 8, 3), Context()
        )
    assert "condition.text" in caught.value.at("x").fix
    encoder = model.paint_by_example(str(shared_pbe)).exemplar_encoder
    with pytest.raises(BadInput) as caught:
        condition.text(encoder, Context())
    assert "condition.exemplar" in caught.value.at("x").fix


def test_a_plain_unet_is_refused_while_checking(shared_pbe, shared_sd, files):
    other = {"type": "model.stable_diffusion", "params": {"source": str(shared_sd)}}
    wrong = workflow(shared_pbe, other=other)
    wrong["nodes"]["sample"]["inputs"]["denoiser"] = "other.denoiser"
    problems = inlay.check(wrong)
    assert [problem.node for problem in problems] == ["sample"]
    assert "5 extra channels" in problems[0].found


def test_a_nine_channel_unet_without_its_channels_is_refused_while_checking(shared_pbe, files):
    wrong = workflow(shared_pbe)
    wrong["nodes"]["sample"]["inputs"]["conditioning"] = "conditioning.conditioning"
    del wrong["nodes"]["inpaint"]
    problems = inlay.check(wrong)
    assert [problem.node for problem in problems] == ["sample"]
    assert "condition.inpaint" in problems[0].fix
    with pytest.raises(WorkflowError):
        inlay.run(wrong)


def test_an_exemplar_composes_with_a_constraint_by_wiring_alone(shared_pbe):
    ctx = Context()
    parts = model.paint_by_example(str(shared_pbe))
    image, mask, exemplar = tensors((64, 64))
    stream = noise.gaussian(torch.zeros(1, 4, 8, 8)).noise
    conditioning = condition.exemplar(parts.exemplar_encoder, exemplar, ctx).conditioning
    conditioning = condition.inpaint(conditioning, image, mask, parts.vae, ctx, stream).conditioning
    known, cells = torch.randn(1, 4, 8, 8), torch.zeros(1, 1, 8, 8)
    cells[..., 2:5, 2:6] = 1
    keep = constraint.null_space(known, cells).constraint
    found = sample.denoise(
        parts.denoiser,
        schedule.ddim(parts.scheduler, steps=4).schedule,
        stream,
        ctx,
        conditioning,
        keep,
        guidance_scale=5.0,
    ).latent
    torch.testing.assert_close(found * (1 - cells), known * (1 - cells), rtol=0, atol=1e-6)
    assert float((found - known)[..., 3, 3].abs().max()) > 1e-3


def test_odd_exemplars_are_taken_with_a_word_of_warning(shared_pbe):
    heard = []
    ctx = Context(listeners=(lambda event: heard.append(event.message) if hasattr(event, "message") else None,))
    encoder = model.paint_by_example(str(shared_pbe)).exemplar_encoder
    for shape, word in (((1, 1), "little more than its colour"), ((20, 90), "middle square")):
        heard.clear()
        conditioning = condition.exemplar(encoder, torch.rand(1, *shape, 3), ctx).conditioning
        assert conditioning.cond.shape == (1, 1, 24)
        assert any(word in message for message in heard), heard
    heard.clear()
    condition.exemplar(encoder, torch.rand(1, 20, 90, 3), ctx, preprocess="stretch")
    assert not [message for message in heard if "exemplar" in message]


def test_what_is_transparent_in_an_exemplar_does_not_count(shared_pbe):
    encoder = model.paint_by_example(str(shared_pbe)).exemplar_encoder
    image, clear = torch.rand(1, 20, 20, 3), torch.zeros(1, 20, 20)
    clear[:, :, 10:] = 1
    other = image.clone()
    other[:, :, 10:] = 0.9
    one, two = (condition.exemplar(encoder, picture, Context(), clear).conditioning for picture in (image, other))
    assert torch.equal(one.cond, two.cond)
    assert not torch.equal(one.cond, condition.exemplar(encoder, image, Context()).conditioning.cond)


def test_one_picture_under_two_masks_is_two_exemplars(shared_pbe):
    encoder = model.paint_by_example(str(shared_pbe)).exemplar_encoder
    image, clear = torch.rand(1, 20, 20, 3), torch.zeros(2, 20, 20)
    clear[0, :, 10:] = clear[1, :10] = 1
    conditioning = condition.exemplar(encoder, image, Context(), clear).conditioning.cond
    for row, part in zip(conditioning, (image[:, :, :10], image[:, 10:]), strict=True):
        alone = condition.exemplar(encoder, part, Context()).conditioning.cond[0]
        torch.testing.assert_close(row, alone, rtol=1e-5, atol=1e-5)
    spec = condition.exemplar.spec
    known = spec.check({"exemplar_encoder": encoder, "image": image, "mask": clear}, {"preprocess": "crop"})
    assert len(known["conditioning"].cond) == 2


def test_a_small_object_on_a_large_transparent_canvas_is_cropped_to_it(shared_pbe):
    encoder = model.paint_by_example(str(shared_pbe)).exemplar_encoder
    thing, canvas, clear = torch.rand(2, 12, 10, 3), torch.zeros(2, 60, 50, 3), torch.ones(2, 60, 50)
    canvas[0, 5:17, 20:30], clear[0, 5:17, 20:30] = thing[0], 0
    canvas[1, 40:52, 1:11], clear[1, 40:52, 1:11] = thing[1], 0
    one, two = (
        condition.exemplar(encoder, *given).conditioning.cond
        for given in ((canvas, Context(), clear), (thing, Context()))
    )
    assert torch.equal(one, two)
    with pytest.raises(BadInput, match="nothing of the exemplar") as caught:
        condition.exemplar(encoder, canvas, Context(), torch.ones(2, 60, 50))
    assert caught.value.port == "mask"


def test_several_exemplars_make_one_row_each(shared_pbe):
    encoder = model.paint_by_example(str(shared_pbe)).exemplar_encoder
    images = torch.rand(3, 16, 16, 3)
    conditioning = condition.exemplar(encoder, images, Context()).conditioning
    assert conditioning.cond.shape == conditioning.uncond.shape == (3, 1, 24)
    each = [condition.exemplar(encoder, image[None], Context()).conditioning.cond for image in images]
    torch.testing.assert_close(conditioning.cond, torch.cat(each), rtol=0, atol=1e-6)
    assert all(not torch.equal(a, b) for a, b in pairwise(each))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "I;16"])
def test_exemplars_of_every_mode_are_painted(shared_pbe, files, mode):
    from PIL import Image

    picture = Image.open(files / "example.png")
    if mode == "I;16":
        picture = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    elif mode == "RGBA":
        picture.putalpha(Image.new("L", picture.size, 128))
    else:
        picture = picture.convert(mode)
    picture.save(files / "example.png")
    flow = workflow(shared_pbe)
    flow["nodes"]["conditioning"]["inputs"]["mask"] = "example.mask"
    assert torch.isfinite(inlay.run(flow)["latent"]).all()


def test_text_inpainting_models_get_their_own_order(tiny):
    """Stable Diffusion inpainting wants [mask, zm] with 1 = repaint: diffusers' own pipeline on the same weights."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionInpaintPipeline, UNet2DConditionModel
    from transformers import CLIPTextModel, CLIPTokenizer

    folder = tiny.stable_diffusion("inpaint", unet={"in_channels": 9})
    pipe = StableDiffusionInpaintPipeline(
        vae=AutoencoderKL.from_pretrained(folder / "vae"),
        unet=UNet2DConditionModel.from_pretrained(folder / "unet"),
        text_encoder=CLIPTextModel.from_pretrained(folder / "text_encoder"),
        tokenizer=CLIPTokenizer.from_pretrained(folder / "tokenizer"),
        safety_checker=None,
        feature_extractor=None,
        scheduler=DDIMScheduler.from_pretrained(folder / "scheduler"),
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    picture, hole, _ = pictures()
    wanted = pipe(
        "abc",
        picture,
        hole,
        negative_prompt="l",
        num_inference_steps=10,
        guidance_scale=6.0,
        strength=1.0,
        height=64,
        width=64,
        generator=torch.Generator().manual_seed(7),
        output_type="latent",
    ).images
    parts, ctx = model.stable_diffusion(str(folder)), Context()
    image, mask, _ = tensors((64, 64))
    stream = noise.gaussian(torch.zeros(1, 4, 8, 8), seed=7).noise
    conditioning = condition.text(parts.text_encoder, ctx, prompt="abc", negative="l").conditioning
    conditioning = condition.inpaint(conditioning, image, mask, parts.vae, ctx, stream).conditioning
    found = sample.denoise(parts.denoiser, ddim(parts.scheduler), stream, ctx, conditioning, guidance_scale=6.0).latent
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4)


def test_inpaint_conditions_refuse_what_does_not_fit(shared_pbe):
    ctx = Context()
    parts = model.paint_by_example(str(shared_pbe))
    image, mask, exemplar = tensors((64, 64))
    conditioning = condition.exemplar(parts.exemplar_encoder, exemplar, ctx).conditioning
    for changes, port, word in (
        ({"image": torch.rand(1, 60, 64, 3), "mask": torch.zeros(1, 60, 64)}, "image", "image.fit"),
        ({"mask": torch.zeros(1, 32, 64)}, "mask", "size"),
        ({"noise": noise.gaussian(torch.zeros(1, 4, 8, 9)).noise}, "noise", "grid"),
        ({"vae": parts.denoiser}, "vae", "VAE"),
    ):
        wired = {"image": image, "mask": mask, "vae": parts.vae, "noise": None} | changes
        with pytest.raises(BadInput) as caught:
            condition.inpaint(conditioning, wired["image"], wired["mask"], wired["vae"], ctx, wired["noise"])
        problem = caught.value.at("conditioning")
        assert problem.port == port
        assert word in f"{problem.expected} {problem.fix}"


@pytest.mark.parametrize("mode", ["posterior", "mode"])
def test_without_noise_the_posterior_comes_from_its_own_seed(shared_pbe, mode):
    ctx = Context()
    parts = model.paint_by_example(str(shared_pbe))
    image, mask, exemplar = tensors((64, 64))
    conditioning = condition.exemplar(parts.exemplar_encoder, exemplar, ctx).conditioning

    def extra(seed):
        made = condition.inpaint(conditioning, image, mask, parts.vae, ctx, sample=mode, seed=seed).conditioning
        assert not made.drew_posterior
        return made.extra

    assert torch.equal(extra(1), extra(1))
    assert torch.equal(extra(1), extra(2)) == (mode == "mode")
    assert extra(1).shape == (1, 5, 8, 8)
    keep = 1 - torch.nn.functional.interpolate(mask[:, None], (8, 8))
    assert torch.equal(extra(1)[:, 4:], keep)


def test_variations_get_a_posterior_each(shared_pbe):
    ctx = Context()
    parts = model.paint_by_example(str(shared_pbe))
    image, mask, exemplar = tensors((64, 64))
    stream = noise.gaussian(torch.zeros(1, 4, 8, 8), seed=3, batch=2).noise
    conditioning = condition.exemplar(parts.exemplar_encoder, exemplar, ctx).conditioning
    conditioning = condition.inpaint(conditioning, image, mask, parts.vae, ctx, stream).conditioning
    assert conditioning.extra.shape == (2, 5, 8, 8)
    assert not torch.equal(conditioning.extra[0, :4], conditioning.extra[1, :4])
    found = sample.denoise(parts.denoiser, ddim(parts.scheduler), stream, ctx, conditioning, guidance_scale=5.0).latent
    assert found.shape == (2, 4, 8, 8)
