"""What a run offers to a node: files below the output folder, warnings that are said once, progress."""

import pytest
from inlay.graph_runtime import BadInput, Cancelled, Context
from inlay.graph_runtime.core.context import safe_prefix
from inlay.graph_runtime.core.events import CancelToken, NodeProgress, Saved, Warned


@pytest.mark.parametrize("prefix", ["image", "tests/image", "a.b"])
def test_a_plain_name_is_a_prefix(prefix):
    assert safe_prefix(prefix)


@pytest.mark.parametrize(
    "prefix", ["", "/image", "../image", "a/../b", "a\0b", "x" * 201, "a\x1b[31m", "a\nb", "a\tb", "photo\u202egnp"]
)
def test_what_leaves_the_output_folder_or_is_no_name_is_no_prefix(prefix):
    assert not safe_prefix(prefix)


@pytest.mark.parametrize("name", ["CON", "nul", "Com1", "LPT9.txt", "aux .x", "a.", "a ", "a:b", "a|b", "x?", "conin$"])
def test_what_windows_would_change_or_send_to_a_device_is_no_prefix_there(name):
    for prefix in (f"{name}/a", f"a/{name}/b", f"a\\{name}\\b", name):
        assert not safe_prefix(prefix, windows=True)
        assert safe_prefix(prefix, windows=False)


@pytest.mark.parametrize("prefix", ["a", "./a", "console/a", "com/a", "nullable", "a.b/c", "lpt10", "größe 1/日本"])
def test_ordinary_names_are_prefixes_on_windows_too(prefix):
    assert safe_prefix(prefix, windows=True)


def test_a_new_file_is_announced_under_the_number_that_it_got(tmp_path):
    events = []
    ctx = Context(out=tmp_path, listeners=(events.append,))
    ctx.node = "save"
    for number in (1, 2):
        with ctx.new_file("tests/a", ".txt") as path:
            path.write_text(str(number))
    expected = [tmp_path.resolve() / "tests" / f"a_0000{number}.txt" for number in (1, 2)]
    assert ctx.saved == expected
    assert events == [Saved("save", str(path)) for path in expected]
    assert [path.read_text() for path in expected] == ["1", "2"]


def test_a_link_below_the_output_folder_does_not_lead_out(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path)
    with pytest.raises(BadInput, match="below the output folder"):
        Context(out=tmp_path / "out").new_file("link/a", ".txt").__enter__()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_warning_is_emitted_once_and_a_failing_listener_stops_nothing(caplog):
    events = []

    def fail(event):
        raise RuntimeError("a bug of a listener")

    ctx = Context(listeners=(fail, events.append))
    ctx.node = "a"
    ctx.warn("careful")
    ctx.warn("careful")
    assert events == [Warned("a", "careful")]
    assert "a listener failed on Warned" in caplog.text


def test_progress_is_where_a_run_stops_when_asked(tmp_path):
    events, cancel = [], CancelToken()
    ctx = Context(out=tmp_path, listeners=(events.append,), cancel=cancel)
    ctx.progress(1, 2)
    cancel.cancel()
    with pytest.raises(Cancelled):
        ctx.progress(2, 2)
    assert [event.step for event in events if isinstance(event, NodeProgress)][:1] == [1]
