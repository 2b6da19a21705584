"""Runs as the editor sees them: its queue, its history, its jobs."""

import json
from collections.abc import Mapping
from functools import lru_cache

from ....core.errors import WorkflowError
from ....core.workflow import build
from ...comfy.formats.kept import to_ui_as_it_was
from ...installed import installed_nodes
from ..json_data import Json
from ..records import Run

_STATUS = {
    "queued": "pending",
    "running": "in_progress",
    "done": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
}
STATES = {status: state for state, status in _STATUS.items()}


def milliseconds(seconds: float | None) -> int | None:
    """A time as the editor counts it."""
    return None if seconds is None else int(seconds * 1000)


def host_names(run: Run) -> Mapping[str, str]:
    """From our nodes to the ids of the editor's graph; a run that did not come from it has none."""
    prompt = prompt_of(run)
    return {ours: node_of(host, prompt) for host, ours in run.more.get("names", {}).items()}


def node_of(host: str, prompt: Mapping[str, object]) -> str:
    """The node of a graph that an id is of: `3:crop` is a part of node 3."""
    outer = host
    while outer and outer not in prompt:
        outer = outer.rpartition(":")[0]
    return outer or host


def prompt_of(run: Run) -> Json:
    """The editor's graph in its API form; empty if the run did not come from it."""
    return dict(run.more.get("editor", {}).get("prompt", {}))


def extra_of(run: Run) -> Json:
    """What the editor keeps with a run: its graph, as it is drawn."""
    extra = dict(run.more.get("editor", {}).get("extra", {}))
    if "extra_pnginfo" not in extra and (drawn := _drawn(run.workflow)) is not None:
        extra["extra_pnginfo"] = {"workflow": drawn}
    return {**extra, "client_id": run.client, "create_time": milliseconds(run.created)}


@lru_cache(maxsize=64)
def _drawn(workflow: str) -> Json | None:
    return drawn(json.loads(workflow))


def drawn(native: Mapping[str, object]) -> Json | None:
    """A workflow of ours as the editor draws it; None if it cannot be."""
    registry = installed_nodes()
    try:
        return to_ui_as_it_was(build(native), registry)[0]
    except WorkflowError:
        return None


def outputs_of(run: Run) -> Json:
    """What each node shows: the pictures and files that it saved, and its numbers and texts."""
    hosts = host_names(run)
    found: Json = {}
    for facts in run.results:
        if facts["kind"] == "folder":
            continue
        folder, _, name = str(facts["file"]).rpartition("/")
        kind = "images" if facts["kind"] == "image" else "files"
        item = {"filename": name, "subfolder": folder, "type": "output"}
        found.setdefault(hosts.get(facts["node"], facts["node"]), {}).setdefault(kind, []).append(item)
    outputs = json.loads(run.workflow).get("outputs", {})
    shown = set(run.more.get("editor", {}).get("outputs", ()))
    for output, value in run.found.get("values", {}).items():
        node = hosts.get(str(outputs.get(output, "")).partition(".")[0], "")
        if node in shown and isinstance(value, (str, int, float)):
            found.setdefault(node, {}).setdefault("text", []).append(_text(value))
    return found


def _text(value: "str | float") -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def messages_of(run: Run) -> list[list[object]]:
    """What happened to a run, as the editor's history keeps it."""
    said: list[list[object]] = []
    if run.started is not None:
        said.append(["execution_start", {"prompt_id": run.id, "timestamp": milliseconds(run.started)}])
    end = {"prompt_id": run.id, "timestamp": milliseconds(run.ended)}
    if run.state == "done":
        said.append(["execution_success", end])
    elif run.state == "failed":
        said.append(["execution_error", {**error_of(run), **end}])
    elif run.state == "cancelled":
        said.append(["execution_interrupted", {**end, "node_id": None, "node_type": None, "executed": []}])
    return said


def error_of(run: Run) -> Json:
    """Why a run failed, as the editor shows it: the first problem on its node, all of them as text.

    A node and its type are texts, empty if it is not of one: the editor throws a whole history with another value away.
    """
    problems = run.found.get("problems", [])
    first = problems[0] if problems else {}
    node = host_names(run).get(first.get("node") or "", first.get("node"))
    lines = [
        f"{problem['port'] or problem['node'] or 'run'}: found {problem['found']}; expected {problem['expected']}. "
        f"Fix: {problem['fix']}"
        for problem in problems
    ]
    kind = prompt_of(run).get(str(node), {}).get("class_type")
    return {
        "prompt_id": run.id,
        "node_id": node or "",
        "node_type": kind or json.loads(run.workflow)["nodes"].get(first.get("node") or "", {}).get("type") or "",
        "executed": [],
        "exception_message": "\n".join(lines) or "the run failed",
        "exception_type": "inlay",
        "traceback": [],
        "current_inputs": {},
        "current_outputs": {},
    }


def queue_item(run: Run) -> list[object]:
    """A run that waits or runs."""
    return [run.number, run.id, prompt_of(run), extra_of(run), run.more.get("editor", {}).get("outputs", [])]


def history_item(run: Run) -> Json:
    """A run that has ended."""
    outputs = outputs_of(run)
    meta = {
        node: {"node_id": node, "display_node": node, "parent_node": None, "real_node_id": node} for node in outputs
    }
    status = {
        "status_str": "success" if run.state == "done" else "error",
        "completed": run.state == "done",
        "messages": messages_of(run),
    }
    return {"prompt": queue_item(run), "outputs": outputs, "status": status, "meta": meta}


def job(run: Run, *, whole: bool = False) -> Json:
    """A run as a job; `whole` with its graph and its outputs."""
    outputs = outputs_of(run)
    pictures = [
        {**item, "nodeId": node, "mediaType": kind}
        for node, kinds in outputs.items()
        for kind, items in kinds.items()
        if kind == "images"
        for item in items
    ]
    count = sum(len(items) for kinds in outputs.values() for kind, items in kinds.items() if kind != "text")
    workflow = run.more.get("editor", {}).get("extra", {}).get("extra_pnginfo", {}).get("workflow", {})
    facts: Json = {
        "id": run.id,
        "status": _STATUS[run.state],
        "priority": run.number,
        "create_time": milliseconds(run.created),
        "execution_start_time": milliseconds(run.started),
        "execution_end_time": milliseconds(run.ended),
        "execution_error": {**error_of(run), "timestamp": milliseconds(run.ended)} if run.state == "failed" else None,
        "outputs_count": count,
        "previewable_outputs_count": len(pictures),
        "preview_output": pictures[0] if pictures else None,
        "workflow_id": workflow.get("id") if isinstance(workflow, dict) else None,
    }
    found = {key: value for key, value in facts.items() if value is not None}
    if whole:
        found["outputs"] = outputs
        found["execution_status"] = history_item(run)["status"]
        found["workflow"] = {"prompt": prompt_of(run), "extra_data": extra_of(run)}
    return found
