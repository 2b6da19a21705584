"""What a hostile client sends in bodies, names and pictures: a plain refusal, and no answer names a folder."""

import asyncio
import contextlib
import errno
import io
import json
import os
import shutil
import socket
import struct
import time
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from inlay.graph_runtime.front.serve import guard, uploads
from inlay.graph_runtime.front.serve.discreet import Discreet
from inlay.graph_runtime.front.serve.settings import Settings
from PIL import Image
from serving import picture, served, slow, trivial

pytestmark = pytest.mark.xdist_group("serve")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("attacks")
    (folder / "inputs").mkdir()
    with served(folder, guarded=True, inputs=folder / "inputs") as (client, service):
        client.ready()
        client.folder = folder
        yield client, service


@pytest.fixture
def client(server):
    return server[0]


def png(width, height, pixels=b"0", **more):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    header += b"".join(chunk(kind.encode(), data) for kind, data in more.items())
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(pixels)) + chunk(b"IEND", b"")


def send(client, name="a.png", data=None, path="/upload/image", **fields):
    return client.http.post(f"/api{path}", files={"image": (name, data or picture(), "image/png")}, data=fields)


def refused(answer, *statuses):
    assert answer.status_code in (statuses or (400, 404, 422)), (answer.status_code, answer.text)
    assert "unforeseen" not in answer.text
    return answer.text


@pytest.mark.parametrize("kind", [[], {}, [[]], 5, True, None, "x" * 100_000])
def test_a_type_of_a_node_may_be_anything(client, kind):
    graph = {"1": {"class_type": kind, "inputs": {}}, "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0]}}}
    refused(client.http.post("/prompt", json={"prompt": graph}), 400)


@pytest.mark.parametrize("given", ["[" * 100_000, "{" * 5000, "9" * 9999, "\x00", '{"filename": NaN}', "[]", "5"])
def test_a_mask_may_name_anything_as_its_picture(client, given):
    refused(send(client, "m.png", path="/upload/mask", original_ref=given), 400)


@pytest.mark.parametrize("body", [b"[" * 100_000, b"{", b"NaN", b"\xff", b""])
def test_settings_that_are_no_json_change_nothing(client, body):
    headers = {"Content-Type": "application/json"}
    assert client.http.post("/api/settings/Comfy.Kept", content=b"7", headers=headers).status_code == 200
    for path in ("/api/settings", "/api/settings/Comfy.Kept"):
        refused(client.http.post(path, content=body, headers=headers), 400, 422)
    assert client.http.get("/api/settings/Comfy.Kept").json() == 7


@pytest.mark.parametrize("data", [picture()[:-30], png(15_000, 15_000), png(60_000, 60_000), b"<svg/>", b""])
def test_damaged_and_huge_pictures_of_the_inputs_are_neither_shown_nor_painted_on(client, data):
    (client.folder / "inputs/odd.png").write_bytes(data)
    named = {"filename": "odd.png", "type": "input"}
    for query in ({"preview": "webp;90"}, {"channel": "rgb"}, {"channel": "a"}):
        answer = client.http.get("/view", params={**named, **query})
        assert answer.status_code == 422 or answer.headers["content-disposition"].startswith("attachment")
    refused(send(client, "m.png", path="/upload/mask", original_ref=json.dumps(named)), 400)


def test_names_that_are_too_long_or_lead_elsewhere_are_not_found(client):
    for name in ("x" * 5000, "x/" * 3000, "../queue.db", "/etc/passwd", "\\\\srv\\x", "file:///etc/passwd", "a\0"):
        for kind in ("input", "output"):
            refused(client.http.get("/view", params={"filename": name, "type": kind}), 404)


def test_a_folder_that_is_absolute_lies_below_the_pictures_and_is_told_so(client):
    answer = send(client, "deep.png", subfolder="/tmp//x/").json()
    assert answer == {"name": "deep.png", "subfolder": "tmp/x", "type": "input"}
    assert client.http.get("/view", params={"filename": "deep.png", **answer}).status_code == 200


def test_a_name_that_a_file_or_a_folder_has_already_is_refused(client):
    assert client.http.post("/api/userdata/a%2Fb.json", json={}).status_code == 200
    for name in ("a", "a%2Fb.json%2Fc", "a%2Fb.json%2Fc%2Fd"):
        refused(client.http.post(f"/api/userdata/{name}", json={}), 403)
    refused(client.http.post("/api/userdata/a%2Fb.json/move/a%2Fb.json%2Fc", json={}), 403)
    send(client, "taken.png", subfolder="folder.png")
    for subfolder, name in (("folder.png/taken.png", "x.png"), ("folder.png/taken.png/z", "x.png"), ("", "folder.png")):
        refused(send(client, name, subfolder=subfolder, overwrite="true"), 400)


def test_a_full_disk_is_told_without_a_folder_and_the_connection_goes_on(server, monkeypatch):
    client, service = server
    full = OSError(errno.ENOSPC, "full", str(service.settings.uploads / "x.png"))
    monkeypatch.setattr(service.uploads, "finish", lambda upload: (_ for _ in ()).throw(full))
    answer = client.http.post("/v1/uploads", content=picture(), headers={"Content-Type": "image/png"})
    assert (answer.status_code, answer.headers.get("connection")) == (507, None)
    assert "uploads/x.png: no space is left" in answer.text
    _nameless(client, answer.text)


def test_a_refused_picture_is_named_as_its_sender_did(client):
    assert "mine.png" in (said := refused(send(client, "mine.png", b"<html>"), 400))
    assert ".part" not in said


def test_the_type_of_an_upload_is_that_of_its_bytes(client):
    sent = client.upload(picture(name="JPEG"), "image/png", "photo.png")
    assert (sent["media"], sent["name"]) == ("image/jpeg", "photo.jpg")
    answer = client.http.get(sent["url"])
    assert (answer.headers["content-type"], answer.content) == ("image/jpeg", picture(name="JPEG"))
    assert client.ended(client.submit(trivial("x"), values={"image": {"upload": sent["id"]}})["id"])["state"] == "done"


@pytest.mark.parametrize("kind", ["zTXt", "iCCP", "iTXt"])
def test_what_else_is_in_a_picture_is_not_unpacked_without_end(client, kind):
    packed = zlib.compress(bytes(50_000_000), 9)
    text = b"a\0\1\0\0\0" + packed if kind == "iTXt" else b"a\0\0" + packed
    bomb = png(8, 8, bytes(72), **{kind: text})
    began = time.monotonic()
    answers = [
        client.http.post("/v1/uploads", content=bomb, headers={"Content-Type": "image/png"}),
        send(client, f"{kind}.png", bomb),
        client.http.get("/view", params={"filename": f"{kind}.png", "type": "input", "preview": "webp"}),
        client.http.post("/api/inlay/open", content=bomb, headers={"Content-Type": "image/png"}),
    ]
    assert all(answer.status_code < 500 for answer in answers), [answer.text for answer in answers]
    sent = answers[0].json().get("id", "")
    refused(client.http.post("/v1/runs", json={"workflow": {"upload": sent}}), 422)
    assert time.monotonic() - began < 10


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege there")
def test_links_in_the_editors_folder_are_not_listed(client):
    client.http.post("/api/userdata/mine.json", json={})
    user = client.folder / "serve/editor/user"
    (user / "link.json").symlink_to("/etc/hosts")
    try:
        for path in ("/api/userdata?dir=.", "/api/v2/userdata?path="):
            said = client.http.get(path).text
            assert "mine.json" in said
            assert "link.json" not in said
    finally:
        (user / "link.json").unlink()


def test_the_editor_keeps_only_so_much(client, monkeypatch):
    from inlay.graph_runtime.front.serve.editor import userdata

    monkeypatch.setattr(userdata, "_MOST_BYTES", 1000)
    monkeypatch.setattr(userdata, "_MOST_SETTINGS", 500)
    refused(client.http.post("/api/userdata/much.json", json="x" * 2000), 413)
    refused(client.http.post("/api/settings/Comfy.Much", json="x" * 600), 413)


FOLDERS = (
    {"workflow": {"picture": "*"}},
    {"workflow": {"picture": ""}},
    {"workflow": {"picture": "~/x.png"}},
    {"workflow": {"picture": "\0"}},
    {"workflow": "zero_shot_inpaint", "values": {"image": "/etc/passwd"}},
    {"workflow": "zero_shot_inpaint", "values": {"image": "not-there.png"}},
    {"workflow": "zero_shot_inpaint", "values": {"image": "not-there/*.png"}},
    {"workflow": trivial("../../queue.db")},
)


@pytest.mark.parametrize("asked", FOLDERS, ids=str)
def test_no_refusal_names_a_folder_of_the_server(client, asked):
    for path in ("/v1/runs", "/v1/check"):
        answer = client.http.post(path, json=asked)
        assert answer.json()["problems"]
        _nameless(client, answer.text)


def _nameless(client, text):
    from inlay.graph_runtime.front.installed import shipped_workflows

    for folder in (client.folder, next(iter(shipped_workflows().values())).parents[2], os.path.expanduser("~")):
        assert f"{folder}/" not in text


def test_no_failed_run_and_no_event_names_a_folder(client):
    upload = client.upload()
    first = client.submit(slow(400), client="one")["id"]
    client.until(first, "running")
    run = client.submit(trivial("x"), values={"image": {"upload": upload["id"]}}, client="one")["id"]
    assert client.http.delete(upload["url"]).status_code == 204
    client.http.post(f"/v1/runs/{first}/cancel")
    ended = client.ended(run)
    assert ended["state"] == "failed"
    for path in (f"/v1/runs/{run}", f"/v1/runs/{run}/events", f"/history/{run}", f"/api/jobs/{run}"):
        text = client.http.get(path).text
        assert upload["id"] in text or "events" in path
        _nameless(client, text)


def test_words_stand_for_folders_only_where_a_folder_is_named(tmp_path):
    words = Discreet(Settings(out=tmp_path / "out", folder=tmp_path / "s", inputs=tmp_path / "in"))
    assert words.text(f"looked for {tmp_path}/in/a.png") == "looked for inputs/a.png"
    assert words.text(f"{tmp_path}/out or {tmp_path}/in or {tmp_path}/out") == "results or inputs"
    assert words.text(f"{tmp_path}/outside/x or y or y") == f"{tmp_path}/outside/x or y or y"
    assert words.text("a or a") == "a or a"


def test_pictures_used_longest_ago_make_room_and_those_that_runs_need_stay(server, monkeypatch):
    client, service = server
    room = service.uploads.room
    noise = [picture(colour=(n, 0, 0)) + bytes(20_000) for n in range(6)]  # PNGs may have something after them
    busy = client.submit(slow(400), client="room")["id"]
    client.until(busy, "running")
    sent = [client.upload(one)["id"] for one in noise[:3]]
    send(client, "pasted.png", noise[3])
    waiting = client.submit(trivial("x"), values={"image": {"upload": sent[0]}}, client="room")["id"]
    for age, upload in enumerate([sent[0], sent[2], sent[1]]):  # the first is needed, the third used longest ago
        for path in (client.folder / "serve/uploads" / upload).iterdir():
            os.utime(path, (1000 + age, 1000 + age))
    taken = sum(one.size for one in room._kept())
    limits = replace(service.settings.limits, space_bytes=taken + 10_000)
    monkeypatch.setattr(room, "_settings", replace(service.settings, limits=limits))
    old = [one.path for one in room._kept() if one.name not in sent and one.name != "pasted.png"]
    for path in old:  # of other tests
        for file in [path] if path.is_file() else path.iterdir():
            os.utime(file, (5000, 5000))
    client.upload(noise[4])
    there = [client.http.get(f"/v1/uploads/{one}").status_code for one in sent]
    assert there == [200, 200, 404]
    monkeypatch.setattr(room, "_settings", replace(service.settings, limits=replace(limits, space_bytes=30_000)))
    answer = client.http.post("/v1/uploads", content=noise[5], headers={"Content-Type": "image/png"})
    assert "--upload-space" in refused(answer, 422)
    assert "--upload-space" in refused(send(client, "more.png", noise[5]), 400)
    assert [client.http.get(f"/v1/uploads/{one}").status_code for one in sent] == [200, 404, 404]
    assert client.run(busy)["state"] == "running"
    client.http.post(f"/v1/runs/{busy}/cancel")
    assert client.ended(waiting)["state"] == "done"
    assert client.http.get("/view", params={"filename": "pasted.png", "type": "input"}).status_code == 404


def raw(client, *lines, body=b""):
    host, port = client.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall("\r\n".join([*lines, f"Host: {host}:{port}", "", ""]).encode() + body)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    return answer


JSON_BODY = ("POST /v1/check HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked")


def test_a_length_and_chunks_together_are_refused_and_nothing_after_them_is_read(client):
    smuggled = b"0\r\n\r\nGET /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n"
    answer = raw(client, *JSON_BODY, "Content-Length: 5", body=smuggled)
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


def test_a_body_that_stops_is_not_waited_for(client, monkeypatch):
    monkeypatch.setattr(guard, "_SILENCE", 0.2)
    began = time.monotonic()
    assert raw(client, *JSON_BODY, body=b"1\r\n{\r\n").startswith(b"HTTP/1.1 408")
    picture_lines = ("POST /v1/uploads HTTP/1.1", "Content-Type: image/png", "Content-Length: 1000")
    assert raw(client, *picture_lines, body=picture()[:50]).startswith(b"HTTP/1.1 408")
    assert time.monotonic() - began < 5
    end = time.monotonic() + 5
    while list((client.folder / "serve/uploads").glob("*.part")) and time.monotonic() < end:
        time.sleep(0.02)
    assert not list((client.folder / "serve/uploads").glob("*.part"))


def test_a_body_that_trickles_is_given_up_although_it_never_stops(client, monkeypatch):
    monkeypatch.setattr(guard, "_SILENCE", 1.5)
    address = client.http.base_url
    with socket.create_connection((address.host, address.port), timeout=20) as sock:
        lines = f"POST /v1/uploads HTTP/1.1\r\nHost: 127.0.0.1:{address.port}\r\nContent-Type: image/png\r\n"
        sock.sendall(f"{lines}Content-Length: 100000\r\n\r\n".encode())
        sock.settimeout(0.05)
        answer, end = b"", time.monotonic() + 15
        while not answer and time.monotonic() < end:
            with contextlib.suppress(OSError):
                sock.send(b"x")
            with contextlib.suppress(TimeoutError):
                answer = sock.recv(65536)
    assert answer.startswith(b"HTTP/1.1 408"), answer
    assert b"too slowly" in answer


def test_a_body_is_not_called_slow_for_the_time_in_which_the_server_did_not_read_it(monkeypatch):
    monkeypatch.setattr(guard, "_SILENCE", 0.3)

    async def slow_reader(scope, receive, send):
        for _ in range(3):
            await asyncio.sleep(0.3)
            await receive()
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    async def receive():
        return {"type": "http.request", "body": b"x", "more_body": True}

    sent = []

    async def send(message):
        sent.append(message)

    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"3")]
    scope = {"type": "http", "method": "POST", "path": "/v1/runs", "headers": headers, "scheme": "http"}
    asyncio.run(guard.Guard(slow_reader)(scope, receive, send))
    assert sent[0]["status"] == 204


def test_only_so_many_uploads_are_under_way_at_once_by_any_call(server, monkeypatch):
    client, service = server
    few = replace(service.settings, limits=replace(service.settings.limits, sending=1))
    monkeypatch.setattr(service, "settings", few)
    address = client.http.base_url
    kinds = {"/v1/uploads": "image/png", "/api/upload/image": "multipart/form-data; boundary=x"}
    for path, kind in kinds.items():
        with socket.create_connection((address.host, address.port), timeout=20) as sock:
            lines = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{address.port}\r\nContent-Type: {kind}\r\n"
            sock.sendall(f"{lines}Content-Length: 100000\r\n\r\n--x\r\n".encode())
            end = time.monotonic() + 20
            while not service._receiving and time.monotonic() < end:
                time.sleep(0.01)
            refused(client.http.post("/v1/uploads", content=picture(), headers={"Content-Type": "image/png"}), 429)
            refused(send(client), 429)
            refused(send(client, path="/upload/mask"), 429)
            refused(
                client.http.post("/api/inlay/open", content=b"{}", headers={"Content-Type": "application/json"}), 429
            )
        while service._receiving and time.monotonic() < end:
            time.sleep(0.01)
    assert send(client).status_code == 200
    assert client.upload()["id"]


def test_calls_that_wait_for_a_decoder_keep_no_other_call_waiting(client):
    """Each of these decodes a picture, one at a time; here none may, and the rest of the server answers still."""
    kept = client.upload()["id"]
    send(client, "waits.png")
    asked = [f"/v1/uploads/{kept}/mask", "/api/view?filename=waits.png&type=input&preview=webp;90"]
    address = client.http.base_url
    with contextlib.ExitStack() as waiting, uploads.DECODING:
        for number in range(90):
            sock = waiting.enter_context(socket.create_connection((address.host, address.port), timeout=20))
            lines = f"GET {asked[number % 2]} HTTP/1.1\r\nHost: 127.0.0.1:{address.port}\r\n\r\n"
            sock.sendall(lines.encode())
        for _ in range(3):
            assert client.http.get("/v1/runs", timeout=20).status_code == 200
            assert client.http.post("/v1/check", json={"workflow": "inpaint"}, timeout=20).status_code == 200
    assert client.http.get(asked[0]).status_code == 200


def test_a_picture_with_something_behind_it_comes_back_as_a_picture(client):
    data = picture() + b"<script>alert(1)</script>"
    answer = client.http.get(client.upload(data)["url"])
    assert answer.content == data
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]
    assert Image.open(io.BytesIO(answer.content)).size == (32, 24)


@pytest.mark.parametrize("name", ["doll", "deep/doll"])
def test_a_model_of_the_server_is_named_as_it_was_asked_for(client, name):
    place = client.folder / "inputs" / name
    if not place.exists():
        place.parent.mkdir(exist_ok=True)
        shutil.copytree(ROOT / "dollhouse" / "weights", place)
    values = {"image": "room.png", "mask": "room-mask.png", "source": name, "steps": 1, "size": 64}
    run = client.ended(client.submit("inpaint", values=values)["id"])
    assert run["state"] == "done", run["problems"]
    assert str(client.folder) not in client.http.get(f"/v1/runs/{run['id']}/workflow").text
    assert str(client.folder).encode() not in client.http.get(run["results"][0]["url"]).content
