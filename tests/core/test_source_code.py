"""The digest of the code behind a result: what is imported counts, and nothing else."""

import ast
import importlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import inlay
import pytest
from inlay.graph_runtime.core import source_code
from inlay.graph_runtime.core.digests import sha256
from inlay.graph_runtime.core.reading import file_state
from inlay.graph_runtime.core.source_code import code_digest

ROOT = Path(__file__).parents[2]
LATER = 1 << 62  # nothing changes after that: what a new process would say
PACK = {
    "__init__.py": "from .deep.tools import handed_on\n",
    "nodes/__init__.py": "",
    "nodes/paint.py": '"""Paint."""\n\nfrom .. import handed_on\nfrom ._mix import mix\n\n\ndef paint(x=1):\n'
    '    """Paint."""\n    from ..deep import late\n\n    return mix(x) + late.y\n',
    "nodes/_mix.py": "import math\n\nimport PACKNAME.settings\n\n\ndef mix(x):\n    return x  # as it is\n",
    "nodes/other.py": "def other():\n    return 1\n",
    "deep/__init__.py": "LOUD = 1\n",
    "deep/late.py": "y = 1\n",
    "deep/tools.py": "def handed_on():\n    return 1\n",
    "settings.py": "A = {1, 2}\n",
}


@pytest.fixture
def pack(tmp_path, monkeypatch):
    """A stranger's package, imported; its folder and a function of it."""
    name = f"pack_{tmp_path.name}"
    for file, text in PACK.items():
        path = tmp_path / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.replace("PACKNAME", name))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / name, importlib.import_module(f"{name}.nodes.paint").paint


@pytest.mark.parametrize("file", ["nodes/paint.py", "nodes/_mix.py", "deep/late.py", "deep/tools.py", "settings.py"])
def test_whatever_is_imported_on_the_way_counts(pack, file):
    folder, paint = pack
    before = code_digest(paint, since=LATER)
    text = (folder / file).read_text()
    (folder / file).write_text(text.replace("1", "3") if "1" in text else text.replace("return x", "return -x"))
    assert code_digest(paint, since=LATER) != before
    (folder / file).write_text(text)
    assert code_digest(paint, since=LATER) == before


def test_comments_docstrings_layout_and_other_files_do_not(pack):
    folder, paint = pack
    before = code_digest(paint, since=LATER)
    paint_file = folder / "nodes/paint.py"
    code = paint_file.read_text().split('"""', 2)[2].replace('"""Paint."""', '"""Paint it,\n    well."""')
    code = code.replace("mix(x) + late.y", "(mix(x)\n            + late.y)  # sum")
    paint_file.write_text('# new\n"""Another\n\ntext."""\n\n\n' + code)
    for file in ("nodes/other.py", "deep/__init__.py", "nodes/__init__.py"):
        (folder / file).write_text("import nothing_at_all\n")
    (folder / "nodes/more.py").write_text("z = 1\n")
    assert code_digest(paint, since=LATER) == before


def test_a_docstring_of_the_function_itself_does_not_count_and_its_strings_do():
    def first(x):
        """One."""
        return x in {"a", "b"}

    def second(x):
        """Two."""
        return x in {"a", "b"}

    def third(x):
        """Two."""
        return x in {"a", "c"}

    second.__qualname__ = third.__qualname__ = first.__qualname__
    assert code_digest(first) == code_digest(second) != code_digest(third)


def test_a_file_that_changed_after_it_was_imported_holds_for_this_process_alone(pack, monkeypatch):
    folder, paint = pack
    fresh = code_digest(paint, since=LATER)
    imported = os.stat(folder / "nodes/paint.py").st_ctime_ns + 10**9
    assert code_digest(paint, since=imported) == fresh
    now = os.stat(folder / "settings.py")
    os.utime(folder / "settings.py", ns=(now.st_atime_ns, imported + 1))  # touched: who knows what it was
    here = code_digest(paint, since=imported)
    assert here == code_digest(paint, since=imported) != fresh
    monkeypatch.setattr(source_code, "_of_this_process", lambda: b"another process")
    assert code_digest(paint, since=imported) not in (here, fresh)


def test_what_was_parsed_is_remembered_by_the_next_process(pack, monkeypatch):
    folder, paint = pack
    monkeypatch.setattr(file_state, "SETTLED_NS", -1)
    monkeypatch.setattr(source_code, "_known", {})
    before = code_digest(paint, since=LATER)
    monkeypatch.setattr(source_code, "_known", {})  # as in a new process
    parsed = []
    real = source_code._parsed
    monkeypatch.setattr(source_code, "_parsed", lambda text: parsed.append(text) or real(text))
    assert code_digest(paint, since=LATER) == before
    assert parsed == []
    (folder / "settings.py").write_text("A = {1, 4}\n")
    assert code_digest(paint, since=LATER) != before
    assert len(parsed) == 1
    wrong = json.dumps({"format": source_code._FORMAT, "files": {"a": 1}})
    for damaged in ("", "{", '{"format": 3}', wrong, "[]"):
        (Path(os.environ["INLAY_HOME"]) / "code.json").write_text(damaged)
        monkeypatch.setattr(source_code, "_known", {})
        assert code_digest(paint, since=LATER) != before


def test_a_script_and_the_files_beside_it(tmp_path, monkeypatch):
    (tmp_path / "helper_of_script.py").write_text("V = 1\n")
    (tmp_path / "script_with_nodes.py").write_text("import helper_of_script\n\n\ndef f():\n    return 1\n")
    (tmp_path / "stranger.py").write_text("V = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    function = importlib.import_module("script_with_nodes").f
    before = code_digest(function, since=LATER)
    (tmp_path / "stranger.py").write_text("V = 2\n")
    assert code_digest(function, since=LATER) == before
    (tmp_path / "helper_of_script.py").write_text("V = 2\n")
    assert code_digest(function, since=LATER) != before


def _python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ | environment
    ).stdout.strip()


def test_what_python_itself_imports_is_covered_and_the_digest_is_the_same_in_every_process():
    """The oracle: the modules of the pack after `import inlay.nodes.invert`, its sockets without types."""
    ports = ROOT / "nodes/ports.py"
    names = [target.id for line in ast.parse(ports.read_text()).body if isinstance(line, ast.Assign)
             for target in line.targets]  # fmt: skip
    code = (
        "import sys, types; from typing import Annotated, Any; from inlay.graph_runtime import Port; "
        f"untyped = {{name: Annotated[Any, Port(name)] for name in {names}}}; "
        "sys.modules['inlay.nodes.ports'] = types.ModuleType('inlay.nodes.ports'); "
        f"sys.modules['inlay.nodes.ports'].__dict__.update(__file__={str(ports)!r}, **untyped); "
        "import sys; from pathlib import Path; import inlay.nodes.invert as m; "
        "from inlay.graph_runtime.core import source_code as s; "
        "rooms = tuple(f'inlay.{r}.' for r in ('nodes', 'methods', 'models', 'pictures', 'training')); "
        "files = [str(Path(v.__file__)) for k, v in sys.modules.items() if k.startswith(rooms)]; "
        "files = [f for f in files if not f.endswith('__init__.py')]; "  # docstrings alone
        "seen = s._closure(m.__file__, s._package(m.__file__)); "
        "print(m.ddim.spec.digest, sorted(set(files) - seen), [f for f in files if f.endswith('brush.py')])"
    )
    first, second = (_python(code, PYTHONHASHSEED=seed) for seed in ("1", "2"))
    assert first == second
    assert first.split(" ", 1)[1] == "[] []", first


def test_nodes_that_share_no_code_do_not_lose_each_others_results(tmp_path, monkeypatch):
    """In a copy of the pack: an edit reaches the nodes that import the file, and no other."""
    from inlay.graph_runtime.front.installed import installed_nodes

    copy = tmp_path / "inlay"
    for room in sorted({name.split(".")[0] for name in inlay.ROOMS}):
        shutil.copytree(ROOT / room, copy / room, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "__init__.py", copy / "__init__.py")
    monkeypatch.setattr(source_code, "_ENGINE", str(copy / "graph_runtime"))
    monkeypatch.setattr(file_state, "SETTLED_NS", -1)  # no clock is that coarse here
    families = {
        spec.function.__module__.partition(".nodes.")[2].replace(".", "/") for spec in installed_nodes().values()
    }

    def digests():
        found = {}
        for family in families:
            found[family] = sha256(*source_code._of_files(str(copy / "nodes" / f"{family}.py"), LATER))
        return found

    before = digests()

    def touched(file):
        path = copy / file
        text = path.read_bytes()
        path.write_bytes(text + b"\nADDED = 1\n")
        changed = {family for family, digest in digests().items() if digest != before[family]}
        path.write_bytes(text)
        return changed

    (copy / "nodes/no_code.txt").write_text("")
    assert touched("nodes/report.py") == {"report"}
    assert touched("graph_runtime/front/cli/main.py") == touched("nodes/no_code.txt") == set()
    assert {"invert", "sample", "schedule"} <= touched("methods/sampling/ddim.py")
    assert touched("methods/prompt_to_prompt.py") == touched("methods/masactrl.py") == {"attention"}
    files = ("pictures/masks/brush.py", "methods/attention/gather.py", "methods/inversion/tuning.py")
    brush, attention, inversion = map(touched, files)
    assert "mask/brush" in brush
    assert "sample" in attention
    assert "invert" in inversion
    assert not brush & {"invert", "sample", "latent"}
    assert not attention & {"invert", "mask/grow", "mask/files", "latent"}
    assert not inversion & {"mask/grow", "image/files", "report"}


def test_the_type_of_a_port_is_checked_against_and_counts_with_the_node_that_makes_it(tmp_path, monkeypatch):
    (tmp_path / "thing_of_port.py").write_text("class Thing:\n    pass\n\n\nclass Tool:\n    pass\n")
    (tmp_path / "tool_of_port.py").write_text("class Tool:\n    pass\n")
    (tmp_path / "ports_with_types.py").write_text(
        "from typing import Annotated\nfrom inlay.graph_runtime import Port\nfrom thing_of_port import Thing\n"
        "from tool_of_port import Tool\n\nPorted = Annotated[Thing, Port('THING')]\n"
        "Other = Annotated[Tool, Port('TOOL')]\nmade = Tool()\n"
    )
    (tmp_path / "node_with_ports.py").write_text("from ports_with_types import Ported\n\n\ndef f():\n    return 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    function = importlib.import_module("node_with_ports").f
    before = code_digest(function, since=LATER)
    (tmp_path / "thing_of_port.py").write_text("V = 2\n")
    assert code_digest(function, since=LATER) == before
    (tmp_path / "tool_of_port.py").write_text("V = 2\n")  # also used, not only a type
    assert code_digest(function, since=LATER) != before
