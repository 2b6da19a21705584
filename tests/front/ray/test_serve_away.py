"""A server whose runs are made elsewhere, by workers that see none of its folders; no Ray is needed for it."""

import json
import socket
import sys
import time
from pathlib import Path

import clusters
import pytest
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.front.cli import main
from inlay.graph_runtime.front.ray import watch
from inlay.graph_runtime.front.ray.served import Maker
from inlay.graph_runtime.front.serve import cluster
from serving import events_of, picture, served, slow, trivial


@pytest.fixture
def wrong(tmp_path, monkeypatch):
    """Says what is wrong with the cluster."""
    path = tmp_path / "wrong.json"
    monkeypatch.setenv("FAKE_CLUSTER", str(path))
    monkeypatch.setattr(cluster, "FIRST", 600.0)
    monkeypatch.setattr(cluster, "_BRIDGE", "clusters.fake_bridge")
    monkeypatch.setattr(cluster, "_PATH", [str(Path(clusters.__file__).parents[1]), *sys.path])
    return lambda **what: path.write_text(json.dumps(what))


def saved(client, run):
    return [client.http.get(one["url"]).content for one in run["results"]]


def asked(client, **more):
    upload = client.upload(picture(40, 30), name="dog.png")["id"]
    return client.submit(trivial("x.png", save=True), values={"image": {"upload": upload}}, **more)


def test_runs_made_elsewhere_are_those_made_here_and_each_input_is_sent_once(tmp_path, wrong):
    with served(tmp_path / "here", cache=False) as (client, _):
        client.ready()
        here = client.ended(asked(client)["id"])
        wanted, told_here = saved(client, here), events_of(client, here["id"])
    with served(tmp_path / "away", cache=False, engine="ray") as (client, _):
        assert len(client.ready()) == 2
        first = client.ended(asked(client)["id"])
        assert first["state"] == "done", first["problems"]
        assert saved(client, first) == wanted
        assert [first["values"], first["warnings"]] == [here["values"], here["warnings"]]
        again = client.ended(asked(client)["id"])
        assert saved(client, again) == wanted
        kinds = [[one["kind"], one.get("node"), one.get("state")] for one in events_of(client, first["id"])]
        assert kinds == [[one["kind"], one.get("node"), one.get("state")] for one in told_here]
    puts = (tmp_path / "wrong.json.puts").read_text().split()
    assert puts == [str(len(picture(40, 30)))], "the picture, once"
    assert not list((tmp_path / "away/out").glob(".run-*"))


def test_two_runs_are_made_at_once_and_one_is_cancelled_while_it_runs(tmp_path, wrong):
    with served(tmp_path, cache=False, engine="ray") as (client, _):
        client.ready()
        one, two = (client.submit(slow())["id"] for _ in range(2))
        client.until(one, "running")
        client.until(two, "running")
        client.http.post(f"/v1/runs/{one}/cancel")
        client.http.post(f"/v1/runs/{two}/cancel")
        assert client.ended(one, 30)["state"] == client.ended(two, 30)["state"] == "cancelled"
        assert client.ended(asked(client)["id"])["state"] == "done", "the workers go on"


def test_a_worker_on_another_processor_is_left_out_and_the_others_make_all(tmp_path, wrong):
    wrong(unlike=True)
    with served(tmp_path, cache=False, engine="ray") as (client, _):
        assert within(30, lambda: client.http.get("/v1/status").json()["workers"][1:] == [])
        assert len(client.ready()) == 1
        assert [client.ended(asked(client)["id"])["state"] for _ in range(2)] == ["done", "done"]


@pytest.mark.parametrize(("what", "said"), [("lose", "its machine is gone"), ("device", "cuda: GPU is lost")])
def test_a_run_whose_worker_or_device_is_lost_is_made_once_more_then_fails_and_the_server_lives(
    tmp_path, wrong, what, said
):
    wrong(**{what: "unlucky"})
    with served(tmp_path, cache=False, engine="ray") as (client, _):
        client.ready()
        unlucky = trivial("x.png", save=True)
        unlucky["nodes"]["unlucky"] = unlucky["nodes"].pop("keep")
        values = {"image": {"upload": client.upload()["id"]}}
        run = client.submit(unlucky, values=values)["id"]
        ended = client.ended(run)
        assert ended["state"] == "failed"
        assert said in ended["problems"][0]["found"]
        assert [one["kind"] for one in events_of(client, run)].count("queued") == 2
        wrong()
        assert client.ended(client.submit(unlucky, values=values)["id"])["state"] == "done"


def test_a_worker_that_is_lost_while_it_has_nothing_to_do_costs_no_run_a_try(tmp_path, wrong):
    with served(tmp_path, cache=False, engine="ray") as (client, _):
        client.ready()
        wrong(idle=True)
        within(60, lambda: "starting" in [one["state"] for one in client.http.get("/v1/status").json()["workers"]])
        wrong()
        run = asked(client)["id"]
        assert client.ended(run)["state"] == "done"
        assert [one["kind"] for one in events_of(client, run)].count("queued") == 1


def test_another_release_is_refused_by_its_name_before_the_server_begins(tmp_path, wrong):
    wrong(version="9.9.9")
    with pytest.raises(WorkflowError, match=r"inlay 9\.9\.9") as error, served(tmp_path, engine="ray"):
        pass
    assert "install inlay" in str(error.value)


def test_a_cluster_that_goes_away_is_an_error_of_its_runs_and_the_server_goes_on_when_it_is_back(tmp_path, wrong):
    with served(tmp_path, cache=False, engine="ray") as (client, _):
        client.ready()
        run = client.submit(slow())["id"]
        client.until(run, "running")
        wrong(gone=True)
        ended = client.ended(run)
        assert ended["state"] == "failed"
        assert "does not answer any more" in ended["problems"][0]["found"]
        answer = client.post(trivial("x.png"), values={"image": {"upload": client.upload()["id"]}})
        assert answer.status_code == 503
        assert "does not answer any more" in answer.text
        wrong()
        end = time.monotonic() + 60
        while client.post(trivial("x.png"), values={"image": {"upload": client.upload()["id"]}}).status_code != 201:
            assert time.monotonic() < end
            time.sleep(0.2)
        ended = client.ended(asked(client)["id"])
        assert ended["state"] == "done", str(ended["problems"])


def test_what_a_worker_says_names_no_folder_of_its_machine(tmp_path):
    maker = Maker({"session": "s", "threads": 1, "device": "cpu", "memory": None, "cache": False}, dict().__getitem__)
    place = maker._scratch.folder / "files" / "key" / "a.png"
    message = {"workflow": json.dumps(trivial("a.png")), "paths": [], "parcels": {}, "pieces": {}}
    told = list(maker.stream(message | {"run": "r", "record": "", "texts": {}}))
    assert told[-1]["ended"]["state"] == "failed", "nobody sent the picture"
    assert str(tmp_path.parent) not in json.dumps([*told, *maker._told([{"message": f"cannot read {place}"}])])


def test_a_cluster_that_is_silent_is_an_error_soon_and_one_that_answers_is_none(monkeypatch):
    monkeypatch.setattr(watch, "EVERY", 0.02)
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen(100)
        head = f"127.0.0.1:{one.getsockname()[1]}"
        with watch.watching(head, "10.0.0.5:6379") as check:
            time.sleep(0.3)
            check()
            one.close()
            said = within(30, lambda: caught(check))
    assert "the Ray cluster at 10.0.0.5:6379 does not answer any more" in said


def caught(act):
    try:
        act()
    except WorkflowError as error:
        return str(error)
    return ""


def within(seconds, condition):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return found


def test_an_engine_that_is_not_there_and_an_address_without_one_are_refused(capsys):
    assert main.main(["serve", "--engine", "slurm"]) == 2
    assert "local | ray" in capsys.readouterr().err
    assert main.main(["serve", "--ray-address", "10.0.0.5:6379"]) == 2
    assert "add --engine ray" in capsys.readouterr().err
