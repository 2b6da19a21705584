#!/usr/bin/env python3
"""tests/front/comfy/bad_graphs.json: what a real ComfyUI answers to graphs that are wrong.

    python scripts/comfy_bad_graphs.py http://127.0.0.1:8188     # adds or replaces the answers of that host's release

The host must have this folder in `custom_nodes/`, and should have an input folder of its own. A test sends the same to
`inlay serve`, `inlay check` and `inlay run` (tests/front/comfy/test_bad_graphs.py): they name at least as much.
"""

import argparse
import json
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from comfy_contract import Host, node, pictures

TABLE = Path(__file__).resolve().parents[1] / "tests" / "front" / "comfy" / "bad_graphs.json"
SECONDS = 60  # that a run may take
LONGEST = 2000  # characters of a body that the table shows whole
PAINTED = "contract-painted.png"
Graph = dict[str, Any]


def whole() -> Graph:
    """A graph that runs: 4 saves what a chain of ours makes, 5 saves the picture as it came."""
    return {
        "1": node("LoadImage", image=PAINTED),
        "2": node("InlayMaskGrow", mask=["1", 1], pixels=3, feather=0),
        "3": node("InlayImageFill", image=["1", 0], mask=["2", 0], fill="neutral", seed=0),
        "4": node("InlayImageSave", image=["3", 0], prefix="bad/ours", format="png", metadata=True, gps=False),
        "5": node("SaveImage", images=["1", 0], filename_prefix="bad/host"),
    }


def with_inputs(*names: str, **changed: object) -> Graph:
    """The graph with inputs `n2_pixels=…` changed, and those that `names` name taken out."""
    graph = whole()
    for where, value in changed.items():
        key, _, name = where.removeprefix("n").partition("_")
        graph[key]["inputs"][name] = value
    for where in names:
        key, _, name = where.partition(".")
        del graph[key]["inputs"][name]
    return graph


def with_nodes(**nodes: object) -> Graph:
    """The graph with nodes `n6=…` added or replaced; None takes one out."""
    graph = whole()
    for where, value in nodes.items():
        key = where.removeprefix("n")
        graph.pop(key, None)
        if value is not None:
            graph[key] = value
    return graph


def without(graph: Graph, *keys: str) -> Graph:
    """The graph without some of its nodes."""
    return {key: one for key, one in graph.items() if key not in keys}


def chain(length: int, **last: object) -> Graph:
    """As many nodes in a row, the first of which reads the picture."""
    graph = without(whole(), "2", "3", "4")
    before = ["1", 1]
    for number in range(10, 10 + length):
        graph[str(number)] = node("InlayMaskStep", mask=before, pixels=0, square=False)
        before = [str(number), 0]
    graph[before[0]]["inputs"].update(last)  # type: ignore[index]
    graph["4"] = node("InlayImageSave", image=["1", 0], mask=before, prefix="bad/chain")
    return graph


def nested(depth: int) -> str:
    """A body whose setting is a list in lists."""
    body = json.dumps({"prompt": with_inputs(n2_pixels="HERE")})
    return body.replace('"HERE"', "[" * depth + "]" * depth)


def values() -> dict[str, Graph]:
    """Settings that are wrong."""
    unmade: dict[str, object] = {
        "a word": "wide", "digits": "4", "a fraction": 3.7, "digits with a fraction": "3.7", "true": True,
        "nothing": None, "an object": {}, "a list in an object": {"__value__": [1, 2]},
        "a number in an object": {"__value__": 2}, "an empty list": [], "a list of one": [3], "a list of three": [1,
        2, 3],
        "too small": -9999, "too large": 99999, "far too large": 10**30, "not a number": float("nan"),
        "infinite": float("inf"), "an empty text": "", "a text of spaces": "  ",
    }  # fmt: skip
    found = {f"a whole number: {about}": with_inputs(n2_pixels=value) for about, value in unmade.items()}
    real = ("a word", "digits with a fraction", "nothing", "too small", "not a number", "infinite", "a list of three")
    for about in real:
        inputs = {"n3": node("InlayMaskThreshold", mask=["2", 0], value=unmade[about])}
        graph = with_nodes(**inputs, n4=node("InlayImageSave", image=["1", 0], mask=["3", 0], prefix="bad/real"))
        found[f"a number: {about}"] = graph
    choices = {"none of them": "blue", "a number": 3, "nothing": None, "capitals": "NEUTRAL", "an empty text": ""}
    found |= {f"a choice: {about}": with_inputs(n3_fill=value) for about, value in choices.items()}
    found["a choice: a list"] = with_inputs(n3_fill=["neutral"])
    switches = {"a word": "no", "a number": 3, "nothing": None, "an object": {}, "a list of three": [1, 2, 3]}
    found |= {f"a switch: {about}": with_inputs(n4_gps=value) for about, value in switches.items()}
    texts = {"a number": 3, "nothing": None, "an object": {}, "true": True, "a list of three": ["a", "b", "c"],
             "out of its folder": "../x", "a null character": "a\0b", "too long": "x" * 300}  # fmt: skip
    return found | {f"a text: {about}": with_inputs(n4_prefix=value) for about, value in texts.items()}


def links() -> dict[str, Graph]:
    """Links that are wrong, and inputs that are missing."""
    ends = {
        "a missing node": ["9", 0], "an output too far": ["1", 7], "the output before": ["1", -1],
        "an output as text": ["1", "0"], "an output as a fraction": ["1", 0.5], "an output that is null": ["1", None],
        "a node as a number": [1, 0], "a node that is null": [None, 0], "a node in a list": [["1"], 0],
        "nothing": None, "a text": "1.0", "an object": {"node": "1"}, "a list of three": ["1", 0, 0],
        "a list of one": ["1"],
        "a number": 5, "itself": ["3", 0], "another type": ["1", 1],
    }  # fmt: skip
    found = {f"a link: {about}": with_inputs(n3_image=value) for about, value in ends.items()}
    turn = node("InlayMaskGrow", mask=["7", 0], pixels=0, feather=0)
    return found | {
        "a circle of two": with_nodes(n2=turn, n7=node("InlayMaskGrow", mask=["2", 0], pixels=0, feather=0)),
        "a circle that nothing needs": with_nodes(
            n6=turn, n7=node("InlayMaskGrow", mask=["6", 0], pixels=0, feather=0)
        ),
        "a circle with a wrong setting": with_nodes(
            n2=turn, n7=node("InlayMaskGrow", mask=["2", 0], pixels=-9999, feather=0)
        ),
        "a missing input": with_inputs("3.mask"),
        "two missing inputs": with_inputs("3.mask", "3.image"),
        "a missing input and a wrong setting": with_inputs("3.mask", n3_fill="blue"),
        "a missing input of a node that saves": with_inputs("5.images"),
        "a missing text of a node that saves": with_inputs("5.filename_prefix"),
        "a link into a setting": with_inputs(n2_pixels=["1", 0]),
        "a link into a choice": with_inputs(n3_fill=["1", 0]),
        "an input that is none": with_inputs(n3_colour="red"),
        "a link into an input that is none": with_inputs(n3_colour=["1", 0]),
        "a missing node, for an input that is none": with_inputs(n3_colour=["99", 0]),
        "everything at once": with_inputs(
            "5.images", n2_pixels=-9999, n3_fill="blue", n3_mask=["1", 0], n4_format="gif"
        ),
        "both savers, one cause": with_nodes(n5=node("SaveImage", images=["3", 0], filename_prefix="x"))
        | {"2": node("InlayMaskGrow", mask=["1", 1], pixels=-9999, feather=0)},
    }


def nodes() -> dict[str, Graph]:
    """Nodes that are wrong, and graphs as a whole."""
    missing = whole()
    missing["4"]["inputs"]["image"] = ["6", 0]
    missing["6"] = {"class_type": "Fancy", "inputs": {"image": ["1", 0]}, "_meta": {"title": "My fancy node"}}
    files = {"a missing file": "gone.png", "a file out of the folder": "../../secret.png",
    "a whole path": "/etc/passwd",
             "a folder": ".", "no name": "", "a name that is null": None, "a name that is a number": 3}  # fmt: skip
    return {
        "an unknown type": missing,
        "an unknown type, and a wrong setting": {**missing, "2": node("InlayMaskGrow", mask=["1", 1], pixels=-9999)},
        "an unknown type that nothing needs": with_nodes(n6=node("Fancy")),
        "an unknown type that saves": with_nodes(n6=node("FancySave", images=["1", 0])),
        "a wrong node that nothing needs": with_nodes(n6=node("InlayMaskGrow", pixels="wide")),
        "no type": with_nodes(n3={"inputs": {}}),
        "a type that is null": with_nodes(n3={"class_type": None, "inputs": {}}),
        "a type that is a number": with_nodes(n3={"class_type": 3, "inputs": {}}),
        "no inputs": with_nodes(n3={"class_type": "InlayImageFill"}),
        "inputs that are a list": with_nodes(n3={"class_type": "InlayImageFill", "inputs": []}),
        "inputs that are null": with_nodes(n3={"class_type": "InlayImageFill", "inputs": None}),
        "a node that is null": with_nodes(n3=None) | {"3": None},
        "a node that is a list": with_nodes(n3=[1]),
        "a node that is a text": with_nodes(n3="InlayImageFill"),
        "nothing that saves": without(whole(), "4", "5"),
        "no nodes": {},
        "only a node that saves, alone": {"5": node("SaveImage", filename_prefix="x")},
        "the same picture saved twice": with_nodes(n6=whole()["4"]),
        "the same name for two pictures": with_nodes(n6=node("SaveImage", images=["3", 0], filename_prefix="bad/host")),
        "a host's node that is wrong": with_nodes(
            n6=node("ImageToMask", image=["1", 1], channel="pink"),
            n4=node("InlayImageSave", image=["1", 0], mask=["6", 0], prefix="bad/pink"),
        ),
        "a node that fails while it runs": with_nodes(
            n6=node("InlayMaskSolid", value=1.0, width=7, height=9),
            n3=node("InlayImageFill", image=["1", 0], mask=["6", 0], fill="neutral", seed=0),
        ),
        **{f"a picture: {about}": with_inputs(n1_image=name) for about, name in files.items()},
        **{f"a picture of ours: {about}": with_nodes(n1=node("InlayImageWithMask", image=name)) for about,
        name in files.items()},
        "a chain of 100": chain(100),
        "a chain of 100, wrong at its end": chain(100, pixels="wide"),
    }  # fmt: skip


def bodies() -> dict[str, object]:
    """Whole bodies: a text is sent as it is, everything else as JSON."""
    good = {"prompt": whole()}
    twice = json.dumps(good).replace('"5": {', '"5": {"class_type": "Nothing", "inputs": {}}, "5": {', 1)
    ids = {
        "a word": "x",
        "capitals": "0B9D1A5E-6D0C-4F60-9A63-1F3B3E0A7C11",
        "a number": 3,
        "a list": ["x"],
        "empty": "",
    }
    clients: dict[str, object] = {"a number": 3, "a list": [1], "null": None, "empty": "", "long": "c" * 5000}
    extras: dict[str, object] = {
        "null": None, "a list": [], "a text": "x", "a number": 3, "pictures that are a list": {"extra_pnginfo": []},
        "pictures that are null": {"extra_pnginfo": None},
        "a workflow that is a text": {"extra_pnginfo": {"workflow": "x"}},
        "a workflow that is null": {"extra_pnginfo": {"workflow": None}},
    }  # fmt: skip
    targets: dict[str, object] = {
        "null": None, "none": [], "one that is not there": ["99"], "one that saves nothing": ["3"], "a text": "5",
        "a number": 5, "numbers": [5], "one that saves": ["5"], "lists": [["5"]],
    }  # fmt: skip
    numbers: dict[str, object] = {"a word": "x", "null": None, "a list": [], "digits": "7", "an object": {}}
    return {
        "no JSON": "{", "an empty body": "", "a list": [], "a text": '"prompt"', "null": "null", "a number": "3",
        "no prompt": {"client_id": "x"}, "a prompt that is null": {"prompt": None},
        "a prompt that is a list": {"prompt": []},
        "a prompt that is a text": {"prompt": "x"}, "a prompt that is a number": {"prompt": 3},
        "a key twice": twice, "lists in lists": nested(200), "lists in lists without end": nested(100_000),
        "bytes that are no text": b'{"prompt": "\xff\xfe"}',
        "a long text": {"prompt": with_inputs(n4_prefix="x" * 2_000_000)},
        "front that is a word": {**good, "front": "yes"},
        **{f"prompt_id: {about}": {**good, "prompt_id": value} for about, value in ids.items()},
        **{f"client_id: {about}": {**good, "client_id": value} for about, value in clients.items()},
        **{f"extra_data: {about}": {**good, "extra_data": value} for about, value in extras.items()},
        **{f"targets: {about}": {**good, "partial_execution_targets": value} for about, value in targets.items()},
        **{f"number: {about}": {**good, "number": value} for about, value in numbers.items()},
    }  # fmt: skip


def cases() -> dict[str, bytes]:
    """All bodies, by what they are about."""
    graphs = {**values(), **links(), **nodes()}
    found: dict[str, object] = {about: {"prompt": graph} for about, graph in graphs.items()} | bodies()
    return {about: as_bytes(body) for about, body in found.items()}


def as_bytes(body: object) -> bytes:
    """What is sent."""
    if isinstance(body, bytes):
        return body
    return (body if isinstance(body, str) else json.dumps(body)).encode()


def post(address: str, body: bytes) -> tuple[int, Any]:
    """Status and answer; None for one that is no JSON."""
    request = urllib.request.Request(address + "/prompt", body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request) as answer:
            status, raw = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, raw = error.code, error.read()
    try:
        return status, json.loads(raw)
    except ValueError:
        return status, None


def outcome(status: int, answer: Any, history: Callable[[str], Any]) -> dict[str, Any]:
    """What an answer says: its kind of error, those of each node, and what ran.

    Args:
        status: of the answer.
        answer: its JSON.
        history: gives the entry of a run, once it has ended.
    """
    found: dict[str, Any] = {"status": status}
    if not isinstance(answer, dict):
        return found
    error = answer.get("error")
    if error:
        found["error"] = error.get("type") if isinstance(error, dict) else "?"
        blamed = error.get("extra_info", {}).get("node_id") if isinstance(error, dict) else None
        found |= {} if blamed is None else {"blamed": blamed}
    nodes = {
        key: {
            "errors": sorted([one["type"], one["extra_info"].get("input_name")] for one in entry["errors"]),
            "outputs": sorted(entry["dependent_outputs"]),
        }
        for key, entry in (answer.get("node_errors") or {}).items()
    }
    found |= {"nodes": nodes} if nodes else {}
    if status == 200 and "prompt_id" in answer:
        entry = history(answer["prompt_id"])
        found["ran"] = sorted(entry["outputs"])
        for kind, about in entry["status"]["messages"]:
            if kind == "execution_error":
                found["failed"] = about["node_id"]
    return found


def ended(read: Callable[[str], Any], run_id: str) -> Any:
    """The entry of a run in the history, once it has ended."""
    until = time.monotonic() + SECONDS
    while time.monotonic() < until:
        if found := read(f"/history/{run_id}"):
            return found[run_id]
        time.sleep(0.02)
    raise TimeoutError(f"no answer in {SECONDS} s")


def shown(body: bytes) -> str:
    """What was sent, shortened where it is long."""
    text = body.decode(errors="replace")
    return text if len(text) <= LONGEST else f"{text[:200]} … ({len(body):,} bytes)"


def ask(host: Host, body: bytes) -> dict[str, Any]:
    """What comes of a body, with whether the host stopped working for good."""
    status: int | None = None
    try:
        status, answer = post(host.address, body)
        return outcome(status, answer, lambda run_id: ended(host.get, run_id))
    except (OSError, HTTPException):  # no answer in time, or the host ended
        return {"status": status, "stopped": True}


def write(table: dict[str, Any]) -> None:
    """The table as its file: a line for each body."""
    ordered = {about: table[about] for about in cases() if about in table}
    lines = (f"{json.dumps(about)}: {json.dumps(entry, ensure_ascii=False)}" for about, entry in ordered.items())
    TABLE.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")


def main() -> int:
    """Ask, and write down the answers."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("host", help="its address, such as http://127.0.0.1:8188")
    parser.add_argument("--resume", action="store_true", help="ask only what it has not answered")
    options = parser.parse_args()
    host = Host(options.host)
    release = host.get("/system_stats")["system"]["comfyui_version"]
    for name, contents in pictures().items():
        host.upload(name, contents)
    table = json.loads(TABLE.read_text("utf-8")) if TABLE.is_file() else {}
    for about, body in cases().items():
        answers = table.get(about, {}).get("answers", {})
        if options.resume and release in answers:
            continue
        answers = {**answers, release: ask(host, body)}
        table[about] = {"sent": shown(body), "answers": dict(sorted(answers.items()))}
        write(table)
        if answers[release].get("stopped"):
            print(f"ComfyUI {release} runs nothing since: {about}. Start it again, and go on with --resume")
            return 1
    print(f"ComfyUI {release}: {len(table)} graphs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
