"""A worker reads a request while the server checks it; what it then makes is what was asked for, as it is by then."""

import json

import pytest
from inlay.graph_runtime.front.serve import worker as module
from inlay.graph_runtime.front.serve.room import note_use
from serving import picture, served, slow, trivial


class Inbox:
    """No line waits, and nothing is cancelled."""

    def __init__(self):
        self.cancel = {}


class Answers:
    """What a worker writes."""

    def __init__(self):
        self.lines = []

    def write(self, line):
        self.lines.append(json.loads(line))

    def flush(self):
        pass


@pytest.fixture
def worker(tmp_path):
    answers = Answers()
    made = module._Worker({"device": "cpu", "memory": None, "cache": False}, answers, Inbox())
    made.ended = lambda: answers.lines[-1]["ended"]
    return made


def told(folder, colour, *, grow=1, save=False):
    (folder / "in").mkdir(exist_ok=True)
    (folder / "in/x.png").write_bytes(picture(colour=colour))
    request = {"workflow": trivial("x.png", grow=grow, save=save), "values": {}, "settings": {}}
    places = {"out": str(folder / "out"), "roots": [str(folder / "in")]}
    return {"request": request, "out": str(folder / "out/.run"), "places": places}


def test_a_request_that_was_read_ahead_is_read_once(worker, tmp_path, monkeypatch):
    asked = told(tmp_path, (1, 2, 3))
    worker.look_ahead(json.loads(json.dumps(asked)))
    monkeypatch.setattr(module, "planned", None)
    worker.run({"run": "a", **asked})
    assert worker.ended()["state"] == "done"


def test_another_run_than_the_one_that_was_read_ahead_is_made_as_asked(worker, tmp_path):
    worker.look_ahead(told(tmp_path, (1, 2, 3)))
    worker.run({"run": "a", **told(tmp_path, (1, 2, 3), save=True)})
    assert [one["name"] for one in worker.ended()["files"]] == ["kept_00001.png"]
    wrong = told(tmp_path, (1, 2, 3), grow=10**9)
    worker.look_ahead(told(tmp_path, (1, 2, 3)))
    worker.look_ahead(wrong)
    worker.run({"run": "b", **wrong})
    assert worker.ended()["problems"][0]["port"] == "pixels"


def test_what_was_read_ahead_is_not_used_later(worker, tmp_path, monkeypatch):
    asked = told(tmp_path, (1, 2, 3))
    worker.look_ahead(asked)
    monkeypatch.setattr(module, "AT_ONCE", 0.0)
    (tmp_path / "in/x.png").unlink()
    worker.run({"run": "a", **asked})
    assert "no such file" in worker.ended()["problems"][0]["found"]


def test_to_use_a_picture_does_not_touch_it(tmp_path):
    """Its times tell a run that reads it whether it has changed meanwhile."""
    (tmp_path / "x.png").write_bytes(picture())
    before = (tmp_path / "x.png").stat()
    note_use(tmp_path / "x.png")
    assert (tmp_path / "x.png").stat() == before


def test_a_run_goes_on_undisturbed_while_others_ask_for_its_picture(tmp_path):
    with served(tmp_path) as (client, _):
        upload = client.upload(picture(160, 120))["id"]
        body = slow(2)
        body["inputs"] = {"image": "photo.path"}
        first = client.submit(body, values={"image": {"upload": upload}})["id"]
        client.until(first, "running")
        for _ in range(3):
            client.submit(trivial("x"), values={"image": {"upload": upload}}, client="another")
        ended = client.ended(first)
        assert (ended["state"], ended["warnings"]) == ("done", [])
