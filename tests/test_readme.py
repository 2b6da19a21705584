"""The README's commands and code, as a newcomer would type them, in an empty folder with a picture and a mask."""

import glob
import re
import shlex
import shutil
import sys
import types
from pathlib import Path

import pytest
from inlay.graph_runtime.front.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LONG = ("run baret_", "run subject_lora_train")  # the same runs as in test_workflows


def blocks(language):
    for page in PAGES:
        for number, match in enumerate(
            re.finditer(rf"^```{language}\n(.*?)^```", page.read_text("utf-8"), re.M | re.S)
        ):
            marks = [pytest.mark.slow] if any(name in match[1] for name in LONG) else []
            yield pytest.param(match[1], id=f"{page.name}-{number}", marks=marks)


@pytest.fixture
def here(tmp_path, monkeypatch):
    shutil.copy(ROOT / "workflows" / "room.png", tmp_path / "room.png")
    shutil.copy(ROOT / "workflows" / "room-mask.png", tmp_path / "hole.png")
    shutil.copy(ROOT / "workflows" / "exemplar.png", tmp_path / "exemplar.png")
    shutil.copy(ROOT / "workflows" / "dog.png", tmp_path / "dog.png")
    for folder in ("photos", "subject"):
        shutil.copytree(ROOT / "workflows" / folder, tmp_path / folder)
    shutil.copy(ROOT / "workflows" / "boxes.csv", tmp_path / "boxes.csv")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("block", list(blocks("sh")))
def test_shell_blocks(block, here, capsys):
    for line in block.splitlines():
        words = [
            part
            for word in shlex.split(line, comments=True)
            for part in (sorted(glob.glob(word)) if "*" in word else [word])
        ]  # as a shell does
        if not words or words[0] != "inlay":
            continue
        status = main.main(words[1:])
        captured = capsys.readouterr()
        assert status == 0, f"{line}\n{captured.err}"
    if "again" in block:
        assert (here / "first/image_00001.png").read_bytes() == (here / "again/image_00001.png").read_bytes()


@pytest.mark.parametrize("block", list(blocks("python")))
def test_python_blocks(block, here, monkeypatch):
    module = types.ModuleType("readme_block")
    monkeypatch.setitem(sys.modules, "readme_block", module)
    exec(compile(block, "README", "exec"), module.__dict__)


def test_every_link_leads_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_names_every_shipped_workflow_and_command():
    text = (ROOT / "README.md").read_text("utf-8")
    for path in (ROOT / "workflows").glob("*.json"):
        assert f"`{path.stem}`" in text
    for command in ("run", "check", "nodes", "schema", "draw", "doctor", "models"):
        assert f"inlay {command}" in text
