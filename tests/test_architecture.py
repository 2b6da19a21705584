"""The house rules that a machine can check: who imports whom, and how files look."""

import ast
import functools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import networkx

ROOT = Path(__file__).resolve().parents[1]
ROOMS = (
    "graph_runtime",
    "nodes",
    "training",
    "methods",
    "models",
    "pictures",
    "dollhouse",
    "workflows",
    "benchmarks",
    "tests",
)
SOURCES = [
    Path("__init__.py"),
    Path("__main__.py"),
    *sorted(path.relative_to(ROOT) for room in ROOMS if room != "tests" for path in (ROOT / room).rglob("*.py")),
]
TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("*.py"))
LONGEST = 400  # lines of a file
FULLEST = 30  # files of a folder
MOST_ANY = 60  # lines of the package
HOST = {"comfy", "comfy_api", "comfy_execution", "comfy_extras", "folder_paths", "node_helpers", "server", "execution"}
WEB = {"fastapi", "starlette", "uvicorn", "aiohttp", "flask", "gradio"}
HEAVY = {"diffusers", "transformers", "peft", "accelerate", "cv2", "torchvision", "matplotlib", "scipy"}
ALONE = {("graph_runtime", "front", part) for part in ("cli", "serve")}  # that no host imports
FORBIDDEN = {"eval", "exec", "compile", "os.system", "pickle.load", "pickle.loads"}
#: Who may import whom, besides itself. Methods and models know nothing of each other, and pictures of neither.
MAY_IMPORT = {
    "core": set(),
    "pictures": {"core"},
    "models": {"pictures", "core"},
    "methods": {"pictures", "core"},
    "training": {"methods", "models", "pictures", "core"},
    "nodes": {"training", "methods", "models", "pictures", "core"},
    "front": {"nodes", "core"},
}
PURE = {
    "bounded",
    "context",
    "current_run",
    "database",
    "digests",
    "disk_errors",
    "errors",
    "file_digests",
    "events",
    "expander",
    "files",
    "leftovers",
    "light",
    "tensor_store",
    "opening",
    "out_of_memory",
    "memory",
    "notices",
    "pack",
    "processors",
    "reading",
    "quiet",
    "port_types",
    "spec",
    "tensors",
    "user_paths",
    "values",
}


def room_of(name):
    """The room of a dotted name of ours; none for `inlay` itself and for the scripts that stand outside."""
    package, *parts = name.split(".")
    if package != "inlay":
        return None
    if parts[:1] == ["graph_runtime"]:
        return "front" if parts[1:2] == ["front"] else "core"
    return parts[0] if parts and parts[0] in MAY_IMPORT else None


@functools.cache
def tree(path):
    return ast.parse((ROOT / path).read_text(encoding="utf-8"), str(path))


def resolved(path, statement):
    """Dotted names that an import statement reaches, ours as `inlay.…`, whichever way it is written."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    base = statement.module or ""
    if statement.level:
        package = ("inlay", *path.parts[:-1])
        package = package[: len(package) - statement.level + 1]
        base = ".".join((*package, *([statement.module] if statement.module else [])))
    return [f"{base}.{alias.name}" for alias in statement.names]


def imports(path, top_only=False):
    statements = tree(path).body if top_only else ast.walk(tree(path))
    return [
        (name, statement)
        for statement in statements
        if isinstance(statement, (ast.Import, ast.ImportFrom))
        for name in resolved(path, statement)
    ]


INSIDE = [path for path in SOURCES if room_of(".".join(("inlay", *path.with_suffix("").parts)))]


def each(paths):
    """One test for all files, which names every file that breaks the rule: a test for each takes a minute in all."""

    def of(rule):
        def judged():
            broken = []
            for path in paths:
                try:
                    rule(path)
                except AssertionError as error:
                    broken.append(f"{path}: {error}")
            assert not broken, "\n".join(broken)

        judged.__doc__ = rule.__doc__
        return judged

    return of


@each(SOURCES + TESTS)
def test_no_star_imports_and_no_long_files(path):
    for name, _ in imports(path):
        assert not name.endswith(".*"), f"{path}: import * from {name}"
    length = len((ROOT / path).read_text(encoding="utf-8").splitlines())
    assert length <= (LONGEST if path in SOURCES else 2 * LONGEST), f"{path} has {length} lines"


def test_no_folder_is_crowded():
    folders = [path.parent for path in (*SOURCES, *TESTS)]
    crowded = {str(folder): count for folder in set(folders) if (count := folders.count(folder)) > FULLEST}
    assert not crowded


def test_any_is_rare_and_has_its_reason():
    """`Any` switches the type checker off; each line that uses it says why."""
    found = []
    for path in INSIDE:
        for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
            code = line.partition("#")[0]
            if re.search(r"[\[\s,(|.]Any\b(?! [a-z])", code) and not re.match(r"\s*(from|import)\b", code):
                assert "#" in line, f"{path}:{number}: Any without a reason"
                found.append(f"{path}:{number}")
    assert 0 < len(found) < MOST_ANY, found


@each(SOURCES)
def test_imports_inside_the_package_are_relative(path):
    if path.parts[0] == "benchmarks":
        return  # scripts that stand outside the package
    for name, statement in imports(path):
        ours = name.split(".")[0] in (*ROOMS, "inlay")
        assert not ours or getattr(statement, "level", 0), f"{path}:{statement.lineno}: absolute import of {name}"


@each(INSIDE)
def test_a_room_imports_only_those_below_it(path):
    own = room_of(".".join(("inlay", *path.with_suffix("").parts)))
    for name, statement in imports(path):
        where = f"{path}:{statement.lineno}: {name}"
        other = room_of(name)
        assert other in {None, own, *MAY_IMPORT[own]}, f"{where}: {own} does not import {other}"
        assert not name.startswith("inlay.dollhouse"), f"{where}: dollhouse is data, named by its folder"
        parts = name.split(".")
        if other == "core" and own not in ("core", "front") and parts[2:3] == ["core"]:
            assert parts[3] in PURE, f"{where}: not what the engine offers"
        if own in ("core", "front"):
            assert parts[0] not in {"diffusers", "transformers", "peft"}, f"{where}: no diffusion here"


def at_run_time(node):
    """All statements below a node, without those that only a type checker reads."""
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield child
            yield from at_run_time(child)


def test_no_modules_import_each_other_in_a_circle():
    """Neither when they are imported nor inside their functions."""
    modules = {".".join(("inlay", *path.with_suffix("").parts)).removesuffix(".__init__"): path for path in INSIDE}
    graph = networkx.DiGraph()
    for module, path in modules.items():
        for statement in at_run_time(tree(path)):
            for name in resolved(path, statement) if isinstance(statement, ast.Import | ast.ImportFrom) else ():
                target = name if name in modules else name.rpartition(".")[0]
                if target in modules:
                    graph.add_edge(module, target)
    circles = [sorted(found) for found in networkx.strongly_connected_components(graph) if len(found) > 1]
    assert not circles, circles


@each([p for p in INSIDE if p.parts[0] != "graph_runtime"])
def test_no_module_is_imported_from_the_package_itself(path):
    for _, statement in imports(path):  # Python looks for `a` where a host has the package in a folder `a.b`
        assert getattr(statement, "level", 0) != 1 or statement.module, f"{path}:{statement.lineno}: from . import …"


@each([p for p in INSIDE if p.parts[0] != "graph_runtime"])
def test_node_files_stay_light_and_readable_at_run_time(path):
    for name, statement in imports(path, top_only=True):
        assert name.split(".")[0] not in HEAVY, f"{path}:{statement.lineno}: import {name} inside the function"
    assert not any(name.startswith("__future__.annotations") for name, _ in imports(path)), path


@each([p for p in SOURCES if p.parts[0] != "benchmarks"])
def test_only_the_adapters_name_the_host_a_web_framework_or_ray(path):
    for name, statement in imports(path):
        top = name.split(".")[0]
        assert top not in HOST, f"{path}:{statement.lineno}: {name}"
        assert top not in WEB or "serve" in path.parts, f"{path}:{statement.lineno}: {name}"
        assert top != "ray" or path.parts[:3] == ("graph_runtime", "front", "ray"), f"{path}:{statement.lineno}: {name}"
    constants = {node.value for node in ast.walk(tree(path)) if isinstance(node, ast.Constant)}
    named = {
        text
        for text in constants
        if isinstance(text, str) and " " not in text and text.split(".")[0] in ("comfy", "folder_paths")
    }
    assert not named or path.parts[-3:-1] == ("comfy", "host"), f"{path} names {named}"


@functools.cache
def names_of_the_pack():
    """Node ids and the sockets that are its own; `IMAGE` and `MASK` belong to ComfyUI."""
    from inlay.nodes import load_pack

    registry = load_pack()
    ports = [socket.port for spec in registry.values() for socket in spec.sockets.values()]
    ports += [port for spec in registry.values() for port in spec.outputs.values()]
    return {*registry, *(port.socket for port in ports if port.socket.startswith("INLAY_"))}


def texts_of(path):
    """Every string constant of a file but its docstrings, which may explain by example."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    blocks = [node.body for node in ast.walk(tree(path)) if isinstance(node, documented)]
    docstrings = {id(body[0].value) for body in blocks if body and isinstance(body[0], ast.Expr)}
    constants = [node for node in ast.walk(tree(path)) if isinstance(node, ast.Constant) and id(node) not in docstrings]
    return [constant.value for constant in constants if isinstance(constant.value, str)]


@each([p for p in INSIDE if p.parts[0] == "graph_runtime"])
def test_the_engine_names_no_node_no_socket_of_the_pack_and_no_diffusion_library(path):
    strange = names_of_the_pack() | {"diffusers", "transformers", "peft", "accelerate", "torchvision", "dollhouse"}
    if path.parts[-3:-1] == ("comfy", "host"):
        strange.discard("diffusers")  # ComfyUI's name for one of its model folders
    for text in texts_of(path):
        named = {word.strip(".") for word in re.findall(r"[\w.]+", text)} & strange
        assert not named, f"{path}: {text!r} names {named}"


@each(SOURCES)
def test_nothing_executes_text_or_reads_pickles(path):
    for call in (node for node in ast.walk(tree(path)) if isinstance(node, ast.Call)):
        name = ast.unparse(call.func)
        assert name not in FORBIDDEN, f"{path}:{call.lineno}: {name}"
        if name == "torch.load":
            flags = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
            assert flags.get("weights_only") == "True", f"{path}:{call.lineno}: torch.load without weights_only"


@each(INSIDE)
def test_no_folder_is_given_to_a_library_s_loader(path):
    """`from_pretrained` follows what the folder says: other files, pickles, repositories, code."""
    named = {node.attr for node in ast.walk(tree(path)) if isinstance(node, ast.Attribute)}
    assert not {"from_pretrained", "from_single_file", "load_lora_weights", "from_file"} & named, path


def run_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_importing_inlay_is_light():
    heavy = ("torch", "numpy", "pydantic", "PIL", "diffusers", "transformers", "networkx", "rich")
    done = run_python(f"import sys, inlay; dir(inlay); print([m for m in {heavy!r} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_node_files_import_no_diffusers():
    done = run_python(
        f"import sys, inlay.nodes; inlay.nodes.load_pack(); print([m for m in {sorted(HEAVY)!r} if m in sys.modules])"
    )
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_every_package_is_named():
    """In `inlay.ROOMS`, which a host needs, and in pyproject.toml, which the wheel needs."""
    import inlay

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    found = {
        ".".join(("inlay", *path.parent.parts))
        for path in SOURCES
        if path.name == "__init__.py" and path.parts[0] not in ("benchmarks", "dollhouse", "workflows")
    }
    assert {"inlay", *(f"inlay.{room}" for room in inlay.ROOMS)} == found
    assert set(project["tool"]["setuptools"]["packages"]) == found | {"inlay.dollhouse", "inlay.workflows"}
    for path in SOURCES:
        if path.parts[0] in {name.split(".")[1] for name in found - {"inlay"}}:
            assert (ROOT / path).with_name("__init__.py").exists(), f"{path} is in no package"


def test_no_function_imports_a_module_from_its_package():
    """A host names this folder by its path: where that has a dot in it, `from package import module` finds nothing."""
    found = []
    for path in (path for path in SOURCES if path.parts[0] not in ("benchmarks", "dollhouse")):
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        functions = [node for node in ast.walk(tree) if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))]
        for node in (node for function in functions for node in ast.walk(function)):
            if isinstance(node, ast.ImportFrom) and node.level and path.parts[:3] not in ALONE:
                package = (ROOT / path).parents[node.level - 1].joinpath(*(node.module or "").split("."))
                names = [alias.name for alias in node.names]
                found += [f"{path}:{node.lineno} {name}" for name in names if (package / f"{name}.py").exists()]
    assert not found, "import the name from the module itself"


def test_every_lazy_name_is_there():
    done = run_python("import inlay; [getattr(inlay, name) for name in inlay._LAZY]; print(inlay.__version__)")
    assert done.returncode == 0, done.stderr
    assert f'version = "{done.stdout.strip()}"' in (ROOT / "pyproject.toml").read_text()
    assert run_python("import inlay; inlay.nothing").returncode == 1


def test_test_files_have_names_of_their_own():
    names = [path.name for path in TESTS if path.name not in ("conftest.py", "__init__.py")]
    assert len(names) == len(set(names)), sorted(name for name in names if names.count(name) > 1)
