"""A clone in `custom_nodes/`: what is missing is named at once, with one command; a registry install is small."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from inlay.graph_runtime.front.comfy import installation

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
WANTED = dict(installation._wanted(installation.REQUIREMENTS))

#: As a host does: a module under its path, and then its mappings. Some packages are not there, or old.
HOST = """
import importlib.abc, importlib.metadata as metadata, importlib.util, json, logging, sys, traceback
gone, old = json.loads(sys.argv[2])
names = {name.lower().replace("-", "_"): name for name in gone}
modules = {"PIL" if name == "pillow" else name for name in gone}
class Gone(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in modules:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Gone())
known = metadata.version
def version(name):
    if name in gone:
        raise metadata.PackageNotFoundError(name)
    return old.get(name) or known(name)
metadata.version = version
folder = sys.argv[1]
spec = importlib.util.spec_from_file_location(folder.replace(".", "_x_"), folder + "/__init__.py")
module = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = module
try:
    spec.loader.exec_module(module)
    print("nodes", hasattr(module, "NODE_CLASS_MAPPINGS") and len(module.NODE_CLASS_MAPPINGS))
except Exception as error:
    print(traceback.format_exc())
    print(f"Cannot import {folder} module for custom nodes: {error}")
"""


def loaded(tmp_path, gone=(), old=None):
    folder = tmp_path / "custom_nodes" / "inlay-1.0"
    folder.parent.mkdir()
    folder.symlink_to(ROOT, target_is_directory=True)
    words = [sys.executable, "-c", HOST, str(folder), json.dumps([list(gone), old or {}])]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=tmp_path, timeout=120)
    return done.stdout


def test_a_clone_with_nothing_installed_names_every_package_and_the_one_command(tmp_path):
    said = loaded(tmp_path, gone=[name for name in WANTED if name != "numpy"])
    last = said.strip().splitlines()[-1]
    assert all(f" {name}" in last for name in WANTED if name != "numpy")
    assert f"{sys.executable} -m pip install -r {ROOT / 'requirements.txt'}" in last
    assert last.count("pip install") == 1
    assert "is broken" not in said
    assert said.count("Traceback") == 1
    assert "attention.py" not in said


@pytest.mark.parametrize("name", ["peft", "docstring_parser", "pillow", "pydantic", "jaxtyping"])
def test_one_missing_package_is_named_alone(tmp_path, name):
    last = loaded(tmp_path, gone=[name]).strip().splitlines()[-1]
    assert f"1 package that ComfyUI does not bring: {name}. Install" in last


def test_a_package_that_is_too_old_says_what_is_installed(tmp_path):
    last = loaded(tmp_path, old={"diffusers": "0.9.1", "torch": "2.1.0+cu121"}).strip().splitlines()[-1]
    assert "diffusers 0.35 or newer (0.9.1 is installed)" in last
    assert "torch 2.6 or newer (2.1.0+cu121 is installed), which is ComfyUI's own" in last
    assert "torch" not in last.split("Install")[0]


def test_with_everything_there_the_nodes_load(tmp_path):
    assert int(loaded(tmp_path).split()[-1]) >= 60


def test_requirements_are_the_dependencies_but_torch_and_inlay_itself():
    wanted = {f"{name}>={floor}" for name, floor in WANTED.items()}
    assert wanted == set(PROJECT["project"]["dependencies"]) - {"torch>=2.6"}
    assert f"torch>={installation._HOSTS_OWN[1]}" in PROJECT["project"]["dependencies"]
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    assert len(lines) == len(wanted)  # no line that the check does not read
    assert not [line for line in lines if line.startswith(("torch", "inlay", "git+", "-e", "."))]


@pytest.mark.parametrize(
    ("version", "floor", "enough"),
    [("2.13.0+cpu", "2.6", True), ("0.9", "0.35", False), ("11.3", "11.3", True), ("1!0.1", "0.35", False)],
)
def test_releases_are_compared_as_numbers(version, floor, enough):
    assert (installation._numbers(version) >= installation._numbers(floor)) == enough


def test_the_registry_knows_where_it_comes_from_and_which_host_it_needs():
    about = PROJECT["tool"]["comfy"]
    assert set(about) >= {"PublisherId", "DisplayName", "Icon", "requires-comfyui"}
    assert (ROOT / "docs" / "images" / about["Icon"].rsplit("/", 1)[1]).is_file()
    assert set(PROJECT["project"]["urls"]) >= {"Homepage", "Repository", "Documentation", "Issues"}


def test_a_registry_install_holds_what_the_wheel_holds_and_little_else(tmp_path):
    """git itself reads .comfyignore here, which has the syntax of .gitignore."""
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if tracked.returncode:
        pytest.skip("no repository")
    files = [name for name in tracked.stdout.split("\0") if name]
    asked = ["git", "-c", f"core.excludesFile={ROOT / '.comfyignore'}", "check-ignore", "--no-index", "-z", "--stdin"]
    done = subprocess.run(asked, cwd=ROOT, input="\0".join(files), capture_output=True, text=True, check=False)
    kept = sorted(set(files) - set(done.stdout.split("\0")))
    rooms = {name.split(".")[1] for name in PROJECT["tool"]["setuptools"]["packages"] if "." in name}
    beside = {name for name in kept if name.split("/")[0] not in rooms | {"web", "example_workflows"}}
    assert beside == {
        ".comfyignore",
        "CHANGELOG.md",
        "LICENSE",
        "NOTICE",
        "README.md",
        "SECURITY.md",
        "__init__.py",
        "__main__.py",
        "py.typed",
        "pyproject.toml",
        "requirements.txt",
    }
    assert not [name for name in done.stdout.split("\0") if name.split("/")[0] in rooms]
    size = sum((ROOT / name).stat().st_size for name in kept if not name.startswith("dollhouse/"))
    assert size < 12e6
