"""Messages name the true cause: a missing package, another program's file, a slip in JSON, no such command."""

import json
import subprocess
import sys

import inlay
import pytest
from inlay.graph_runtime.core.bounded.limits import DEPTH
from inlay.graph_runtime.core.errors import missing_package
from inlay.graph_runtime.core.workflow import Workflow, build, decode
from inlay.graph_runtime.front.cli import main
from inlay.graph_runtime.front.recipe import record as record_module
from PIL import Image
from PIL.PngImagePlugin import PngInfo

BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
from inlay.graph_runtime.front.cli import main
sys.exit(main.main(["check", "zero_shot_inpaint"]))
"""


@pytest.mark.parametrize("package", ["torch", "jaxtyping", "numpy"])
def test_a_missing_package_is_named_with_the_command(package):
    done = subprocess.run(
        [sys.executable, "-c", BLOCKED.format(package=package)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 2, done.stderr
    assert f"the Python package '{package}' is not installed here" in done.stderr
    assert f"pip install {package}" in done.stderr
    assert "mistake in inlay" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_package_behind_other_errors():
    def lazily():
        try:
            raise ModuleNotFoundError("No module named 'scipy.ndimage'", name="scipy.ndimage")
        except ImportError as error:
            raise RuntimeError("Failed to import diffusers.models because of the following error") from error

    with pytest.raises(RuntimeError) as caught:
        lazily()
    found, _, fix = missing_package(caught.value)
    assert "'scipy'" in found
    assert fix.endswith("pip install scipy")
    assert "pillow" in missing_package(ModuleNotFoundError("No module named 'PIL'", name="PIL"))[2]
    assert missing_package(ValueError("No module named 'x'")) is None
    assert missing_package(ModuleNotFoundError("No module named 'inlay.no'", name="inlay.no")) is None


def test_a_package_that_loading_a_model_misses(monkeypatch, tmp_path):
    from inlay.models.stable_diffusion import VaeComponent

    def read(self):
        raise RuntimeError("Failed to import diffusers.models because of the following error") from ModuleNotFoundError(
            "No module named 'accelerate'", name="accelerate"
        )

    monkeypatch.setattr(VaeComponent, "_read", read)
    with pytest.raises(inlay.NodeError) as caught:
        inlay.run("zero_shot_inpaint", out=tmp_path, cache=False, steps=1)
    assert "'accelerate' is not installed" in caught.value.problem.found
    assert caught.value.problem.fix.endswith("pip install accelerate")


def test_a_package_that_a_node_misses_at_run_time(toys, graph, tmp_path):
    from types import SimpleNamespace

    from inlay.graph_runtime import node

    @node("toy.needs")
    def needs(a: toys.add.__annotations__["a"]) -> toys.add.__annotations__["return"]:
        """Needs."""
        raise ModuleNotFoundError("No module named 'peft'", name="peft")

    raw = graph({"c": ("toy.constant", {"value": 1}), "n": ("toy.needs", {}, {"a": "c.value"})}, {"x": "n.value"})
    with pytest.raises(inlay.NodeError) as caught:
        inlay.run(raw, nodes=[toys.module, SimpleNamespace(n=needs)], out=tmp_path)
    assert "'peft' is not installed" in caught.value.problem.found
    assert caught.value.problem.fix.endswith("pip install peft")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ({"3": {"class_type": "KSampler", "inputs": {}}}, "ComfyUI workflow, in its API format"),
        ({"prompt": {"3": {"class_type": "KSampler", "inputs": {}}}}, "ComfyUI workflow, in its API format"),
        ({"last_node_id": 9, "nodes": [], "links": [], "version": 0.4}, "ComfyUI workflow, as its editor saves it"),
        ({"nodes": [], "edges": [], "exposedFields": []}, "InvokeAI"),
        ({"name": "web", "version": "1.0.0", "dependencies": {}}, "its keys: 'name', 'version', 'dependencies'"),
        ([1, 2], "a JSON list"),
        ("text", "a JSON str"),
        (None, "a JSON NoneType"),
    ],
)
def test_files_of_other_programs(raw, words):
    with pytest.raises(inlay.WorkflowError) as caught:
        build(raw)
    assert words in str(caught.value)
    assert 'add "format"' not in str(caught.value)


def test_an_inlay_file_without_a_format_is_told_so():
    with pytest.raises(inlay.WorkflowError, match='add "format": 1'):
        build({"nodes": {"a": {"type": "image.load"}}})


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        ("workflow", "ComfyUI"),
        ("prompt", "ComfyUI"),
        ("parameters", "AUTOMATIC1111"),
        ("Title", "without a workflow"),
    ],
)
def test_pictures_of_other_programs(tmp_path, chunk, words):
    info = PngInfo()
    info.add_text(chunk, "{}")
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=info)
    (problem,) = inlay.check(tmp_path / "a.png")
    assert words in problem.found


@pytest.mark.parametrize(
    ("text", "line", "fix"),
    [
        ('{\n "a": 1,\n}', 3, "remove the comma"),
        ('{\n "a": [1, 2,]}', 2, "remove the comma"),
        ('{\n // why\n "a": 1}', 2, "no comments"),
        ("{\n 'a': 1}", 2, "double quotes"),
        ('{\n "a": True}', 2, "true, false"),
        ('{\n "a": 1', 2, "ends too early"),
        ('{\n "a": 1\n "b": 2}', 3, "a comma is missing"),
    ],
)
def test_slips_in_json_are_named_with_their_line(text, line, fix):
    for form in (text, text.replace("\n", "\r\n"), "\ufeff" + text):
        with pytest.raises(inlay.WorkflowError) as caught:
            decode(form.encode(), "my.json")
        (problem,) = caught.value.problems
        assert any(f"line {number}," in problem.found for number in (line - 1, line))  # Python 3.13: at the comma
        assert fix in problem.fix


def test_a_byte_order_mark_and_carriage_returns_are_fine():
    assert decode('\ufeff{"a":\r\n1}'.encode()) == {"a": 1}


def test_dicts_of_python_are_bounded():
    deep: dict = {}
    for _ in range(DEPTH + 10):
        deep = {"x": deep}
    raw = {"format": 1, "nodes": {"a": {"type": "image.load", "params": {"path": deep}}}}
    assert "levels of nesting" in inlay.check(raw)[0].found
    circle: dict = {"format": 1, "nodes": {}}
    circle["nodes"]["a"] = circle
    assert "levels of nesting" in inlay.check(circle)[0].found
    long = {"format": 1, "nodes": {"a": {"type": "noise.gaussian", "params": {"seed": 10**4301}}}}
    assert any("more than 308 digits" in problem.found for problem in inlay.check(long))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["zero_shot_inpaint"], "`inlay run zero_shot_inpaint`"),
        (["zero_shot_inpait"], "`inlay run zero_shot_inpaint`"),
        (["rum"], "'run'"),
        (["run", "zero_shot_inpait"], "'zero_shot_inpaint'"),
        (["nodes", "mask.gro"], "'mask.grow'"),
        (["my.json"], "`inlay run my.json`"),
        (["check"], "FILE is missing"),
        (["qqqqqq"], "see `inlay --help`"),
    ],
)
def test_words_that_are_no_command(capsys, words, says):
    assert main.main(words) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "Traceback" not in said


def test_bare_inlay_prints_help(capsys):
    assert main.main([]) == 0
    assert "inlay run zero_shot_inpaint" in capsys.readouterr().out


def test_a_record_names_the_package_of_a_node_that_is_not_here(tmp_path, monkeypatch):
    workflow = Workflow.model_validate({"nodes": {"a": {"type": "glow.add"}}, "outputs": {"x": "a.image"}})
    record = {"workflow": json.loads(workflow.to_json()), "files": {}, "packages": {"glow.add": "inlay-glow 1.2"}}
    info = PngInfo()
    info.add_text(record_module.CHUNK, json.dumps(record))
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png", pnginfo=info)
    (problem,) = inlay.check(tmp_path / "a.png")
    assert "of the package 'inlay-glow 1.2', which is not installed here" in problem.found
    assert problem.fix == "pip install inlay-glow==1.2"


def test_the_package_of_a_node_is_recorded(toys, monkeypatch):
    from importlib import metadata

    monkeypatch.setattr(record_module, "_distributions", lambda: {"toy_nodes": ["inlay-toys"]})
    monkeypatch.setattr(metadata, "version", lambda name: "1.2")
    spec = toys.add.spec
    monkeypatch.setattr(spec.function, "__module__", "toy_nodes.math")
    assert record_module.package_of(spec) == "inlay-toys 1.2"
    from inlay.graph_runtime.front.installed import installed_nodes

    assert record_module.package_of(installed_nodes()["image.load"]) == ""


@pytest.mark.parametrize(("typed", "near"), [("Room.png", "room.png"), ("rom.png", "room.png"), ("zebra.png", None)])
def test_a_misspelt_file_is_answered_with_its_neighbour(tmp_path, typed, near):
    Image.new("RGB", (4, 4)).save(tmp_path / "room.png")
    raw = {"format": 1, "nodes": {"a": {"type": "image.load", "params": {"path": "x.png"}}}}
    problems = inlay.check(raw, inputs=tmp_path, set={"a.path": str(tmp_path / typed)})
    problem = next(problem for problem in problems if problem.where == "a.path")
    assert problem.found.startswith("no such file")
    assert ("did you mean" in problem.fix) == (near is not None)
    assert near is None or f"'{near}'" in problem.fix
