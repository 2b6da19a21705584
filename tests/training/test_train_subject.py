"""train.subject_lora: what learns, against a hand-written loop; files, resuming, warnings, refusals."""

import dataclasses
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.events import NodeProgress, Warned
from inlay.methods.paint_by_example import ExemplarDenoiser
from inlay.models.lora.component import weights_hash
from inlay.models.lora.file import by_module, read_lora
from inlay.models.lora.header import about_of
from inlay.models.noise_levels import alphas_cumprod
from inlay.nodes import model
from inlay.nodes.model_lora import lora
from inlay.nodes.subject import photos
from inlay.nodes.train import subject_lora
from inlay.training.errors import TrainingFailed
from inlay.training.objective import Objective
from inlay.training.randomness import generator_of
from inlay.training.sample_sheets import SampleSheets
from inlay.training.subject_settings import SubjectSettings
from picture_toys import save_noise
from safetensors.torch import load_file, save

SETTINGS = {
    "epochs": 1,
    "batch_size": 40,
    "size": 64,
    "variations": 2,
    "sample_every": 0,
    "learning_rate": 1e-2,
    "save_every": 2,
}
STEPS = 5  # 100 views of two photos, forty a step


@pytest.fixture
def pictures(tmp_path):
    """Two pictures of noise with a box each."""
    draws = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for number in range(2):
        save_noise(tmp_path / f"photos/{number}.png", draws, 72, 64)
    (tmp_path / "boxes.csv").write_text("file,left,top,right,bottom\n0.png,10,12,50,54\n1.png,14,8,60,50\n")
    return tmp_path


def gathered(pictures):
    return photos(str(pictures / "photos"), Context(), boxes=str(pictures / "boxes.csv")).photos


def run(pictures, folder, out="out", listeners=(), **changes):
    """Train; settings beyond their bounds are taken too."""
    parts = model.paint_by_example(str(folder), dtype="float64")
    ctx = Context(out=pictures / out, listeners=listeners)
    return subject_lora(
        parts.denoiser,
        parts.vae,
        parts.scheduler,
        parts.exemplar_encoder,
        gathered(pictures),
        ctx,
        settings=SubjectSettings(**SETTINGS).model_copy(update=changes),
    )


def file_of(made):
    return read_lora(Path(made.lora.path))


def test_the_lora_learns_as_a_hand_written_loop_does_and_nothing_else(pictures, shared_pbe):
    """W + (α/r)·B·A by functional_call, four steps of AdamW written out; the views are those that were kept."""
    made = run(pictures, shared_pbe, epochs=1, batch_size=50, alpha=8.0)  # four steps
    found = read_lora(Path(made.lora.path)).pairs
    parts = model.paint_by_example(str(shared_pbe), dtype="float64")
    with Context().lease(parts.denoiser) as unet, Context().lease(parts.exemplar_encoder) as encoder:
        ends = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "attn2.to_v", "attn2.to_out.0")
        wanted = {
            name for name, module in unet.named_modules() if isinstance(module, torch.nn.Linear) and name.endswith(ends)
        }
        assert set(found) == wanted
        torch.manual_seed(generator_of(0, "lora").initial_seed())
        down, up = {}, {}
        for name, module in unet.named_modules():
            if name in wanted:
                torch.nn.Linear(module.in_features, 4, bias=False)  # what making the layers draws …
                torch.nn.Linear(4, module.out_features, bias=False)
                down[name] = torch.nn.init.normal_(torch.empty(4, module.in_features), std=1 / 4).double()
                up[name] = torch.zeros(module.out_features, 4, dtype=torch.float64)
        learned = [value.requires_grad_() for pair in zip(down.values(), up.values(), strict=True) for value in pair]

        class Functional(torch.nn.Module):
            """The whole model with merged weights."""

            def forward(self, joined, times, token, dropped):
                told = torch.where(
                    dropped[:, None, None], encoder.uncond_vector.expand(len(joined), -1, -1), encoder.project(token)
                )
                weights = {
                    f"{name}.weight": unet.get_submodule(name).weight + 2.0 * up[name] @ down[name] for name in wanted
                }
                more = {"encoder_hidden_states": told}
                return torch.func.functional_call(unet, weights, (joined, times), more).sample

        from safetensors.torch import load_file

        (cache,) = (pictures / "out").glob("subject-*/examples/*.safetensors")
        stored = load_file(cache)

        class Kept:
            """The views that the training kept."""

            def batch(self, draws):
                from inlay.training.encoding import Batch

                rows = torch.tensor([one % len(stored["latent"]) for one, _ in draws])
                return Batch(*(stored[name][rows] for name in Batch._fields))

        objective = Objective(alphas_cumprod(parts.scheduler.config), "epsilon", 0.2, 0)
        adam = torch.optim.AdamW(learned, lr=1e-2, weight_decay=0.01)
        for step in range(4):
            adam.zero_grad()
            objective.loss(Functional(), Kept(), step, range(50), torch.device("cpu")).backward()
            torch.nn.utils.clip_grad_norm_(learned, 1.0)
            adam.step()
    for name, pair in found.items():  # in the file: half precision, α folded into B
        torch.testing.assert_close(pair.down, down[name].detach().half(), rtol=2e-3, atol=2e-4)
        torch.testing.assert_close(pair.up, (2 * up[name].detach().half()), rtol=4e-3, atol=4e-4)
        assert pair.up.abs().max() > 0


def test_gradients_reach_the_lora_alone(pictures, shared_pbe, monkeypatch):
    seen = {}
    inner = ExemplarDenoiser.forward

    def forward(self, *args):
        seen["learning"] = {name for name, value in self.named_parameters() if value.requires_grad}
        seen["values"] = {name: value.detach().clone() for name, value in self.named_parameters()}
        seen["module"] = self
        return inner(self, *args)

    monkeypatch.setattr(ExemplarDenoiser, "forward", forward)
    run(pictures, shared_pbe, targets="attention_and_feedforward")
    assert seen["learning"]
    assert all(".lora_" in name for name in seen["learning"])
    assert any(".ff.net." in name for name in seen["learning"])
    assert not any(".attn2.to_q" in name or ".attn2.to_k" in name for name in seen["learning"])
    frozen = [name for name, value in seen["module"].named_parameters() if not value.requires_grad]
    assert all(value.grad is None for name, value in seen["module"].named_parameters() if name in frozen)


@pytest.mark.parametrize("layout", ["diffusers", "kohya"])
def test_the_file_says_what_it_is_and_works_on_its_base_alone(pictures, shared_pbe, tiny, layout):
    made = run(pictures, shared_pbe, layout=layout, rank=2)
    parts = model.paint_by_example(str(shared_pbe), dtype="float64")
    about = about_of(Path(made.lora.path))
    assert about["base"] == parts.denoiser.origin.name
    assert about["base_sha256"] == weights_hash(parts.denoiser)
    assert (about["rank"], about["alpha"], about["targets"], about["steps"]) == (2, 2.0, "attention", STEPS)
    assert about["photos_sha256"] == gathered(pictures).fingerprint
    assert about["training"]["learning_rate"] == 1e-2
    with Context().lease(parts.denoiser) as unet:
        assert by_module(file_of(made), unet)
        plain = unet(torch.ones(1, 9, 8, 8).double(), 5, encoder_hidden_states=torch.ones(1, 1, 24).double()).sample
    with Context().lease(lora(parts.denoiser, lora=made.lora).denoiser) as unet:
        changed = unet(torch.ones(1, 9, 8, 8).double(), 5, encoder_hidden_states=torch.ones(1, 1, 24).double()).sample
    assert not torch.equal(plain, changed)
    assert "lora.safetensors" in made.report
    beside = Path(made.lora.path).parent
    told = [made.report.encode(), *(file.read_bytes() for file in beside.rglob("*") if file.is_file())]
    assert not any(
        str(folder).encode() in text for text in told for folder in (pictures, shared_pbe.parent, Path.home())
    )


def test_files_have_the_permissions_of_any_new_file(pictures, shared_pbe):
    made = run(pictures, shared_pbe)
    (pictures / "plain").touch()
    wanted = (pictures / "plain").stat().st_mode
    assert {file.stat().st_mode for file in Path(made.lora.path).parent.rglob("*") if file.is_file()} == {wanted}


def test_sizes_at_the_shapes_of_stable_diffusion():
    """149,568 parameters per rank for these targets: 0.30 MB at rank 1, 19.1 at 64 (methods, section 3)."""
    from accelerate import init_empty_weights
    from diffusers import UNet2DConditionModel
    from inlay.methods.subject_lora import PATTERNS

    with init_empty_weights():
        unet = UNet2DConditionModel(cross_attention_dim=768, in_channels=9)
    pattern = f".*({PATTERNS['self']}|{PATTERNS['one']})"
    per_rank = sum(sum(module.weight.shape) for name, module in unet.named_modules() if re.fullmatch(pattern, name))
    assert per_rank == 149_568
    assert 64 * per_rank * 2 <= 20e6


def test_a_stopped_training_goes_on_to_the_same_bits(pictures, shared_pbe):
    whole = run(pictures, shared_pbe, out="whole")
    stop = []

    def listener(event):
        if isinstance(event, NodeProgress) and "loss" in event.note and event.step == 3:
            stop.append(1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(pictures, shared_pbe, out="parts", listeners=(listener,))
    assert stop
    assert not list((pictures / "parts").glob("subject-*/lora.safetensors"))  # nothing half-made
    again = run(pictures, shared_pbe, out="parts")
    with open(whole.lora.path, "rb") as one, open(again.lora.path, "rb") as other:
        assert one.read() == other.read()
    other = run(pictures, shared_pbe, out="other", seed=1)
    first, second = (next(iter(file_of(made).pairs.values())).down for made in (other, whole))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("damage", ["cut", "empty", "rows", "nan", "other"])
def test_kept_views_that_are_damaged_are_made_anew(pictures, shared_pbe, damage):
    whole = run(pictures, shared_pbe)
    before = load_file(whole.lora.path)
    file = next(Path(whole.lora.path).parent.glob("examples/*.safetensors"))
    data, tensors = file.read_bytes(), load_file(file)
    file.write_bytes(
        {
            "cut": data[: len(data) // 2],
            "empty": b"",
            "other": save({"x": torch.ones(1)}),
            "rows": save({name: value[:1].clone() for name, value in tensors.items()}),
            "nan": save({name: value * math.nan for name, value in tensors.items()}),
        }[damage]
    )
    again = run(pictures, shared_pbe, resume=False)
    after = load_file(again.lora.path)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert file.read_bytes() == data


def test_what_half_precision_cannot_hold_is_refused_and_nothing_is_written(pictures, shared_pbe):
    with pytest.raises(TrainingFailed, match="half precision"):
        run(pictures, shared_pbe, rank=1, alpha=4096.0, learning_rate=10.0)
    assert not list((pictures / "out").glob("*/lora.safetensors"))


def test_a_changed_setting_begins_anew_and_that_is_said(pictures, shared_pbe):
    said = []

    def heard(event):
        if isinstance(event, Warned) and event.message.startswith("a new training begins"):
            said.append(event.message)

    run(pictures, shared_pbe, listeners=[heard], prefix="a")
    (first,) = (pictures / "out").glob("a-*")
    assert said == []
    run(pictures, shared_pbe, listeners=[heard], prefix="a", seed=1)
    assert first.name in said[0]
    run(pictures, shared_pbe, listeners=[heard], prefix="a")
    run(pictures, shared_pbe, listeners=[heard], prefix="b")
    assert len(said) == 1


def test_a_rank_that_no_layer_has_leaves_no_folder(pictures, shared_pbe):
    with pytest.raises(BadInput, match="rank"):
        run(pictures, shared_pbe, rank=1000)
    assert not (pictures / "out").exists()


def test_more_epochs_go_on_from_the_last(pictures, shared_pbe):
    run(pictures, shared_pbe)
    heard = []
    longer = run(pictures, shared_pbe, epochs=2, listeners=(heard.append,))
    assert any("continuing from step 5" in event.message for event in heard if isinstance(event, Warned))
    assert about_of(Path(longer.lora.path))["steps"] == 2 * STEPS


def test_a_rate_that_falls_towards_the_end_is_another_training_for_each_end(pictures, shared_pbe):
    made = [run(pictures, shared_pbe, epochs=epochs, decay=decay) for epochs, decay in ((1, 0.0), (1, 1.0), (2, 1.0))]
    files = [Path(one.lora.path) for one in made]
    assert len({file.parent for file in files}) == 3
    assert len({file.read_bytes() for file in files}) == 3


def test_samples_are_shown_and_end_a_training_that_is_over(pictures, shared_pbe):
    heard = []
    made = run(
        pictures, shared_pbe, epochs=4, sample_every=2, patience=2, learning_rate=1e-9, listeners=(heard.append,)
    )
    notes = [event.note for event in heard if isinstance(event, NodeProgress) and "likeness" in event.note]
    assert notes
    assert any(event.preview is not None for event in heard if isinstance(event, NodeProgress))
    about = about_of(Path(made.lora.path))
    assert "stopped at step" in about["stopped"]
    assert about["steps"] < 4 * STEPS
    assert "stopped at step" in made.report
    log = next((pictures / "out").glob("subject-*/likeness.jsonl"))
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [2, 4, 6]


STOPPING = {"epochs": 4, "sample_every": 2, "patience": 2, "learning_rate": 1e-9}


def test_a_training_that_has_stopped_early_gives_the_same_file_when_it_is_run_again(pictures, shared_pbe):
    first = Path(run(pictures, shared_pbe, **STOPPING).lora.path).read_bytes()
    again = run(pictures, shared_pbe, **STOPPING)
    assert Path(again.lora.path).read_bytes() == first
    assert "stopped at step 6" in again.report


@pytest.mark.parametrize("cut", [0, 9])
def test_a_kill_before_a_sheet_and_amid_a_line_of_its_log_changes_nothing(pictures, shared_pbe, monkeypatch, cut):
    undisturbed = Path(run(pictures, shared_pbe, out="a", **STOPPING).lora.path).read_bytes()
    draw = SampleSheets.draw

    def killed(self, step):
        if step == 4:
            raise KeyboardInterrupt
        return draw(self, step)

    monkeypatch.setattr(SampleSheets, "draw", killed)
    with pytest.raises(KeyboardInterrupt):
        run(pictures, shared_pbe, out="b", **STOPPING)
    monkeypatch.setattr(SampleSheets, "draw", draw)
    log = next((pictures / "b").glob("subject-*/likeness.jsonl"))
    whole = log.read_bytes()
    log.write_bytes(whole + whole[:cut])  # a line that a kill has cut
    made = run(pictures, shared_pbe, out="b", **STOPPING)
    assert Path(made.lora.path).read_bytes() == undisturbed
    assert sorted(path.name for path in log.parent.glob("samples/*")) == [
        f"step-000000{step}.png" for step in (2, 4, 6)
    ]


def warnings_of(pictures, folder, some=None, **changes):
    heard = []
    parts = model.paint_by_example(str(folder), dtype="float64")
    ctx = Context(out=pictures / "out", listeners=(heard.append,))
    subject_lora(
        parts.denoiser,
        parts.vae,
        parts.scheduler,
        parts.exemplar_encoder,
        some or gathered(pictures),
        ctx,
        **{**SETTINGS, **changes},
    )
    return " ".join(event.message for event in heard if isinstance(event, Warned))


def test_what_teaches_little_is_said(pictures, shared_pbe):
    assert warnings_of(pictures, shared_pbe) == ""
    some = gathered(pictures)
    one = dataclasses.replace(some, photos=some.photos[:1])
    assert "one photo" in warnings_of(pictures, shared_pbe, one)
    twins = dataclasses.replace(some, photos=(some.photos[0], some.photos[0]))
    assert "same view" in warnings_of(pictures, shared_pbe, twins)
    small = dataclasses.replace(
        some, photos=(dataclasses.replace(some.photos[0], boxes=((10, 10, 26, 26),)), some.photos[1])
    )
    assert "fills 6%" in warnings_of(pictures, shared_pbe, small)
    many = dataclasses.replace(some, photos=some.photos * 5)
    assert "two to four are enough" in warnings_of(pictures, shared_pbe, many, batch_size=500)


def test_photos_of_different_things_are_told_of(tmp_path):
    """The embedded encoder: a dog among sofas, and two sofas alone."""
    from inlay.dollhouse._clip_stage import subject_box
    from inlay.dollhouse.world import draw_layers, sample_scene

    def photo(number, **look):
        layers = draw_layers(dataclasses.replace(sample_scene("val", 800 + number), **look))
        layers.image.save(tmp_path / f"{number}.png")
        return f"{number}.png,{','.join(map(str, subject_box(layers.subject)))}"

    sofa = {"kind": "sofa", "pose": "none", "colour": "red"}
    lines = [photo(0, **sofa), photo(1, **sofa), photo(2, kind="dog", pose="standing", colour="blue")]
    parts = model.paint_by_example("dollhouse-exemplar")

    def heard(rows):
        table = tmp_path / "boxes.csv"
        table.write_text("\n".join(["file,left,top,right,bottom", *rows]) + "\n")
        some = photos([str(tmp_path / row.split(",")[0]) for row in rows], Context(), boxes=str(table)).photos
        said = []
        subject_lora(
            parts.denoiser,
            parts.vae,
            parts.scheduler,
            parts.exemplar_encoder,
            some,
            Context(out=tmp_path / "out", listeners=(said.append,)),
            epochs=1,
            batch_size=300,
            variations=1,
            size=64,
            sample_every=0,
        )
        return " ".join(event.message for event in said if isinstance(event, Warned))

    assert "2.png seems to show something different" in heard(lines)
    alike = heard(lines[:2])
    assert "something different" not in alike
    assert "different things" not in alike
    assert "different things" in heard(lines[1:])


def test_what_does_not_fit_is_refused_by_name(pictures, shared_pbe, shared_sd):
    parts, some, ctx = model.paint_by_example(str(shared_pbe)), gathered(pictures), Context(out=pictures / "out")
    plain = model.stable_diffusion(str(shared_sd))

    def refused(**changes):
        wired = {
            "denoiser": parts.denoiser,
            "vae": parts.vae,
            "scheduler": parts.scheduler,
            "exemplar_encoder": parts.exemplar_encoder,
            "photos": some,
        } | {name: value for name, value in changes.items() if name not in SETTINGS and name != "rank"}
        settings = SETTINGS | {name: value for name, value in changes.items() if name in SETTINGS or name == "rank"}
        with pytest.raises(BadInput) as caught:
            subject_lora(**wired, ctx=ctx, **settings)
        return caught.value.at("x")

    assert refused(denoiser=plain.denoiser).port == "denoiser"
    assert refused(exemplar_encoder=plain.text_encoder).port == "exemplar_encoder"
    assert refused(photos="x").port == "photos"
    assert refused(rank=1000).port == "rank"
    made = run(pictures, shared_pbe, out="first")
    stacked = lora(model.paint_by_example(str(shared_pbe)).denoiser, lora=made.lora).denoiser
    assert "without LoRAs" in refused(denoiser=stacked).expected
