"""An embedded model says once, while checking, that a picture is no sample of its own; and which words it never saw."""

import shutil

import inlay
import pytest
from inlay.graph_runtime.core import notices
from inlay.graph_runtime.core.events import Warned
from inlay.graph_runtime.front.installed import shipped_samples, shipped_workflows
from inlay.models.embedded import embedded_name, is_sample, unknown_words
from inlay.nodes.model import stable_diffusion
from inlay.nodes.model_vision import clip
from PIL import Image as Pil

SAMPLES = shipped_samples()


@pytest.fixture
def own(tmp_path):
    Pil.new("RGB", (64, 64), (90, 120, 30)).save(tmp_path / "cat.png")
    mask = Pil.new("L", (64, 64))
    mask.paste(255, (20, 20, 40, 40))
    mask.save(tmp_path / "cat-mask.png")
    return tmp_path / "cat.png"


def doubts(report):
    return [warning.message for warning in report.warnings if "the embedded model, only knows" in warning.message]


def test_a_sample_is_known_by_its_content(own, tmp_path):
    shutil.copy(SAMPLES["room.png"], tmp_path / "my-holiday.png")
    assert is_sample(tmp_path / "my-holiday.png")
    assert not is_sample(own)
    assert not is_sample(tmp_path / "gone.png")
    with (tmp_path / "my-holiday.png").open("ab") as file:
        file.write(b"\0")
    assert not is_sample(tmp_path / "my-holiday.png")


@pytest.mark.parametrize("name", sorted(shipped_workflows()))
def test_shipped_workflows_on_their_samples_raise_no_doubt(name):
    report = inlay.check(name)
    assert report == []
    assert doubts(report) == []
    assert not [warning for warning in report.warnings if "never learned" in warning.message]


def test_an_own_picture_is_said_once_with_the_way_to_another_model(own):
    report = inlay.check("zero_shot_inpaint", image=str(own), mask=str(own.with_name("cat-mask.png")))
    assert report == []
    said = doubts(report)
    assert len(said) == 1
    assert said[0].startswith("dollhouse, the embedded model")
    assert "'cat.png' is not among inlay's samples" in said[0]
    assert "--source" in said[0]


def test_another_model_raises_no_doubt(own, shared_sd):
    report = inlay.check(
        "zero_shot_inpaint",
        image=str(own),
        mask=str(own.with_name("cat-mask.png")),
        source=str(shared_sd),
        prompt="a dragon",
    )
    assert doubts(report) == []
    assert not any("never learned" in warning.message for warning in report.warnings)


def test_samplers_and_editors_side_by_side_say_it_once(own):
    report = inlay.check("compare_editors", image=str(own))
    assert len(doubts(report)) == 1


def test_an_exemplar_of_ones_own(own):
    report = inlay.check("paint_by_example", example=str(own))
    assert len(doubts(report)) == 1
    assert doubts(report)[0].startswith("dollhouse-exemplar")


def flow(node, params=None, **inputs):
    return {
        "format": 1,
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": "cat.png"}},
            "sample": {"type": "image.load", "params": {"path": str(SAMPLES["room.png"])}},
            "eyes": {"type": "model.clip"},
            "finder": {"type": "model.detector"},
            "used": {"type": node, "params": params or {}, "inputs": inputs},
        },
        "outputs": {"value": "used.value"},
    }


@pytest.mark.parametrize(
    ("node", "params", "inputs", "who"),
    [
        ("metric.clip_score", {"text": "a cat"}, {"image": "photo.image", "clip": "eyes.clip"}, "dollhouse-clip"),
        (
            "metric.clip_image",
            {},
            {"image": "photo.image", "reference": "sample.image", "clip": "eyes.clip"},
            "dollhouse-clip",
        ),
        (
            "metric.dino",
            {},
            {"image": "sample.image", "reference": "photo.image", "dino": "eyes.dino"},
            "dollhouse-clip",
        ),
        ("metric.fid", {"path": "cat*.png", "reference": "cat*.png"}, {"features": "eyes.dino"}, "dollhouse-clip"),
        ("mask.detect", {}, {"image": "photo.image", "detector": "finder.detector"}, "dollhouse-detector"),
        ("subject.photos", {"path": "cat.png"}, {"detector": "finder.detector"}, "dollhouse-detector"),
        ("metric.clip_score", {"text": "a cat"}, {"image": "sample.image", "clip": "eyes.clip"}, None),
        ("subject.photos", {"path": str(SAMPLES["subject/sofa-1.png"].parent)}, {"detector": "finder.detector"}, None),
    ],
)
def test_detectors_and_metrics_too(own, monkeypatch, node, params, inputs, who):
    monkeypatch.chdir(own.parent)
    graph = flow(node, params, **inputs)
    output = {"mask.detect": "mask", "subject.photos": "photos"}.get(node, "value")
    graph["outputs"] = {"value": f"used.{output}"}
    report = inlay.check(graph)
    assert report == []
    assert [message.split(",")[0] for message in doubts(report)] == ([who] if who else [])


def test_it_is_said_before_anything_runs(own):
    said = []
    inlay.run(
        "zero_shot_inpaint",
        image=str(own),
        mask=str(own.with_name("cat-mask.png")),
        out=own.parent / "out",
        steps=1,
        listeners=[said.append],
    )
    place = next(
        number
        for number, event in enumerate(said)
        if isinstance(event, Warned) and "embedded model, only knows" in event.message
    )
    assert place < next(number for number, event in enumerate(said) if type(event).__name__ == "NodeStarted")
    assert sum(isinstance(event, Warned) and "embedded model, only knows" in event.message for event in said) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a red cat sitting in a room with green walls", []),
        ("", []),
        ("A Red CAT, sitting on the sofa!", []),
        ("a dragon", ["dragon"]),
        ("two cats on a tabel", ["'cats' (near: cat)", "'tabel' (near: table"]),
        ("a red cat 🐈 猫", ["🐈", "猫"]),
        ("24 cat", ["24"]),
        ("dragon Dragon DRAGON", ["dragon"]),
        ("one aa bb cc dd ee ff gg hh", ["and 2 more"]),
    ],
)
def test_words_that_it_never_learned_are_named_with_near_ones(text, words):
    for origin in (stable_diffusion().text_encoder.origin, clip().clip.origin):
        said = unknown_words(origin, text)
        assert bool(said) == bool(words)
        for word in words:
            assert word in said
        assert said.lower().count("'dragon'") <= 1


def test_check_names_unknown_words(own):
    report = inlay.check("zero_shot_inpaint", prompt="a (dragon:1.2) cat", negative="a spaceship")
    told = [warning.message for warning in report.warnings if "never learned" in warning.message]
    assert len(told) == 2
    assert "'dragon'" in told[0]
    assert "'spaceship'" in told[1]


def test_syntax_that_is_named_as_such_is_not_named_again_as_words(own):
    report = inlay.check(
        "zero_shot_inpaint", prompt="a dragon BREAK cat <lora:zorgle:1> embedding:quux __blorp__ {vrok|cat}"
    )
    (told,) = [warning.message for warning in report.warnings if "never learned" in warning.message]
    assert all(word in told for word in ("'dragon'", "'vrok'"))
    assert not any(word in told for word in ("break", "lora", "zorgle", "embedding", "quux", "blorp"))


def test_a_folder_of_that_name_is_not_the_embedded_model(shared_sd, tmp_path):
    shutil.copytree(shared_sd, tmp_path / "dollhouse")
    origin = stable_diffusion(str(tmp_path / "dollhouse")).text_encoder.origin
    assert embedded_name(origin) == ""
    assert unknown_words(origin, "a dragon") == ""


def test_marks_are_bounded_and_nobody_need_listen():
    notices.mark("nothing happens")
    with notices.collect_marks(["before"]) as marks:
        for number in range(100):
            notices.mark(str(number))
    assert list(marks)[:2] == ["before", "0"]
    assert len(marks) == notices.MARKS
