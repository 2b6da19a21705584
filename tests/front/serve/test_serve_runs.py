"""Runs over HTTP: submitted, made, seen, and found again."""

import json
import threading
import time

import pytest
from inlay.graph_runtime.front.serve.settings import Limits
from serving import events_of, picture, served, slow, trivial
from websockets.sync.client import connect

pytestmark = [pytest.mark.xdist_group("serve"), pytest.mark.floor]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def _one_home_first(home):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INLAY_HOME", str(home))
        yield


@pytest.fixture(autouse=True)
def _one_home(_own_home, home, monkeypatch):
    monkeypatch.setenv("INLAY_HOME", str(home))


@pytest.fixture(scope="module")
def server(tmp_path_factory, _one_home_first):
    folder = tmp_path_factory.mktemp("serve")
    limits = Limits(upload_bytes=200_000)
    with served(folder, limits=limits) as (client, service):
        client.ready()
        yield client, service, folder


@pytest.fixture
def client(server):
    return server[0]


def test_a_run_is_made_and_its_results_are_the_files_own_bytes(client, server):
    sent = picture(40, 30)
    upload = client.upload(sent, name="my room.png")
    assert (upload["width"], upload["height"], upload["name"]) == (40, 30, "my room.png")
    assert client.http.get(upload["url"]).content == sent
    run = client.submit(trivial("photo.jpg", save=True), values={"image": {"upload": upload["id"]}}, client="me")
    done = client.ended(run["id"])
    assert (done["state"], done["problems"], done["client"], done["values"]["psnr"]) == ("done", [], "me", "inf")
    [result] = done["results"]
    assert (result["name"], result["kind"], result["width"], result["height"]) == ("kept_00001.png", "image", 40, 30)
    answer = client.http.get(result["url"])
    [file] = (server[2] / "out").rglob("kept_00001.png")
    assert answer.content == file.read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert client.http.get(result["thumbnail"]).content[:2] == b"\xff\xd8"
    assert client.http.get(upload["thumbnail"]).content[:2] == b"\xff\xd8"
    native = client.http.get(done["workflow"]).json()
    assert native["nodes"]["photo"]["params"]["path"] == f"{upload['id']}/my room.png"


def test_a_result_goes_on_as_the_input_of_the_next_run_and_as_its_workflow(client):
    upload = client.upload(picture(16, 16, (1, 2, 3)))
    first = client.ended(
        client.submit(trivial({"is": "replaced"}, save=True), values={"image": {"upload": upload["id"]}})["id"]
    )
    of_it = {"result": f"{first['id']}/1"}
    second = client.ended(client.submit(trivial("photo.jpg", save=True), values={"image": of_it})["id"])
    assert second["state"] == "done", second["problems"]
    again = client.ended(
        client.submit(of_it)["id"]
    )  # the recipe in the picture; its photo is the upload, found by content
    assert again["state"] == "done", again["problems"]
    assert client.http.get(again["results"][0]["url"]).content == client.http.get(first["results"][0]["url"]).content


def test_every_problem_is_told_at_once_and_nothing_is_queued(client):
    before = client.http.get("/v1/runs").json()["runs"]
    wrong = trivial("nothing-there.png")
    wrong["nodes"]["grown"]["params"]["pixels"] = "many"
    answer = client.post(wrong, values={"nosuch": 1})
    assert answer.status_code == 422
    answer = client.post(wrong)
    assert answer.status_code == 422
    found = {(problem["node"], problem["port"]) for problem in answer.json()["problems"]}
    assert {("photo", "path"), ("grown", "pixels")} <= found
    assert all(problem["text"] and problem["fix"] for problem in answer.json()["problems"])
    check = client.http.post("/v1/check", json={"workflow": wrong})
    assert check.status_code == 200
    assert check.json()["problems"] == answer.json()["problems"]
    assert client.http.get("/v1/runs").json()["runs"] == before


def test_events_tell_a_run_from_its_start_to_its_end_and_go_on_where_a_client_was(client):
    upload = client.upload()
    run = client.submit(trivial("x", save=True), values={"image": {"upload": upload["id"]}})
    events = events_of(client, run["id"])
    kinds = [event["kind"] for event in events]
    assert kinds[0] == "queued"
    assert kinds[1] == "started"
    assert kinds[-1] == "done"
    assert kinds.count("saved") == 1
    started = [event["node"] for event in events if event["kind"] == "node" and event["state"] == "started"]
    assert sorted(started) == ["grown", "keep", "photo", "same"]
    numbers = [event["id"] for event in events]
    assert numbers == sorted(set(numbers))
    assert events_of(client, run["id"], **{"Last-Event-ID": str(numbers[2])}) == events[3:]
    last = client.http.get(f"/v1/runs/{run['id']}/events", headers={"Last-Event-ID": str(numbers[-1])})
    assert last.status_code == 204  # a browser then stops asking


def test_the_socket_tells_what_one_client_asked_for(client):
    upload = client.upload()
    address = client.address.replace("http", "ws") + "/v1/events"
    with connect(f"{address}?client=a") as mine, connect(address) as everything:
        other = client.submit(trivial("x"), values={"image": {"upload": upload["id"]}}, client="b")
        run = client.submit(trivial("x"), values={"image": {"upload": upload["id"]}}, client="a")
        seen = _until_end(mine, run["id"])
        all_seen = _until_end(everything, run["id"])
    assert {event["run"] for event in seen} == {run["id"]}
    assert {event["run"] for event in all_seen} == {run["id"], other["id"]}


def _until_end(socket, run):
    found = []
    while True:
        found.append(json.loads(socket.recv(timeout=60)))
        if found[-1]["run"] == run and found[-1]["kind"] in ("done", "failed", "cancelled"):
            return found


def test_history_comes_in_pages_and_a_deleted_run_is_gone_with_its_files(client, server):
    upload = client.upload()
    made = [
        client.submit(trivial("x", save=True), values={"image": {"upload": upload["id"]}}, client="pages")["id"]
        for _ in range(5)
    ]
    for run in made:
        client.ended(run)
    first = client.http.get("/v1/runs", params={"client": "pages", "limit": 2}).json()
    second = client.http.get("/v1/runs", params={"client": "pages", "limit": 2, "before": first["next"]}).json()
    third = client.http.get("/v1/runs", params={"client": "pages", "limit": 2, "before": second["next"]}).json()
    listed = [run["id"] for page in (first, second, third) for run in page["runs"]]
    assert listed == made[::-1]
    assert third["next"] is None
    done = client.run(made[0])
    folders = set((server[2] / "out").iterdir())
    assert client.http.get(done["results"][0]["thumbnail"]).status_code == 200
    assert client.http.delete(f"/v1/runs/{made[0]}").status_code == 204
    assert client.http.get(f"/v1/runs/{made[0]}").status_code == 404
    assert client.http.get(done["results"][0]["url"]).status_code == 404
    assert len(folders - set((server[2] / "out").iterdir())) == 1


def test_a_running_run_stops_at_its_next_step_and_a_queued_one_at_once(client):
    running = client.submit(slow(), client="c")
    queued = client.submit(slow(), client="c")
    client.until(running["id"], "running")
    assert client.http.post(f"/v1/runs/{queued['id']}/cancel").json()["state"] == "cancelled"
    assert client.http.delete(f"/v1/runs/{running['id']}").status_code == 409
    began = time.monotonic()
    client.http.post(f"/v1/runs/{running['id']}/cancel")
    ended = client.ended(running["id"])
    assert (ended["state"], ended["results"]) == ("cancelled", [])
    assert time.monotonic() - began < 30
    assert client.http.delete(f"/v1/runs/{running['id']}").status_code == 204


def test_the_same_id_twice_is_one_run(client):
    upload = client.upload()
    wanted = dict(values={"image": {"upload": upload["id"]}}, id="mine-0001")
    answers = []
    threads = [
        threading.Thread(target=lambda: answers.append(client.post(trivial("x"), **wanted).json())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer["number"] for answer in answers} == {client.ended("mine-0001")["number"]}


def test_what_there_is_can_be_listed(client):
    names = {one["name"] for one in client.http.get("/v1/workflows").json()["workflows"]}
    assert {"inpaint", "zero_shot_inpaint"} <= names
    inpaint = client.http.get("/v1/workflows/inpaint").json()
    method = next(one for one in inpaint["inputs"] if one["name"] == "method")
    assert "patches" in method["choices"]
    assert method["group"] in inpaint["groups"]
    plain = client.http.get("/v1/workflows/zero_shot_inpaint").json()
    seed = next(one for one in plain["inputs"] if one["name"] == "seed")
    assert (seed["kind"], seed["minimum"]) == ("integer", 0)
    assert any(node["id"] == "image.load" for node in client.http.get("/v1/nodes").json()["nodes"])
    assert client.http.get("/v1/nodes/image.load").json()["settings"]
    assert client.http.get("/v1/nodes/nosuch").status_code == 404
    models = client.http.get("/v1/models").json()["models"]
    assert models
    assert all("folder" not in model for model in models)
    status = client.http.get("/v1/status").json()
    assert status["workers"][0]["device"] == "cpu"


def test_only_whole_pictures_count_as_uploads_and_none_that_is_too_large(client, server):
    def send(body, media="image/png"):
        return client.http.post("/v1/uploads", content=body, headers={"Content-Type": media})

    whole = picture(300, 200)
    for body, media in (
        (whole[: len(whole) // 2], "image/png"),
        (b"<script>", "image/png"),
        (b"", "image/png"),
        (whole, "text/html"),
    ):
        answer = send(body, media)
        assert answer.status_code == 422, answer.text
        assert answer.json()["problems"][0]["fix"]
    answer = send(bytes(200_001))
    assert answer.status_code == 422
    assert "200,000 bytes" in answer.json()["problems"][0]["expected"]
    assert not list((server[2] / "serve" / "uploads").glob("*.part"))


def test_a_run_of_a_thousand_nodes_sends_less_than_two_megabytes(client):
    nodes = {"photo": {"type": "image.load", "params": {"path": "x"}}}
    before = "photo.mask"
    for number in range(1000):
        nodes[f"n{number}"] = {"type": "mask.grow", "inputs": {"mask": before}}
        before = f"n{number}.mask"
    flow = {"format": 1, "inputs": {"image": "photo.path"}, "nodes": nodes, "outputs": {"mask": before}}
    upload = client.upload()
    with connect(client.address.replace("http", "ws") + "/v1/events?client=thousand") as socket:
        run = client.submit(flow, values={"image": {"upload": upload["id"]}}, client="thousand")
        seen, size = [], 0
        while not seen or seen[-1]["kind"] != "done":
            text = socket.recv(timeout=90)
            size += len(text.encode())
            seen.append(json.loads(text))
            assert seen[-1]["kind"] != "failed", seen[-1]
    assert {event["run"] for event in seen} == {run["id"]}
    assert sum(event["kind"] == "node" and event["state"] in ("done", "cached") for event in seen) == 1001
    assert size < 2_000_000


def test_graphs_of_the_host_run_and_the_answer_says_which_of_its_nodes_is_which(client):
    upload = client.upload(picture(24, 24))
    api = {
        "12": {"class_type": "LoadImage", "inputs": {"image": f"{upload['id']}/{upload['name']}"}},
        "13": {"class_type": "SaveImage", "inputs": {"images": ["12", 0], "filename_prefix": "out"}},
    }
    run = client.submit(api)
    done = client.ended(run["id"])
    assert done["state"] == "done", done["problems"]
    assert set(done["names"]) == {"12", "13"}
    assert [result["width"] for result in done["results"]] == [24]
    api["14"] = {"class_type": "NobodysNode", "inputs": {"image": ["12", 0]}}
    api["13"]["inputs"]["images"] = ["14", 0]
    answer = client.post(api)
    assert answer.status_code == 422
    assert "NobodysNode" in answer.text


def test_an_unknown_path_method_or_body_is_refused_with_a_problem(client):
    for answer in (
        client.http.get("/v1/nothing"),
        client.http.put("/v1/runs", json={}),
        client.http.get("/v1/runs/nosuch"),
        client.http.get("/v1/runs?limit=many"),
        client.http.post("/v1/runs", content=b"{", headers={"Content-Type": "application/json"}),
        client.http.post("/v1/runs", json={"workflow": "inpaint", "extra": 1}),
        client.http.post("/v1/runs", json={"workflow": {"upload": "nosuch"}}),
        client.post("nosuch"),
        client.post("inpaint", values={"image": {"result": "nosuch/1"}}),
    ):
        assert 400 <= answer.status_code < 500
        assert answer.json()["problems"][0]["found"]
        assert "Traceback" not in answer.text
