"""A server whose runs are made on a Ray cluster of several processes (`make ray`): kills, cancel, and its end."""

import os
import signal
import time

import pytest
from clusters.ray_cluster import is_alive, started, stop
from serving import Process, free_port, picture, slow, trivial

pytestmark = pytest.mark.ray
PATIENCE = 240.0  # seconds that workers may take to start on a busy machine


@pytest.fixture(scope="module")
def cluster():
    with started(cpus=2, INLAY_OFFLINE="1", OMP_NUM_THREADS="1") as (address, process):
        yield address, process


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Starts servers, and ends them."""
    begun = []
    for name in [name for name in os.environ if name.startswith("RAY_")]:
        monkeypatch.delenv(name)

    def start(*words):
        made = Process(tmp_path / f"server{len(begun)}", free_port(), "--no-cache", *words)
        begun.append(made)
        made.listening(PATIENCE)
        return made

    yield start
    for made in begun:
        if made.process.poll() is None:
            made.stop()


def asked(client):
    upload = client.upload(picture(64, 48), name="dog.png")["id"]
    return client.submit(trivial("x.png", save=True), values={"image": {"upload": upload}})["id"]


def result(client, run_id):
    run = client.ended(run_id, PATIENCE)
    assert run["state"] == "done", run["problems"]
    return client.http.get(run["results"][0]["url"]).content


def ready(client, count, seconds=PATIENCE):
    end = time.monotonic() + seconds
    while True:
        workers = [one for one in client.http.get("/v1/status").json()["workers"] if one["state"] != "starting"]
        if len(workers) >= count:
            return workers
        assert time.monotonic() < end, workers
        time.sleep(0.1)


def test_a_run_on_the_cluster_is_the_run_here_two_are_made_at_once_and_a_killed_worker_loses_none(cluster, server):
    here = server()
    wanted = result(here.client, asked(here.client))
    here.stop()
    client = server("--engine", "ray", "--ray-address", cluster[0]).client
    assert result(client, asked(client)) == wanted
    ready(client, 2)

    both = [client.submit(slow())["id"] for _ in range(2)]
    for run in both:
        client.until(run, "running", PATIENCE)
    victims = {one["run"]: one["pid"] for one in ready(client, 2)}
    os.kill(victims[both[0]], signal.SIGKILL)
    end = time.monotonic() + PATIENCE
    while not any(one["run"] == both[0] and one["pid"] != victims[both[0]] for one in ready(client, 1)):
        assert time.monotonic() < end, "the run of the lost worker is not begun again"
        time.sleep(0.1)
    assert client.run(both[1])["state"] == "running", "the other one goes on"
    for run in both:
        client.http.post(f"/v1/runs/{run}/cancel")
    assert [client.ended(run, 60)["state"] for run in both] == ["cancelled", "cancelled"]

    idle = [one["pid"] for one in ready(client, 2)]
    for pid in idle:
        os.kill(pid, signal.SIGKILL)
    while {one["pid"] for one in ready(client, 1)} & set(idle):
        assert time.monotonic() < end, "a worker that is lost while it is idle is not replaced"
        time.sleep(0.1)
    assert result(client, asked(client)) == wanted


def test_the_end_of_the_server_ends_its_workers_and_leaves_the_cluster(cluster, server):
    made = server("--engine", "ray", "--ray-address", cluster[0], "--jobs", "1")
    (worker,) = ready(made.client, 1)
    assert is_alive(worker["pid"])
    made.stop()
    end = time.monotonic() + 60
    while is_alive(worker["pid"]):
        assert time.monotonic() < end
        time.sleep(0.1)
    assert cluster[1].poll() is None


def test_a_cluster_with_another_release_is_refused_by_its_name(tmp_path, server):
    other = tmp_path / "other" / "inlay"
    other.mkdir(parents=True)
    (other / "__init__.py").write_text('__version__ = "9.9.9"\n')
    refused = pytest.raises(AssertionError, match=r"inlay 9\.9\.9, and this is")
    with started(cpus=1, PYTHONPATH=str(other.parent)) as (address, _), refused:
        server("--engine", "ray", "--ray-address", address)


def test_a_cluster_that_ends_is_an_error_of_its_runs_and_the_server_lives(server):
    with started(cpus=1, OMP_NUM_THREADS="1") as (address, process):
        client = server("--engine", "ray", "--ray-address", address).client
        ready(client, 1)
        run = client.submit(slow())["id"]
        client.until(run, "running", PATIENCE)
        os.killpg(process.pid, signal.SIGKILL)
        stop(process)
        ended = client.ended(run, 60)
        assert ended["state"] == "failed"
        assert "the Ray cluster" in ended["problems"][0]["found"]
        assert "does not answer any more" in ended["problems"][0]["found"]
        assert client.post(trivial("x.png"), values={"image": {"upload": client.upload()["id"]}}).status_code == 503
        assert client.http.get("/v1/status").status_code == 200
