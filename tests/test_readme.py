"""The commands and code of README and guides, as a newcomer would type them: those of a page one after the other, in a
folder that `inlay samples .` has filled; and the links of every Markdown page."""

import ast
import functools
import glob
import re
import shlex
import sys
import types
from pathlib import Path

import pytest
from inlay.graph_runtime.front.cli import main
from inlay.graph_runtime.front.installed import shipped_workflows

ROOT = Path(__file__).parents[1]
RUN = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
LINKED = [
    *sorted(ROOT.glob("*.md")),
    *RUN[1:],
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "web").rglob("*.md")),
]
#: Files that a page tells the reader to make.
EXAMPLES = {"nodes/image/posterize.py", "tests/nodes/test_image_posterize.py"}
ROOMS = "benchmarks|dollhouse|graph_runtime|methods|models|nodes|pictures|scripts|tests|training"
LONG = ("run baret_", "run subject_lora_train")  # runs that several pages, and test_pictures and test_workflows, show


def name_of(page):
    return str(page.relative_to(ROOT))


def blocks(language):
    for page in RUN:
        text = page.read_text("utf-8")
        group = "long" if any(name in text for name in LONG) else name_of(page)  # one process makes them, once
        for number, match in enumerate(re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)):
            marks = [pytest.mark.xdist_group(group)]
            if any(name in match[1] for name in LONG):
                marks.append(pytest.mark.slow)
            yield pytest.param(name_of(page), match[1], id=f"{name_of(page)}-{number}", marks=marks)


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory):
    """The folder in which all blocks of a page run."""

    @functools.cache
    def folder_of(page):
        folder = tmp_path_factory.mktemp(re.sub(r"\W", "-", page))
        assert main.main(["samples", str(folder)]) == 0
        return folder

    return folder_of


@pytest.fixture
def here(page, folder_of, monkeypatch, home_of_pages):
    monkeypatch.chdir(folder_of(page))
    return folder_of(page)


@pytest.mark.parametrize(("page", "block"), list(blocks("sh")))
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


@pytest.mark.parametrize(("page", "block"), list(blocks("python")))
def test_python_blocks(block, here, monkeypatch):
    module = types.ModuleType("readme_block")
    monkeypatch.setitem(sys.modules, "readme_block", module)
    exec(compile(block, "README", "exec"), module.__dict__)


def anchors(text):
    """What GitHub makes of the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_every_link_and_image_exists(page):
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", text)):
        if "://" in target or target.startswith("mailto:"):
            continue
        path, _, anchor = target.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"no file for ({target})"
        assert ROOT in found.parents, f"({target}) is outside the repository"
        if anchor:
            assert anchor in anchors(found.read_text("utf-8")), f"no heading for ({target})"


def test_every_picture_of_the_docs_is_shown_by_a_page():
    shown = {
        (page.parent / target).resolve()
        for page in LINKED
        for target in re.findall(r"!\[[^\]]*\]\(([^)\s]+)\)", page.read_text("utf-8"))
    }
    assert set((ROOT / "docs" / "images").iterdir()) <= shown


@pytest.mark.parametrize("page", LINKED, ids=name_of)
def test_every_script_that_a_page_names_exists(page):
    for script in re.findall(rf"\b(?:{ROOMS})/[\w/]+\.py\b", page.read_text("utf-8")):
        assert script in EXAMPLES or (ROOT / script).is_file(), script


CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")


@pytest.mark.parametrize(("function", "file"), sorted(set(re.findall(r"`(\w+)` in\s+`([\w/]+\.py)`", CONTRIBUTING))))
def test_every_function_on_the_way_of_a_photo_is_there(function, file):
    names = {node.name for node in ast.walk(ast.parse((ROOT / file).read_text("utf-8"))) if hasattr(node, "name")}
    assert function in names


def test_the_example_of_a_node_and_its_test_work(monkeypatch):
    blocks = dict(re.findall(r"^```python\n# (\S+)\.py\n(.*?)^```", CONTRIBUTING, re.MULTILINE | re.DOTALL))
    module = types.ModuleType("inlay.nodes.image.posterize")
    module.__package__ = "inlay.nodes.image"
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(blocks["nodes/image/posterize"], "nodes/image/posterize.py", "exec"), module.__dict__)
    names = {}
    exec(compile(blocks["tests/nodes/test_image_posterize"], "test_image_posterize.py", "exec"), names)
    for levels in (2, 4, 256):
        names["test_each_channel_has_that_many_levels"](levels)
    spec = module.posterize.spec
    assert spec.id == "image.posterize"
    assert set(spec.docs.parameters) == {*spec.sockets, *spec.params.model_fields}  # as test_docs asks of every node


def test_the_readme_names_every_shipped_workflow_and_command():
    text = (ROOT / "README.md").read_text("utf-8")
    for path in shipped_workflows().values():
        assert f"`{path.stem}`" in text
    for command in ("run", "sweep", "check", "samples", "nodes", "schema", "draw", "doctor", "models"):
        assert f"inlay {command}" in text
