"""model.detector and mask.detect: transformers' own class and post-processing, timm's ResNet, and what is refused."""

import json
import re
import sys
from dataclasses import dataclass
from types import SimpleNamespace

import inlay
import pytest
import torch
import torch.nn.functional as F
from inlay.graph_runtime import BadInput, Context, ModelError, WorkflowError
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.models.detr import component as detr_component
from inlay.models.detr.component import newest_name
from inlay.models.detr.detections import Criteria, Detection, choose, decode, describe_candidates, find_all, to_corners
from inlay.models.detr.preprocessing import Preprocessing
from inlay.models.hub import repository as repository_module
from inlay.nodes.mask.detect import detect
from inlay.nodes.model_vision import detector
from inlay.nodes.subject import photos
from moved import DetrImageProcessorPil, detr_from
from PIL import Image as Pil
from safetensors.torch import load_file, save_file

ANY = {"score": 0.0, "min_area": 0.0, "max_area": 1.0}


def picture(height, width, seed=0):
    levels = torch.randint(0, 256, (height, width, 3), generator=torch.Generator().manual_seed(seed))
    return levels.float() / 255


def as_pil(pixels):
    return Pil.fromarray((pixels * 255).round().to(torch.uint8).numpy())


# the model


@pytest.mark.parametrize("size", [(96, 64), (64, 96), (141, 99), (64, 64), (30, 200), (7, 5)])
def test_what_is_found_is_what_transformers_finds(tiny, size):
    folder = tiny.detector()
    part = detector(str(folder)).detector
    reference = detr_from(folder)
    processor = DetrImageProcessorPil.from_pretrained(folder)
    pixels = picture(*size)
    inputs = processor(images=as_pil(pixels), return_tensors="pt")
    with torch.inference_mode():
        output = reference(**inputs)
    wanted = processor.post_process_object_detection(output, threshold=0.0, target_sizes=[size])[0]
    torch.testing.assert_close(part.preprocessing(pixels), inputs.pixel_values, rtol=0, atol=1e-6)
    module = part.load("cpu")
    with torch.inference_mode():
        again = module(pixel_values=inputs.pixel_values)
    assert torch.equal(again.logits, output.logits)
    assert torch.equal(again.pred_boxes, output.pred_boxes)
    found = find_all(pixels, part, module)
    order = wanted["scores"].argsort(descending=True, stable=True)
    inside = [
        i
        for i in order.tolist()
        if (wanted["boxes"][i, :2] < torch.tensor([size[1], size[0]])).all() and (wanted["boxes"][i, 2:] > 0).all()
    ]
    assert len(found) == len(inside) > 3
    for item, i in zip(found, inside, strict=True):
        assert abs(item.score - float(wanted["scores"][i])) < 1e-5
        assert item.label == part.labels[int(wanted["labels"][i])]
        exact = wanted["boxes"][i].clamp(min=0).minimum(torch.tensor([size[1], size[0]] * 2))
        slack = torch.tensor(item.box) - exact
        assert (slack[:2] <= 0.0101).all()  # whole pixels around it, and no more
        assert (slack[:2] > -1.001).all()
        assert (slack[2:] >= -0.0101).all()
        assert (slack[2:] < 1.001).all()


def published(logits, boxes, height, width):
    """DETR's PostProcess (facebookresearch/detr, models/detr.py), for one picture."""
    prob = F.softmax(logits, -1)
    scores, labels = prob[..., :-1].max(-1)
    x_c, y_c, w, h = boxes.unbind(-1)
    corners = torch.stack([x_c - 0.5 * w, y_c - 0.5 * h, x_c + 0.5 * w, y_c + 0.5 * h], dim=-1)
    return scores, labels, corners * torch.tensor([width, height, width, height])


def test_decoding_against_the_published_code():
    draws = torch.Generator().manual_seed(1)
    logits = torch.randn(100, 92, generator=draws, dtype=torch.float64) * 3
    boxes = torch.rand(100, 4, generator=draws, dtype=torch.float64)
    for found, wanted in zip(decode(logits, boxes, 480, 640), published(logits, boxes, 480, 640), strict=True):
        torch.testing.assert_close(found, wanted, rtol=0, atol=1e-12)
    assert to_corners(torch.tensor([[0.5, 0.4, 0.2, 0.6]])).tolist()[0] == pytest.approx([0.4, 0.1, 0.6, 0.7])


def timm_resnet(x, state, kind):
    """timm's ResNet, up to its last feature map: stride in the 3×3 of a bottleneck, as published in PyTorch."""

    def conv(x, name, **kwargs):
        return F.conv2d(x, state[f"{name}.weight"], **kwargs)

    def norm(x, name):
        mean, var, weight, bias = (state[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        return F.batch_norm(x, mean, var, weight, bias, False, 0.0, 1e-5)

    x = F.max_pool2d(F.relu(norm(conv(x, "conv1", stride=2, padding=3), "bn1")), 3, 2, 1)
    for stage in range(1, 5):
        block = 0
        while f"layer{stage}.{block}.conv1.weight" in state:
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            short = x
            if f"{name}.downsample.0.weight" in state:
                short = norm(conv(x, f"{name}.downsample.0", stride=stride), f"{name}.downsample.1")
            if kind == "basic":
                x = F.relu(norm(conv(x, f"{name}.conv1", stride=stride, padding=1), f"{name}.bn1"))
                x = norm(conv(x, f"{name}.conv2", padding=1), f"{name}.bn2")
            else:
                x = F.relu(norm(conv(x, f"{name}.conv1"), f"{name}.bn1"))
                x = F.relu(norm(conv(x, f"{name}.conv2", stride=stride, padding=1), f"{name}.bn2"))
                x = norm(conv(x, f"{name}.conv3"), f"{name}.bn3")
            x = F.relu(x + short)
            block += 1
    return x


def timm_keys(kind, depths, widths):
    """Shapes of a timm ResNet by name."""
    shapes, before = {"conv1.weight": (64, 3, 7, 7), "bn1": (64,)}, 64
    for stage, (depth, out) in enumerate(zip(depths, widths, strict=True), 1):
        for block in range(depth):
            name, inner = f"layer{stage}.{block}", out if kind == "basic" else out // 4
            convs = (
                [(inner, before, 3), (out, inner, 3)]
                if kind == "basic"
                else [(inner, before, 1), (inner, inner, 3), (out, inner, 1)]
            )
            for number, (o, i, k) in enumerate(convs, 1):
                shapes |= {f"{name}.conv{number}.weight": (o, i, k, k), f"{name}.bn{number}": (o,)}
            if block == 0 and (stage > 1 or before != out):
                shapes |= {f"{name}.downsample.0.weight": (out, before, 1, 1), f"{name}.downsample.1": (out,)}
            before = out
    return shapes


@pytest.mark.floor
@pytest.mark.parametrize(
    ("name", "kind", "depths", "config"),
    [
        (
            "resnet18",
            "basic",
            (2, 2, 2, 2),
            {"use_timm_backbone": True, "backbone": "resnet18", "backbone_config": None},
        ),
        ("resnet50", "bottleneck", (2, 1, 1, 1), {"use_timm_backbone": True, "backbone_config": None}),
        (
            "resnet50",
            "bottleneck",
            (2, 1, 1, 1),
            {"backbone_config": {"model_type": "timm_backbone", "backbone": "resnet50", "output_stride": None}},
        ),
    ],
)
def test_a_backbone_under_timms_names_computes_what_timm_computes(tiny, monkeypatch, name, kind, depths, config):
    widths = (64, 64, 32, 32)
    monkeypatch.setattr(detr_component, "RESNETS", {name: (kind, depths)})
    monkeypatch.setattr(detr_component, "WIDTHS", {"basic": (0,), "bottleneck": (0,), kind: widths})
    folder = tiny.detector()
    path = folder / "model.safetensors"
    kept = {key: value for key, value in load_file(str(path)).items() if ".backbone." not in key}
    draws, state = torch.Generator().manual_seed(1), {}
    for key, shape in timm_keys(kind, depths, widths).items():
        if key.endswith("weight"):
            state[key] = torch.randn(shape, generator=draws) / (shape[1] * shape[2] ** 2) ** 0.5
        else:
            state |= {f"{key}.{what}": torch.rand(shape, generator=draws) + 0.5 for what in ("weight", "running_var")}
            state |= {f"{key}.{what}": torch.randn(shape, generator=draws) / 3 for what in ("bias", "running_mean")}
            state[f"{key}.num_batches_tracked"] = torch.tensor(7)
    stored = {f"model.backbone.conv_encoder.model.{key}": value for key, value in state.items()}
    save_file(kept | stored, str(path), {"format": "pt"})
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, **config}))
    module = detector(str(folder)).detector.load("cpu")
    pixels = torch.randn(1, 3, 70, 90, generator=draws)
    backbone = getattr(module.model.backbone, "conv_encoder", module.model.backbone)  # the former in transformers 4
    found = backbone.model(pixels).feature_maps[-1]
    torch.testing.assert_close(found, timm_resnet(pixels, state, kind), rtol=1e-4, atol=1e-4)
    assert found.std() > 0.1
    assert "timm" not in sys.modules
    assert "torchvision" not in sys.modules
    again = tiny.detector("second")
    assert torch.equal(
        module.class_labels_classifier.weight,
        load_file(str(again / "model.safetensors"))["class_labels_classifier.weight"],
    )


def test_the_real_resnets_have_the_shapes_of_their_paper():
    """Parameters of the convolutions and norms: torchvision's published counts less the last layer."""
    from transformers import ResNetConfig
    from transformers.models.resnet.modeling_resnet import ResNetBackbone

    published = {
        "resnet18": 11_689_512 - 513_000,
        "resnet34": 21_797_672 - 513_000,
        "resnet50": 25_557_032 - 2_049_000,
        "resnet101": 44_549_160 - 2_049_000,
        "resnet152": 60_192_808 - 2_049_000,
    }
    for name, count in published.items():
        kind, depths = detr_component.RESNETS[name]
        with torch.device("meta"):
            backbone = ResNetBackbone(
                ResNetConfig(layer_type=kind, depths=list(depths), hidden_sizes=list(detr_component.WIDTHS[kind]))
            )
        assert sum(value.numel() for value in backbone.parameters()) == count


def test_old_and_new_names_are_one():
    old = {
        "model.backbone.conv_encoder.model.layer2.0.downsample.1.weight": (
            "model.backbone.model.encoder.stages.1.layers.0.shortcut.normalization.weight"
        ),
        "model.backbone.conv_encoder.model.layer4.2.conv3.weight": (
            "model.backbone.model.encoder.stages.3.layers.2.layer.2.convolution.weight"
        ),
        "model.encoder.layers.5.self_attn.out_proj.bias": "model.encoder.layers.5.self_attn.o_proj.bias",
        "model.decoder.layers.10.encoder_attn.out_proj.weight": "model.decoder.layers.10.encoder_attn.o_proj.weight",
        "model.decoder.layers.0.fc1.weight": "model.decoder.layers.0.mlp.fc1.weight",
    }
    for before, after in old.items():
        assert newest_name(before) == after
        assert newest_name(after) == after
    for key in ("bbox_predictor.layers.0.weight", "model.input_projection.bias", "class_labels_classifier.bias"):
        assert newest_name(key) == key


@pytest.mark.parametrize(
    "said",
    [
        {"size": {"shortest_edge": 60, "longest_edge": 80}},
        {"size": 60, "max_size": 80},
        {"size": {"height": 50, "width": 70}},
        {"do_resize": False},
        {"size": 60, "max_size": 80, "resample": 3},
        {"size": 60, "max_size": 80, "do_normalize": False},
        {"size": 60, "max_size": 80, "rescale_factor": 0.01},
        {"size": 60, "max_size": 80, "image_mean": [0.5, 0.4, 0.3], "image_std": [0.1, 0.2, 0.3]},
        {},
    ],
)
def test_preprocessing_is_that_of_transformers(tiny, said):
    folder = tiny.detector()
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    part, processor = detector(str(folder)).detector, DetrImageProcessorPil(**said)
    for height, width in [(60, 80), (80, 60), (141, 99), (33, 200), (60, 60), (259, 259)]:
        wanted = processor(images=as_pil(picture(height, width)), return_tensors="pt").pixel_values
        torch.testing.assert_close(part.preprocessing(picture(height, width)), wanted, rtol=0, atol=2e-6)


def test_pictures_a_pixel_high_are_seen():
    assert Preprocessing().size(1, 5000) == (1, 1333)
    assert Preprocessing().size(1, 1) == (800, 800)
    assert Preprocessing().size(800, 1333) == (800, 1333)
    assert Preprocessing()(torch.rand(1, 5000, 3)).shape == (1, 3, 1, 1333)


def test_a_description_changes_with_weights_configuration_and_preprocessing(tiny):
    folder = tiny.detector()
    seen = {detector(str(folder)).detector.fingerprint}
    assert detector(str(folder)).detector.fingerprint in seen
    said = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**said, "size": 65}))
    seen.add(detector(str(folder)).detector.fingerprint)
    stored = load_file(str(folder / "model.safetensors"))
    stored["class_labels_classifier.bias"] += 1
    save_file(stored, str(folder / "model.safetensors"), {"format": "pt"})
    seen.add(detector(str(folder)).detector.fingerprint)
    assert len(seen) == 3


CONFIGS = {
    "another architecture": ({"architectures": ["YolosForObjectDetection"]}, "a YolosForObjectDetection"),
    "another model": ({"model_type": "rt_detr"}, "a rt_detr in detr"),
    "a swin backbone": ({"backbone_config": {"model_type": "swin"}}, "the backbone 'swin'"),
    "an unknown timm backbone": ({"backbone_config": None, "backbone": "tf_efficientnet_b0"}, "tf_efficientnet_b0"),
    "a backbone that is a list": ({"backbone_config": None, "backbone": ["resnet50"]}, "the backbone"),
    "dilation": ({"backbone_config": None, "dilation": True}, "with dilation"),
    "labels in a list": ({"id2label": ["sofa"]}, "id2label"),
    "a gap": ({"id2label": {"0": "a", "2": "b"}}, "id2label"),
    "labels that are numbers": ({"id2label": {"0": 1}}, "id2label"),
    "queries": ({"num_queries": 10**9}, "num_queries"),
    "width": ({"d_model": "wide"}, "d_model"),
    "layers": ({"encoder_layers": -1}, "encoder_layers"),
    "positions": ({"position_embedding_type": "none"}, "position_embedding_type"),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_a_configuration_that_is_none_is_refused_at_once(tiny, case):
    changes, message = CONFIGS[case]
    folder = tiny.detector()
    said = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**said, **changes}))
    with pytest.raises(ModelError, match=message):
        detector(str(folder))


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"size": "large"}, "size"),
        ({"size": {"shortest_edge": 10**6}}, "shortest_edge"),
        ({"image_std": [0, 1, 1]}, "std"),
        ({"image_mean": [0.5]}, "image_mean"),
        ({"resample": 99}, "resample"),
        ({"rescale_factor": None}, "rescale"),
    ],
)
def test_preprocessing_that_is_none_is_refused_at_once(tiny, said, message):
    folder = tiny.detector()
    (folder / "preprocessor_config.json").write_text(json.dumps(said))
    with pytest.raises(ModelError, match=message):
        detector(str(folder))


def test_weights_of_another_model_a_pickle_and_nothing(tiny):
    folder = tiny.detector()
    stored = load_file(str(folder / "model.safetensors"))
    for change, message in (
        ({"class_labels_classifier.bias": torch.zeros(9)}, "mismatched"),
        ({"bbox_predictor.layers.7.bias": torch.zeros(4)}, "unexpected"),
    ):
        save_file({**stored, **change}, str(folder / "model.safetensors"), {"format": "pt"})
        with pytest.raises(ModelError, match=message):
            detector(str(folder)).detector.load("cpu")
    stored.pop("class_labels_classifier.bias")
    save_file(stored, str(folder / "model.safetensors"), {"format": "pt"})
    with pytest.raises(ModelError, match="missing"):
        detector(str(folder)).detector.load("cpu")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="a pickle"):
        detector(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match="a pickle"):
        detector(str(folder))
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(ModelError, match=r"no config\.json"):
        detector(str(folder))


def test_the_embedded_name_is_known_by_name(monkeypatch, tmp_path):
    from inlay.models import source

    with pytest.raises(ModelError, match=r"a model for model\.stable_diffusion"):
        detector("dollhouse")
    with pytest.raises(ModelError, match="did you mean 'dollhouse-detector'"):
        detector("dollhouse-detectr")
    monkeypatch.setattr(source, "__file__", str(tmp_path / "nodes" / "source.py"))
    with pytest.raises(ModelError, match="no weights of 'dollhouse-detector'"):
        detector("dollhouse-detector")


def test_a_detector_of_the_hub_is_read_from_the_cache_by_revision(tiny, tmp_path, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(repository_module, "_resolved", {})
    monkeypatch.setenv("INLAY_OFFLINE", "1")
    repository = tmp_path / "hub" / "models--someone--detr"
    (repository / "snapshots").mkdir(parents=True)
    tiny.detector().rename(repository / "snapshots" / ("0" * 40))
    (repository / "refs").mkdir()
    (repository / "refs" / "no_timm").write_text("0" * 40)
    part = detector("someone/detr", revision="no_timm").detector
    assert part.known
    assert part.preprocessing.shortest == 64
    assert part.load("cpu").config.num_queries == 7
    unknown = detector("someone/detr").detector
    assert not unknown.known
    with pytest.raises(ModelError, match="INLAY_OFFLINE"):
        unknown.load("cpu")


def test_only_what_a_detector_needs_is_fetched():
    there = ["README.md", "config.json", "model.safetensors", "preprocessor_config.json", "pytorch_model.bin"]
    assert set(repository_module.needed_files(there, ("detector",), None, "x")) == {
        "config.json",
        "model.safetensors",
        "preprocessor_config.json",
    }
    with pytest.raises(ModelError, match="a pickle"):
        repository_module.needed_files(["config.json", "pytorch_model.bin"], ("detector",), None, "x")


# what is done with what it finds


@dataclass(frozen=True)
class Scripted(ModelDescription):
    """A detector that finds what it is told, the same in every picture: (cx, cy, w, h, label number, probability)."""

    things: tuple = ()
    labels: tuple = ("sofa", "lamp", "N/A", "bird")

    label = "detector scripted"
    fingerprint = "scripted"
    known = True
    origin = SimpleNamespace(name="scripted")
    preprocessing = Preprocessing(16, 16)

    def nbytes(self):
        return 0

    def load(self, device):
        things = self.things
        rest = len(self.labels)

        class Module(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(torch.zeros(1))

            def forward(self, pixel_values):
                logits = torch.full((1, len(things), rest + 1), -1e4)
                for row, (*_, label, score) in enumerate(things):
                    logits[0, row, label] = torch.tensor(score).log()
                    logits[0, row, rest] = torch.tensor(1 - score).log()
                boxes = torch.tensor([[thing[:4] for thing in things]]).reshape(1, len(things), 4)
                return SimpleNamespace(logits=logits, pred_boxes=boxes)

        return Module()


SCENE = Scripted(
    (
        (0.3, 0.5, 0.4, 0.5, 0, 0.95),
        (0.7, 0.5, 0.5, 0.8, 0, 0.92),
        (0.5, 0.5, 0.2, 0.2, 1, 0.99),
        (0.5, 0.5, 0.05, 0.1, 3, 0.97),
        (0.5, 0.5, 1.0, 1.0, 3, 0.96),
        (0.2, 0.2, 0.3, 0.3, 1, 0.6),
    )
)


def boxes_of(found):
    return [item[:5] for item in found.boxes[0]]


@pytest.mark.parametrize(
    ("settings", "wanted"),
    [
        ({}, [(32, 20, 48, 30, "lamp")]),  # the surest that is neither too small nor too large
        ({"label": "sofa"}, [(8, 12, 40, 38, "sofa")]),
        ({"label": " SOFA "}, [(8, 12, 40, 38, "sofa")]),
        ({"label": "sofa", "pick": "largest"}, [(36, 5, 76, 45, "sofa")]),
        ({"pick": "all"}, [(32, 20, 48, 30, "lamp"), (8, 12, 40, 38, "sofa"), (36, 5, 76, 45, "sofa")]),
        ({"pick": "all", "label": "lamp", "score": 0.5}, [(32, 20, 48, 30, "lamp"), (4, 2, 28, 18, "lamp")]),
        ({"label": "bird", "max_area": 1.0}, [(0, 0, 80, 50, "bird")]),
        ({"label": "bird", "min_area": 0.001}, [(38, 22, 42, 28, "bird")]),
        ({"padding": 0.5}, [(24, 15, 56, 35, "lamp")]),
        ({"label": "bird", "max_area": 1.0, "padding": 2.0}, [(0, 0, 80, 50, "bird")]),
    ],
)
def test_which_of_them_is_taken(settings, wanted, ctx):
    found = detect(picture(50, 80)[None], SCENE, ctx, **settings)
    assert boxes_of(found) == wanted
    drawn = torch.zeros(50, 80)
    for left, top, right, bottom, _ in wanted:
        drawn[top:bottom, left:right] = 1
    assert torch.equal(found.mask, drawn[None])
    assert found.overlay.shape == (1, 50, 80, 3)
    assert not torch.equal(found.overlay[0], picture(50, 80))


def test_area_is_of_the_picture_before_padding_and_scores_are_probabilities(ctx):
    item = detect(picture(50, 80)[None], SCENE, ctx, label="sofa", padding=0.25).boxes[0][0]
    assert item.area == pytest.approx(32 * 26 / 4000)
    assert item.score == pytest.approx(0.95, abs=1e-6)


def test_nothing_found_lists_what_was_found_and_how_to_give_a_mask(ctx):
    with pytest.raises(BadInput) as caught:
        detect(picture(50, 80)[None].repeat(2, 1, 1, 1), SCENE, ctx, label="bird")
    error = caught.value
    assert error.port == "image"
    assert "picture 1 of 2" in error.found
    for words in (
        "lamp 0.99 (4.0% of the picture), not bird",
        "bird 0.97 (0.6% of the picture), below 2%",
        "bird 0.96 (100.0% of the picture), above 80%",
        "sofa 0.95",
    ):
        assert words in error.found, error.found
    assert "'bird' with score ≥ 0.9 on 2% to 80%" in error.expected
    assert "mask.load" in error.fix
    with pytest.raises(BadInput, match="nothing at all"):
        detect(picture(50, 80)[None], Scripted(((1.5, 0.5, 0.2, 0.2, 0, 0.99),)), ctx)


def test_messages_stay_short_and_harmless():
    rude = [Detection(0, 0, 9, 9, "\x1b[31m" + "x" * 5000, 0.5, 0.3)] + [
        Detection(0, 0, 9, 9, f"thing {number}", 0.5 - number / 1000, 0.3) for number in range(99)
    ]
    words = describe_candidates(rude, Criteria("thing 98"))
    assert "\x1b" not in words
    assert len(words) < 600
    assert "thing 98" in words
    assert describe_candidates([rude[1]] * 50, Criteria()).count("thing 0") == 1


def test_an_unknown_label_is_told_before_anything_runs(ctx, tiny):
    with pytest.raises(BadInput, match=r"did you mean 'lamp'\?") as caught:
        detect(picture(50, 80)[None], SCENE, ctx, label="lamb")
    assert caught.value.port == "label"
    assert "N/A" not in caught.value.fix
    with pytest.raises(WorkflowError, match=re.escape("find.label")):
        inlay.run(workflow(tiny.detector(), label="couch"))


def workflow(folder, **params):
    params = {"score": 0.0, "min_area": 0.0, "max_area": 1.0, **params}
    outputs = {"mask": "find.mask", "overlay": "find.overlay"}
    return {
        "format": 1,
        "title": "t",
        "inputs": {},
        "outputs": outputs,
        "nodes": {
            "detr": {"type": "model.detector", "version": 1, "params": {"source": str(folder)}},
            "photo": {"type": "image.load", "version": 1, "params": {"path": str(folder / "room.png")}},
            "find": {
                "type": "mask.detect",
                "version": 1,
                "params": params,
                "inputs": {"image": "photo.image", "detector": "detr.detector"},
            },
        },
    }


def test_as_a_workflow_with_sizes_that_are_no_multiple_of_anything(tiny, tmp_path):
    folder = tiny.detector()
    as_pil(picture(141, 99)).save(folder / "room.png")
    found = inlay.run(workflow(folder), out=str(tmp_path / "out"))
    assert found["mask"].shape == (1, 141, 99)
    assert found["overlay"].shape == (1, 141, 99, 3)
    assert set(found["mask"].unique().tolist()) <= {0.0, 1.0}


def test_a_batch_is_seen_picture_by_picture(tiny, ctx):
    part = detector(str(tiny.detector())).detector
    batch = torch.stack([picture(70, 50, seed) for seed in range(3)])
    together = detect(batch, part, ctx, **ANY)
    for number in range(3):
        alone = detect(batch[number : number + 1], part, ctx, **ANY)
        assert torch.equal(alone.mask[0], together.mask[number])
        assert alone.boxes[0] == together.boxes[number]
    assert len(together.boxes) == 3


@pytest.mark.parametrize(
    "bad",
    [
        torch.rand(50, 80, 3),
        torch.rand(1, 50, 80, 4),
        torch.zeros(1, 5, 5, 3, dtype=torch.uint8),
        torch.full((1, 5, 5, 3), float("nan")),
    ],
)
def test_what_is_no_picture_is_refused(bad, ctx):
    with pytest.raises(BadInput) as caught:
        detect(bad, SCENE, ctx)
    assert caught.value.port == "image"


def test_bounds_that_leave_nothing(ctx):
    with pytest.raises(BadInput, match="min_area < max_area"):
        detect(picture(9, 9)[None], SCENE, ctx, min_area=0.9)


def test_a_detector_that_gives_nan_is_refused(ctx):
    with pytest.raises(ModelError, match="gives NaN"):
        detect(picture(9, 9)[None], Scripted(((float("nan"), 0.5, 0.5, 0.5, 0, 0.9),)), ctx)


def test_the_picture_is_not_written_to_and_the_overlay_marks_the_box(ctx):
    white = torch.ones(1, 200, 300, 3)
    found = detect(white, Scripted(((0.5, 0.5, 0.5, 0.5, 0, 0.95), (0.2, 0.8, 0.1, 0.2, 1, 0.4))), ctx)
    assert torch.equal(white, torch.ones(1, 200, 300, 3))
    red = (found.overlay[0] - torch.tensor([230, 40, 40]) / 255).abs().amax(-1) < 1e-3
    assert red[50, 75:225].all()
    assert red[50:150, 75].all()
    assert red[149, 75:225].all()
    assert not red[160:].any()
    assert (found.overlay[0, 160:] < 0.9).any()  # what was not taken, in grey


def test_a_given_mask_overrides_detection(ctx):
    broken = Scripted(((float("nan"),) * 4 + (0, 0.9),))
    mask = torch.zeros(1, 50, 80)
    mask[0, 10:20, 30:60] = 0.7
    mask[0, 12, 12] = 1.0
    found = detect(picture(50, 80)[None].repeat(2, 1, 1, 1), broken, ctx, mask=mask, padding=0.5)
    assert torch.equal(found.mask, mask.repeat(2, 1, 1))
    assert [item[0][:4] for item in found.boxes] == [(12, 10, 60, 20)] * 2
    assert found.boxes[0][0].area == pytest.approx(480 / 4000)
    assert found.overlay.shape == (2, 50, 80, 3)
    with pytest.raises(BadInput, match="an empty mask"):
        detect(picture(50, 80)[None], broken, ctx, mask=torch.zeros(1, 50, 80))
    with pytest.raises(BadInput, match="a mask of 50×80") as caught:
        detect(picture(50, 80)[None], broken, ctx, mask=torch.ones(1, 80, 50))
    assert caught.value.port == "mask"


def test_choose_of_nothing_is_nothing():
    assert choose([], Criteria(pick="largest")) == []
    assert choose([Detection(0, 0, 1, 1, "a", 0.1, 0.5)], Criteria(pick="all")) == []


# photos


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "photos").mkdir()
    for name, size in (("1.png", (50, 80)), ("2.png", (60, 40))):
        as_pil(picture(*size)).save(tmp_path / "photos" / name)
    return tmp_path / "photos"


def test_photos_get_their_boxes_from_a_detector(folder, ctx):
    some = photos(str(folder), ctx, detector=SCENE, label="sofa").photos
    assert [photo.boxes for photo in some.photos] == [((8, 12, 40, 38),), ((4, 15, 20, 45),)]
    grown = photos(str(folder), ctx, detector=SCENE, label="sofa", pick="all", padding=0.25).photos
    assert len(grown.pairs()) == 4
    assert grown.photos[0].boxes[0] == (0, 6, 48, 44)


def test_photos_without_a_detection_are_told_and_none_at_all_is_an_error(folder, ctx, monkeypatch):
    heard = []
    monkeypatch.setattr(ctx, "warn", heard.append)
    from inlay.nodes import subject

    real = subject.find_all
    monkeypatch.setattr(subject, "find_all", lambda pixels, *rest: real(pixels, *rest) if len(pixels) == 50 else [])
    some = photos(str(folder), ctx, detector=SCENE).photos
    assert [photo.name for photo in some.photos] == ["1.png"]
    assert "nothing found in 2.png: nothing at all" in heard[0]
    assert "name their folder in masks" in heard[0]
    with pytest.raises(BadInput, match=r"in 1\.png: lamp 0.99 .*not bird") as caught:
        photos(str(folder), ctx, detector=SCENE, label="bird")
    assert "masks" in caught.value.fix


def test_masks_override_the_detector(folder, tmp_path, ctx, monkeypatch):
    heard = []
    monkeypatch.setattr(ctx, "warn", heard.append)
    (tmp_path / "masks").mkdir()
    for name, size in (("1.png", (50, 80)), ("2.png", (60, 40))):
        plane = torch.zeros(size)
        plane[10:30, 5:35] = 1
        as_pil(plane[..., None].repeat(1, 1, 3)).save(tmp_path / "masks" / name)
    broken = Scripted(((float("nan"),) * 4 + (0, 0.9),))
    some = photos(str(folder), ctx, detector=broken, masks=str(tmp_path / "masks"), label="whatever").photos
    assert all(photo.boxes == ((5, 10, 35, 30),) for photo in some.photos)
    assert heard == ["masks are given, so the detector is not used"]


def test_two_sources_of_boxes_and_unknown_labels_are_refused(folder, tmp_path, ctx):
    (tmp_path / "boxes.csv").write_text("file,left,top,right,bottom\n1.png,0,0,40,40")
    with pytest.raises(BadInput, match="a boxes file and a detector"):
        photos(str(folder), ctx, detector=SCENE, boxes=str(tmp_path / "boxes.csv"))
    with pytest.raises(BadInput, match="did you mean 'sofa'"):
        photos(str(folder), ctx, detector=SCENE, label="soffa")


def test_a_given_mask_that_is_most_of_the_picture_or_a_few_pixels_is_said():
    said = []
    ctx = Context(listeners=(said.append,))
    most, few = torch.ones(1, 200, 300), torch.zeros(1, 200, 300)
    most[0, :5, :5], few[0, 3, 4:6] = 0, 1
    for mask in (most, few):
        detect(picture(200, 300)[None], SCENE, ctx, mask=mask)
    assert [event.message.split(":")[0] for event in said] == ["mask-large", "mask-few"]
