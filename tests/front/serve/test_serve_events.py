"""The stream of events stays small, whatever nodes report."""

import time

import pytest
from inlay.graph_runtime.core.events import NodeFinished, NodeProgress, NodeStarted, Warned
from inlay.graph_runtime.front.serve.events import KEPT, WAITING, Events
from inlay.graph_runtime.front.serve.relay import MOST_WARNINGS, Relay, Ticker
from PIL import Image


def _told_of(reports, seconds, tmp_path):
    """Bundles that a relay sends while `reports` are made as fast as can be."""
    bundles = []
    relay = Relay(bundles.append, tmp_path)
    end = time.monotonic() + seconds
    made = 0
    with Ticker().minding(relay):
        while time.monotonic() < end:
            relay(reports(made))
            made += 1
    return bundles, made, relay.rest()


def test_previews_come_at_most_four_times_a_second_and_only_the_newest(tmp_path):
    picture = Image.new("RGB", (2000, 1000), (9, 9, 9))
    bundles, made, _ = _told_of(lambda n: NodeProgress("n", n, 10**9, preview=picture), 1.2, tmp_path)
    previews = [event for bundle in bundles for event in bundle if event["kind"] == "preview"]
    assert made > 500
    assert 1 <= len(previews) <= 6
    assert all(
        event["image"].startswith("data:image/jpeg;base64,") and len(event["image"]) < 50_000 for event in previews
    )
    progress = [event["step"] for bundle in bundles for event in bundle if event["kind"] == "progress"]
    assert len(progress) <= 30
    assert progress == sorted(progress)


def test_nothing_is_held_back_for_long_and_nothing_but_progress_is_left_out(tmp_path):
    told = []
    relay = Relay(told.extend, tmp_path)
    with Ticker().minding(relay):
        relay(NodeStarted("a", "x.y"))
        time.sleep(0.4)
        assert [event["node"] for event in told] == ["a"]
        for number in range(1000):
            relay(NodeProgress("a", number, 1000))
        relay(NodeFinished("a", "x.y", 0.1))
        for number in range(3 * MOST_WARNINGS):
            relay(Warned("a", f"warning {number}"))
    told += relay.rest()
    assert [event["step"] for event in told if event["kind"] == "progress"][-1] == 999
    assert [event["state"] for event in told if event["kind"] == "node"] == ["started", "done"]
    assert len(relay.warnings) == MOST_WARNINGS


def test_a_client_that_does_not_read_costs_a_bounded_amount_and_begins_anew():
    events = Events()
    slow = events.subscribe(lambda: None)
    for number in range(WAITING + 10):
        events.publish("run", "node", node=f"n{number}")
        events.publish("run", "progress", step=number)
    assert slow.behind
    assert len(slow.take()) <= WAITING
    late = events.subscribe(lambda: None, after=0)
    kept = late.take()
    assert len(kept) <= KEPT + 2
    assert [event["id"] for event in kept] == sorted(event["id"] for event in kept)
    assert [event["step"] for event in kept if event["kind"] == "progress"] == [WAITING + 9]


@pytest.mark.parametrize("end", ["done", "failed", "cancelled"])
def test_an_end_takes_the_newest_progress_with_it(end):
    events = Events()
    events.publish("run", "progress", step=1)
    events.publish("run", end)
    assert [event["kind"] for event in events.subscribe(lambda: None, after=0).take()] == [end]
