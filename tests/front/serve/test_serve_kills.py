"""A server that is killed at any instant loses nothing."""

import random

import pytest
import serve_kills
from serving import Process, free_port, picture, trivial

pytestmark = pytest.mark.xdist_group("serve")


def test_after_kills_under_load_every_run_is_done_once_and_nothing_is_left_over(tmp_path):
    told = serve_kills.kill_again_and_again(tmp_path, 2, random.Random(5), queue=20)
    assert told["runs"] > 2


def test_uploads_results_and_history_are_there_after_a_restart(tmp_path):
    port = free_port()
    server = Process(tmp_path, port, "--device", "cpu")
    server.listening()
    sent = picture(20, 10)
    upload = server.client.upload(sent)
    run = server.client.submit(trivial("x", save=True), values={"image": {"upload": upload["id"]}})
    done = server.client.ended(run["id"])
    saved = server.client.http.get(done["results"][0]["url"]).content
    server.kill()
    server = Process(tmp_path, port, "--device", "cpu")
    server.listening()
    assert server.client.http.get(upload["url"]).content == sent
    assert server.client.run(run["id"]) == done
    assert server.client.http.get(done["results"][0]["url"]).content == saved
    assert server.client.http.get("/v1/runs").json()["runs"] == [done]
    assert server.stop() in (0, 130)
