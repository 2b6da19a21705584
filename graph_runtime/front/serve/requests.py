"""From what a client asks for to a workflow that can be checked and run, in the server as in a worker.

Whoever asks is a stranger: no path is trusted, and all paths lead below the server's folders.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from ....nodes.pack import PACK
from ...core.errors import Problem, WorkflowError, did_you_mean, shorten
from ...core.events import Warned
from ...core.expander import Option
from ...core.reading.places import place_inside
from ...core.run.plan import Plan
from ...core.user_paths import is_possible
from ..installed import installed_nodes, shipped_workflows
from ..python.keywords import refusing
from ..python.load_workflow import LoadedWorkflow, load
from ..python.save_outputs import save_outputs
from .json_data import Json

if TYPE_CHECKING:
    from ..comfy.formats.read import Converted

FindFile = Callable[[Mapping[str, object]], str]  # from {"upload": …} or {"result": …} to a path below the roots
REFERENCES = ("upload", "result")


@dataclass(frozen=True)
class RunRequest:
    """What a client asks for.

    Attributes:
        workflow: the name of a shipped workflow, a workflow as JSON (native, or of the host, API or UI), or a picture
            that carries one, as `{"upload": id}` or `{"result": "run/number"}`.
        values: of the workflow's inputs, by name; a file is `{"upload": id}` or `{"result": "run/number"}`.
        settings: `node.parameter` → value, for everything else.
        client: who asks; runs of one client are made one after the other, in order.
        title: instead of the workflow's own.
        id: of the run; None: a new one. A second request with the same id makes no second run.
        more: what a front end keeps with the run.
        texts: what the saved pictures carry besides their recipe: JSON by the name of its text.
        partial: of a host's graph with unknown nodes, run the rest.
    """

    workflow: str | Mapping[str, object]
    values: Mapping[str, object] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    client: str | None = None
    title: str = ""
    id: str | None = None
    more: Mapping[str, object] = field(default_factory=dict)
    partial: bool = False
    texts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Places:
    """The folders of a server.

    Attributes:
        out: where results are.
        roots: what paths may point into.
    """

    out: Path
    roots: tuple[Path, ...]


@dataclass(frozen=True)
class Prepared:
    """A request, ready to be checked or run.

    Attributes:
        loaded: the workflow with all values in it.
        names: from the nodes of a host's graph to ours.
        warnings: about reading it.
    """

    loaded: LoadedWorkflow
    names: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[Warned, ...] = ()


def resolved(request: RunRequest, find: FindFile) -> Json:
    """The request as plain JSON, with a path below the roots for each file that it names.

    Raises:
        WorkflowError: every file that there is not.
    """
    problems: list[Problem] = []
    workflow = request.workflow
    if _is_reference(workflow):
        workflow = {"picture": _found(workflow, "workflow", find, problems)}
    made = {
        "workflow": workflow if isinstance(workflow, str) else dict(workflow),
        "values": _with_paths(request.values, "inputs", find, problems),
        "settings": _with_paths(request.settings, "set", find, problems),
        "partial": request.partial,
        "texts": dict(request.texts),
    }
    if problems:
        raise WorkflowError(problems)
    return made


def _is_reference(value: object) -> bool:
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in REFERENCES


def _with_paths(given: Mapping[str, object], port: str, find: FindFile, problems: list[Problem]) -> Json:
    found: Json = {}
    for name, value in given.items():
        place = f"{port}.{name}" if port == "inputs" else name
        if isinstance(value, list):
            found[name] = [_found(one, place, find, problems) if _is_reference(one) else one for one in value]
        else:
            found[name] = _found(value, place, find, problems) if _is_reference(value) else value
    return found


def _found(value: object, place: str, find: FindFile, problems: list[Problem]) -> str:
    assert isinstance(value, Mapping)
    try:
        return find(value)
    except WorkflowError as error:
        problems += [Problem(None, place, one.found, one.expected, one.fix) for one in error.problems]
        return ""


def prepare(request: Json, places: Places) -> Prepared:
    """The workflow that a request asks for.

    Raises:
        WorkflowError: no such workflow, or values that it does not take.
    """
    given = request["workflow"]
    names: Mapping[str, str] = {}
    warnings: tuple[Warned, ...] = ()
    if isinstance(given, str):
        loaded = _shipped(given, places)
    elif isinstance(given.get("picture"), str) and len(given) == 1:
        path = place_inside(given["picture"], places.roots)
        loaded = load(path.path if path is not None else "", out=places.out)
        loaded.roots = list(places.roots)
    else:
        native, converted = _native(given, bool(request.get("partial")))
        loaded = load(native, out=places.out)
        loaded.roots = list(places.roots)
        if converted is not None:
            names, warnings, loaded.misread = converted.names, converted.warnings, converted.problems
            loaded.labels = converted.labels
    loaded.stranger, loaded.from_python, loaded.file = True, False, None
    values = asked = request["values"]
    if loaded.expander is not None:
        values = _with_models_found(loaded.expander.options, values, places)
    loaded.set_values(values, request["settings"])
    _name_as_asked(loaded, {values[name]: asked[name] for name in asked if values[name] != asked[name]})
    save_outputs(loaded)
    return Prepared(loaded, names, warnings)


def planned(told: Json) -> tuple[LoadedWorkflow, Plan]:
    """The workflow of a run that a worker is told of, and its plan.

    Raises:
        WorkflowError: as of `prepare`, or with every problem of the workflow.
    """
    places = Places(Path(told["places"]["out"]), tuple(map(Path, told["places"]["roots"])))
    loaded = prepare(told["request"], places).loaded
    loaded.out = Path(told["out"])
    with refusing():
        return loaded, loaded.plan()


def _shipped(name: str, places: Places) -> LoadedWorkflow:
    known = shipped_workflows()
    if name not in known:
        raise WorkflowError.of(
            "workflow",
            found=f"no shipped workflow {shorten(name)}",
            expected="the name of a shipped workflow, or a workflow as JSON",
            fix=did_you_mean(name, known),
        )
    loaded = load(known[name], out=places.out)
    loaded.roots = list(dict.fromkeys([*loaded.roots, *places.roots]))
    loaded.expander = PACK.expanders.get(name)
    return loaded


def _native(raw: Mapping[str, object], partial: bool) -> "tuple[Mapping[str, object], Converted | None]":
    """A workflow in the native format; and what it was made of, if it came in another."""
    from ..comfy.formats.read import is_host_graph, read_host

    if not is_host_graph(raw):
        return raw, None
    converted = read_host(raw, installed_nodes(), partial=partial)
    return converted.workflow.model_dump(), converted


def _with_models_found(options: tuple[Option, ...], values: Json, places: Places) -> Json:
    """The values, with the whole path of each model below the roots: the workflow is chosen by what is there.

    Raises:
        WorkflowError: names each option whose path leads out, or to nothing.
    """
    found, problems = dict(values), []
    for option in options:
        value = values.get(option.name)
        if option.kind != "model" or not isinstance(value, str) or not is_possible(value):
            continue
        place = None if value.startswith("~") else place_inside(value, places.roots)
        if place is not None and not place.pattern and os.path.lexists(place.base):
            found[option.name] = str(place.base)
        elif place is None or value.startswith(".") or os.path.isabs(value) or value.endswith(".safetensors"):
            problems.append(
                Problem(
                    None,
                    f"--{option.name}",
                    f"{shorten(value)}, which {'points outside' if place is None else 'is not there'}",
                    "a hub id, the name of an embedded model, or a path below the server's folders",
                    "put it into the folder that the server was given with --inputs",
                )
            )
    if problems:
        raise WorkflowError(problems)
    return found


def _name_as_asked(loaded: LoadedWorkflow, names: Mapping[str, str]) -> None:
    """Put the paths that were asked for in the place of whole ones, which would tell where the server's folders are."""
    for node in loaded.workflow.nodes.values() if names else ():
        for key, value in node.params.items():
            if isinstance(value, str) and value in names:
                name = names[value]
                node.params[key] = name if "/" in name else f"./{name}"  # a bare name might be a hub's
