"""What `import inlay` offers to people and to their editors."""

import ast
import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import inlay
from inlay.nodes.pack import PACK

ROOT = Path(inlay.__file__).parent
RUN_KEYWORDS = {
    "fast",
    *("jobs", "partial", "profile"),
    *("out", "inputs", "device", "memory", "nodes", "set", "cache", "metadata", "listeners", "cancel", "progress"),
}


def test_the_public_names_are_few():
    assert dir(inlay) == sorted(inlay.__all__)
    assert set(inlay.__all__) == {
        "__version__",
        *("run", "check", "inpaint", "sweep", "Workflow", "Result", "Problem"),
        *("InlayError", "WorkflowError", "NodeError", "Cancelled", "CancelToken", "InlayWarning"),
    }


def test_a_type_checker_knows_every_public_name_from_where_it_is():
    tree = ast.parse((ROOT / "__init__.py").read_text("utf-8"))
    (typed,) = [node for node in tree.body if isinstance(node, ast.If)]
    known = {alias.asname: (f".{one.module}", alias.name) for one in typed.body for alias in one.names}
    assert known == inlay._LAZY
    assert (ROOT / "py.typed").is_file()


def test_help_is_for_people():
    text = pydoc.plain(pydoc.render_doc(inlay.run))
    assert "Run a workflow" in text
    assert "[h w c]" in text
    text = pydoc.plain(pydoc.render_doc(inlay.inpaint))
    assert '.save("filled.png")' in text


def test_inpaint_takes_each_option_by_its_name(monkeypatch):
    module = sys.modules[inlay.inpaint.__module__]
    takes = inspect.signature(inlay.inpaint).parameters
    options = {option.name for option in PACK.expanders["inpaint"].options}
    assert set(takes) - {"options"} <= options | RUN_KEYWORDS
    assert set(inspect.signature(inlay.run).parameters) - {"source", "values"} == RUN_KEYWORDS
    monkeypatch.setattr(module, "run", lambda workflow, /, **given: given)
    for name in set(takes) - {"options", "image", "out", "set"}:
        assert f"        {name}: " in inlay.inpaint.__doc__
        assert inlay.inpaint("a.png", **{name: 3}) == {"image": "a.png", "out": None, "set": None, name: 3}
    assert inlay.inpaint("a.png", context=2, out="o")["context"] == 2


def test_importing_the_functions_needs_neither_numpy_nor_pillow():
    code = "import sys, inlay; inlay.inpaint; print([n for n in ('torch', 'numpy', 'PIL', 'rich') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
