"""What a person sees of a long run where there is no terminal: a line now and then, not a bar."""

from types import SimpleNamespace

from inlay.graph_runtime import Context
from inlay.graph_runtime.core.events import (
    ItemFinished,
    ItemStarted,
    NodeFinished,
    NodeProgress,
    NodeStarted,
    RunStarted,
    Saved,
    Warned,
)
from inlay.graph_runtime.front.cli import lines as cli_lines
from inlay.graph_runtime.front.cli import progress


def lines(capsys, monkeypatch, events, *, enabled=True):
    clock = iter(range(0, 100_000, 4))
    monkeypatch.setattr(cli_lines, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    with progress.Bars(enabled=enabled) as bars:
        for event in (RunStarted(1), NodeStarted("train", "train.exemplar"), *events):
            bars(event)
    return capsys.readouterr().err.splitlines()


def steps(count, note="loss 0.1"):
    return [NodeProgress("train", step + 1, count, None, note) for step in range(count)]


def test_long_work_leaves_a_line_now_and_then_and_one_at_the_end(capsys, monkeypatch):
    said = lines(capsys, monkeypatch, steps(31))  # a step takes four seconds
    assert said[:3] == [
        "running 1 node",
        "train: 1 of 31, loss 0.1",
        "train: 4 of 31, loss 0.1, about 2 min left",
    ]
    assert said[-1] == "train: 31 of 31, loss 0.1"
    assert len(said) == 2 + 10


def test_short_work_says_what_it_does_and_a_single_step_is_no_news(capsys, monkeypatch):
    assert lines(capsys, monkeypatch, steps(2, note="")) == ["running 1 node", "train: 1 of 2", "train: 2 of 2"]
    assert lines(capsys, monkeypatch, steps(1)) == ["running 1 node"]


def test_a_node_that_counts_no_steps_is_named_once_it_took_long(capsys, monkeypatch):
    finished = [NodeFinished("train", "train.exemplar", seconds) for seconds in (9, 75)]
    assert lines(capsys, monkeypatch, finished) == ["running 1 node", "train: done in 75 s"]


def test_what_is_downloaded_before_the_run_is_said(capsys):
    with progress.Bars() as bars:
        bars(NodeStarted("model", "model.stable_diffusion"))
    assert capsys.readouterr().err == "model: downloading what it needs\n"


def test_quiet_runs_say_nothing_but_warnings(capsys, monkeypatch):
    assert lines(capsys, monkeypatch, [*steps(31), Warned(None, "odd")], enabled=False) == ["warning: odd"]


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
    from inlay.graph_runtime.front.cli.duration import duration

    assert [duration(seconds) for seconds in (0.2, 29, 89, 91, 240, 5000, 7200)] == [
        "1 s",
        "29 s",
        "89 s",
        "2 min",
        "4 min",
        "83 min",
        "2.0 h",
    ]


def a_job():
    """The events of a job of three pictures, one of which fails."""
    for number, name in enumerate(("a", "sub/b", "c"), 1):
        yield ItemStarted(name, number, 3)
        yield RunStarted(2)
        yield NodeStarted("fill", "image.fill")
        yield Warned("fill", f"{name.rpartition('/')[2]}.png is odd")
        yield NodeProgress("fill", 1, 2)
        yield NodeFinished("fill", "image.fill", 0.1)
        yield ItemFinished(name, number, 3, "failed" if number == 2 else "done", 1.0, "fill: found this")


def test_a_job_in_a_log_says_little(capsys):
    with progress.Bars() as bars:
        for event in a_job():
            bars(event)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "warning: fill: a.png is odd",  # the same for the others
        "failed: sub/b: fill: found this",
        "3 of 3: c",
    ]


def test_a_job_in_a_terminal_has_one_bar_for_its_pictures(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress.Bars() as bars:
        drawn = []
        for event in a_job():
            bars(event)
            drawn.append([task.description for task in bars._progress.tasks])
    assert max(map(len, drawn)) == 3
    assert drawn[-1] == ["pictures", "workflow", "  fill"]


def test_a_long_job_says_how_long_the_others_take(monkeypatch):
    now, said = [100.0], []
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    told = cli_lines.Lines(said.append)
    for number in range(1, 11):
        told(ItemStarted(f"p{number}", number, 10))
        now[0] += 6
        told(ItemFinished(f"p{number}", number, 10, "done", 6.0))
    assert said == [
        "2 of 10: p2, about 48 s left",
        "4 of 10: p4, about 36 s left",
        "6 of 10: p6, about 24 s left",
        "8 of 10: p8, about 12 s left",
        "10 of 10: p10",
    ]
