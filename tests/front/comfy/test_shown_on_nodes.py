"""What a person sees in the host: text and pictures on nodes, one line in the log, words of the menu."""

import logging
import re
import sys
import traceback
import types
from typing import Annotated, NamedTuple

import pytest
import torch
from hosts import folder_paths
from inlay.graph_runtime import BadInput, Context, NodeError, Port, Registry, node
from inlay.graph_runtime.front.comfy import node_classes as adapter
from inlay.graph_runtime.front.comfy.host import running
from inlay.graph_runtime.front.comfy.menu_words import in_menu_words
from inlay.graph_runtime.front.comfy.node_names import category, display_name, search_words
from inlay.graph_runtime.front.installed import installed_nodes
from PIL import Image

Number = Annotated[float, Port("FLOAT", "a number")]
Words = Annotated[str, Port("STRING", "text")]


class Measured(NamedTuple):
    value: Number


class Learned(NamedTuple):
    report: Words


@node("toy.psnr")
def psnr(ctx: Context, good: bool = True) -> Measured:
    """Measure."""
    if not good:
        raise BadInput(
            "good", found="nothing good", expected="the output of mask.load", fix="set --good, or image.load"
        )
    ctx.warn("almost too good")
    return Measured(31.41592653)


@node("toy.train", effects=True)
def train(ctx: Context) -> Learned:
    """Learn."""
    for step in range(3):
        ctx.progress(step + 1, 3, Image.new("RGB", (8, 4), (step * 60, 0, 0)), "loss 0.25")
    return Learned("# Learned\n\n| loss |")


CLASSES, NAMES = adapter.mappings(Registry(one.spec for one in (psnr, train)))


@pytest.fixture
def host(tmp_path, monkeypatch):
    """Folders, a progress bar and a server, in `sys.modules` as the real ones would be."""
    told = types.SimpleNamespace(texts=[], previews=[])
    folders = folder_paths(tmp_path, "input", "output", "temp")

    class ProgressBar:
        def __init__(self, total, node_id=None):
            pass

        def update_absolute(self, value, total=None, preview=None):
            told.previews.append(preview)

    class Server:
        client_id = "page"
        prompt_queue = types.SimpleNamespace(currently_running={})

        def send_progress_text(self, text, node_id, sid=None):
            told.texts.append((text, node_id, sid))

    told.server = Server()
    utils, server = types.ModuleType("comfy.utils"), types.ModuleType("server")
    utils.ProgressBar, server.PromptServer = ProgressBar, types.SimpleNamespace(instance=told.server)
    context = types.ModuleType("comfy_execution.utils")
    context.get_executing_context = lambda: types.SimpleNamespace(node_id="5:3")
    for module in (folders, types.ModuleType("comfy"), utils, server, context):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    return told


def call(name, **inputs):
    cls = CLASSES[name]
    with torch.inference_mode():
        return getattr(cls(), cls.FUNCTION)(**inputs)


def test_numbers_and_warnings_are_text_on_the_node(host):
    shown = call("InlayToyPsnr")
    text = "psnr: 31.4159\nwarning: almost too good"
    assert shown == {"ui": {"text": [text]}, "result": (31.41592653,)}
    assert host.texts == [(text, "5:3", "page")]


def test_a_training_shows_its_report_and_its_last_sheet(host, tmp_path):
    shown = call("InlayToyTrain")
    (picture,) = shown["ui"]["images"]
    assert picture["type"] == "temp"
    sheet = Image.open(tmp_path / "temp" / picture["subfolder"] / picture["filename"])
    assert sheet.getpixel((0, 0)) == (120, 0, 0)
    assert shown["ui"]["text"] == ["# Learned\n\n| loss |"]
    assert [text for text, *_ in host.texts] == ["loss 0.25", "# Learned\n\n| loss |"]
    assert all(preview[0] == "JPEG" for preview in host.previews)


def test_the_host_logs_one_line_for_what_a_node_refuses(host, caplog):
    root = logging.getLogger()
    try:
        call("InlayToyPsnr", good=False)
    except NodeError as error:  # as the host does it
        root.log(logging.ERROR, "!!! Exception during processing !!! %s", error)
        root.log(logging.ERROR, traceback.format_exc())
    lines = [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]
    assert len(lines) == 1
    assert "\n" not in lines[0]
    assert lines[0].startswith("Toy psnr (inlay).good: found nothing good; expected")
    assert not any(isinstance(one, running._OneLine) for one in root.filters)
    try:
        raise ValueError("of another node")
    except ValueError:
        root.log(logging.ERROR, traceback.format_exc())
    assert "Traceback" in caplog.records[-1].getMessage()


def test_no_error_stands_behind_the_one_that_the_host_gets(host):
    with pytest.raises(NodeError) as raised:
        call("InlayToyPsnr", good=False)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


def test_fixes_name_what_the_menu_shows(host):
    with pytest.raises(NodeError, match=r"expected  the output of “Mask load \(inlay\)”") as raised:
        call("InlayToyPsnr", good=False)
    assert "set good, or “Image load (inlay)”" in str(raised.value)


@pytest.mark.parametrize(
    "text", ["the file image.png", "'mask.load'", "a/mask.load", "image.load.png", "no.such_node", "e.g. this"]
)
def test_what_is_no_node_keeps_its_name(text):
    assert in_menu_words(text) == text


def previews(monkeypatch, host, chosen=None, argv=()):
    extra = {} if chosen is None else {"preview_method": chosen}
    host.server.prompt_queue.currently_running = {0: (1, "id", {}, extra, [])}
    monkeypatch.setattr(sys, "argv", ["main.py", *argv])
    return running.HostListener().shows_previews


def test_previews_follow_the_hosts_setting(host, monkeypatch):
    assert previews(monkeypatch, host)
    assert previews(monkeypatch, host, "default")
    assert previews(monkeypatch, host, "latent2rgb", ["--preview-method", "none"])
    assert not previews(monkeypatch, host, "none")
    assert not previews(monkeypatch, host, argv=["--preview-method", "none"])
    assert previews(monkeypatch, host, argv=["--preview-method=auto"])


def test_a_prefix_in_the_host_names_the_picture_the_date_and_widgets(host, tmp_path):
    save = adapter.node_class(installed_nodes()["image.save"])
    prompt = {
        "3": {"class_type": "KSampler", "inputs": {"seed": 9, "model": ["1", 0]}, "_meta": {"title": "My sampler"}}
    }
    prefix = "%width%x%height%_%KSampler.seed%_%My sampler.seed%_%3.seed%_%date:yyyy%_%3.model%"
    shown = save().execute(image=torch.zeros(1, 4, 6, 3), prefix=prefix, prompt=prompt)
    name = shown["ui"]["images"][0]["filename"]
    assert re.fullmatch(r"6x4_9_9_9_20\d\d_%3\.model%_00001\.png", name), name


FOUND_BY = {
    "remove": {"image.fill", "constraint.null_space"},
    "erase": {"image.fill"},
    "inpaint": {"sample.denoise", "constraint.null_space", "image.crop_to_mask"},
    "edit": {"attention.balanced", "invert.null_text"},
    "baret": {"attention.balanced", "invert.target_text", "embed.transition"},
    "masactrl": {"attention.mutual_self"},
    "outpaint": {"image.pad"},
    "lora": {"model.lora", "train.subject_lora"},
}


@pytest.mark.parametrize("word", FOUND_BY)
def test_nodes_are_found_by_the_words_of_people(word):
    found = {
        name
        for name in installed_nodes()
        if any(word in text.lower() for text in (display_name(name), *search_words(name)))
    }
    assert FOUND_BY[word] <= found


def test_every_listed_word_belongs_to_a_node_and_folders_are_few():
    from inlay.nodes.menu import FOLDERS, TITLES, WORDS
    from inlay.nodes.pack import PACK

    known = set(installed_nodes())
    families = {name.partition(".")[0] for name in known}
    assert set(TITLES) <= known
    assert set(WORDS) <= known | families | set(PACK.expanders)
    assert set(FOLDERS) <= families
    assert len({category(name) for name in known}) <= 8
    titles = [display_name(name) for name in known]
    assert len(set(titles)) == len(titles)
