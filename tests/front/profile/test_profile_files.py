"""The files of a profile: a trace that lies in itself, a picture that does nothing, and folders that cannot be used."""

import json
import signal
import subprocess
import sys
import time
import warnings
from itertools import pairwise
from xml.etree import ElementTree

import inlay
import pytest
import torch
from graph_toys import One
from inlay.graph_runtime import Context, WorkflowError, node
from inlay.graph_runtime.core.events import NodeFinished, NodeStarted
from inlay.graph_runtime.front.cli import main
from inlay.graph_runtime.front.profile import place as places
from inlay.graph_runtime.front.profile.flame import flame_of
from inlay.graph_runtime.front.profile.gpu import WAIT, waits_counted
from inlay.graph_runtime.front.profile.profile import NodeProfile, Profile, put_in_lanes
from inlay.graph_runtime.front.profile.report import ROWS, table_of
from inlay.graph_runtime.front.profile.spans import Span, spans_of
from inlay.graph_runtime.front.profile.trace import trace_of

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert("1")</script>&\x00\x1b[31m\ufffe‮\ud800'


@pytest.fixture
def command(tmp_path, small_job):
    """The words of a command for a small job; `None` for an input leaves it out."""

    def words(*more, verb="run", **inputs):
        given = {"out": tmp_path / "out", "device": "cpu", **small_job, **inputs}
        flags = [word for name, value in given.items() if value is not None for word in (f"--{name}", str(value))]
        return [verb, "zero_shot_inpaint", *flags, *more]

    return words


def obeys_its_format(text):
    """The events of a trace, after the rules of the Trace Event Format that Perfetto's importer keeps to.

    JSON as RFC 8259 has it, in text that UTF-8 can hold; whole numbers for `pid` and `tid`; `M` names a process or a
    thread; the stretches of a thread lie within each other or apart, to the nanosecond.
    """

    def no_number(word):
        raise AssertionError(f"{word} is no JSON")

    trace = json.loads(text, parse_constant=no_number)
    json.dumps(trace, ensure_ascii=False).encode("utf-8")
    assert trace["displayTimeUnit"] in ("ms", "ns")
    stacks, named = {}, set()
    for event in trace["traceEvents"]:
        assert isinstance(event["name"], str)
        assert type(event["pid"]) is type(event["tid"]) is int
        if event["ph"] == "M":
            assert event["name"] in ("process_name", "thread_name")
            assert isinstance(event["args"]["name"], str)
            named.add((event["pid"], event["tid"]))
        else:
            assert event["ph"] == "X"
            assert all(isinstance(event[key], (int, float)) and event[key] >= 0 for key in ("ts", "dur"))
            stacks.setdefault((event["pid"], event["tid"]), []).append(event)
    assert stacks.keys() <= named
    for events in stacks.values():
        ends = []
        for event in sorted(events, key=lambda one: (one["ts"], -one["dur"])):
            began, ended = round(event["ts"] * 1000), round((event["ts"] + event["dur"]) * 1000)
            while ends and ends[-1] <= began:
                ends.pop()
            assert not ends or ended <= ends[-1], event
            ends.append(ended)
    return trace["traceEvents"]


def test_the_trace_holds_steps_in_nodes_and_calls_in_steps(sampled, profile_in, tmp_path):
    folder = sampled(cache=False, profile=tmp_path / "p").profile
    trace = profile_in(folder).trace
    assert obeys_its_format((folder / "trace.json").read_text("utf-8")) == trace
    spans = [event for event in trace if event["ph"] == "X"]
    assert {event["ph"] for event in trace} == {"M", "X"}
    for event in spans:
        assert {"name", "cat", "ts", "dur", "pid", "tid", "args"} == set(event) - {"ph"}
        assert event["ts"] >= 0
        assert event["dur"] >= 0

    def inside(kind, outer):
        end = outer["ts"] + outer["dur"] + 0.002
        return [
            one for one in spans if one["cat"] == kind and outer["ts"] <= one["ts"] and one["ts"] + one["dur"] <= end
        ]

    [run] = [one for one in spans if one["cat"] == "run"]
    assert len(inside("node", run)) == sum(one["cat"] == "node" for one in spans)
    [node] = [one for one in inside("node", run) if one["name"] == "sample"]
    steps = inside("step", node)
    assert [one["name"] for one in steps] == [
        f"step {number} of {sampled.steps}" for number in range(1, 1 + sampled.steps)
    ]
    for before, after in pairwise(steps):
        assert before["ts"] + before["dur"] <= after["ts"] + 0.002
    for step in steps:
        assert sum(one["name"].startswith("unet ") for one in inside("call", step)) == 1


def test_the_picture_is_inert_and_shows_hostile_names_as_text(sampled, profile_in, tmp_path):
    drawn = ElementTree.fromstring(profile_in(sampled(cache=False, profile=tmp_path / "p").profile).flame)
    whole = Span(HOSTILE, "run", 0.0, 1.0, facts={"error": HOSTILE}, inner=[Span(HOSTILE, "node", 0.0, 0.9)])
    hostile = ElementTree.fromstring(flame_of(whole))
    for root in (drawn, hostile):
        assert {one.tag.removeprefix(SVG) for one in root.iter()} == {"svg", "g", "title", "rect", "text"}
        assert not [name for one in root.iter() for name in one.attrib if name.startswith("on") or "href" in name]
    titles = [one.text for one in hostile.iter(f"{SVG}title")]
    assert sum('<script>alert("1")</script>&' in title for title in titles) == len(titles) == 3
    assert any(title.startswith("sample: ") for one in drawn.iter(f"{SVG}title") if (title := one.text))


def test_a_strangers_workflow_puts_nothing_but_text_into_a_profile(toys, tmp_path, capsys):
    """Its title comes in as text, cut where it is long; names of nodes are plain; its settings do not come in."""
    hostile, secret = HOSTILE + "]]>" + "a" * 50_000, "a prompt of mine"

    @node("toy.words")
    def words(ctx: Context, prompt: str = "") -> One:
        """Read words."""
        return One(len(prompt))

    toys.module.words = words
    nodes = {"a": {"type": "toy.words", "params": {"prompt": secret}}}
    flow = {"format": 1, "title": hostile, "nodes": nodes, "outputs": {"n": "a.value"}}
    try:
        folder = inlay.run(flow, nodes=[toys.module], out=tmp_path, device="cpu", profile=tmp_path / "p").profile
    except WorkflowError:  # no file holds half of a letter
        flow["title"] = hostile.replace("\ud800", "")
        folder = inlay.run(flow, nodes=[toys.module], out=tmp_path, device="cpu", profile=tmp_path / "p").profile
    texts = {path.name: path.read_text("utf-8") for path in folder.iterdir()}
    assert not [name for name, text in texts.items() if secret in text]
    obeys_its_format(texts["trace.json"])
    root = ElementTree.fromstring(texts["flame.svg"])
    assert {one.tag.removeprefix(SVG) for one in root.iter()} == {"svg", "g", "title", "rect", "text"}
    assert len(texts["flame.svg"]) < 20_000
    for bad in ("\x00", "\x1b", "\ufffe", "‮"):
        assert bad not in texts["flame.svg"] + texts["trace.json"]
    with pytest.raises(WorkflowError, match="letters, digits and _"):
        inlay.run(flow | {"nodes": {"<b>": nodes["a"]}}, nodes=[toys.module], out=tmp_path, profile=tmp_path / "q")
    assert not (tmp_path / "q").exists()


def test_a_run_of_any_length_has_a_small_picture_and_one_without_time_has_one_too():
    steps = [Span(f"step {number}", "step", number / 1e5, (number + 1) / 1e5) for number in range(100_000)]
    assert len(flame_of(Span("run", "run", 0.0, 1.0, inner=steps))) < 10_000
    ElementTree.fromstring(flame_of(Span("run", "run", 0.0, 0.0)))


@pytest.mark.browser
def test_a_browser_shows_the_picture(tmp_path):
    from brush.hands import browser

    path = tmp_path / "flame.svg"
    whole = Span("a run", "run", 0.0, 1.0, inner=[Span("<node>", "node", 0.1, 0.9)])
    path.write_text(flame_of(whole), encoding="utf-8")
    with browser() as started:
        page = started.new_page()
        said = []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.tagName") == "svg"
        assert "<node>" in page.evaluate("[...document.querySelectorAll('text')].map(one => one.textContent)")
        box = page.evaluate("document.querySelectorAll('g rect')[1].getBoundingClientRect().width")
    assert 950 < box < 970  # eight tenths of the width
    assert said == []


def test_the_command_prints_a_table_and_says_where_the_profile_is(command, tmp_path, profile_in, capsys):
    for number in (1, 2):
        assert main.main(command("--profile", "--quiet")) == 0
        said = capsys.readouterr()
        folder = tmp_path / "out" / f"profile_{number:05}"
        assert said.err.splitlines()[-1] == f"profile: {folder}"
        assert said.err.splitlines()[0].split() == [
            "node",
            "time",
            "share",
            "CPU",
            "model",
            "calls",
            "peak",
            "weights",
            "moved",
            "waits",
            "result",
        ]
        assert said.out.splitlines() == [str(tmp_path / "out" / f"image_{number:05}.png")]
        found = profile_in(folder).data["totals"]["found"]
        assert bool(found["memory"]) == (number == 2)  # in one process


def test_the_folder_may_be_left_out_before_any_flag_and_json_stays_one_object(command, tmp_path, capsys):
    words = command("--quiet", "--json")
    assert main.main([*words[:2], "--profile", "--prompt=a sofa", *words[2:]]) == 0
    assert json.loads(capsys.readouterr().out)["status"] == "done"
    assert (tmp_path / "out" / "profile_00001" / "profile.json").is_file()


def test_a_folder_that_cannot_be_used_is_refused_before_anything_runs(command, tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("mine")
    used = tmp_path / "used"
    used.mkdir()
    (used / "trace.json").write_text("mine")
    for folder, said in ((file, "which is a file"), (file / "below", "not a folder"), (used, "trace.json is already")):
        for verb in ("run", "check"):
            words = command("--profile", str(folder), "--quiet", verb=verb)
            assert main.main(words) == 2
            err = capsys.readouterr().err
            assert said in err
            assert "--profile" in err
            assert "fix" in err
    assert not (tmp_path / "out").exists()
    assert file.read_text() == (used / "trace.json").read_text() == "mine"
    assert main.main(["run", "--profile", "zero_shot_inpaint"]) == 2
    assert "put FILE first" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [3, "", "a\0b", None.__class__])
def test_what_is_no_folder_is_refused_in_python(wrong, tmp_path):
    for call in (inlay.run, inlay.check):
        if call is inlay.check:
            assert [
                problem
                for problem in call("zero_shot_inpaint", out=tmp_path, profile=wrong)
                if "profile" in str(problem)
            ]
        else:
            with pytest.raises(WorkflowError, match="profile"):
                call("zero_shot_inpaint", out=tmp_path, profile=wrong)
    with pytest.raises(WorkflowError, match="out=None"):
        inlay.run("zero_shot_inpaint", out=None, profile=True)
    assert list(tmp_path.iterdir()) == []


def test_a_job_is_refused(command, tmp_path, capsys):
    from PIL import Image

    (tmp_path / "in").mkdir()
    for name in "ab":
        Image.new("RGB", (64, 64)).save(tmp_path / "in" / f"{name}.png")
    for verb in ("run", "check"):
        assert main.main(command("--jobs", "2", "--profile", verb=verb, image=tmp_path / "in")) == 2
        err = capsys.readouterr().err
        assert "--profile" in err
        assert "a run for each" in err
        assert "name one picture" in err
    assert not (tmp_path / "out").exists()


def test_a_profile_that_cannot_be_written_leaves_the_results_and_says_so(command, tmp_path, monkeypatch, capsys):
    def full(path, text):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(places, "write_text", full)
    assert main.main(command("--profile", "--quiet")) == 1
    said = capsys.readouterr()
    assert said.out.splitlines() == [str(tmp_path / "out" / "image_00001.png")]
    assert "the run is done, and its profile could not be written" in said.err
    assert "no space is left on the disk" in said.err
    assert "Traceback" not in said.err


def test_a_failing_run_fails_as_without_a_profile(command, tmp_path, monkeypatch, profile_in, capsys):
    def fail(*_, **__):
        raise RuntimeError("no luck")

    monkeypatch.setattr("inlay.nodes.sample.run_denoising", fail)
    assert main.main(command("--quiet")) == 1
    plain = capsys.readouterr().err
    assert main.main(command("--quiet", "--profile", str(tmp_path / "p"))) == 1
    measured = capsys.readouterr().err
    assert measured.endswith(plain)
    assert "this run has failed: sample: found RuntimeError: no luck" in measured
    profile = profile_in(tmp_path / "p")
    assert (profile.data["status"], profile.data["nodes"][-1]["name"]) == ("failed", "sample")


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGINT for one process there")
def test_ctrl_c_leaves_the_profile_up_to_it(command, tmp_path, profile_in):
    code = "import sys; from inlay.graph_runtime.front.cli.main import main; sys.exit(main())"
    words = command("--profile", str(tmp_path / "p"), "--no-cache", steps=999)
    with subprocess.Popen([sys.executable, "-c", code, *words], stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if line.startswith("sample: "):
                break
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()
        assert process.wait() == 130
    assert "this run was cancelled" in said
    assert "Traceback" not in said
    profile = profile_in(tmp_path / "p")
    assert profile.data["status"] == "cancelled"
    assert 0 < profile.nodes["sample"]["steps"] < 999


def test_the_table_is_short_for_a_long_workflow_and_the_data_has_all():
    profile = Profile("long")
    profile.run_began = profile.began
    for number in range(1000):
        profile(NodeStarted(f"n{number}", "toy.add"))
        profile(NodeFinished(f"n{number}", "toy.add", 0.0))
    assert len(profile.nodes) == 1000
    table = table_of(profile)
    assert len(table) < ROWS + 6
    assert any(line.startswith(f"and {1000 - ROWS} more") for line in table)
    assert len(spans_of(profile).inner) == 1001


def test_waits_for_a_gpu_are_counted_from_its_own_warnings(monkeypatch):
    modes = ["default"]
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    monkeypatch.setattr(torch.cuda, "get_sync_debug_mode", lambda: modes[-1])
    with warnings.catch_warnings(record=True) as others:
        warnings.simplefilter("always")
        with waits_counted("cuda:0") as found:
            assert modes[-1] == "warn"
            for _ in range(3):
                warnings.warn(f"{WAIT} (Triggered internally)", stacklevel=1)
            warnings.warn("another", stacklevel=1)
    assert found.count == 3
    assert [str(one.message) for one in others] == ["another"]
    assert modes[-1] == "default"
    with waits_counted("cpu") as found:
        float(torch.ones(1))
    assert found.count == 0
    assert modes == ["default", "warn", "default"]


def test_nodes_that_ran_at_once_lie_beside_each_other_in_lanes():
    profile = Profile("two devices")
    profile.nodes = [
        NodeProfile(name, "toy.add", began, ended=ended)
        for name, began, ended in (("a", 0, 3), ("b", 1, 4), ("c", 3, 5))
    ]
    put_in_lanes(profile.nodes)
    assert {node.name: node.lane for node in profile.nodes} == {"a": 0, "b": 1, "c": 0}
    profile.began, profile.ended, profile.run_began = 0.0, 5.0, 0.0
    root = ElementTree.fromstring(flame_of(spans_of(profile)))
    heights = {one.find(f"{SVG}title").text[0]: float(one.find(f"{SVG}rect").get("y")) for one in root.iter(f"{SVG}g")}
    assert heights["t"] < heights["a"] == heights["c"] < heights["b"]
    events = trace_of(spans_of(profile))["traceEvents"]
    obeys_its_format(json.dumps({"displayTimeUnit": "ms", "traceEvents": events}))
    assert {event["name"]: event["tid"] for event in events if event["ph"] == "X" and event["cat"] == "node"} == {
        "a": 0,
        "b": 1,
        "c": 0,
    }
