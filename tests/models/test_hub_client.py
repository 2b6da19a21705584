"""The hub, played by a server on this machine: one clear message within seconds, progress, and stopping."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest
import torch
from hub_toys import FakeHub, network_of, served
from inlay.graph_runtime import BadInput, ModelError
from inlay.graph_runtime.core.current_run import searching
from inlay.graph_runtime.core.errors import Cancelled, NodeError, WorkflowError
from inlay.graph_runtime.core.events import CancelToken, ModelMoved, NodeProgress, Warned
from inlay.graph_runtime.core.notices import collect_notices
from inlay.graph_runtime.front.comfy.host import paths, running
from inlay.graph_runtime.front.comfy.node_classes import node_class
from inlay.graph_runtime.front.python import api
from inlay.models.checkpoint.single_file import TOKENIZER
from inlay.models.hub import client
from inlay.nodes import load_pack
from inlay.nodes.model import stable_diffusion
from inlay.nodes.model_lora import lora
from safetensors.torch import save_file
from single_files import checkpoint


@pytest.fixture
def network(monkeypatch, tmp_path):
    """A hub cache of its own, and no memory of what did not answer."""
    return network_of(monkeypatch, tmp_path / "hub")


@pytest.fixture
def hub(network):
    with served(FakeHub()) as hub:
        network(hub.url)
        yield hub


def flow(source, **params):
    return {
        "format": 1,
        "nodes": {
            "model": {"type": "model.stable_diffusion", "params": {"source": source, **params}},
            "words": {"type": "condition.text", "inputs": {"text_encoder": "model.text_encoder"}},
            "steps": {"type": "schedule.ddim", "inputs": {"scheduler": "model.scheduler"}},
        },
        "outputs": {"words": "words.conditioning", "steps": "steps.schedule"},
    }


def problem_of(raw, tmp_path, **more):
    with pytest.raises(WorkflowError) as caught:
        api.run(raw, out=tmp_path / "out", **more)
    (problem,) = caught.value.problems
    return problem


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_a_model_is_fetched_shown_and_then_here(hub, shared_sd, tmp_path):
    hub.folders["someone/tiny"] = shared_sd
    result = api.run(flow("someone/tiny"), out=tmp_path / "out")
    said = [event.message for event in result.events if isinstance(event, ModelMoved)]
    assert any(message.startswith("downloading someone/tiny") for message in said)
    progress = [event for event in result.events if isinstance(event, NodeProgress) and event.node == "model"]
    assert progress
    assert all(0 <= event.step <= event.total for event in progress)
    assert {"diffusion_pytorch_model.safetensors", "model.safetensors", "vocab.json"} <= set(hub.served)
    hub.broken = 500
    api.run(flow("someone/tiny"), out=tmp_path / "out")  # from the cache: nobody is asked


def test_a_hub_that_cannot_be_reached_is_said_once_and_at_once(network, tmp_path):
    network(f"http://127.0.0.1:{closed_port()}")
    raw = flow("someone/tiny")
    raw["nodes"]["lora"] = {
        "type": "model.lora",
        "params": {"source": "someone/style"},
        "inputs": {"denoiser": "model.denoiser"},
    }
    raw["outputs"]["d"] = "lora.denoiser"
    began = time.monotonic()
    problem = problem_of(raw, tmp_path)
    assert time.monotonic() - began < 5
    assert problem.where == "model.source"
    assert str(tmp_path / "hub") in problem.found
    assert "cannot be reached" in problem.found
    assert "hf download someone/tiny" in problem.fix


def test_a_hub_that_does_not_answer_is_not_waited_for(hub, tmp_path, monkeypatch):
    monkeypatch.setattr(client, "ANSWER", 0.6)
    hub.silent = 30
    began = time.monotonic()
    problem = problem_of(flow("someone/tiny"), tmp_path)
    assert "no answer" in problem.found or "imeout" in problem.found
    assert time.monotonic() - began < 5
    assert len(hub.asked) <= 1
    assert "cannot be reached" in problem_of(flow("someone/else"), tmp_path).found
    assert len(hub.asked) <= 1  # what did not answer is not asked again at once


def test_forbidden_network_is_said(network, tmp_path, monkeypatch):
    network("http://127.0.0.1:9")
    monkeypatch.setenv("INLAY_OFFLINE", "1")
    problem = problem_of(flow("someone/tiny"), tmp_path)
    assert "INLAY_OFFLINE" in problem.found
    assert problem.where == "model.source"


@pytest.mark.parametrize(
    ("spoil", "where", "found", "fix"),
    [
        ({}, "model.source", "not on the hub", "spelling"),
        ({"gated": True}, "model.source", "gated", "licence"),
        ({"revision": "v9"}, "model.revision", "'v9'", "revision"),
        ({"variant": "bf16"}, "model.variant", "bf16", "variant"),
        ({"remove": "unet/diffusion_pytorch_model.safetensors"}, "model.source", "unet", "another model"),
        ({"pickle": "unet/diffusion_pytorch_model"}, "model.source", "pickle", "safetensors"),
        ({"broken": 503}, "model.source", "503", "later"),
    ],
    ids=["nowhere", "gated", "revision", "variant", "no-safetensors", "pickle", "broken"],
)
def test_what_is_wrong_with_a_repository_is_named_at_the_model(hub, shared_sd, tmp_path, spoil, where, found, fix):
    folder = tmp_path / "repository"
    shutil.copytree(shared_sd, folder)
    params = {key: spoil[key] for key in ("revision", "variant") if key in spoil}
    if spoil:
        hub.folders["someone/tiny"] = folder
    if spoil.get("gated"):
        hub.gated.add("someone/tiny")
    if "remove" in spoil:
        (folder / spoil["remove"]).unlink()
    if "pickle" in spoil:
        (folder / f"{spoil['pickle']}.safetensors").rename(folder / f"{spoil['pickle']}.bin")
    hub.broken = spoil.get("broken", 0)
    problem = problem_of(flow("someone/tiny", **params), tmp_path)
    assert problem.where == where
    assert found in problem.found + problem.expected
    assert fix in problem.fix


def test_a_download_stops_when_asked_and_goes_on_later(hub, shared_sd, tmp_path):
    hub.folders["someone/tiny"], hub.slow = shared_sd, 0.5
    cancel, began = CancelToken(), []

    def listen(event):
        if isinstance(event, NodeProgress) and not began:
            began.append(time.monotonic())
            threading.Timer(0.3, cancel.cancel).start()

    with pytest.raises(Cancelled):
        api.run(flow("someone/tiny"), out=tmp_path / "out", cancel=cancel, listeners=[listen])
    assert time.monotonic() - began[0] < 3
    hub.slow = 0
    api.run(flow("someone/tiny"), out=tmp_path / "out")


def test_another_host_fetches_at_the_model_node(hub, shared_sd, caplog):
    kind = node_class(load_pack()["model.stable_diffusion"])
    with pytest.raises(NodeError) as caught:
        kind().execute(source="someone/tiny")
    assert "not on the hub" in str(caught.value)
    hub.folders["someone/tiny"] = shared_sd
    parts = kind().execute(source="someone/tiny")
    assert parts[0].known
    assert parts[1].factor == 8


def test_a_lora_comes_with_its_configuration(hub, shared_sd, tmp_path):
    repository = tmp_path / "lora"
    repository.mkdir()
    layer = "base_model.model.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    save_file(
        {f"{layer}.lora_A.weight": torch.ones(2, 16), f"{layer}.lora_B.weight": torch.ones(16, 2)},
        str(repository / "adapter_model.safetensors"),
    )
    (repository / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 2, "lora_alpha": 6}))
    hub.folders["someone/style"] = repository
    base = stable_diffusion(str(shared_sd)).denoiser
    described = lora(base, source="someone/style").denoiser
    assert described.fetch()
    with collect_notices() as said:
        again = lora(base, source="someone/style").denoiser
    assert again.known
    assert said == []
    from inlay.models.lora.file import read_lora

    assert {pair.alpha for pair in read_lora(again.adapters[0].file).pairs.values()} == {6.0}


def test_a_missing_tokenizer_is_blamed_on_the_model(hub, tmp_path):
    checkpoint(tmp_path / "one.safetensors")
    problem = problem_of(flow(str(tmp_path / "one.safetensors")), tmp_path)
    assert problem.where == "model.source"
    assert TOKENIZER in problem.fix
    assert "no tokenizer" in problem.found


def test_a_misspelt_folder_is_offered(hub, shared_sd, tmp_path):
    (tmp_path / "models").mkdir()
    shutil.copytree(shared_sd, tmp_path / "models" / "sd15")
    with searching((tmp_path,), ()), collect_notices() as said:
        for source in ("models/sd51", "modles/sd15", "Models/SD15"):
            with pytest.raises(ModelError) as caught:
                stable_diffusion(source).vae.load("cpu")
            assert "did you mean 'models/sd15'" in caught.value.fix
    assert "'models/sd15'" in said[0]
    raw = tmp_path / "flow.json"
    raw.write_text(json.dumps(flow("modles/sd15")))
    assert [w for w in api.check(raw).warnings if isinstance(w, Warned) and "models/sd15" in w.message]
    assert "models/sd15" in problem_of(raw, tmp_path).fix


def test_windows_paths_are_read_or_named(shared_sd, tmp_path, monkeypatch):
    shutil.copytree(shared_sd, tmp_path / "models" / "sd15")
    raw = tmp_path / "flow.json"
    raw.write_text(json.dumps(flow(r"models\sd15")))
    assert api.check(raw) == []
    monkeypatch.chdir(tmp_path)
    assert api.check(raw, set={"model.source": r"models\sd15"}) == []
    for wrong in (r"modles\sd15", r"C:\models\sd15"):
        raw.write_text(json.dumps(flow(wrong)))
        (problem,) = api.check(raw)
        assert "Windows" in problem.found


def test_windows_paths_are_read_in_another_host(tmp_path, monkeypatch):
    (tmp_path / "models" / "sd").mkdir(parents=True)
    for name in ("input", "output"):
        (tmp_path / name).mkdir()
    (tmp_path / "models" / "sd" / "one.safetensors").touch()
    (tmp_path / "outside.safetensors").touch()
    monkeypatch.setattr(paths, "host_folder", lambda kind: tmp_path / kind)
    monkeypatch.setattr(paths, "model_folders", lambda *kinds: (tmp_path / "models",))
    role = next(iter(load_pack()["model.lora"].path_roles.values()))
    found = paths.resolve_path("source", r"sd\one.safetensors", role)
    assert found == str(tmp_path / "models" / "sd" / "one.safetensors")
    with pytest.raises(BadInput):
        paths.resolve_path("source", r"..\outside.safetensors", role)


def test_checking_never_asks_the_hub(hub, tmp_path):
    raw = flow("someone/tiny")
    raw["nodes"] |= {
        "pbe": {"type": "model.paint_by_example", "params": {"source": "someone/exemplars"}},
        "lora": {"type": "model.lora", "params": {"source": "someone/style"}, "inputs": {"denoiser": "model.denoiser"}},
        "photo": {"type": "mask.shape", "params": {"kind": "center"}, "inputs": {"image": "picture.image"}},
        "picture": {"type": "image.load", "params": {"path": "a.png"}},
        "encoded": {"type": "latent.encode", "inputs": {"image": "picture.image", "vae": "model.vae"}},
        "seen": {
            "type": "condition.exemplar",
            "inputs": {"exemplar_encoder": "pbe.exemplar_encoder", "image": "picture.image"},
        },
        "noise": {"type": "noise.gaussian", "inputs": {"latent": "encoded.latent"}},
        "sample": {
            "type": "sample.denoise",
            "inputs": {
                "denoiser": "lora.denoiser",
                "schedule": "steps.schedule",
                "noise": "noise.noise",
                "conditioning": "words.conditioning",
            },
        },
    }
    raw["outputs"] |= {"latent": "sample.latent", "seen": "seen.conditioning"}
    from PIL import Image

    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    (tmp_path / "flow.json").write_text(json.dumps(raw))
    report = api.check(tmp_path / "flow.json")
    assert report == []
    assert {w.node for w in report.warnings if "a run downloads it first" in w.message} >= {"model", "pbe"}
    assert hub.asked == []


def test_ctrl_c_ends_a_download_and_its_process(hub, shared_sd, tmp_path):
    hub.folders["someone/tiny"], hub.slow = shared_sd, 2.0
    (tmp_path / "flow.json").write_text(json.dumps(flow("someone/tiny")))
    environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "hf")}
    command = [sys.executable, "-m", "inlay", "run", "flow.json", "--out", "out"]
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stderr=subprocess.PIPE, text=True) as process:
        said = next(line for line in process.stderr if "downloading someone/tiny" in line)
        assert "MiB" in said
        while not hub.served:
            time.sleep(0.05)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 130
        assert time.monotonic() - began < 5
    asked = len(hub.served)
    time.sleep(0.5)
    assert len(hub.served) == asked  # nobody goes on in the background


def test_another_host_s_interrupt_ends_a_download(hub, shared_sd, monkeypatch):
    class InterruptedByHost(BaseException):
        """As a host's own: no node may catch it."""

    def ask(module, name, *arguments):
        if name == "throw_exception_if_processing_interrupted" and hub.served:
            raise InterruptedByHost

    monkeypatch.setattr(running, "ask", ask)
    hub.folders["someone/tiny"], hub.slow = shared_sd, 1.0
    kind, began = node_class(load_pack()["model.stable_diffusion"]), time.monotonic()
    with pytest.raises(InterruptedByHost):
        kind().execute(source="someone/tiny")
    assert time.monotonic() - began < 10
    assert "diffusion_pytorch_model.safetensors" not in hub.served or len(hub.served) < 8


def test_a_download_ends_with_the_process_that_asked_for_it_and_what_it_left_goes(hub, tmp_path):
    """A worker whose parent was killed does not go on; the next whole download removes what no process writes to."""
    folder = tmp_path / "repository"
    folder.mkdir()
    (folder / "a.safetensors").write_bytes(bytes(600_000))
    hub.folders["someone/toy"], hub.slow = folder, 0.05
    child = os.fork()
    if not child:
        try:
            client.download(client.Request("someone/toy", None), ["a.safetensors"], {})
        finally:
            os._exit(1)
    blobs = tmp_path / "hub" / "models--someone--toy" / "blobs"
    end = time.monotonic() + 20
    while not list(blobs.glob("*.incomplete")) and time.monotonic() < end:
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    served_then = len(hub.served)
    before = {path: path.stat().st_size for path in blobs.glob("*.incomplete")}
    time.sleep(0.3)
    grown = {path: path.stat().st_size for path in blobs.glob("*.incomplete")}
    time.sleep(0.3)
    assert grown == {path: path.stat().st_size for path in blobs.glob("*.incomplete")}, before
    hub.slow = 0.0
    root = client.download(client.Request("someone/toy", None), ["a.safetensors"], {})
    assert (root / "a.safetensors").read_bytes() == bytes(600_000)
    assert len(hub.served) > served_then
    assert not list(blobs.glob("*.incomplete"))
