"""What shapes, steps, wires and files' headers give away of a sampling is found while checking, before any weight."""

import copy

import inlay
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file


@pytest.fixture
def flow(tmp_path):
    """Zero-shot inpainting of a small picture with the embedded model."""
    Image.new("RGB", (64, 48)).save(tmp_path / "room.png")
    hole = Image.new("L", (64, 48))
    hole.paste(255, (16, 16, 40, 32))
    hole.save(tmp_path / "hole.png")
    node = lambda kind, params=None, **inputs: {"type": kind, "params": params or {}, "inputs": inputs}  # noqa: E731
    return {
        "format": 1,
        "nodes": {
            "photo": node("image.load", {"path": str(tmp_path / "room.png")}),
            "hole": node("mask.load", {"path": str(tmp_path / "hole.png")}),
            "model": node("model.stable_diffusion"),
            "words": node("condition.text", text_encoder="model.text_encoder"),
            "steps": node("schedule.ddim", {"steps": 4, "eta": 0.0}, scheduler="model.scheduler"),
            "known": node("latent.encode", image="photo.image", vae="model.vae"),
            "cells": node("mask.to_latent", vae="model.vae", mask="hole.mask"),
            "keep": node("constraint.null_space", latent="known.latent", latent_mask="cells.latent_mask"),
            "noise": node("noise.gaussian", latent="known.latent"),
            "draw": node(
                "sample.denoise",
                denoiser="model.denoiser",
                schedule="steps.schedule",
                noise="noise.noise",
                conditioning="words.conditioning",
                constraint="keep.constraint",
            ),
            "show": node("latent.decode", latent="draw.latent", vae="model.vae"),
            "paste": node("image.paste_back", base="photo.image", patch="show.image", mask="hole.mask"),
        },
        "outputs": {"image": "paste.image"},
    }


def changed(flow, name, **changes):
    new = copy.deepcopy(flow)
    entry = new["nodes"].setdefault(name, {"params": {}, "inputs": {}})
    for key, value in changes.items():
        if key == "type":
            entry["type"] = value
        elif isinstance(value, str) and value.count(".") == 1 and " " not in value and "/" not in value:
            entry["inputs"][key] = value
        elif value is None:
            del entry["inputs"][key]
        else:
            entry["params"][key] = value
    return new


def only(raw):
    (problem,) = inlay.check(raw)
    return f"{problem.node}.{problem.port}: {problem.found}"


def test_nothing_is_wrong_with_it(flow):
    assert inlay.check(flow) == []


def test_strength_without_a_latent(flow):
    assert only(changed(flow, "draw", strength=0.5)) == "draw.strength: 0.5 with no latent connected"
    assert inlay.check(changed(flow, "draw", strength=0.5, latent="known.latent")) == []


def test_a_constraint_with_a_solver(flow):
    raw = changed(flow, "steps", type="schedule.solver")
    raw["nodes"]["steps"]["params"] = {"steps": 4}
    assert only(raw) == "draw.constraint: a constraint with a schedule.solver"


def test_an_empty_mask(flow, tmp_path):
    Image.new("L", (64, 48)).save(tmp_path / "hole.png")
    assert only(flow) == "cells.mask: the mask is empty: nothing to repaint"


def test_an_empty_mask_that_image_fit_makes_much_larger(flow, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "dot.png")
    raw = changed(flow, "dot", type="image.load", path=str(tmp_path / "dot.png"))
    raw = changed(raw, "large", type="image.fit", image="dot.image", size=64)
    raw = changed(raw, "drawn", type="mask.brush", mask="large.mask")
    raw["outputs"]["drawn"] = "drawn.mask"
    assert only(raw) == "drawn.mask: the mask is empty: nothing to draw around"


def test_a_picture_that_the_vae_cannot_encode(flow, tmp_path):
    Image.new("RGB", (63, 48)).save(tmp_path / "room.png")
    assert "known.image: 63×48 pixels" in [f"{p.node}.{p.port}: {p.found}" for p in inlay.check(flow)]


def test_a_mask_of_another_size_than_the_latent(flow, tmp_path):
    Image.new("L", (48, 64), 255).save(tmp_path / "hole.png")
    assert {(p.node, p.port) for p in inlay.check(flow)} == {("keep", "latent_mask"), ("paste", "mask")}


@pytest.mark.parametrize(
    ("tensors", "where", "found"),
    [
        ({"other": torch.zeros(1, 4, 6, 8)}, "path", "with none of 'z_T'"),
        ({"z_T": torch.zeros(4, 6, 8)}, "path", "'z_T' of shape [4, 6, 8]"),
        ({"z_T": torch.zeros(1, 4, 6, 8, dtype=torch.int32)}, "path", "'z_T' of type I32"),
        (
            {"z_T": torch.zeros(1, 4, 6, 6), "noises": torch.zeros(4, 1, 4, 6, 6)},
            "constraint",
            "a known latent of shape",
        ),
    ],
)
def test_files_of_noise(flow, tmp_path, tensors, where, found):
    save_file(tensors, str(tmp_path / "noise.safetensors"))
    raw = changed(flow, "noise", type="noise.load", path=str(tmp_path / "noise.safetensors"), latent=None)
    assert only(raw).startswith(f"{'noise' if where == 'path' else 'draw'}.{where}: ")
    assert found in only(raw)


def test_too_few_tensors_for_the_steps(flow, tmp_path):
    save_file({"z_T": torch.zeros(1, 4, 6, 8), "noises": torch.zeros(3, 1, 4, 6, 8)}, str(tmp_path / "n.safetensors"))
    raw = changed(flow, "noise", type="noise.load", path=str(tmp_path / "n.safetensors"), latent=None)
    assert only(raw) == "draw.noise: 3 noise tensors in n.safetensors"


def test_a_file_of_noise_without_the_posterior_that_is_asked_for(flow, tmp_path):
    tensors = {"z_T": torch.zeros(1, 4, 6, 8), "noises": torch.zeros(4, 1, 4, 6, 8)}
    save_file(tensors, str(tmp_path / "n.safetensors"))
    raw = changed(flow, "noise", type="noise.load", path=str(tmp_path / "n.safetensors"), latent=None)
    assert inlay.check(raw) == []
    raw = changed(
        raw,
        "told",
        type="condition.inpaint",
        conditioning="words.conditioning",
        image="photo.image",
        mask="hole.mask",
        vae="model.vae",
        noise="noise.noise",
    )
    raw["outputs"]["told"] = "told.conditioning"
    assert only(raw) == "told.noise: no 'posterior_noise' in n.safetensors"
    assert inlay.check(changed(raw, "told", sample="mode")) == []


def test_a_latent_file_without_the_key(flow, tmp_path):
    save_file({"samples": torch.zeros(1, 4, 6, 8)}, str(tmp_path / "l.safetensors"))
    raw = changed(flow, "start", type="latent.load", path=str(tmp_path / "l.safetensors"))
    raw = changed(raw, "draw", strength=0.5, latent="start.latent")
    assert only(raw) == "start.key: no 'latent' in l.safetensors"


def test_an_edit_that_begins_at_fresh_noise(flow):
    raw = changed(
        flow,
        "back",
        type="invert.ddim",
        denoiser="model.denoiser",
        conditioning="words.conditioning",
        schedule="steps.schedule",
        latent="known.latent",
    )
    raw = changed(
        raw,
        "tuned",
        type="invert.target_text",
        denoiser="model.denoiser",
        schedule="steps.schedule",
        conditioning="words.conditioning",
        trajectory="back.trajectory",
    )
    raw = changed(raw, "draw", tuning="tuned.tuning", constraint=None)
    assert only(raw) == "draw.noise: a start that the inversion behind tuning did not end at"
    raw = changed(raw, "noise", type="noise.from_trajectory", latent=None, trajectory="back.trajectory")
    assert inlay.check(raw) == []
    more = changed(raw, "other", type="schedule.ddim", steps=5, eta=0.0, scheduler="model.scheduler")
    assert only(changed(more, "draw", schedule="other.schedule")).startswith("draw.")


def test_measures_of_two_sizes(flow, tmp_path):
    Image.new("RGB", (32, 48)).save(tmp_path / "small.png")
    raw = changed(flow, "small", type="image.load", path=str(tmp_path / "small.png"))
    raw = changed(raw, "far", type="metric.ssim", image="paste.image", reference="small.image")
    raw["outputs"]["far"] = "far.value"
    assert only(raw) == "far.reference: a picture of 32×48"


def test_nan_in_the_picture_is_named(flow):
    from inlay.nodes import latent, model

    vae = model.stable_diffusion().vae
    with pytest.raises(inlay.graph_runtime.BadInput) as error:
        latent.encode(torch.full((1, 8, 8, 3), float("nan")), vae, inlay.graph_runtime.Context())
    assert error.value.port == "image"
    assert "values of the picture are NaN" in error.value.found


@pytest.mark.parametrize(
    ("kind", "changes", "where"),
    [
        ("train.exemplar", {"exemplar_encoder": "other.exemplar_encoder"}, "exemplar_encoder: tokens of width 768"),
        ("train.subject_lora", {"rank": 1000}, "rank: 1000"),
        ("train.exemplar", {"size": 36}, "size: 36 pixels"),
        ("train.subject_lora", {"size": 36}, "size: 36 pixels"),
        ("train.subject_lora", {"denoiser": "plain.denoiser"}, "denoiser: the unet of dollhouse, of 4 input channels"),
    ],
)
def test_trainings_whose_parts_do_not_fit(flow, kind, changes, where):
    raw = changed(flow, "model", type="model.paint_by_example")
    raw["nodes"] = {"photo": raw["nodes"]["photo"], "model": raw["nodes"]["model"]}
    path = raw["nodes"]["photo"]["params"]["path"]
    raw["nodes"] |= {
        "seen": {"type": "subject.photos", "params": {"path": path}},
        "plain": {"type": "model.stable_diffusion"},
        "other": {"type": "model.exemplar_encoder"},
    }
    raw["outputs"] = {"x": "learn.report"}
    wires = {name: f"model.{name}" for name in ("denoiser", "vae", "scheduler", "exemplar_encoder")}
    raw = changed(raw, "learn", type=kind, photos="seen.photos", **wires)
    assert inlay.check(raw) == []
    (problem,) = inlay.check(changed(raw, "learn", **changes))
    assert f"{problem.port}: {problem.found}".startswith(where)


def test_a_layer_that_the_unet_has_not(flow):
    from inlay.nodes import model

    with inlay.graph_runtime.Context().lease(model.stable_diffusion().denoiser) as unet:
        count = sum(name.endswith("attn1.to_q") for name, _ in unet.named_modules())
    raw = changed(
        flow, "shared", type="attention.mutual_self", source="words.conditioning", start_step=1, start_layer=count - 1
    )
    raw = changed(raw, "draw", attention="shared.attention", constraint=None)
    assert inlay.check(raw) == []
    assert only(changed(raw, "shared", start_layer=count)) == (
        f"draw.attention: start_layer {count} in attention.mutual_self"
    )
