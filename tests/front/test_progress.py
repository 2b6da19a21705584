"""What a person sees of a long run where there is no terminal: a line now and then, not a bar."""

from types import SimpleNamespace

from inlay.graph_runtime import Context
from inlay.graph_runtime.core.events import NodeProgress, NodeStarted, RunStarted, Saved, Warned
from inlay.graph_runtime.front.cli import progress


def lines(capsys, monkeypatch, events, *, every, enabled=True):
    clock = iter(range(0, 100_000, 10))
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(progress, "LOG_SECONDS", every)
    with progress.Bars(enabled=enabled) as bars:
        for event in (RunStarted(1), NodeStarted("train", "train.exemplar"), *events):
            bars(event)
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("train:")]


def steps(count, note="loss 0.1"):
    return [NodeProgress("train", step + 1, count, None, note) for step in range(count)]


def test_long_work_leaves_a_line_now_and_then_and_one_at_the_end(capsys, monkeypatch):
    said = lines(capsys, monkeypatch, steps(31), every=100)
    assert said[0] == "train: 10 of 31, loss 0.1, about 4 min left"
    assert said[-1] == "train: 31 of 31, loss 0.1"
    assert len(said) == 4


def test_work_without_a_note_and_quiet_runs_say_nothing(capsys, monkeypatch):
    assert not lines(capsys, monkeypatch, steps(31, note=""), every=10)
    assert not lines(capsys, monkeypatch, steps(31), every=10, enabled=False)


def test_what_a_stranger_named_cannot_command_the_terminal(capsys):
    with progress.Bars() as bars:
        bars(Warned("photos", "nothing found in \x1b[2Jb.png\x07"))
    said = capsys.readouterr().err
    assert "b.png" in said
    assert not {"\x1b", "\x07"} & set(said)


def test_words_between_colons_are_not_turned_into_emoji(capsys):
    with progress.Bars() as bars:
        bars(Warned("words", "'<lora:x:1>' and [red]brackets[/red] are printed as they are"))
    assert "'<lora:x:1>' and [red]brackets[/red] are printed as they are" in capsys.readouterr().err


def test_what_a_node_keeps_itself_is_announced(tmp_path):
    heard = []
    ctx = Context(out=tmp_path, listeners=(heard.append,))
    ctx.node = "train"
    ctx.announce(tmp_path / "model")
    assert ctx.saved == [tmp_path / "model"]
    assert heard == [Saved("train", str(tmp_path / "model"))]


def test_a_time_is_said_in_its_own_unit_and_is_never_zero():
    from inlay.graph_runtime.front.cli.progress import _duration

    assert [_duration(seconds) for seconds in (0.2, 29, 89, 91, 240, 5000, 7200)] == [
        "1 s",
        "29 s",
        "89 s",
        "2 min",
        "4 min",
        "83 min",
        "2.0 h",
    ]
