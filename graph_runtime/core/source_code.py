"""One digest of the code behind a result: a function's module and all that it imports within its own package.

A stored result is recomputed when that code changes, and only then: comments, docstrings, layout and modules that are
not imported do not count. The engine is left out, because it only passes values on; other packages are known by their
versions. Imports are followed as written, also inside functions; a module imported by a computed name is not seen, nor
is a data file that no setting names.
"""

import ast
import contextlib
import inspect
import json
import os
import secrets
import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from .digests import sha256
from .files import write_text
from .opening import open_file
from .reading.file_state import FileState
from .user_paths import home

_ENGINE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
_BEGAN = time.time_ns()
_FORMAT = f"1|{sys.version_info.major}.{sys.version_info.minor}"  # Python's own form of a parsed file is in the digest
_REMEMBERED = 2000  # files
_LARGEST = 16 * 2**20  # bytes of what is remembered of them

Import = tuple[int, str, tuple[str, ...]]  # dots before it, module, names taken from it


@dataclass(frozen=True)
class _Source:
    """What a file contains: a hash of its code, and its imports."""

    code: str
    imports: tuple[Import, ...]


def code_digest(*things: Callable[..., object], since: int = _BEGAN) -> str:
    """The code behind functions and classes: their modules and, within their packages, all modules that those import.

    A function's defaults, the values it closes over and the helpers it calls in its own module count as they are in
    memory. Where a file changed after it was imported, the digest holds for this process alone: what runs is older
    than what can be read.

    Args:
        things: functions and classes.
        since: when they were imported, in nanoseconds of the clock, or earlier.
    """
    found = sha256(*(part for thing in map(inspect.unwrap, things) for part in _of_thing(thing, since)))
    _save()
    return found[:16]


def _of_thing(thing: Callable[..., object], since: int) -> Iterator[bytes]:
    yield from _of_function(thing, set())
    file = getattr(sys.modules.get(thing.__module__), "__file__", None)
    if file is not None:
        yield from _of_files(os.path.abspath(file), since)


def _of_files(file: str, imported: int) -> Iterator[bytes]:
    """The code of a file and of all that it imports, in the order of their names."""
    top = _package(file)
    for path in sorted(_closure(file, top)):
        source = _read(path)
        if source is None:
            continue
        yield f"{os.path.relpath(path, top)}\0{source.code}\0".encode(errors="surrogateescape")
        state = os.stat(path)
        if max(state.st_mtime_ns, state.st_ctime_ns) > imported:
            yield _of_this_process()


@cache
def _of_this_process() -> bytes:
    return secrets.token_bytes(16)


@lru_cache(1024)
def _package(file: str) -> str:
    """The folder of the outermost package around a file; of a script, the folder that it is in."""
    folder = os.path.dirname(file)
    if not os.path.isfile(os.path.join(folder, "__init__.py")):
        return folder
    while os.path.isfile(os.path.join(os.path.dirname(folder), "__init__.py")):
        folder = os.path.dirname(folder)
    return folder


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + os.sep)


def _closure(file: str, top: str) -> set[str]:
    found: set[str] = set()
    waiting = [file]
    while waiting:
        path = waiting.pop()
        if path in found:
            continue
        found.add(path)
        source = _read(path)
        if source is not None:
            waiting += _resolved(path, source, top)
    return found


@lru_cache(4096)
def _resolved(path: str, source: _Source, top: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(target for one in source.imports for target in _targets(path, one, top, 0)))


def _targets(path: str, one: Import, top: str, depth: int) -> Iterator[str]:
    """The files below `top` that an import statement in `path` reaches."""
    level, module, names = one
    if level:
        folder = os.path.dirname(path)
        for _ in range(level - 1):
            folder = os.path.dirname(folder)
        base = os.path.join(folder, *module.split(".")) if module else folder
    else:
        packaged = os.path.isfile(os.path.join(top, "__init__.py"))
        base = os.path.join(os.path.dirname(top) if packaged else top, *module.split("."))
    if not _below(base, top) or _below(base, _ENGINE):
        return
    if os.path.isfile(base + ".py"):
        yield base + ".py"
        return
    init = os.path.join(base, "__init__.py")
    if not os.path.isfile(init):
        return
    if not names:
        yield init
    for name in names:
        inside = os.path.join(base, name)
        if os.path.isfile(inside + ".py"):
            yield inside + ".py"
        elif os.path.isfile(os.path.join(inside, "__init__.py")):
            yield os.path.join(inside, "__init__.py")
        else:
            yield from _through(init, name, top, depth)


def _through(init: str, name: str, top: str, depth: int) -> Iterator[str]:
    """A name that a package's `__init__.py` hands on: from where it imports it, else that file itself."""
    source = _read(init)
    passed = [one for one in source.imports if name in one[2]] if source is not None and depth < 8 else []
    if not passed:
        yield init
    for level, module, _ in passed:
        yield from _targets(init, (level, module, (name,)), top, depth + 1)


_known: dict[str, tuple[tuple[int, ...], _Source]] = {}  # by path, with the file's state


def _read(path: str) -> _Source | None:
    """The file as it is now; None if it cannot be read. Parsed once per state, and remembered between processes."""
    try:
        state = FileState.of(os.stat(path))
    except OSError:
        return None
    settled = state.settled
    if settled and not _known:
        _recall()
    if settled and (found := _known.get(path)) is not None and found[0] == state:
        return found[1]
    try:
        text = Path(path).read_bytes()
    except OSError:
        return None
    source = _parsed(text)
    if settled:
        global _unsaved
        _known[path], _unsaved = (state, source), True
    return source


def _parsed(text: bytes) -> _Source:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return _Source(sha256(text), ())
    imports = tuple(_imports(tree))
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and _documented(node):
            del node.body[0]
    return _Source(sha256(ast.dump(tree, annotate_fields=False)), imports)


def _documented(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _imports(tree: ast.Module) -> Iterator[Import]:
    types_of_ports = _types_of_ports(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names if (alias.asname or alias.name) not in types_of_ports)
            if names:
                yield node.level, node.module or "", names
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield 0, alias.name, ()


def _types_of_ports(tree: ast.Module) -> set[str]:
    """Names that stand in a module only as the type of a port, `Image = Annotated[Type, Port(…)]`.

    Values are checked against it and not made by it: their code counts with the node that makes them.
    """
    types_of_ports: set[ast.AST] = set()
    for statement in tree.body:
        match statement:
            case ast.Assign(
                value=ast.Subscript(
                    value=ast.Name(id="Annotated"),
                    slice=ast.Tuple(elts=[declared, ast.Call(func=ast.Name(id="Port")) | ast.Name()]),
                )
            ):
                types_of_ports |= {node for node in ast.walk(declared) if isinstance(node, ast.Name)}
    used = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    return {node.id for node in used if node in types_of_ports} - {
        node.id for node in used if node not in types_of_ports
    }


def _of_function(function: object, seen: set[int]) -> Iterator[bytes]:
    """A function as it is in memory: its code, its defaults, and everything in its module that it closes over or
    calls."""
    code = getattr(function, "__code__", None)
    if not isinstance(code, types.CodeType) or id(code) in seen:
        return
    seen.add(id(code))
    yield from _of_code(code)
    yield _as_text((getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None))).encode()
    for cell in getattr(function, "__closure__", None) or ():
        try:
            content = cell.cell_contents
        except ValueError:  # not filled yet
            continue
        yield _as_text(content).encode()
        yield from _of_function(content, seen)
    names = getattr(function, "__globals__", {})
    for name in code.co_names:
        other = names.get(name)
        if getattr(other, "__module__", None) == function.__module__:
            yield from _of_function(other, seen)


def _of_code(code: types.CodeType) -> Iterator[bytes]:
    yield code.co_code + repr((code.co_names, code.co_varnames)).encode()
    for constant in code.co_consts[_has_docstring(code) :]:
        if isinstance(constant, types.CodeType):
            yield from _of_code(constant)
        else:
            yield _as_text(constant).encode()


def _has_docstring(code: types.CodeType) -> bool:
    """A function's first constant is its docstring, or None; since Python 3.14 a flag says which."""
    if sys.version_info >= (3, 14):
        return bool(code.co_flags & 0x4000000)
    return bool(code.co_flags & inspect.CO_OPTIMIZED) and code.co_name[0] != "<" and isinstance(code.co_consts[0], str)


def _as_text(value: object) -> str:
    """A value as text that is the same in every process: sets are sorted, addresses of objects left out."""
    if isinstance(value, (set, frozenset)):
        return f"{{{sorted(map(_as_text, value))}}}"
    if isinstance(value, tuple):
        return f"({','.join(map(_as_text, value))})"
    text = repr(value)
    return text if " at 0x" not in text else type(value).__qualname__


def _memory() -> Path:
    return home() / "code.json"


_unsaved = False


def _recall() -> None:
    """What earlier processes parsed; a store that cannot be read, or has another form, is ignored."""
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        with open_file(_memory()) as file:
            found = json.loads(file.read(_LARGEST))
        if found["format"] != _FORMAT:
            return
        for path, (state, code, imports) in found["files"].items():
            source = _Source(code, tuple((level, module, tuple(names)) for level, module, names in imports))
            _known[path] = (tuple(state), source)


def _save() -> None:
    """Remember what was parsed; a home that cannot be written only means that the next process parses again."""
    global _unsaved
    if not _unsaved:
        return
    _unsaved = False
    files = {path: (state, source.code, source.imports) for path, (state, source) in [*_known.items()][-_REMEMBERED:]}
    with contextlib.suppress(OSError):
        write_text(_memory(), json.dumps({"format": _FORMAT, "files": files}), parents=True)
