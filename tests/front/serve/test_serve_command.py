"""`inlay serve` before it serves: what it needs, what it refuses, and what it does not import."""

import gc
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import uvicorn
from inlay.graph_runtime.front.cli import main
from inlay.graph_runtime.front.serve import run
from inlay.graph_runtime.front.serve.editor.static import EDITOR
from inlay.graph_runtime.front.serve.folders import hold_folders
from inlay.graph_runtime.front.serve.service import Service
from inlay.graph_runtime.front.serve.settings import Settings

ROOT = Path(__file__).resolve().parents[3]


def _said(capsys, *words):
    assert main.main(["serve", "--json", *words]) == 2
    return json.loads(capsys.readouterr().out)["problems"][0]


def test_without_the_extra_the_command_names_what_is_missing_and_how_to_install_it(capsys, monkeypatch, tmp_path):
    real = importlib.util.find_spec
    monkeypatch.setattr(
        run.importlib.util, "find_spec", lambda name, *more: None if name == "uvicorn" else real(name, *more)
    )
    found = _said(capsys, "--out", str(tmp_path / "out"))
    assert "uvicorn" in found["found"]
    assert found["fix"].endswith("-m pip install fastapi uvicorn websockets")
    assert not (tmp_path / "out").exists()


def test_a_host_that_is_no_address_is_blamed_and_not_its_port(capsys, tmp_path):
    found = _said(capsys, "--host", "999.1.1.1", "--out", str(tmp_path / "out"))
    assert found["port"] == "--host"
    assert "999.1.1.1" in found["found"]


def test_what_cannot_be_served_is_refused_before_anything_starts(capsys, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert _said(capsys, "--port", port, "--out", str(tmp_path / "out"))["port"] == "--port"
    assert _said(capsys, "--inputs", str(tmp_path / "nothing"))["port"] == "--inputs"
    assert _said(capsys, "--max-upload", "much")["port"] == "--max-upload"
    assert "a port" in _said(capsys, "--port", "70000")["found"]
    (tmp_path / "file").write_text("")
    assert _said(capsys, "--port", "0", "--out", str(tmp_path / "file"))["port"] == "--out"


def test_one_home_serves_one_server(capsys, tmp_path):
    held = hold_folders(Settings(out=tmp_path / "out"))
    assert "another server" in _said(capsys, "--port", "0", "--out", str(tmp_path / "out"))["found"]
    held.release()


def test_the_server_itself_imports_no_library_that_computes():
    code = (
        "import sys, tempfile, pathlib\n"
        "from inlay.graph_runtime.front.serve.app import create_app\n"
        "from inlay.graph_runtime.front.serve.service import Service\n"
        "from inlay.graph_runtime.front.serve.settings import Settings\n"
        "folder = pathlib.Path(tempfile.mkdtemp())\n"
        "create_app(Service(Settings(out=folder / 'out', folder=folder)))\n"
        "print([name for name in ('torch', 'numpy', 'diffusers', 'transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_server_collects_garbage_and_leaves_the_folder_where_it_was_started(monkeypatch, tmp_path):
    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Service, "start", lambda self: self.settings.here.mkdir(parents=True))
    monkeypatch.setattr(uvicorn.Server, "run", lambda self, sockets: seen.append((gc.isenabled(), os.listdir("."))))
    try:
        assert main.main(["serve", "--port", "0", "--out", str(tmp_path / "out")]) == 0
    finally:
        gc.unfreeze()
    assert seen == [(True, [])]


def test_the_editor_that_is_named_is_the_one_that_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    pinned = project["optional-dependencies"]["editor"]
    assert EDITOR.split()[0] in pinned
    assert any(one.startswith(EDITOR.split()[1]) for one in pinned)
