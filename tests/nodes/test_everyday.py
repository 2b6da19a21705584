"""`inpaint` as an expander: options in, a plain workflow out, and every contradiction named."""

import json

import inlay
import pytest
from inlay.graph_runtime.core.workflow import build
from inlay.graph_runtime.front.installed import shipped_samples, shipped_workflows
from inlay.nodes import load_pack
from inlay.nodes.everyday.inpaint import INPAINT, expand, prefix_of
from inlay.nodes.everyday.options import OPTIONS
from inlay.nodes.everyday.values import Wishes

SAMPLES = shipped_samples()
PHOTO = {"image": "a.png", "mask": "b.png"}
METHODS = {
    "patches": {},
    "null_space": {"source": "dollhouse"},
    "exemplar": {"source": "dollhouse", "example": "c.png"},
}


def types_of(expansion):
    return {name: node["type"] for name, node in expansion.workflow["nodes"].items()}


def test_the_shipped_file_is_what_it_makes_without_options():
    expansion = expand({})
    assert json.loads(shipped_workflows()["inpaint"].read_text()) == expansion.workflow
    assert not expansion.problems
    assert not expansion.given


def test_each_option_has_a_default_and_a_sentence():
    for option in OPTIONS:
        assert getattr(Wishes(), option.name) == option.default, option.name
        assert option.doc
        assert not option.doc.endswith(".")
    assert {option.name for option in OPTIONS} == set(Wishes.__dataclass_fields__)


@pytest.mark.parametrize(
    "more", [{}, {"variations": 3}, {"pick": 2}, {"object": "dog", "colour": "red~3", "outpaint": "30%"}], ids=str
)
@pytest.mark.parametrize("method", METHODS)
def test_each_method_is_a_plain_workflow_of_current_nodes(method, more):
    expansion = expand({**PHOTO, **METHODS[method], **more})
    assert not expansion.problems
    workflow, registry = build(expansion.workflow), load_pack()
    assert set(workflow.ui) == set(workflow.nodes)
    for name, node in workflow.nodes.items():
        spec = registry[node.type]
        assert node.version == spec.version, name
        assert set(node.params) <= {*spec.params.model_fields, *(f"label_{n}" for n in range(1, 17))}, name
    for name in workflow.inputs:
        for target in workflow.targets(name):
            node, _, parameter = target.partition(".")
            assert parameter in registry[workflow.nodes[node].type].params.model_fields, target


def test_the_paths_of_a_person_and_only_these_are_given():
    expansion = expand({**PHOTO, **METHODS["exemplar"], "lora": "d.safetensors"})
    assert expansion.given == {
        ("photo", "path"),
        ("hole", "path"),
        ("example", "path"),
        ("model", "source"),
        ("lora", "source"),
    }


def test_a_text_stands_for_a_value_of_any_kind():
    as_text = expand({**PHOTO, "grow": "3", "invert": "true", "seed": "7", "context": "2.5"})
    assert as_text == expand({**PHOTO, "grow": 3, "invert": True, "seed": 7, "context": 2.5})
    assert as_text.workflow["nodes"]["hole"]["params"]["invert"] is True


def test_without_a_model_the_way_to_one_is_told_once():
    (note,) = expand(PHOTO).notes
    assert "--source" in note
    assert "\n" not in note
    assert not expand({**PHOTO, "method": "patches"}).notes  # they know


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mask": "b.png"}, ["--image"]),
        ({"image": "a.png"}, ["--mask"]),
        ({**PHOTO, "method": "patchs"}, ["--method", "did you mean 'patches'"]),
        ({**PHOTO, "prompt": "a dog"}, ["--prompt", "name a model"]),
        ({**PHOTO, "prompt": "a dog", "method": "patches"}, ["--prompt", "without --method patches"]),
        ({**PHOTO, "method": "patches", "source": "dollhouse"}, ["--source", "patches"]),
        ({**PHOTO, "example": "c.png"}, ["--example", "name a model"]),
        ({**PHOTO, "lora": "d.safetensors"}, ["--lora", "name a model"]),
        ({**PHOTO, "example": "c.png", "method": "null_space", "source": "dollhouse"}, ["--example", "exemplar"]),
        ({**PHOTO, "method": "null_space"}, ["--source", "no model", "dollhouse"]),
        ({**PHOTO, "method": "exemplar", "source": "dollhouse"}, ["--example", "--example PICTURE"]),
        ({**PHOTO, "method": "model", "source": "dollhouse"}, ["--source", "4 channels", "--method null_space"]),
        ({**PHOTO, "source": "dollhouse-exemplar"}, ["--example"]),
        ({**PHOTO, "source": "dollhouse", "weight": 1}, ["--weight", "--lora"]),
        ({**PHOTO, "pick": 9, "variations": 4}, ["--pick 9 of 4"]),
        ({**PHOTO, "pick": 0}, ["--pick", "1 to 16", "use 1"]),
        ({**PHOTO, "variations": 17}, ["--variations", "use 16"]),
        ({**PHOTO, "variations": 2.5}, ["--variations", "whole"]),
        ({**PHOTO, "variations": True}, ["--variations"]),
        ({**PHOTO, "seed": -1}, ["--seed", "use 0"]),
        ({**PHOTO, "seed": "nan"}, ["--seed", "give a number"]),
        ({**PHOTO, "context": float("nan")}, ["--context", "give a number"]),
        ({**PHOTO, "seed": 10**400}, ["--seed"]),
        ({**PHOTO, "invert": "perhaps"}, ["--invert", "true or false"]),
        ({**PHOTO, "image": ["a", "b"]}, ["--image"]),
        ({**PHOTO, "mask": ""}, ["--mask", "empty"]),
        ({**PHOTO, "promt": "x"}, ["did you mean 'prompt'"]),
        ({"object": "dog"}, ["--image", "--object without a photo"]),
        ({**PHOTO, "source": "dollhouse", "size": 100}, ["--size", "use 96"]),
        ({**PHOTO, "size": 104}, ["--size", "name a model"]),
        ({**PHOTO, "quality": "best"}, ["--quality", "name a model"]),
        ({**PHOTO, "colour": "red~x"}, ["--colour", "after ~"]),
        ({**PHOTO, "outpaint": "1000%"}, ["--outpaint", "300"]),
        ({"image": "a.png", "outpaint": "0"}, ["--outpaint", "above 0"]),
        ({**PHOTO, "object": ""}, ["--object", "empty"]),
        ({**PHOTO, "detector": "x/y"}, ["--detector", "--object"]),
        ({"image": "a.png", "object": "dog", "invert": True}, ["--invert", "--mask"]),
    ],
    ids=lambda value: "-".join(map(str, value))[:40],
)
def test_what_contradicts_itself_is_one_problem_with_a_way_out(options, words):
    (problem,) = expand(options).problems
    for word in words:
        assert word in str(problem), str(problem)


def test_all_problems_are_found_at_once():
    found = expand({"mask": "b.png", "pick": 9, "variations": 4, "prompt": "x", "seed": "y", "stps": 3}).problems
    assert len(found) == 5


@pytest.mark.parametrize(
    ("image", "prefix"),
    [
        ("a/b/photo.jpg", "photo"),
        ("C:\\pictures\\Urlaub 1.png", "Urlaub 1"),
        ("photo.of.me.png", "photo.of.me"),
        (".hidden", "image"),
        ("..", "image"),
        ("a\nb.png", "image"),
        ("nul.png", "image"),
        ("x" * 300 + ".png", "image"),
        (None, "image"),
        ("häuser/øl.png", "øl"),
    ],
)
def test_results_are_called_after_the_photo(image, prefix):
    assert prefix_of(image) == prefix


def test_a_variation_is_the_same_node_alone_as_beside_the_others():
    several = expand({**PHOTO, **METHODS["null_space"], "variations": 4}).workflow["nodes"]
    alone = expand({**PHOTO, **METHODS["null_space"], "variations": 4, "pick": 3}).workflow["nodes"]
    assert alone["noise"] == several["noise_3"]
    assert alone == expand({**PHOTO, **METHODS["null_space"], "pick": 3}).workflow["nodes"]
    single = expand({**PHOTO, **METHODS["null_space"]}).workflow["nodes"]
    assert single["noise"] == several["noise_1"]
    assert single["noise"] != several["noise_2"]
    assert sum(node["type"] == "sample.denoise" for node in several.values()) == 4
    assert sum(node["type"] == "latent.encode" for node in several.values()) == 1
    assert types_of(expand({**PHOTO, "variations": 2}))["sheet"] == "image.grid"


def test_the_choice_follows_the_model(shared_sd, shared_pbe, tiny):
    inpainting = tiny.stable_diffusion("inpainting", unet={"in_channels": 9})
    for source, more, kind in (
        (shared_sd, {}, "constraint.null_space"),
        (shared_sd, {"lora": "l.safetensors"}, "constraint.null_space"),
        (inpainting, {}, "condition.inpaint"),
        (inpainting, {"prompt": "abc"}, "condition.text"),
        (shared_pbe, {"example": "c.png"}, "condition.exemplar"),
        (shared_pbe, {"example": "c.png", "lora": "l.safetensors"}, "model.lora"),
    ):
        expansion = expand({**PHOTO, "source": str(source), **more})
        assert not expansion.problems, expansion.problems
        assert kind in types_of(expansion).values()
        assert ("lora" in expansion.workflow["nodes"]) == ("lora" in more)


def test_a_model_against_the_method_is_refused_from_its_configuration_alone(shared_sd, shared_pbe):
    (problem,) = expand({**PHOTO, "source": str(shared_sd), "example": "c.png"}).problems
    assert "--example" in str(problem)
    (problem,) = expand({**PHOTO, "source": str(shared_pbe), "example": "c.png", "prompt": "x"}).problems
    assert "--prompt" in str(problem)
    (problem,) = expand({**PHOTO, "source": str(shared_pbe), "method": "null_space"}).problems
    assert "Paint by Example" in str(problem)


def test_what_is_no_model_is_left_to_the_check_of_its_node(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"no")
    for source in (tmp_path / "model.safetensors", tmp_path / "gone", tmp_path, "nothing"):
        expansion = expand({**PHOTO, "source": str(source)})
        assert not expansion.problems
        assert expansion.workflow["nodes"]["model"]["params"]["source"] == str(source)
        assert expansion.undecided is None


def test_a_model_of_the_hub_that_is_not_here_is_decided_later(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    expansion = expand({**PHOTO, "source": "nobody/nothing"})
    assert expansion.undecided is not None
    (note,) = expansion.notes
    assert "nobody/nothing" in note
    decided = expand({**PHOTO, "source": "nobody/nothing", "method": "model"})
    assert decided.undecided is None
    assert "condition.inpaint" in types_of(decided).values()


def test_the_words_of_the_command_are_options():
    names = {option.name for option in OPTIONS}
    assert set(INPAINT.words) <= names


def test_best_works_over_what_is_painted_once_more_and_slower_where_the_surroundings_go_on():
    nodes = expand({**PHOTO, "source": "dollhouse", "quality": "best"}).workflow["nodes"]
    assert "sample_again" not in nodes
    assert nodes["steps"]["params"]["eta"] == 1.0
    painted = {**PHOTO, "source": "dollhouse", "prompt": "a dog", "pick": 3}
    fast, best = (expand(painted | more).workflow["nodes"] for more in ({}, {"quality": "best", "size": 192}))
    shared = {name: node for name, node in fast.items() if name != "stitch"}
    assert shared == {name: best[name] for name in shared}, "the first pass is that very variation"
    assert best["sample_again"]["params"]["strength"] < 1
    assert best["crop_again"]["params"]["size"] == 192
    assert best["crop"]["params"]["size"] == "model"


@pytest.mark.parametrize(
    ("method", "more"), [("null_space", {}), ("exemplar", {"example": "exemplar.png"}), ("model", {})]
)
def test_a_method_without_its_model_has_that_one_problem(method, more):
    given = {"image": SAMPLES["photo.jpg"], "mask": SAMPLES["hole.png"], "method": method}
    more = {name: SAMPLES[value] for name, value in more.items()}
    problems = inlay.check("inpaint", **given, **more)
    assert [(problem.port, problem.found) for problem in problems] == [("--source", f"no model for method {method}")]
