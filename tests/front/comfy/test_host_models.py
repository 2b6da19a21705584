"""Models inside ComfyUI: lists of what is there, any other text beside them, and downloads into the host's folders."""

import inspect
import json
import shutil
import sys
import types
from pathlib import Path

import pytest
from hosts import folder_paths
from hub_toys import FakeHub, network_of, served
from inlay.graph_runtime import NodeError
from inlay.graph_runtime.core.current_run import DOWNLOADED
from inlay.graph_runtime.front.comfy.node_classes import node_class
from inlay.models.hub import repository as hub_module
from inlay.nodes import load_pack
from single_files import checkpoint


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A host's folders, with a second place for checkpoints as extra_model_paths.yaml gives one."""
    kinds = {name: [tmp_path / "models" / name] for name in ("checkpoints", "loras", "diffusers", "clip_vision")}
    kinds["checkpoints"].append(tmp_path / "elsewhere")
    for folder in (folder for found in kinds.values() for folder in found):
        folder.mkdir(parents=True)
    module = folder_paths(tmp_path, "input", "output")
    module.get_temp_directory = lambda: None
    module.get_folder_paths = lambda kind: [str(folder) for folder in kinds[kind]]
    module.get_filename_list = lambda kind: sorted(
        path.relative_to(folder).as_posix() for folder in kinds[kind] for path in folder.rglob("*") if path.is_file()
    )
    monkeypatch.setitem(sys.modules, "folder_paths", module)
    return tmp_path


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub on this machine, with an empty cache, and no memory of earlier answers."""
    use = network_of(monkeypatch, tmp_path / "hub")
    with served(FakeHub()) as toy:
        use(toy.url)
        yield toy


def kind(name):
    return node_class(load_pack()[name])


def listed(name):
    groups = kind(name).INPUT_TYPES()
    return (groups["required"] | groups["optional"])["source"]


def test_lists_show_embedded_models_the_hosts_folders_and_what_was_downloaded(folders, shared_sd, monkeypatch):
    from huggingface_hub import constants

    (folders / "models" / "checkpoints" / "sd").mkdir()
    for name in ("one.safetensors", "sd/two.safetensors", "old.ckpt"):
        (folders / "models" / "checkpoints" / name).touch()
    (folders / "elsewhere" / "three.safetensors").touch()
    (folders / "models" / "loras" / "style.safetensors").touch()
    for place, pipeline in (("tiny", "StableDiffusionPipeline"), ("deep/er/one", "StableDiffusionInpaintPipeline")):
        shutil.copytree(shared_sd, folders / "models" / "diffusers" / place)
        said = json.dumps({"_class_name": pipeline})
        (folders / "models" / "diffusers" / place / "model_index.json").write_text(said)
    for place, pipeline in (("big", "StableDiffusionXLPipeline"), (".downloads/half", "StableDiffusionPipeline")):
        (folders / "models" / "diffusers" / place).mkdir(parents=True)
        said = json.dumps({"_class_name": pipeline})
        (folders / "models" / "diffusers" / place / "model_index.json").write_text(said)
    cached = folders / "hub" / "models--someone--cached" / "snapshots" / "0"
    cached.mkdir(parents=True)
    (cached / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folders / "hub"))
    names, options = listed("model.stable_diffusion")
    assert names == [
        "dollhouse",
        "one.safetensors",
        "sd/two.safetensors",
        "three.safetensors",
        "deep/er/one",
        "tiny",
        "someone/cached",
    ]
    assert options["default"] == "dollhouse"
    assert listed("model.lora")[0] == ["none", "style.safetensors", "inlay/subject.safetensors"]
    assert listed("model.captioner")[0] == ["Salesforce/blip-image-captioning-base"]
    assert listed("model.pixel_diffusion")[0] == "STRING"  # nothing to choose from
    assert listed("model.detector")[0] == ["dollhouse-detector"]


def test_every_node_that_takes_a_model_has_its_list(folders):
    from inlay.nodes.model_choices import MODELS

    with_models = {
        name for name, spec in load_pack().items() for role in spec.path_roles.values() if role.kind == "model"
    }
    assert with_models == set(MODELS)


def test_the_list_is_only_an_offer(folders, shared_sd):
    """Old graphs with any text where the list is now, and API prompts with any string, are valid."""
    cls = kind("model.stable_diffusion")
    checked = inspect.getfullargspec(cls.VALIDATE_INPUTS).args
    assert {"source", "other_source"} <= set(checked)  # so the host does not compare them with the list
    assert cls.VALIDATE_INPUTS(source="owner/name", other_source="") is True
    assert cls.VALIDATE_INPUTS(source="dollhouse") is True
    assert "hub id" in cls.VALIDATE_INPUTS(source="absent.safetensors")
    assert cls.VALIDATE_INPUTS(source="absent.safetensors", other_source="owner/name") is True
    assert "hub id" in cls.VALIDATE_INPUTS(source="dollhouse", other_source="../x.safetensors")
    shutil.copytree(shared_sd, folders / "models" / "diffusers" / "tiny")
    typed = cls().execute(source="dollhouse", other_source=" tiny ")
    assert typed[0].label == "unet of tiny"
    assert cls().execute(source="tiny")[0] == typed[0]
    assert cls().execute(source="dollhouse", other_source="")[0].label == "unet of dollhouse"
    assert cls.IS_CHANGED(source="dollhouse", other_source="tiny") == cls.IS_CHANGED(source="tiny")
    groups = cls.INPUT_TYPES()
    assert list(groups["optional"])[-1] == "other_source"  # after all others: older files keep values by position


def test_a_name_in_two_of_the_hosts_folders_is_that_of_the_nodes_kind(folders):
    from inlay.graph_runtime.front.comfy.node_classes import checked_settings

    for place in ("checkpoints", "loras"):
        (folders / "models" / place / "x.safetensors").touch()
    for name, place in (("model.lora", "loras"), ("model.stable_diffusion", "checkpoints")):
        found = checked_settings(load_pack()[name], {"source": "x.safetensors"})["source"]
        assert found == str(folders / "models" / place / "x.safetensors")


def test_a_download_goes_into_the_hosts_folder_once_and_is_the_same_model(folders, hub, shared_sd):
    shutil.copytree(shared_sd, folders / "repository")
    (folders / "repository" / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    hub.folders["someone/tiny"] = folders / "repository"
    cls = kind("model.stable_diffusion")
    parts = cls().execute(source="someone/tiny")
    place = folders / "models" / "diffusers" / "someone" / "tiny"
    assert parts[0].origin.weights("unet").folder == place / "unet"
    assert not list(folders.rglob("*.incomplete"))
    assert not list((folders / "hub").rglob("*.safetensors"))
    assert min(path.name for path in place.iterdir()) == DOWNLOADED  # no cache of the client's beside it
    assert "someone/tiny" in listed("model.stable_diffusion")[0]
    asked = len(hub.asked)
    hub_module._resolved.clear()  # another session
    again = cls().execute(source="someone/tiny")
    assert len(hub.asked) == asked
    local = cls().execute(source=str(Path("someone") / "tiny"))
    assert again[0].fingerprint == local[0].fingerprint == parts[0].fingerprint


def test_another_revision_is_another_folder(folders, hub, shared_sd):
    hub.folders["someone/tiny"] = shared_sd
    cls = kind("model.stable_diffusion")
    cls().execute(source="someone/tiny")
    parts = cls().execute(source="someone/tiny", revision="main")
    assert parts[0].origin.weights("unet").folder.parent.name == "tiny@main"


def test_a_stopped_download_leaves_no_model_and_continues(folders, hub, shared_sd, monkeypatch):
    from inlay.graph_runtime.front.comfy.host import running

    class Interrupted(BaseException):
        """As the host's own: no node may catch it."""

    def interrupted(module, name, *arguments):
        if name == "throw_exception_if_processing_interrupted" and hub.served:
            raise Interrupted

    hub.folders["someone/tiny"], hub.slow = shared_sd, 1.0
    cls = kind("model.stable_diffusion")
    with monkeypatch.context() as patched:
        patched.setattr(running, "ask", interrupted)
        with pytest.raises(Interrupted):
            cls().execute(source="someone/tiny")
    place = folders / "models" / "diffusers" / "someone" / "tiny"
    assert not place.exists()
    assert "someone/tiny" not in listed("model.stable_diffusion")[0]
    hub.slow = 0
    assert cls().execute(source="someone/tiny")[0].known
    assert place.is_dir()


def test_a_lora_lands_among_the_hosts_loras(folders, hub, shared_sd, tmp_path):
    import torch
    from safetensors.torch import save_file

    repository = tmp_path / "repository"
    repository.mkdir()
    layer = "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    save_file(
        {f"{layer}.lora_A.weight": torch.ones(2, 16), f"{layer}.lora_B.weight": torch.ones(16, 2)},
        str(repository / "adapter_model.safetensors"),
    )
    (repository / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 6}))
    hub.folders["someone/style"] = repository
    shutil.copytree(shared_sd, folders / "models" / "diffusers" / "tiny")
    base = kind("model.stable_diffusion")().execute(source="tiny")[0]
    (adapted,) = kind("model.lora")().execute(denoiser=base, source="none", other_source="someone/style")
    file = folders / "models" / "loras" / "someone" / "style" / "adapter_model.safetensors"
    assert adapted.adapters[0].file == file


def test_a_bad_hub_id_is_blamed_on_the_model_node(folders, hub):
    with pytest.raises(NodeError) as caught:
        kind("model.stable_diffusion")().execute(source="dollhouse", other_source="someone/absent")
    assert "not on the hub" in str(caught.value)
    assert "Load Stable Diffusion (inlay).source" in str(caught.value)


def test_a_checkpoint_reads_prompts_with_the_hosts_vocabulary(folders, hub, shared_sd, monkeypatch):
    """Nothing is downloaded for a single file: the host brings CLIP's tokenizer."""
    brought = folders / "host" / "sd1_tokenizer"
    brought.parent.mkdir()
    shutil.copytree(shared_sd / "tokenizer", brought)
    clip = types.ModuleType("comfy.sd1_clip")
    clip.__file__ = str(folders / "host" / "sd1_clip.py")
    monkeypatch.setitem(sys.modules, "comfy.sd1_clip", clip)
    checkpoint(folders / "models" / "checkpoints" / "one.safetensors")
    encoder = kind("model.stable_diffusion")().execute(source="one.safetensors")[2]
    assert encoder.origin.name == "one.safetensors"
    assert hub.asked == []


def test_a_folder_that_cannot_be_written_is_named(folders, hub, shared_sd):
    hub.folders["someone/tiny"] = shared_sd
    shutil.rmtree(folders / "models" / "diffusers")
    (folders / "models" / "diffusers").touch()
    with pytest.raises(NodeError, match="diffusers"):
        kind("model.stable_diffusion")().execute(source="someone/tiny")
    with pytest.raises(NodeError, match="fix"):
        kind("model.stable_diffusion")().execute(source="someone/tiny")


@pytest.mark.parametrize(
    ("source", "other", "meant"), [("dollhouse", "a/b", "a/b"), ("one.safetensors", "", "one.safetensors")]
)
def test_a_graph_saved_with_the_list_becomes_a_workflow_with_the_chosen_model(source, other, meant):
    from inlay.graph_runtime.front.comfy.formats.read import from_host
    from inlay.graph_runtime.front.installed import installed_nodes

    api = {"1": {"class_type": "InlayModelStableDiffusion", "inputs": {"source": source, "other_source": other}}}
    widgets = [source, "", "", "auto", "none", "none", "none", "none", other]
    shown = {"id": 1, "type": "InlayModelStableDiffusion", "pos": [0, 0], "inputs": [], "outputs": [], "mode": 0}
    ui = {"nodes": [{**shown, "widgets_values": widgets}], "links": [], "groups": [], "version": 0.4}
    for raw in (api, ui):
        (node,) = from_host(raw, installed_nodes()).workflow.nodes.values()
        assert node.params["source"] == meant
        assert "other_source" not in node.params
