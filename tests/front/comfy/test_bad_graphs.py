"""What a real ComfyUI answered to wrong graphs is the floor of our answers (scripts/comfy_bad_graphs.py records it)."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
from inlay import check
from serving import served

ROOT = Path(__file__).resolve().parents[3]
TABLE = json.loads(Path(__file__).with_name("bad_graphs.json").read_text("utf-8"))
sys.path.insert(0, str(ROOT / "scripts"))
_spec = importlib.util.spec_from_file_location("comfy_bad_graphs", ROOT / "scripts" / "comfy_bad_graphs.py")
record = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(record)
sys.path.remove(str(ROOT / "scripts"))
CASES = record.cases()


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    """A server whose runs wait: what would run is what counts."""
    from inlay.graph_runtime.front.serve.dispatch import Dispatcher

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Dispatcher, "start", lambda self: None)
        with served(tmp_path_factory.mktemp("host"), guarded=True) as (client, service):
            client.service = service
            for name, contents in record.pictures().items():
                client.http.post("/api/upload/image", files={"image": (name, contents, "image/png")})
            yield client


def asked(host, body, prefix="/api"):
    """What the server answers, in the words of the record; what waits counts as what ran."""
    answer = host.http.post(f"{prefix}/prompt", content=body, headers={"content-type": "application/json"})

    def waiting(run_id):
        (entry,) = [one for one in host.http.get(f"{prefix}/queue").json()["queue_pending"] if one[1] == run_id]
        host.http.post(f"{prefix}/queue", json={"delete": [run_id]})
        return {"outputs": entry[4], "status": {"messages": []}}

    return record.outcome(answer.status_code, answer.json(), waiting), answer.text


WHOLE = ("invalid_prompt", "no_prompt")  # of a body that is no graph, for a reason that the answer gives
SAVERS = {"4", "5", "6"}
#: What ComfyUI takes, guesses at or leaves out without a word, and we name: on the node, or in the answer.
STRICTER = {
    "a whole number: a fraction", "a whole number: true", "a switch: a word", "a switch: a number", "a switch: nothing",
    "a switch: an object", "a text: nothing", "a text: an object", "a text: true", "a picture of ours: a folder",
    "a missing node, for an input that is none", "no inputs", "a key twice", "client_id: a list", "targets: a text",
    "number: digits",
}  # fmt: skip
#: What ComfyUI fails at without a reason, and we do: an id of a node as a number, null for what is not there.
TAKEN = {"a link: a node as a number", "extra_data: null", "number: null"}
#: What ComfyUI refuses, and we run: no output needs the node, which is marked all the same.
MARKED = {"an unknown type that nothing needs"}


def below(theirs, ours, sent):
    """In what an answer of ours says less than ComfyUI's."""
    found = []
    nodes, mine = theirs.get("nodes", {}), ours.get("nodes", {})
    if ours["status"] not in (200, 400) or (ours["status"] == 400 and "error" not in ours):
        found.append(f"no answer in its form: {ours}")
    if {"stopped", "failed"} & set(theirs) and ours.get("error") in WHOLE:
        return found
    same = theirs.get("error") in (ours.get("error"), "invalid_prompt") or ours.get("error") == "no_prompt"
    if theirs["status"] == 400 and (ours["status"] != 400 or not same):
        found.append(f"another answer: {ours}")
    if theirs["status"] == 500 and ours["status"] == 200 and not mine:
        found.append("taken, where ComfyUI fails")
    if (theirs.get("stopped") or "failed" in theirs) and not mine:
        found.append("taken, where ComfyUI fails while it runs")
    named = {theirs[key] for key in ("blamed", "failed") if key in theirs} | set(nodes)
    found += [f"{name} is not named" for name in sorted(named - set(mine))]
    for name, entry in nodes.items():
        said = mine.get(name, {"errors": [], "outputs": []})
        for kind, port in entry["errors"]:
            if kind.startswith("exception_during") or port == "input_types":  # it failed there, or repeats itself
                continue
            if not {kind, "bad_linked_input"} & {one for one, where in said["errors"] if where == port}:
                found.append(f"{name}: no {kind} on {port}, only {said['errors']}")
        if missing := {one for one in entry["outputs"] if needs(sent, one, name)} - set(said["outputs"]):
            found.append(f"{name}: outputs {missing} are not named")
    spoiled = {output for entry in mine.values() for output in entry["outputs"]}
    if lost := (set(theirs.get("ran", ())) & SAVERS) - set(ours.get("ran", ())) - spoiled:
        found.append(f"{lost} did not run, and nothing says why")
    return found


def needs(graph, output, name):
    """True if an output needs a node."""
    waiting, seen = [output], set()
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            links = graph.get(one, {}).get("inputs", {}).values()
            waiting += [str(link[0]) for link in links if isinstance(link, list) and len(link) == 2]
    return name in seen


def graph_of(body):
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    graph = found.get("prompt") if isinstance(found, dict) else None
    return graph if isinstance(graph, dict) else {}


@pytest.mark.parametrize("about", TABLE)
def test_every_wrong_graph_is_answered_as_by_comfyui_or_better(host, about):
    ours, text = asked(host, CASES[about])
    assert record.shown(CASES[about]) == TABLE[about]["sent"]
    if about in TAKEN:
        assert (ours["status"], ours.get("nodes")) == (200, None)
    elif about in MARKED:
        assert (ours["status"], set(ours["nodes"]), ours["ran"]) == (200, {"6"}, ["4", "5"])
    elif about in STRICTER:
        assert ours.get("nodes") or ours["status"] == 400, text
    else:
        for release, theirs in TABLE[about]["answers"].items():
            if not (about.startswith(("prompt_id", "targets")) and release == "0.3.64"):  # it knows neither
                assert not below(theirs, ours, graph_of(CASES[about])), (release, theirs, ours, text)


@pytest.mark.parametrize("prefix", ["/editor/api", ""])
def test_the_editors_own_address_and_the_hosts_answer_alike(host, prefix):
    for about in ("everything at once", "a whole number: a word", "an unknown type", "a circle of two", "no JSON"):
        ours, theirs = asked(host, CASES[about], prefix)[0], asked(host, CASES[about])[0]
        assert ours == theirs, about


def test_the_table_has_every_graph_and_both_releases():
    assert list(TABLE) == list(CASES)
    assert {release for entry in TABLE.values() for release in entry["answers"]} == {"0.3.64", "0.33.0"}
    assert all("0.33.0" in entry["answers"] for entry in TABLE.values())


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("inputs")
    for name, contents in record.pictures().items():
        (folder / name).write_bytes(contents)
    return folder


#: What a file may leave out: we have a value for it.
OURS = {"a missing text of a node that saves"}
FILES = [about for about in TABLE if graph_of(CASES[about]) and about not in {*TAKEN, *MARKED, *OURS, "a key twice"}]


@pytest.mark.parametrize("about", FILES)
def test_check_names_every_node_that_comfyui_names(inputs, tmp_path, about):
    theirs = TABLE[about]["answers"]["0.33.0"]
    named = {theirs[key] for key in ("blamed", "failed") if key in theirs} | set(theirs.get("nodes", {}))
    if not named:
        return
    (tmp_path / "sent.json").write_bytes(CASES[about])
    found = check(tmp_path / "sent.json", inputs=inputs, out=tmp_path / "out")
    ours = {(one.label or one.node or "").partition(" ")[0] for one in found}
    cycle = "".join(one.found for one in found if one.found.startswith("a cycle"))
    assert {name for name in named if f"{name} (" not in cycle} <= ours, [str(one) for one in found]
