"""The index of node definitions says what the code says, and is not used where it does not."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Annotated, NamedTuple

import pytest
from inlay.graph_runtime.core.definition.declarations import declarations
from inlay.graph_runtime.core.definition.index import IndexedSpec, index_text, read_index
from inlay.graph_runtime.core.port_types import Named, Port
from inlay.graph_runtime.core.spec import NodeSpec, Registry, node
from inlay.graph_runtime.front.docs.node_index import node_index
from inlay.graph_runtime.front.installed import pack
from inlay.graph_runtime.front.node_settings import settings_of
from inlay.nodes import INDEX, load_pack, node_files

CODE, INDEXED = load_pack(), pack()
ROOT = Path(__file__).resolve().parents[2]


def test_the_index_is_the_one_that_the_code_makes():
    assert INDEX.read_text(encoding="utf-8") == node_index(CODE), "run `make docs` and commit nodes/index.jsonl"


def test_it_knows_every_node():
    assert set(INDEXED) == set(CODE)
    assert all(isinstance(spec, IndexedSpec) for spec in INDEXED.values())


def described(socket):
    hint = socket.annotation.hint if isinstance(socket.annotation, Named) else socket.annotation
    return socket.name, socket.port, socket.optional, socket.doc, repr(hint), socket.role, socket.upstream


@pytest.mark.parametrize("name", sorted(CODE))
def test_a_node_of_the_index_is_the_node_of_the_code(name):
    found, wanted = INDEXED[name], CODE[name]
    for fact in ("id", "version", "docs", "outputs", "context", "repeats", "may_be_none", "static", "effects", "saves"):
        assert getattr(found, fact) == getattr(wanted, fact), fact
    for fact in ("family", "summary", "looks", "module", "settings", "check", "digest"):
        assert getattr(found, fact) == getattr(wanted, fact), fact
    assert list(map(described, found.sockets.values())) == list(map(described, wanted.sockets.values()))
    assert dict(found.path_roles) == dict(wanted.path_roles)
    assert found.function is wanted.function
    assert found.migrations == wanted.migrations
    assert list(found.outputs) == list(wanted.outputs)


@pytest.mark.parametrize("name", sorted(CODE))
def test_its_settings_are_those_of_the_code(name):
    found, wanted = INDEXED[name], CODE[name]
    assert json.dumps(found.schema) == json.dumps(wanted.schema) == json.dumps(found.params.model_json_schema())
    assert settings_of(found) == settings_of(wanted)
    for field, info in wanted.params.model_fields.items():
        other = found.params.model_fields[field]
        assert (other.is_required(), type(other.default)) == (info.is_required(), type(info.default)), field


VALUES = (
    None,
    True,
    0,
    1,
    -1,
    3,
    10**30,
    0.5,
    -0.5,
    1e300,
    float("nan"),
    float("inf"),
    "",
    "x",
    "auto",
    "none",
    [],
    {},
)
LISTS = ([1, 2, 3, 4], ["a"], [1.5], [None])


@pytest.mark.parametrize("name", sorted(CODE))
def test_its_settings_take_and_refuse_what_those_of_the_code_do(name):
    def verdict(spec, params):
        try:
            model = spec.params.model_validate(params, strict=True)
        except ValueError as error:
            return [(one["type"], one["loc"], one["msg"]) for one in error.errors(include_url=False)]
        return [(key, getattr(model, key), type(getattr(model, key))) for key in spec.params.model_fields]

    found, wanted = INDEXED[name], CODE[name]
    bounds = [value for one in wanted.schema["properties"].values() for value in _bounds(one)]
    for field in [*wanted.params.model_fields, "no such setting"]:
        for value in (*VALUES, *LISTS, *bounds):
            assert repr(verdict(found, {field: value})) == repr(verdict(wanted, {field: value})), (field, value)


def _bounds(schema):
    for value in schema.values():
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            yield from (value, value - 1, value + 1, float(value))
        elif isinstance(value, list):
            for arm in value:
                yield from _bounds(arm) if isinstance(arm, dict) else [arm]


# what counts as a declaration


PLAIN = b'''import os

LIMIT = 3


@node("a.b")
def first(
    a: int = LIMIT,
) -> Out:
    """What it does.

    Args:
        a: a number.
    """
    if a:

        return Out(a)
    return Out(0)


def second(b: str) -> None:
    "no docstring of ours"
    print(b)


class Out:
    """A class."""

    a: int
'''


@pytest.mark.parametrize(
    ("old", "new"),
    [(b"return Out(0)", b"return Out(1)"), (b"    if a:\n\n", b"    while a:\n"), (b"print(b)", b"return b")],
)
def test_the_inside_of_a_function_declares_nothing(old, new):
    assert PLAIN.replace(old, new) != PLAIN
    assert declarations(PLAIN.replace(old, new)) == declarations(PLAIN)


@pytest.mark.parametrize(
    "word",
    [b"os", b"LIMIT = 3", b"a.b", b"= LIMIT", b"-> Out", b"What it", b"a number", b"b: str", b"A class", b"a: int\n"],
)
def test_everything_else_declares(word):
    assert PLAIN.count(word) >= 1
    assert declarations(PLAIN.replace(word, word + b" changed", 1)) != declarations(PLAIN)


def test_every_line_of_every_node_file_is_kept_or_inside_a_function():
    """Against Python's own parser: what is left out lies in the body of a function, after its docstring."""
    import ast

    for path in node_files():
        text = path.read_text(encoding="utf-8")
        lines = text.splitlines()
        inside = set()
        for statement in ast.parse(text).body:
            if isinstance(statement, ast.FunctionDef):
                body = statement.body[1:] if ast.get_docstring(statement) else statement.body
                inside |= set(range((body or statement.body)[0].lineno - 1, statement.end_lineno)) if body else set()
        kept = declarations(text.encode()).decode().splitlines()
        wanted = [line for number, line in enumerate(lines) if number not in inside and line.strip()]
        assert [line for line in kept if line.strip() and line in set(wanted)] == wanted, path.name


# where it is not used


@pytest.fixture
def copied(tmp_path):
    """An index of a small package beside its sources."""
    source = tmp_path / "a.py"
    source.write_bytes(PLAIN)
    text = index_text(Registry([CODE["image.load"]]), "inlay", {"a.py": source})
    (tmp_path / "index.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def read(folder, declared=("a.py",)):
    return read_index(folder / "index.jsonl", "inlay", folder.joinpath, declared)


def test_it_is_read_while_the_declarations_are_the_same(copied):
    assert list(read(copied)) == ["image.load"]
    (copied / "a.py").write_bytes(PLAIN.replace(b"\n", b"\r\n"))
    assert list(read(copied)) == ["image.load"], "a checkout on Windows has other line ends"


def test_it_is_not_read_after_a_change(copied):
    (copied / "a.py").write_bytes(PLAIN.replace(b"a number", b"another number"))
    assert read(copied) is None


def test_it_is_not_read_beside_a_new_file_of_nodes(copied):
    assert read(copied, ("a.py", "b.py")) is None


def test_it_is_not_read_where_a_source_is_missing(copied):
    (copied / "a.py").unlink()
    assert read(copied) is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_in_its_place_is_not_waited_for(copied):
    (copied / "index.jsonl").unlink()
    os.mkfifo(copied / "index.jsonl")
    assert read(copied) is None


SPOILT = {
    "missing": None,
    "empty": "",
    "another format": '{"format": 2}\n',
    "no JSON": "{",
    "no object": "[1]\n",
    "lists without end": "[" * 100_000,
    "half a node": '{"format": 1}\n{"node": "a.b"}\n',
    "both lines of a merge": "twice",
}


@pytest.mark.parametrize("case", SPOILT)
def test_it_is_not_read_where_it_is_spoilt(case, copied):
    file, text = copied / "index.jsonl", SPOILT[case]
    if text is None:
        file.unlink()
    else:
        lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
        file.write_text("".join([*lines, lines[-1]]) if text == "twice" else text, encoding="utf-8")
    assert read(copied, ()) is None


def test_the_nodes_then_come_from_the_code(monkeypatch, tmp_path):
    monkeypatch.setattr("inlay.nodes.INDEX", tmp_path / "nothing")
    assert {type(spec) for spec in pack().values()} == {NodeSpec}
    assert set(pack()) == set(CODE)


class One(NamedTuple):
    number: Annotated[float, Port("FLOAT")]


def test_what_an_index_cannot_hold_is_refused():
    @node("index_toy.inner")
    def inner(a: int = 1) -> One:
        """Toy."""

    with pytest.raises(ValueError, match="not at the top"):
        index_text(Registry([inner.spec]), "inlay", {})
    with pytest.raises(ValueError, match="another port called"):
        index_text(Registry([*CODE.values(), inner.spec]), "inlay", {})


def test_code_is_imported_when_it_is_asked_for_and_not_before():
    code = (
        "import sys\n"
        "from inlay.graph_runtime.front.installed import installed_nodes\n"
        "spec = installed_nodes()['mask.grow']\n"
        "spec.schema, spec.params, spec.docs, spec.looks, spec.migrations, spec.module\n"
        "assert not {'torch', 'numpy', 'jaxtyping', 'inlay.nodes.mask.grow'} & set(sys.modules)\n"
        "spec.function\n"
        "assert 'inlay.nodes.mask.grow' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
