"""The pack as ComfyUI sees it: loaded by path under its own kind of module name, run under inference mode."""

import importlib.util
import inspect
import json
import logging
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import pytest
import torch
from hosts import folder_paths
from inlay.graph_runtime import (
    BadInput,
    Context,
    ModelSource,
    NodeError,
    Port,
    ReadPath,
    ReadPaths,
    Registry,
    Repeat,
    node,
)
from inlay.graph_runtime.core.events import ModelMoved, Warned
from inlay.graph_runtime.core.events import Saved as EventSaved
from inlay.graph_runtime.core.memory.descriptions import ModelDescription
from inlay.graph_runtime.front.comfy import node_classes as adapter
from inlay.graph_runtime.front.comfy.host.memory import model_manager
from inlay.graph_runtime.front.comfy.host.running import PREVIEW_SIDE, HostListener
from inlay.graph_runtime.front.comfy.host_values import owned
from inlay.graph_runtime.front.comfy.input_types import from_widget
from inlay.graph_runtime.front.comfy.input_types import widget as make_widget
from inlay.graph_runtime.front.installed import installed_nodes
from inlay.graph_runtime.front.node_settings import settings_of
from PIL import Image
from pydantic import Field

ROOT = Path(__file__).resolve().parents[2]
Picture = Annotated[torch.Tensor, Port("IMAGE", "RGB in [0, 1]")]
Hole = Annotated[torch.Tensor, Port("MASK", "1 = repaint")]
Thing = Annotated[object, Port("TOY_THING", "anything")]
Words = Annotated[str, Port("STRING", "text")]


class Interrupted(BaseException):
    """As the host's InterruptProcessingException: not an Exception."""


class Pictures(NamedTuple):
    image: Picture


class Things(NamedTuple):
    thing: Thing


class Saved(NamedTuple):
    paths: Annotated[list[str], Port("TOY_PATHS", "files")]


@node("toy.every_kind")
def every_kind(
    image: Picture,
    mask: Hole | None,
    words: Words | None,
    steps: Annotated[int, Field(ge=1, le=64)] = 3,
    rate: Annotated[float, Field(gt=0)] = 1e-3,
    mode: Literal["max", "nearest"] = "max",
    tile: bool = True,
    prompt: str = "",
    size: Annotated[int, Field(ge=1)] | None = None,
    threshold: Annotated[float, Field(ge=0, le=1)] | None = 0.5,
    label: str | None = None,
    x: float | None = None,
    layers: Literal["all"] | list[int] = "all",
    names: list[str] = [],  # noqa: B006
    kind: Literal["a", "b"] | None = None,
    seed: int = 0,
) -> Things:
    """Give back every setting.

    Args:
        image: the picture.
        steps: how many steps.
    """
    return Things(
        {
            "steps": steps,
            "rate": rate,
            "mode": mode,
            "tile": tile,
            "prompt": prompt,
            "size": size,
            "threshold": threshold,
            "label": label,
            "x": x,
            "layers": layers,
            "names": names,
            "kind": kind,
            "seed": seed,
            "mask": mask,
            "words": words,
        }
    )


@node("toy.grid")
def grid(images: Annotated[list[Picture], Port("IMAGE", "a picture"), Repeat("image", 2, 4)]) -> Things:
    """Count the pictures.

    Args:
        images: one picture.
    """
    return Things(len([image for image in images if image is not None]))


@node("toy.load")
def load(path: ReadPath) -> Pictures:
    """Read a picture."""
    with Image.open(path) as picture:
        data = torch.frombuffer(bytearray(picture.convert("RGB").tobytes()), dtype=torch.uint8)
        return Pictures(data.reshape(1, picture.height, picture.width, 3).to(torch.float64) / 255)


@node("toy.load_many")
def load_many(path: ReadPaths) -> Pictures:
    """Read pictures."""
    raise AssertionError("not run here")


@node("toy.model")
def model(source: ModelSource = "dollhouse") -> Things:
    """Name a model."""
    return Things(source)


@node("toy.optimise")
def optimise(image: Picture, thing: Thing, ctx: Context, steps: int = 2) -> Things:
    """Differentiate with respect to a weight made here, as inversion and training do."""
    weight = torch.nn.Linear(3, 1)
    with torch.enable_grad():
        held = thing["tensor"][0] if isinstance(thing, dict) else thing
        for step in range(steps):
            loss = (weight(image) * held).square().mean()
            loss.backward()
            ctx.progress(step + 1, steps, Image.new("RGB", (8, 8)))
    return Things(weight.weight.grad)


@node("toy.wait")
def wait(ctx: Context) -> Things:
    """Look only at the cancel flag."""
    try:
        ctx.check_cancelled()
    except Exception as error:
        raise AssertionError("the host's exception was caught on its way") from error
    return Things(None)


@node("toy.save", effects=True)
def save(image: Picture, ctx: Context, prefix: str = "toy/room") -> Saved:
    """Write a picture."""
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    for name, value in ctx.metadata.items():
        chunks.add_text(name, value)
    with ctx.new_file(prefix, ".png") as path:
        Image.new("RGB", (4, 4)).save(path, "PNG", pnginfo=chunks)
    return Saved([str(saved) for saved in ctx.saved])


def _check(known, settings):
    if settings["strength"] > 1 and isinstance(known.get("thing"), int):
        raise BadInput("thing", found="an int", expected="no int with strength above 1", fix="lower strength")


@node("toy.checked", check=_check)
def checked(thing: Thing, strength: float = 1.0) -> Things:
    """Has a pairing check."""
    return Things(strength)


CLASSES, NAMES = adapter.mappings(
    Registry(f.spec for f in (every_kind, grid, load, load_many, model, optimise, wait, save, checked))
)


def call(name, **inputs):
    cls = CLASSES[name]
    with torch.inference_mode():
        return getattr(cls(), cls.FUNCTION)(**inputs)


@dataclass
class Host:
    """What the fake host was told."""

    bars: list
    loaded: list
    freed: list
    interrupt: bool = False


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A fake ComfyUI with folders under tmp_path, in `sys.modules` as the real one would be."""
    seen = Host([], [], [])
    (tmp_path / "models").mkdir()
    folders = folder_paths(tmp_path, "input", "output", "temp")
    folders.get_folder_paths = lambda kind: {"checkpoints": [str(tmp_path / "models" / "checkpoints")]}[kind]

    def throw():
        if seen.interrupt:
            raise Interrupted

    class ProgressBar:
        def __init__(self, total, node_id=None):
            seen.bars.append((total,))

        def update_absolute(self, value, total=None, preview=None):
            seen.bars.append((value, total, preview))
            throw()

    class ModelPatcher:
        def __init__(self, model, load_device, offload_device, size=0):
            model.device = offload_device  # read-only on diffusers' models
            self.model, self.load_device, self.offload_device = model, load_device, offload_device

    management = types.ModuleType("comfy.model_management")
    management.get_torch_device = lambda: torch.device("cpu")
    management.unet_offload_device = lambda: torch.device("cpu")
    management.throw_exception_if_processing_interrupted = throw
    management.load_models_gpu = lambda models, force_full_load=False: seen.loaded.append((models, force_full_load))
    management.free_memory = lambda amount, device: seen.freed.append((amount, device))
    utils = types.ModuleType("comfy.utils")
    utils.ProgressBar = ProgressBar
    patcher = types.ModuleType("comfy.model_patcher")
    patcher.ModelPatcher = ModelPatcher
    for module in (types.ModuleType("comfy"), folders, management, utils, patcher):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    model_manager.cache_clear()
    yield seen
    model_manager.cache_clear()


# how the host loads a pack


@pytest.fixture
def loaded_pack(tmp_path, monkeypatch):
    """The repository, imported as ComfyUI imports a folder of custom_nodes, with its own modules in the way."""
    folder = tmp_path / "custom_nodes" / "inlay-main.v1"
    folder.parent.mkdir()
    folder.symlink_to(ROOT, target_is_directory=True)
    for name in ("nodes", "utils", "server", "execution", "protocol", "app", "folder_paths", "node_helpers"):
        if name not in sys.modules:
            monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    before = set(sys.modules)
    name = str(folder)
    spec = importlib.util.spec_from_file_location(name, folder / "__init__.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    yield module
    for new in set(sys.modules) - before:
        if new.startswith(name):
            del sys.modules[new]


def test_the_folder_loads_as_a_pack_under_a_path_shaped_name(loaded_pack):
    assert hasattr(loaded_pack, "NODE_CLASS_MAPPINGS")
    assert not hasattr(loaded_pack, "comfy_entrypoint")
    classes, names = loaded_pack.NODE_CLASS_MAPPINGS, loaded_pack.NODE_DISPLAY_NAME_MAPPINGS
    assert classes.keys() == names.keys()
    assert names["InlayImageLoad"] == "Image load (inlay)"
    assert (ROOT / loaded_pack.WEB_DIRECTORY).is_dir()
    for name, cls in classes.items():
        assert name.startswith("Inlay")
        assert name == cls.__name__
        assert names[name].endswith("(inlay)")
        assert callable(getattr(cls(), cls.FUNCTION))
        assert cls.CATEGORY.split("/")[0] == "inlay"
        assert len(cls.RETURN_TYPES) == len(cls.RETURN_NAMES) == len(cls.OUTPUT_TOOLTIPS)
        types_ = cls.INPUT_TYPES()
        assert types_ == cls.INPUT_TYPES()
        json.dumps(types_)
        for group in ("required", "optional"):
            for entry in types_[group].values():
                assert isinstance(entry, tuple)
                assert entry[0] != "LATENT" or name.startswith("InlayBridge")


def runner(classes):
    """Runs a node of the pack as the host does, with its widgets' defaults."""

    def run(name, **wired):
        cls = classes[name]
        groups = cls.INPUT_TYPES()
        values = {
            key: entry[1]["default"]
            for group in ("required", "optional")
            for key, entry in groups.get(group, {}).items()
            if "default" in entry[1]
        }
        with torch.inference_mode():
            return getattr(cls(), cls.FUNCTION)(**(values | wired))

    return run


def test_a_profile_travels_by_its_wire_alone(loaded_pack, host, tmp_path):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    cut_out = Image.new("RGBA", (12, 9), (10, 200, 30, 255))
    cut_out.paste((1, 2, 3, 0), (2, 2, 8, 6))
    cut_out.save(tmp_path / "input" / "room.png", icc_profile=profile)
    classes = loaded_pack.NODE_CLASS_MAPPINGS
    run, load, save = runner(classes), classes["InlayImageLoad"], classes["InlayImageSave"]
    assert load.RETURN_TYPES[:3] == ("IMAGE", "MASK", "INLAY_PROFILE")
    assert save.INPUT_TYPES()["optional"]["profile"][0] == "INLAY_PROFILE"
    picture, mask, said = run("InlayImageLoad", path="room.png")
    written = []
    for wires in ({}, {"profile": said}, {"profile": said, "mask": mask[0]}):
        entry = run("InlayImageSave", image=picture, **wires)["ui"]["images"][0]
        written.append(Image.open(tmp_path / "output" / entry["subfolder"] / entry["filename"]))
    assert [one.mode for one in written] == ["RGB", "RGBA", "RGBA"]
    assert [one.info.get("icc_profile") for one in written] == [None, profile, profile]
    assert [one.getchannel("A").getextrema() for one in written[1:]] == [(0, 255), (255, 255)]


def test_a_real_graph_runs_from_the_loaded_folder(loaded_pack, host, tmp_path):
    Image.new("RGB", (141, 99), (10, 200, 30)).save(tmp_path / "input" / "room.png")
    run = runner(loaded_pack.NODE_CLASS_MAPPINGS)
    picture = run("InlayImageLoad", path="room.png")[0]
    assert picture.shape == (1, 99, 141, 3)
    assert picture.dtype == torch.float32
    with torch.inference_mode():
        picture = picture * 1.0  # another node of the host: now an inference tensor
    assert picture.is_inference()
    mask = run("InlayMaskShape", image=picture, kind="center", width=40.0, height=30.0)[0]
    filled = run("InlayImageFill", image=picture, mask=mask)[0]
    pasted = run("InlayImagePasteBack", base=picture, patch=filled, mask=mask)[0]
    assert torch.equal(pasted[mask == 0], picture[mask == 0])
    assert not torch.equal(pasted, picture)
    saved = run(
        "InlayImageSave", image=pasted, prompt={"1": {"class_type": "x"}}, extra_pnginfo={"workflow": {"nodes": []}}
    )
    entry = saved["ui"]["images"][0]
    assert entry["type"] == "output"
    with Image.open(tmp_path / "output" / entry["subfolder"] / entry["filename"]) as written:
        assert json.loads(written.text["prompt"]) == {"1": {"class_type": "x"}}
        assert json.loads(written.text["workflow"]) == {"nodes": []}
        assert written.size == (141, 99)


# inputs and widgets


def test_input_types_follow_the_definition():
    types_ = CLASSES["InlayToyEveryKind"].INPUT_TYPES()
    required, optional = types_["required"], types_["optional"]
    assert required == {"image": ("IMAGE", {"tooltip": "the picture."})}
    assert list(optional)[:2] == ["mask", "words"]
    assert optional["words"] == ("STRING", {"tooltip": "text", "forceInput": True})
    assert optional["steps"] == ("INT", {"tooltip": "how many steps.", "default": 3, "min": 1, "max": 64, "step": 1})
    assert optional["rate"][0] == "FLOAT"
    assert optional["rate"][1]["step"] == pytest.approx(1e-4)
    assert optional["rate"][1]["round"] is False
    assert optional["mode"] == (["max", "nearest"], {"tooltip": "", "default": "max"})
    assert optional["tile"][0] == "BOOLEAN"
    assert optional["prompt"][1]["multiline"] is True
    assert optional["size"][1]["default"] == optional["size"][1]["min"] == 0
    assert "0: none" in optional["size"][1]["tooltip"]
    assert optional["threshold"][1] | {"tooltip": ""} == {
        "tooltip": "",
        "default": 0.5,
        "min": -1.0,
        "max": 1.0,
        "step": 0.01,
        "round": False,
    }
    assert optional["kind"] == (["none", "a", "b"], {"tooltip": "", "default": "none"})
    assert optional["seed"][1]["control_after_generate"] is True
    assert "hidden" not in types_


def test_numbered_sockets():
    types_ = CLASSES["InlayToyGrid"].INPUT_TYPES()
    assert list(types_["required"]) == ["image_1", "image_2"]
    assert list(types_["optional"]) == ["image_3", "image_4"]
    assert types_["required"]["image_2"][1]["tooltip"] == "one picture."
    picture = torch.zeros(1, 2, 2, 3)
    assert call("InlayToyGrid", image_1=picture, image_2=picture, image_4=picture) == (3,)


def test_names():
    assert adapter.host_id("mask.to_latent") == "InlayMaskToLatent"
    assert NAMES["InlayToyEveryKind"] == "Toy every kind (inlay)"
    assert CLASSES["InlayToySave"].OUTPUT_NODE is True
    assert CLASSES["InlayToyLoad"].OUTPUT_NODE is False
    assert CLASSES["InlayToyLoad"].RETURN_NAMES == ("image",)


def test_a_widget_of_a_thousand_brackets_stays_text_or_is_refused_by_a_message():
    with pytest.raises(Exception, match="layers") as refused:
        call("InlayToyEveryKind", image=torch.zeros(1, 2, 2, 3), layers="[" * 100_000)
    assert not isinstance(refused.value, RecursionError)


def test_defaults_and_null_widgets():
    picture = torch.zeros(1, 2, 2, 3)
    (plain,) = call("InlayToyEveryKind", image=picture)
    widgets = CLASSES["InlayToyEveryKind"].INPUT_TYPES()["optional"]
    typed = {name: entry[1]["default"] for name, entry in widgets.items() if "default" in entry[1]}
    (shown,) = call("InlayToyEveryKind", image=picture, **typed)
    assert plain == shown
    assert shown["size"] is None
    assert shown["threshold"] == 0.5
    assert shown["layers"] == "all"
    (changed,) = call(
        "InlayToyEveryKind",
        image=picture,
        size=5,
        threshold=-1,
        x="2.5",
        layers="[1, 2]",
        names="a, b",
        kind="b",
        label="",
    )
    assert [changed[name] for name in ("size", "threshold", "x", "layers", "names", "kind", "label")] == [
        5,
        None,
        2.5,
        [1, 2],
        ["a", "b"],
        "b",
        None,
    ]


def test_a_mask_without_batch_axis_gets_one():
    (seen,) = call("InlayToyEveryKind", image=torch.zeros(1, 2, 2, 3), mask=torch.zeros(2, 2))
    assert seen["mask"].shape == (1, 2, 2)


# inference mode


def test_gradients_work_under_the_hosts_inference_mode():
    with torch.inference_mode():
        image, held = torch.ones(1, 2, 2, 3), torch.ones(1)
    assert image.is_inference()
    (gradient,) = call("InlayToyOptimise", image=image, thing={"tensor": [held]})
    assert not gradient.is_inference()
    assert gradient.abs().sum() > 0


def test_owned_clones_only_inference_tensors():
    @dataclass(frozen=True)
    class Box:
        inner: tuple
        name: str = "x"

    plain = Box((torch.ones(1),))
    assert owned(plain) is plain
    with torch.inference_mode():
        tensor = torch.ones(1)
    box = Box((tensor, [tensor], Pictures(tensor)))
    freed = owned(box)
    assert freed is not box
    assert box.inner[0] is tensor
    assert not any(item.is_inference() for item in (freed.inner[0], freed.inner[1][0], freed.inner[2].image))


# progress and cancel


def test_progress_and_previews_reach_the_hosts_bar(host):
    call("InlayToyOptimise", image=torch.ones(1, 2, 2, 3), thing=torch.ones(1))
    assert host.bars[0] == (2,)
    assert [bar[:2] for bar in host.bars[1:]] == [(1, 2), (2, 2)]
    kind, picture, side = host.bars[1][2]
    assert (kind, picture.size, side) == ("JPEG", (8, 8), PREVIEW_SIDE)


def test_the_hosts_interrupt_passes_through_untouched(host):
    host.interrupt = True
    with pytest.raises(Interrupted):
        call("InlayToyWait")
    with pytest.raises(Interrupted):
        call("InlayToyOptimise", image=torch.ones(1, 2, 2, 3), thing=torch.ones(1))


# paths


@pytest.fixture
def picture(tmp_path, host):
    path = tmp_path / "input" / "room.png"
    Image.new("RGB", (3, 2), (255, 0, 0)).save(path)
    return path


def test_pictures_of_the_input_folder_are_offered_and_read(picture, tmp_path):
    kind, options = CLASSES["InlayToyLoad"].INPUT_TYPES()["required"]["path"]
    assert kind[0] == "room.png"  # then the samples
    assert options["image_upload"] is True
    (image,) = call("InlayToyLoad", path="room.png")
    assert image.dtype == torch.float32  # the host's own type for pictures
    assert image[0, 0, 0].tolist() == [1, 0, 0]
    (tmp_path / "input" / "folder").mkdir()
    assert CLASSES["InlayToyLoadMany"].INPUT_TYPES()["required"]["path"][0][:2] == ["room.png", "folder"]
    (tmp_path / "output" / "made.png").write_bytes(picture.read_bytes())
    assert call("InlayToyLoad", path="made.png [output]")[0].shape == (1, 2, 3, 3)


@pytest.mark.parametrize("path", ["../secret.png", "link.png", "/etc/hostname", "absent.png", ""])
def test_paths_out_of_the_input_folder_are_refused(picture, tmp_path, path):
    (tmp_path / "secret.png").write_bytes(picture.read_bytes())
    (tmp_path / "input" / "link.png").symlink_to(tmp_path / "secret.png")
    with pytest.raises(NodeError) as failed:
        call("InlayToyLoad", path=path)
    assert "Toy load (inlay).path" in str(failed.value)
    if path:
        assert "Toy load (inlay).path: found" in CLASSES["InlayToyLoad"].VALIDATE_INPUTS(path=path)


def test_a_misspelt_file_is_guessed(picture):
    assert "did you mean 'room.png'?" in CLASSES["InlayToyLoad"].VALIDATE_INPUTS(path="rom.png")


def test_the_host_can_read_what_is_validated_and_sees_changed_content(picture):
    cls = CLASSES["InlayToyLoad"]
    found = inspect.getfullargspec(cls.VALIDATE_INPUTS)
    assert found.args == ["cls", "path"]
    assert found.varkw is None
    assert cls.VALIDATE_INPUTS(path="room.png") is True
    before = cls.IS_CHANGED(path="room.png")
    assert before == cls.IS_CHANGED(path="room.png")
    Image.new("RGB", (3, 2), (0, 255, 0)).save(picture)
    assert cls.IS_CHANGED(path="room.png") != before
    assert not hasattr(CLASSES["InlayToyGrid"], "IS_CHANGED")


@pytest.mark.parametrize("path", ["*", "*/*.png", "[l]ink/*", "fold?r/*", "folder"])
def test_asking_whether_content_has_changed_reads_nothing_outside(picture, tmp_path, path):
    secret = tmp_path / "secret"
    secret.mkdir()
    (secret / "a.png").write_bytes(picture.read_bytes())
    (tmp_path / "input" / "link").symlink_to(secret)
    (tmp_path / "input" / "folder").mkdir()
    (tmp_path / "input" / "folder" / "b.png").symlink_to(secret / "a.png")
    before = CLASSES["InlayToyLoadMany"].IS_CHANGED(path=path)
    (secret / "a.png").write_bytes(b"another content")
    (secret / "c.png").touch()
    assert CLASSES["InlayToyLoadMany"].IS_CHANGED(path=path) == before
    assert "c.png" not in before


ODD = ["a" * 300, "a" * 300 + ".png", "a" * 5000 + "/x.png", "a/" * 3000, "[" * 999, "a*" * 400, "\0", "\udc80", "\n"]


@pytest.mark.parametrize("name", ["InlayToyLoad", "InlayToyLoadMany", "InlayToyModel"])
@pytest.mark.parametrize(
    "odd",
    [*ODD, *(one + ".safetensors" for one in ODD), *("a/" + one for one in ODD)],
    ids=map(str, range(3 * len(ODD))),
)
def test_a_name_that_no_file_can_have_is_refused_by_a_message(picture, name, odd):
    cls = CLASSES[name]
    parameter = "source" if name == "InlayToyModel" else "path"
    found = cls.VALIDATE_INPUTS(**{parameter: odd})
    assert found is True or "; expected " in found
    assert isinstance(cls.IS_CHANGED(**{parameter: odd}), str)


def test_what_a_stranger_wrote_reaches_the_hosts_log_without_escapes(caplog):
    with caplog.at_level(logging.INFO, "inlay"):
        for event in (
            Warned("n", "\x1b[31mred"),
            ModelMoved("\x1b]0;t\x07"),
            EventSaved("n", "/out/a\x1b[2J\u202e.png"),
        ):
            HostListener()(event)
    assert not any(letter in caplog.text for letter in "\x1b\x07\u202e")
    assert len(caplog.records) == 3


def test_models_come_from_the_hosts_folders_or_by_name(host, tmp_path):
    assert call("InlayToyModel") == ("dollhouse",)
    assert call("InlayToyModel", source="owner/name") == ("owner/name",)
    folder = tmp_path / "models" / "checkpoints"
    folder.mkdir()
    (folder / "sd.safetensors").touch()
    assert call("InlayToyModel", source="sd.safetensors") == (str(folder / "sd.safetensors"),)
    for bad in ("../x.safetensors", "/etc", "~/x", "absent.safetensors"):
        with pytest.raises(NodeError, match="hub id"):
            call("InlayToyModel", source=bad)


def test_without_a_host_a_path_is_the_callers_own_word(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (3, 2)).save("room.png")
    assert call("InlayToyLoad", path="room.png")[0].shape == (1, 2, 3, 3)
    assert CLASSES["InlayToyLoad"].INPUT_TYPES()["required"]["path"][0] == "STRING"


# errors


def test_errors_say_node_found_expected_and_fix(host, caplog):
    with pytest.raises(NodeError) as wrong:
        call("InlayToyEveryKind", image=torch.zeros(1, 2, 2, 3), steps=99)
    assert "Toy every kind (inlay).steps" in str(wrong.value)
    assert "99" in str(wrong.value)
    assert "64" in str(wrong.value)
    with pytest.raises(NodeError, match="did you mean 'steps'"):
        call("InlayToyEveryKind", image=torch.zeros(1, 2, 2, 3), stesp=3)
    with pytest.raises(NodeError, match="nothing connected"):
        call("InlayToyEveryKind")
    with pytest.raises(NodeError, match="lower strength"):
        call("InlayToyChecked", thing=3, strength=2.0)
    assert call("InlayToyChecked", thing=3) == (1.0,)


def test_every_node_says_which_socket_got_a_value_of_another_type(host):
    for cls in adapter.mappings(installed_nodes())[0].values():
        inputs = dict.fromkeys(cls.spec.sockets, object())
        settings = {setting: "x" for setting, field in cls.spec.params.model_fields.items() if field.is_required()}
        if inputs and not set(settings) & set(cls.spec.path_roles):
            with pytest.raises(NodeError, match="found     a object"):
                cls().execute(**inputs, **settings)


# saving


def test_saved_pictures_are_shown_and_carry_the_graph(host, tmp_path, monkeypatch):
    hidden = CLASSES["InlayToySave"].INPUT_TYPES()["hidden"]
    assert hidden == {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
    given = {"prompt": {"1": {}}, "extra_pnginfo": {"workflow": {"nodes": [1]}}}
    result = call("InlayToySave", image=torch.zeros(1, 4, 4, 3), **given)
    assert result["ui"]["images"] == [{"filename": "room_00001.png", "subfolder": "toy", "type": "output"}]
    path = tmp_path / "output" / "toy" / "room_00001.png"
    assert result["result"] == ([str(path)],)
    with Image.open(path) as picture:
        assert json.loads(picture.text["workflow"]) == {"nodes": [1]}
        assert json.loads(picture.text["prompt"]) == {"1": {}}
    quiet = types.ModuleType("comfy.cli_args")
    quiet.args = types.SimpleNamespace(disable_metadata=True)
    monkeypatch.setitem(sys.modules, "comfy.cli_args", quiet)
    call("InlayToySave", image=torch.zeros(1, 4, 4, 3), **given)
    with Image.open(path.with_name("room_00002.png")) as picture:
        assert picture.text == {}


def test_saving_out_of_the_output_folder_is_refused(host):
    with pytest.raises(NodeError, match="below the output folder"):
        call("InlayToySave", image=torch.zeros(1, 4, 4, 3), prefix="../x")


# memory


@dataclass(frozen=True)
class Described(ModelDescription):
    name: str

    @property
    def label(self):
        return self.name

    @property
    def fingerprint(self):
        return self.name

    def load(self, device):
        class ReadOnlyDevice(torch.nn.Linear):
            @property
            def device(self):
                return self.weight.device

        module = ReadOnlyDevice(2, 2)
        return {"net": module} if self.name == "bundle" else module

    def nbytes(self):
        return 24


@pytest.mark.parametrize("name", ["net", "bundle"])
def test_leases_are_handed_to_the_hosts_memory_management(host, name, caplog):
    caplog.set_level(logging.INFO, "inlay")
    manager = model_manager()
    with manager.lease(Described(name)) as module:
        net = module["net"] if name == "bundle" else module
    with manager.lease(Described(name)):
        pass
    assert len(host.freed) == 1
    (first, whole), (second, _) = host.loaded
    assert whole is True
    assert first[0] is second[0]
    assert next(iter(first[0].model.children())) is net
    assert manager.evict_idle() > 0
    assert not manager._patchers
    assert any("loaded" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    ("widget", "value"),
    [(512, 512), ("512", 512), (0, None), ("0", None), ("", None), (None, None), ("model", "model")],
)
def test_a_number_that_may_be_a_word_takes_text_and_what_older_graphs_hold(widget, value):
    (size,) = [one for one in settings_of(installed_nodes()["image.crop_to_mask"]) if one.name == "size"]
    assert from_widget(size, widget) == value
    kind, options = make_widget(size)
    assert (kind, options["default"]) == ("STRING", "512")
