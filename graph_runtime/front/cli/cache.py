"""`inlay cache list|size|clear|why`: what is kept on disk, and why a result was made anew."""

import argparse
import json
import time
from typing import TYPE_CHECKING

from ...core.errors import clean
from .parser import AddCommand

if TYPE_CHECKING:
    from pydantic import JsonValue

    from ...core.store.disk import DiskStore
    from ...core.store.index import Entry

_ABOUT = """results that are kept on disk, so that only what is missing is computed

INLAY_CACHE sets how much they may take (default 4GiB; 0 keeps nothing); above it, the least recently used are removed.
They lie in INLAY_HOME/cache. What --fast compile has made, in INLAY_HOME/compiled, has no limit: size counts it and
clear removes it."""
_ACTIONS = {
    "list": "what is kept, last used first",
    "size": "how much is kept, and how much may be",
    "clear": "remove everything that is kept",
    "why": "FILE NODE [flags of the workflow]: why the result of a node was made anew",
}


def add_cache(add: AddCommand) -> None:
    """The parser of `inlay cache`."""
    parser = add("cache", _cache, "list or clear results kept on disk, or say why one was made anew", add_help=False)
    parser.description = _ABOUT
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "actions:\n" + "\n".join(f"  {name:6} {about}" for name, about in _ACTIONS.items())
    parser.add_argument("action", nargs="?", choices=list(_ACTIONS), metavar="|".join(_ACTIONS), help="see below")
    parser.add_argument("file", nargs="?", metavar="FILE", help="why: the workflow")
    parser.add_argument("node", nargs="?", metavar="NODE", help="why: a node in it")
    parser.add_argument("-h", "--help", action="store_true", help="show this help")
    parser.add_argument("--set", action="append", default=[], metavar="NODE.PARAM=VALUE", help="why: as in inlay run")
    parser.add_argument("--fast", metavar="NAMES", help="why: as in inlay run")
    parser.add_argument("--out", default="inlay-out", metavar="DIR", help="why: as in inlay run")
    parser.add_argument("--inputs", metavar="DIR", help="why: as in inlay run")
    parser.add_argument("--device", default="auto", help="why: as in inlay run")
    parser.set_defaults(parser=parser, takes_flags=True)


def _cache(options: argparse.Namespace, rest: list[str]) -> int:
    if options.help or options.action is None:
        print(options.parser.format_help(), end="")
        return 0
    if options.action == "why":
        return _why(options, rest)
    if rest or options.file is not None:
        options.parser.error(f"unrecognized arguments: {' '.join([*([options.file] if options.file else []), *rest])}")
    from ..rerun.keep import runs_on_disk

    store = runs_on_disk()
    show = {"list": _list, "size": _size, "clear": _clear}[options.action]
    answer, lines = show(store)
    if store.trouble:
        answer["trouble"] = store.trouble
        lines = [f"nothing is kept: {store.trouble}"]
    print(json.dumps(answer) if options.json else "\n".join(clean(line) for line in lines))
    return 0


def _list(store: "DiskStore") -> "tuple[dict[str, JsonValue], list[str]]":
    entries = store.entries()
    answer: list[JsonValue] = [
        {
            "kind": entry.kind,
            "what": entry.label,
            "bytes": entry.size,
            "seconds": round(entry.seconds, 3) if entry.seconds < 1e9 else None,
            "made": entry.made // 10**9,
            "used": entry.used // 10**9,
        }
        for entry in entries
    ]
    return {"kept": answer}, [_line(entry) for entry in entries] or ["nothing is kept"]


def _line(entry: "Entry") -> str:
    used = time.strftime("%Y-%m-%d %H:%M", time.localtime(entry.used / 1e9))
    took = f"{entry.seconds:8.1f} s" if entry.seconds < 1e9 else " " * 10
    return f"{used}  {_bytes(entry.size):>10}  {took}  {entry.kind:6}  {entry.label}"


def _size(store: "DiskStore") -> "tuple[dict[str, JsonValue], list[str]]":
    from ...core.memory.compiled import kept_folder, size_of_kept

    count, size = store.size()
    answer: dict[str, JsonValue] = {"kept": count, "bytes": size, "limit": store.limit, "folder": str(store.folder)}
    lines = [f"{count} kept, {_bytes(size)} of at most {_bytes(store.limit)}, in {store.folder}"]
    if compiled := size_of_kept():
        answer["compiled_bytes"] = compiled
        lines.append(f"compiled code: {_bytes(compiled)}, in {kept_folder()}")
    return answer, lines


def _clear(store: "DiskStore") -> "tuple[dict[str, JsonValue], list[str]]":
    from ...core.memory.compiled import clear_kept

    count, _ = store.size()
    freed = store.clear()
    answer: dict[str, JsonValue] = {"removed": count, "bytes": freed}
    lines = [f"removed {count}, {_bytes(freed)}"]
    if compiled := clear_kept():
        answer["compiled_bytes"] = compiled
        lines.append(f"removed compiled code, {_bytes(compiled)}")
    return answer, lines


def _bytes(size: int) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if size >= factor:
            return f"{size / factor:.1f} {unit}"
    return f"{size} bytes"


def _why(options: argparse.Namespace, rest: list[str]) -> int:
    if options.file is None or options.node is None:
        options.parser.error("why takes a FILE and a NODE")
    from ..python.load_workflow import load
    from ..python.save_outputs import save_outputs
    from ..why import explain
    from . import flags
    from .arguments import read_arguments

    loaded = load(options.file, inputs=options.inputs, out=options.out)
    parser = flags.parser_for(loaded, options.file, "cache why")
    values, settings = read_arguments(parser, options, rest, loaded)
    loaded.set_values(values, settings)
    save_outputs(loaded)
    found = explain(loaded, options.node, options.device)
    if options.json:
        print(json.dumps({"node": options.node, "kept": found.kept, "now": found.now, "then": found.then}))
    else:
        print("\n".join(clean(line) for line in (*found.now, *found.then)))
    return 0
