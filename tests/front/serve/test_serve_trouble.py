"""Workers that die, hang or take too long, and clients that ask for too much: no run is lost, each answer says why."""

import itertools
import os
import signal
import time
from dataclasses import replace

import pytest
from inlay.graph_runtime.front.serve import dispatch
from inlay.graph_runtime.front.serve.settings import Limits
from serving import served, slow, trivial

pytestmark = pytest.mark.xdist_group("serve")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with served(tmp_path_factory.mktemp("trouble"), workers=2, limits=Limits(queue=12)) as (client, service):
        client.ready()
        yield client, service


@pytest.fixture
def client(server):
    return server[0]


def _pid(client, run_id):
    [worker] = [one for one in client.http.get("/v1/status").json()["workers"] if one["run"] == run_id]
    return worker["pid"]


def test_two_clients_run_at_once_and_each_keeps_its_order(client):
    upload = client.upload()
    long = {name: client.submit(slow(), client=name)["id"] for name in ("a", "b")}
    for run in long.values():
        client.until(run, "running")
    waiting = [
        client.submit(trivial("x", grow=number), values={"image": {"upload": upload["id"]}}, client="ab"[number % 2])[
            "id"
        ]
        for number in range(6)
    ]
    assert {client.run(run)["state"] for run in waiting} == {"queued"}
    assert client.run(waiting[3])["position"] == 3
    for run in long.values():
        client.http.post(f"/v1/runs/{run}/cancel")
    ended = [client.ended(run) for run in waiting]
    for name in ("a", "b"):
        own = [run for run in ended if run["client"] == name]
        assert all(before["ended"] <= after["started"] for before, after in itertools.pairwise(own))


def test_a_run_whose_worker_dies_is_made_by_another_and_fails_with_the_reason_if_that_dies_too(client):
    run = client.submit(slow())["id"]
    client.until(run, "running")
    first = _pid(client, run)
    os.kill(first, signal.SIGKILL)
    _until(lambda: any(one["run"] == run and one["pid"] != first for one in _workers(client)))
    os.kill(_pid(client, run), signal.SIGKILL)
    ended = client.ended(run)
    assert ended["state"] == "failed"
    assert "killed by signal 9" in ended["problems"][0]["found"]
    client.ready()
    assert client.ended(client.submit(trivial("photo.jpg"))["id"])["state"] == "done"


def _workers(client):
    return client.http.get("/v1/status").json()["workers"]


def _until(holds, seconds=90):
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_worker_that_does_not_stop_when_told_to_is_replaced(client, monkeypatch):
    monkeypatch.setattr(dispatch, "PATIENCE", 0.3)
    run = client.submit(slow())["id"]
    client.until(run, "running")
    hung = _pid(client, run)
    os.kill(hung, signal.SIGSTOP)
    client.http.post(f"/v1/runs/{run}/cancel")
    assert client.ended(run)["state"] == "cancelled"
    _until(lambda: len(_workers(client)) == 2)
    assert hung not in {worker["pid"] for worker in client.ready()}


def test_a_run_that_takes_too_long_fails_and_says_how_long_it_may_take(server, monkeypatch):
    client, service = server
    limits = replace(service.settings.limits, run_seconds=0.4)
    monkeypatch.setattr(service.dispatcher, "_settings", replace(service.settings, limits=limits))
    ended = client.ended(client.submit(slow())["id"])
    assert ended["state"] == "failed"
    assert "at most 0.4 s" in ended["problems"][0]["expected"]


def test_more_runs_than_may_wait_are_refused(client):
    runs = [client.submit(slow(), client="many")["id"]]
    client.until(runs[0], "running")
    runs += [client.submit(trivial("photo.jpg"), client="many")["id"] for _ in range(12)]
    answer = client.post(trivial("photo.jpg"), client="many")
    assert answer.status_code == 429
    assert "12 runs that wait" in answer.json()["problems"][0]["found"]
    for run in runs[::-1]:
        client.http.post(f"/v1/runs/{run}/cancel")
    assert {client.ended(run)["state"] for run in runs} == {"cancelled"}
