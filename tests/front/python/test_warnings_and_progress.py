"""How `inlay.run` speaks to Python: warnings through `warnings`, progress on stderr, cancelling, threads."""

import io
import os
import pickle
import signal
import subprocess
import sys
import threading
import types
import warnings
from concurrent.futures import ThreadPoolExecutor

import inlay
import numpy as np
import pytest
from inlay.graph_runtime.core.events import (
    ModelMoved,
    NodeFinished,
    NodeProgress,
    NodeStarted,
    Noted,
    RunStarted,
    Warned,
)
from inlay.graph_runtime.front.python import progress

EMPTY = np.zeros((8, 8), np.uint8)  # a mask that brings a warning
FLOW = {
    "format": 1,
    "inputs": {"mask": "hole.path", "threshold": "hole.threshold"},
    "nodes": {"hole": {"type": "mask.load", "params": {"path": "none.png"}}},
    "outputs": {"mask": "hole.mask"},
}


def run(**more):
    return inlay.run(FLOW, **{"mask": EMPTY, "out": None, **more})


def test_a_warning_is_pythons_own_with_node_and_message_at_the_line_of_the_caller():
    with pytest.warns(inlay.InlayWarning) as caught:
        result = run()
    (warning,) = caught
    assert warning.filename == __file__
    assert (warning.message.node, "mask-empty" in warning.message.message) == ("hole", True)
    assert str(warning.message) == f"hole: {warning.message.message}"
    assert [one.message for one in result.warnings] == [warning.message.message]
    assert repr(pickle.loads(pickle.dumps(warning.message))) == repr(warning.message)
    assert warning.category.__module__ == "inlay"


def test_the_function_inpaint_warns_at_the_line_of_its_caller_too():
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[20:24, 20:24] = True
    with pytest.warns(inlay.InlayWarning) as caught:
        inlay.inpaint(image, np.where(mask, 140, 0).astype(np.uint8))  # a faint mask
    assert {warning.filename for warning in caught} == {__file__}


def test_a_listener_does_not_double_a_warning_and_a_repeated_result_has_it_again():
    heard = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        run(listeners=[heard.append])
        run(listeners=[heard.append])
    assert len(caught) == 2
    assert len([event for event in heard if isinstance(event, Warned)]) == 2


def test_warnings_can_be_ignored_or_made_errors():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", inlay.InlayWarning)
        assert run()["mask"].sum() == 0
    with warnings.catch_warnings():
        warnings.simplefilter("error", inlay.InlayWarning)
        with pytest.raises(inlay.InlayWarning, match="mask-empty"):
            run()


def test_a_warning_that_is_an_error_stops_the_run_before_its_first_step():
    heard = []
    with warnings.catch_warnings():
        warnings.simplefilter("error", inlay.InlayWarning)
        with pytest.raises(inlay.InlayWarning):  # of the check
            run(listeners=[heard.append], cache=False)
    assert heard
    assert not [event for event in heard if isinstance(event, NodeStarted)]


def test_check_lists_warnings_and_warns_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = inlay.check("zero_shot_inpaint", image=EMPTY, mask=EMPTY)
    assert report.warnings


# Progress

LONG = [
    Noted(None, "patches were chosen"),
    RunStarted(3),
    NodeStarted("a", "x.a"),
    NodeFinished("a", "x.a", 0.1),
    NodeStarted("sample", "x.b"),
    *(NodeProgress("sample", step, 4, None, "") for step in range(1, 5)),
    Warned("sample", "grey"),
    ModelMoved("loaded"),
    NodeFinished("sample", "x.b", 1.0),
]


def shown(monkeypatch, wanted, terminal=False, patience=0.0):
    class Terminal(io.StringIO):
        def isatty(self):
            return terminal

    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(progress, "PATIENCE", patience)
    with progress.shown_progress(wanted) as listeners:
        for event in LONG:
            for listener in listeners:
                listener(event)
    return stream.getvalue()


def test_lines_without_a_terminal_only_if_they_are_asked_for(monkeypatch, capsys):
    assert shown(monkeypatch, None) == shown(monkeypatch, False, terminal=True) == ""
    assert shown(monkeypatch, True).splitlines() == [
        "note: patches were chosen",
        "running 3 nodes",
        "sample: 1 of 4",
        "sample: 4 of 4",
    ]
    assert capsys.readouterr().out == ""


def test_bars_in_a_terminal_leave_warnings_to_python(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    said = shown(monkeypatch, None, terminal=True)
    assert "sample" in said
    assert "4/4" in said
    assert "note: patches were chosen" in said
    assert "grey" not in said
    assert "loaded" not in said
    assert capsys.readouterr().out == ""


def test_a_short_run_draws_nothing(monkeypatch):
    assert shown(monkeypatch, None, terminal=True, patience=60) == ""


def test_another_thread_draws_nothing_of_its_own(monkeypatch):
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(shown, monkeypatch, None, True).result() == ""


@pytest.fixture
def notebook(monkeypatch):
    shell = types.SimpleNamespace(kernel=object(), config={})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))


def test_a_notebook_gets_bars_of_tqdm(monkeypatch, notebook, capsys):
    said = shown(monkeypatch, None)
    assert "sample" in said
    assert "4/4" in said
    assert "note: patches were chosen" in said
    assert capsys.readouterr().out == ""


def test_a_notebook_without_tqdm_gets_lines(monkeypatch, notebook):
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert "sample: 4 of 4" in shown(monkeypatch, None).splitlines()


@pytest.mark.parametrize("odd", ["yes", 1, object()])
def test_progress_is_yes_or_no(odd):
    assert [problem.port for problem in inlay.check(FLOW, mask=EMPTY, progress=odd)] == ["progress"]
    with pytest.raises(inlay.WorkflowError, match="True, False or None"):
        run(progress=odd)


# Threads, cancelling


def test_threads_run_side_by_side_with_pictures_of_their_own():
    rng = np.random.default_rng(3)
    masks = [rng.integers(0, 2, (16, 16), dtype=np.uint8) * 255 for _ in range(12)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with ThreadPoolExecutor(4) as pool:
            found = list(pool.map(lambda mask: run(mask=mask)["mask"][0].numpy() * 255, masks))
    assert all(np.array_equal(one, mask) for one, mask in zip(found, masks, strict=True))


def test_the_callers_token_still_cancels():
    token = inlay.CancelToken()
    stop = threading.Thread(target=token.cancel)

    def listener(event):
        if isinstance(event, RunStarted):
            stop.start()
            stop.join()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(inlay.Cancelled):
            run(cancel=token, listeners=[listener], cache=False)


STOPPED = """
import inlay, numpy
image = numpy.zeros((64, 64, 3), numpy.uint8)
hole = numpy.zeros((64, 64), bool)
hole[9:30, 9:30] = True

def say(event):
    if type(event).__name__ == "NodeProgress":
        print("ready", flush=True)

inlay.run("zero_shot_inpaint", image=image, mask=hole, steps=900, out="out", listeners=[say])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signal for it")
def test_ctrl_c_raises_keyboard_interrupt_and_leaves_nothing(tmp_path):
    environment = {**os.environ, "INLAY_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", STOPPED]
    with subprocess.Popen(
        command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=60)[1]
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    assert not list((tmp_path / "home" / "held").iterdir())
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
