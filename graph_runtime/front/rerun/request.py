"""The key of a run as a whole: what was asked, before anything of it is interpreted, and everything around it."""

import argparse
import json
import os
from collections.abc import Iterable, Mapping

from pydantic import JsonValue

from ...core.digests import short_digest
from ...core.file_digests import file_sha256
from ...core.spec import NodeSpec
from ...core.workflow import Workflow
from ..cli.parser import SWITCHES
from ..python.load_workflow import WorkflowSource, locate
from .surroundings import surroundings

_FORMAT = 3
_HOW = ("--json", "--quiet", "--traceback")


class _Unknown(Exception):
    """Something whose content cannot be told; such a run is not kept as a whole."""


def key_of_command(options: argparse.Namespace) -> bytes | None:
    """The key of `inlay run FILE …`; None if there can be none."""
    flags = [word.partition("=")[0] for word in options.words if word.startswith("--") and word != "--set"]
    asks = options.help or options.no_cache or options.explain_memory or options.dry_run or options.profile is not None
    if options.file is None or asks or len(flags) > len(set(flags)):
        return None  # a flag that is given twice has a warning of its own
    return _key("command", options.file, _without_output(options.words))


def key_of_call(
    source: WorkflowSource,
    values: Mapping[str, object],
    settings: Mapping[str, object],
    inputs: str | os.PathLike[str] | None,
    device: str,
    memory: str | int | None,
    metadata: bool,
    nodes: Iterable[object],
    partial: bool,
) -> bytes | None:
    """The key of `inlay.run(…)`; None if there can be none."""
    try:
        code = _code_of(nodes)
    except TypeError:  # something in it is no module: loading it says so
        return None
    return _key("call", source, [values, settings, inputs, device, memory, metadata, code, partial])


def _without_output(words: list[str]) -> list[str]:
    """A command line without what only says where and how to print."""
    kept: list[str] = []
    waiting = False  # for the value of a flag: a word that stands in its place is an error, which the parser names
    skip = False
    for word in words:
        if not skip and (waiting or (word not in (*_HOW, "--out") and not word.startswith("--out="))):
            kept.append(word)
        skip = word == "--out" and not skip
        waiting = word.startswith("--") and "=" not in word and word not in (*SWITCHES, "--out")
    return kept


def _key(kind: str, source: WorkflowSource, asked: object) -> bytes | None:
    around = surroundings()
    if around is None:
        return None
    try:
        material = [_FORMAT, kind, _workflow(source), _exact(asked), around]
        return short_digest(json.dumps(material, separators=(",", ":")).encode(), size=20)
    except Exception:  # noqa: BLE001 - of a caller's object, or no such file; loading it says what is wrong
        return None


def _workflow(source: WorkflowSource) -> JsonValue:
    if isinstance(source, Workflow):
        return ["object", _exact(source.model_dump()), _exact(source.packages)]
    if isinstance(source, Mapping):
        return ["dict", _exact(source)]
    path = locate(source)
    return ["file", os.path.abspath(path), os.path.realpath(path), file_sha256(path)]


def _exact(value: object) -> JsonValue:
    """A value as JSON from which it can be told apart from any other that a run would treat otherwise."""
    if value is None or type(value) in (bool, int, float, str):
        return value  # type: ignore[return-value]  # as the line above says
    if isinstance(value, os.PathLike):
        return {"path": _exact(os.fspath(value))}
    if type(value) is list:
        return [_exact(item) for item in value]
    if isinstance(value, dict) and type(value) is dict and all(type(key) is str for key in value):
        return {"dict": [[key, _exact(item)] for key, item in value.items()]}
    raise _Unknown


def _code_of(nodes: Iterable[object]) -> list[object]:
    """Which further nodes there are, each with a digest of its code."""
    found: list[object] = []
    for module in nodes if isinstance(nodes, Iterable) else [nodes]:
        specs = [spec for value in vars(module).values() if isinstance(spec := getattr(value, "spec", None), NodeSpec)]
        found.append([[spec.id, spec.version, spec.digest] for spec in specs])
    return found
