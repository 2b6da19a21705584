"""The calls of ComfyUI's editor, answered by our server: graphs, queue, history, files; without a browser."""

import contextlib
import io
import json
import struct
import time
import uuid

import numpy
import pytest
import websockets.sync.client
from inlay.graph_runtime.front.installed import shipped_samples
from inlay.graph_runtime.front.serve.editor.history import error_of
from inlay.graph_runtime.front.serve.records import Run
from PIL import Image
from serving import picture, served


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    with served(tmp_path_factory.mktemp("host"), guarded=True) as (client, service):
        client.service = service
        client.ready()
        send(client)
        yield client


def get(host, path, **query):
    answer = host.http.get(f"/api{path}", params=query)
    assert answer.status_code == 200, (path, answer.status_code, answer.text)
    return answer.json()


def post(host, path, body=None, **more):
    return host.http.post(f"/api{path}", json={} if body is None else body, **more)


def send(host, name="photo.png", data=None, path="/upload/image", **fields):
    files = {"image": (name, data or picture(), "image/png")}
    return host.http.post(f"/api{path}", files=files, data={key: str(value) for key, value in fields.items()})


def graph(image="photo.png", prefix="kept"):
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": image}},
        "2": {"class_type": "InlayMaskGrow", "inputs": {"mask": ["1", 1], "pixels": 3}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": prefix}},
    }


def run(host, prompt, **more):
    """Queue a graph and wait until it has ended; its entry in the history."""
    answer = post(host, "/prompt", {"prompt": prompt, **more})
    assert answer.status_code == 200, answer.text
    return ended(host, answer.json()["prompt_id"])


def ended(host, run_id):
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = get(host, f"/history/{run_id}")
        if found:
            return found[run_id]
        time.sleep(0.02)
    raise AssertionError(f"{run_id} did not end")


def test_a_graph_runs_and_its_picture_is_shown_on_its_node(host):
    send(host)
    entry = run(host, graph(), client_id="me", extra_data={"extra_pnginfo": {"workflow": {"id": "w", "nodes": []}}})
    assert entry["status"]["status_str"] == "success"
    assert [name for name, _ in entry["status"]["messages"]] == ["execution_start", "execution_success"]
    (shown,) = entry["outputs"]["3"]["images"]
    assert shown["type"] == "output"
    answer = host.http.get("/api/view", params=shown)
    assert answer.headers["content-type"] == "image/png"
    assert "sandbox" in answer.headers["content-security-policy"]
    found = Image.open(io.BytesIO(answer.content)).convert("RGB")
    assert numpy.array_equal(numpy.asarray(found), numpy.asarray(Image.open(io.BytesIO(picture())).convert("RGB")))
    texts = Image.open(io.BytesIO(answer.content)).text
    assert json.loads(texts["prompt"])["3"]["class_type"] == "SaveImage", "the editor opens it when it is dropped"
    assert json.loads(texts["workflow"]) == {"id": "w", "nodes": []}
    assert json.loads(texts["inlay"])["workflow"]["nodes"]
    number, run_id, prompt, extra, outputs = entry["prompt"]
    assert (prompt["3"]["class_type"], extra["extra_pnginfo"]["workflow"]["id"], outputs) == ("SaveImage", "w", ["3"])
    job = get(host, f"/jobs/{run_id}")
    assert (job["status"], job["priority"], job["workflow_id"]) == ("completed", number, "w")
    assert job["preview_output"] == {**shown, "nodeId": "3", "mediaType": "images"}
    assert job["workflow"]["prompt"] == prompt
    listed = get(host, "/jobs", status="completed", limit=1)
    assert listed["jobs"][0]["id"] == run_id


def test_every_prefix_answers_and_other_calls_are_unknown(host):
    for prefix in ("/api", "/editor/api", ""):
        assert host.http.get(f"{prefix}/queue").json() == {"queue_running": [], "queue_pending": []}
        assert host.http.get(f"{prefix}/prompt").json() == {"exec_info": {"queue_remaining": 0}}
    for path in ("/api/nothing", "/editor/api/nothing", "/api/customnode/install"):
        assert host.http.get(path).status_code == host.http.post(path, json={}).status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/system_stats", "/features", "/users", "/settings", "/extensions", "/embeddings", "/models", "/i18n",
     "/global_subgraphs", "/node_replacements", "/experiment/models", "/workflow_templates", "/internal/logs/raw",
     "/models/checkpoints", "/userdata/comfy.templates.json", "/userdata?dir=workflows", "/v2/userdata", "/history",
     "/internal/folder_paths", "/internal/files/output", "/internal/files/input"],
)  # fmt: skip
def test_what_the_editor_asks_at_its_start_is_answered(host, path):
    assert host.http.get(f"/api{path}").status_code == 200


def test_the_editor_asks_for_files_beside_its_api_too_and_for_the_icon_of_its_tab(host):
    assert "inlay/photo.jpg" in host.http.get("/editor/internal/files/input").json()
    for path in ("/assets/favicon.ico", "/editor/extensions/inlay/inlay.js", "/editor/extensions/inlay/serve.js"):
        assert host.http.get(path).status_code == 200, path
    assert host.http.get("/assets/vendor.js").status_code == 404


def test_a_failure_that_is_of_no_node_keeps_to_texts_as_the_editor_reads_its_history():
    flow = json.dumps({"format": 1, "nodes": {}})
    run = Run(1, "id", None, "", "failed", 0.0, 1.0, 2.0, 1, False, {}, flow, {}, {"problems": []}, [])
    assert (error_of(run)["node_id"], error_of(run)["node_type"]) == ("", "")


def test_definitions_name_every_node_and_offer_pictures(host):
    send(host, "offered.png")
    found = get(host, "/object_info")
    from inlay.graph_runtime.front.comfy.node_names import host_id
    from inlay.graph_runtime.front.installed import installed_nodes

    assert {host_id(name) for name in installed_nodes()} <= set(found)
    assert "offered.png" in found["LoadImage"]["input"]["required"]["image"][0]
    names, options = found["InlayImageWithMask"]["input"]["required"]["image"]
    assert "offered.png" in names
    assert options["image_upload"] is True
    for loader in ("InlayImageLoad", "InlayMaskLoad"):
        names, options = found[loader]["input"]["required"]["path"]
        assert {"offered.png", "inlay/photo.jpg", "inlay/photos"} <= set(names)
        assert options["image_upload"] is True
    for entry in found.values():
        assert entry["input_order"] == {group: list(entries) for group, entries in entry["input"].items()}
        assert len(entry["output"]) == len(entry["output_name"]) == len(entry["output_is_list"])
    assert get(host, "/object_info/SaveImage") == {"SaveImage": found["SaveImage"]}
    assert get(host, "/object_info/Nothing") == {}


def test_a_sample_is_shown_by_the_name_that_loaders_in_comfyui_list(host):
    photo = shipped_samples()["photo.jpg"].read_bytes()
    for query in ({"filename": "photo.jpg", "subfolder": "inlay"}, {"filename": "inlay/photo.jpg"}):
        assert host.http.get("/api/view", params={**query, "type": "input"}).content == photo
    assert host.http.get("/api/view", params={"filename": "inlay/../../README.md", "type": "input"}).status_code == 404


# what is wrong with a graph: ComfyUI 0.33 answered these with the same kinds on the same nodes


def wrong(host, prompt):
    answer = post(host, "/prompt", {"prompt": prompt})
    assert answer.status_code == 400, answer.text
    found = answer.json()
    assert set(found["error"]) == {"type", "message", "details", "extra_info"}
    for entry in found["node_errors"].values():
        assert {"errors", "dependent_outputs", "class_type"} <= set(entry)
    kinds = {name: [one["type"] for one in entry["errors"]] for name, entry in found["node_errors"].items()}
    return found["error"], kinds, found["node_errors"]


def changed(**nodes):
    """The graph with some inputs of nodes changed; None takes one out."""
    made = graph()
    for name, inputs in nodes.items():
        for key, value in inputs.items():
            made[name[1:]]["inputs"].pop(key, None)
            if value is not None:
                made[name[1:]]["inputs"][key] = value
    return made


def test_a_missing_input_is_marked_on_its_node(host):
    error, kinds, nodes = wrong(host, changed(n3={"images": None}))
    assert error["type"] == "prompt_outputs_failed_validation"
    assert kinds == {"3": ["required_input_missing"]}
    assert nodes["3"]["errors"][0]["extra_info"]["input_name"] == "images"
    assert nodes["3"]["dependent_outputs"] == ["3"]


def test_a_link_of_another_type_is_marked(host):
    _, kinds, nodes = wrong(host, changed(n3={"images": ["1", 1]}))
    assert kinds == {"3": ["return_type_mismatch"]}
    assert nodes["3"]["errors"][0]["extra_info"]["linked_node"] == ["1", 1]


@pytest.mark.parametrize("link", [["9", 0], ["1", 7], ["1", -1]])
def test_a_link_to_nothing_is_marked_where_comfyui_fails(host, link):
    _, kinds, nodes = wrong(host, changed(n3={"images": link}))
    assert kinds == {"3": ["bad_linked_input"]}
    assert nodes["3"]["errors"][0]["details"].startswith("images: found ")


def test_all_problems_come_at_once(host):
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "gone.png"}},
        "2": {"class_type": "InlayMaskGrow", "inputs": {"mask": ["1", 1], "pixels": -9999}},
        "4": {"class_type": "InlayMaskGrow", "inputs": {"mask": ["1", 1], "pixels": "wide"}},
        "5": {"class_type": "InlayImagePasteBack", "inputs": {"base": ["1", 0], "mask": ["4", 0]}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["5", 0], "filename_prefix": "../x"}},
        "6": {"class_type": "InlayImageSave", "inputs": {"image": ["2", 0], "format": "gif"}},
    }
    _, kinds, _ = wrong(host, prompt)
    print(kinds)
    assert set(kinds) == {"1", "2", "3", "4", "5", "6"}
    assert "value_not_in_list" in kinds["6"]
    assert "return_type_mismatch" in kinds["6"]
    assert kinds["4"] == ["invalid_input_type"]
    assert kinds["5"] == ["required_input_missing"]


def test_what_is_sound_runs_and_the_rest_is_marked(host):
    prompt = graph(prefix="sound")
    prompt["2"]["inputs"]["pixels"] = "wide"
    prompt["4"] = {"class_type": "InlayImageSave", "inputs": {"image": ["1", 0], "mask": ["2", 0]}}
    answer = post(host, "/prompt", {"prompt": prompt})
    assert answer.status_code == 200
    (marked,) = answer.json()["node_errors"].items()
    assert (marked[0], marked[1]["dependent_outputs"]) == ("2", ["4"])
    assert [one["type"] for one in marked[1]["errors"]] == ["invalid_input_type"]
    entry = ended(host, answer.json()["prompt_id"])
    assert (list(entry["outputs"]), entry["prompt"][4]) == (["3"], ["3"])
    assert "4" not in entry["prompt"][2], "the saved graph is what ran"


def test_unknown_types_are_all_named_and_hide_nothing_else(host):
    prompt = graph()
    prompt["7"] = {"class_type": "Foo", "inputs": {}, "_meta": {"title": "My foo"}}
    prompt["8"] = {"class_type": "Bar", "inputs": {"image": ["7", 0]}}
    prompt["3"]["inputs"]["images"] = ["8", 0]
    prompt["4"] = {"class_type": "SaveImage", "inputs": {"images": ["1", 1], "filename_prefix": "x"}}
    error, kinds, _ = wrong(host, prompt)
    assert kinds["4"] == ["return_type_mismatch"]
    assert error["type"] == "missing_node_type"
    assert {"7", "8"} <= set(kinds)
    assert "My foo" in error["details"]
    assert "Bar" in error["details"]


@pytest.mark.parametrize(
    ("body", "kind"),
    [({}, "no_prompt"), ({"prompt": []}, "no_prompt"), ({"prompt": {}}, "prompt_no_outputs"),
     ({"prompt": {"1": graph()["1"]}}, "prompt_no_outputs"), ({"prompt": {"1": {"inputs": {}}}}, "missing_node_type"),
     ({"prompt": graph(), "prompt_id": "x"}, "invalid_prompt_id"), ({"prompt": {"1": 3}}, "missing_node_type")],
)  # fmt: skip
def test_bodies_that_are_no_graph_are_refused_in_its_form(host, body, kind):
    answer = post(host, "/prompt", body)
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, kind)


def test_a_loop_is_refused(host):
    prompt = graph()
    prompt["4"] = {"class_type": "InlayMaskGrow", "inputs": {"mask": ["5", 0]}}
    prompt["5"] = {"class_type": "InlayMaskGrow", "inputs": {"mask": ["4", 0]}}
    prompt["3"] = {"class_type": "InlayImageSave", "inputs": {"image": ["1", 0], "mask": ["5", 0]}}
    assert post(host, "/prompt", {"prompt": prompt}).status_code == 400


def test_nodes_that_no_output_needs_are_left_alone(host):
    prompt = graph()
    prompt["9"] = {"class_type": "Unknown", "inputs": {}}
    prompt["10"] = {"class_type": "InlayMaskGrow", "inputs": {}}
    assert run(host, prompt)["status"]["completed"] is True


# pictures


def test_a_picture_that_is_sent_comes_back_and_equal_ones_are_kept_once(host):
    data = picture(11, 7)
    assert send(host, "a.png", data).json() == {"name": "a.png", "subfolder": "", "type": "input"}
    assert send(host, "a.png", data).json()["name"] == "a.png"
    assert send(host, "a.png", picture(12, 7)).json()["name"] == "a (1).png"
    assert send(host, "b.png", data, subfolder="clipspace").json()["subfolder"] == "clipspace"
    found = host.http.get("/api/view", params={"filename": "b.png", "subfolder": "clipspace", "type": "input"})
    assert found.content == data
    assert host.http.get("/api/view", params={"filename": "clipspace/b.png [input]"}).content == data
    assert send(host, "a.png", picture(13, 7), overwrite="true").json()["name"] == "a.png"


@pytest.mark.parametrize(
    ("name", "data"),
    [("x.png", b"no picture"), ("x.svg", b"<svg/>"), ("x.html", picture()), ("x.png", picture()[:60]),
     ("x", picture())],
)  # fmt: skip
def test_what_is_no_picture_is_not_kept(host, name, data):
    assert send(host, name, data).status_code == 400
    kept = [path.name for path in host.service.settings.pictures.rglob("*")]
    assert not [name for name in kept if name.startswith((".", "x"))]


@pytest.mark.parametrize(
    "where",
    ["..", "../..", "/etc", "a/../../b", "C:\\x", "..\\..", "a\0b", "con", "a:b", "\u202ea"],
)
def test_no_upload_and_no_view_leaves_its_folder(host, where):
    before = sorted(host.service.settings.folder.parent.rglob("*"))
    assert send(host, "q.png", picture(), subfolder=where).status_code in (200, 400)
    for kind in ("input", "output", "temp", "x"):
        for query in ({"filename": f"{where}/q.png"}, {"filename": "q.png", "subfolder": where}):
            assert host.http.get("/api/view", params={**query, "type": kind}).status_code in (400, 404)
    new = set(host.service.settings.folder.parent.rglob("*")) - set(before)
    assert all(path.is_relative_to(host.service.settings.pictures) for path in new)


def test_a_link_out_of_the_folders_is_not_followed(host, tmp_path):
    (tmp_path / "secret.png").write_bytes(picture())
    for folder, kind in ((host.service.settings.pictures, "input"), (host.service.settings.out, "output")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "link.png").symlink_to(tmp_path / "secret.png")
        assert host.http.get("/api/view", params={"filename": "link.png", "type": kind}).status_code in (400, 404)
        (folder / "link.png").unlink()


def test_a_painted_mask_keeps_the_pixels_of_its_picture(host):
    """The page's canvas blackens what it makes transparent; what runs has the picture's own pixels, and the alpha."""
    generator = numpy.random.default_rng(0)
    pixels = generator.integers(0, 256, (20, 30, 3), dtype=numpy.uint8)
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, "PNG")
    send(host, "whole.png", made.getvalue())
    alpha = numpy.full((20, 30), 255, numpy.uint8)
    alpha[5:9, 10:20] = 0
    painted = numpy.dstack([pixels * (alpha[..., None] > 0), alpha])
    mask = io.BytesIO()
    Image.fromarray(painted, "RGBA").save(mask, "PNG")
    original = json.dumps({"filename": "whole.png", "subfolder": "", "type": "input"})
    answer = send(host, "painted.png", mask.getvalue(), "/upload/mask", original_ref=original, subfolder="clipspace")
    assert answer.json() == {"name": "painted.png", "subfolder": "clipspace", "type": "input"}
    found = host.http.get("/api/view", params={"filename": "painted.png", "subfolder": "clipspace", "type": "input"})
    kept = numpy.asarray(Image.open(io.BytesIO(found.content)))
    assert numpy.array_equal(kept[..., :3], pixels)
    assert numpy.array_equal(kept[..., 3], alpha)
    for channel in ("rgb", "a"):
        query = {"filename": "clipspace/painted.png [input]", "channel": channel}
        shown = Image.open(io.BytesIO(host.http.get("/api/view", params=query).content))
        assert shown.size == (30, 20)
        expected = pixels if channel == "rgb" else alpha
        assert numpy.array_equal(numpy.asarray(shown if channel == "rgb" else shown.getchannel("A")), expected)


def test_a_preview_is_a_small_file(host):
    send(host, "photo.png")
    for kind in ("webp", "jpeg"):
        query = {"filename": "photo.png", "type": "input", "preview": f"{kind};75"}
        answer = host.http.get("/api/view", params=query)
        assert answer.headers["content-type"] == f"image/{kind}"
        assert Image.open(io.BytesIO(answer.content)).format == kind.upper()


# what the editor keeps


def test_files_of_the_user_are_written_listed_moved_and_deleted(host):
    own = {"Origin": host.address}
    put = host.http.post("/api/userdata/workflows%2Fmine.json?full_info=true", content=b"{}", headers=own)
    assert put.json()["path"] == "workflows/mine.json"
    assert host.http.get("/api/userdata/workflows%2Fmine.json").content == b"{}"
    again = host.http.post("/api/userdata/workflows%2Fmine.json?overwrite=false", content=b"[]", headers=own)
    assert again.status_code == 409
    listed = get(host, "/userdata", dir="workflows", recurse="true", full_info="true")
    assert [entry["path"] for entry in listed] == ["mine.json"]
    moved = host.http.post("/api/userdata/workflows%2Fmine.json/move/workflows%2Fdeep%2Fyours.json", headers=own)
    assert moved.json() == "workflows/deep/yours.json"
    assert get(host, "/userdata", dir="workflows", recurse="true") == ["deep/yours.json"]
    assert get(host, "/userdata", dir="workflows", recurse="true", split="true") == [
        ["deep/yours.json", "deep", "yours.json"]
    ]
    assert host.http.delete("/api/userdata/workflows%2Fdeep%2Fyours.json").status_code == 204
    assert host.http.get("/api/userdata/workflows%2Fdeep%2Fyours.json").status_code == 404


@pytest.mark.parametrize("name", ["..%2F..%2Fqueue.db", "%2Fetc%2Fpasswd", "a%2F..%2F..%2Fb", "a%00b", "C:%5Cx", "con"])
def test_no_file_of_the_user_lies_elsewhere(host, name):
    content, own = uuid.uuid4().hex.encode(), {"Origin": host.address}
    assert host.http.get(f"/api/userdata/{name}").status_code in (400, 403, 404)
    host.http.post(f"/api/userdata/{name}", content=content, headers=own)
    files = [path for path in host.service.settings.folder.parent.rglob("*") if path.is_file()]
    written = [path for path in files if path.stat().st_size == len(content) and path.read_bytes() == content]
    assert all(path.is_relative_to(host.service.settings.folder / "editor" / "user") for path in written)
    host.http.delete(f"/api/userdata/{name}")


def test_what_a_user_saves_never_runs_as_a_page(host):
    own = {"Origin": host.address}
    host.http.post("/api/userdata/evil.html", content=b"<script>1</script>", headers=own)
    answer = host.http.get("/api/userdata/evil.html")
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["content-type"] == "application/octet-stream"


def test_settings_are_kept(host):
    own = {"Origin": host.address, "Content-Type": "text/plain;charset=UTF-8"}
    assert host.http.post("/api/settings/Comfy.X", content=b'"a"', headers=own).status_code == 200
    assert host.http.post("/api/settings", content=b'{"Comfy.Y": 2}', headers=own).status_code == 200
    assert get(host, "/settings")["Comfy.X"] == get(host, "/settings/Comfy.X") == "a"
    assert get(host, "/settings/Comfy.Y") == 2
    assert get(host, "/settings/Comfy.Z") is None


# templates, and files of inlay's own


def test_every_template_is_a_graph_of_known_nodes_with_a_picture(host):
    known = get(host, "/object_info")
    names = get(host, "/workflow_templates")["inlay"]
    assert "inpaint" in names
    for name in names:
        drawn = get(host, f"/workflow_templates/inlay/{name}.json")
        types = {node["type"] for node in drawn["nodes"]}
        assert types - set(known) <= {"Note", "MarkdownNote"}, name
        picture_of_it = host.http.get(f"/api/workflow_templates/inlay/{name}.jpg")
        assert picture_of_it.headers["content-type"] == "image/jpeg"
    for name in ("nothing.json", "nothing.jpg", "..%2Fpyproject.json", "inpaint.html"):
        assert host.http.get(f"/api/workflow_templates/inlay/{name}").status_code in (400, 404)


def test_a_recipe_of_the_page_or_the_command_line_opens_in_the_editor(host):
    from serving import trivial

    upload = host.upload(picture(), name="mine.png")
    made = host.ended(host.submit(trivial("photo.jpg", save=True), values={"image": {"upload": upload["id"]}})["id"])
    assert made["state"] == "done", made
    saved = host.http.get(made["results"][0]["url"]).content
    for data, media in ((saved, "image/png"), (json.dumps(trivial("mine.png")).encode(), "application/json")):
        answer = host.http.post("/api/inlay/open", content=data, headers={"Content-Type": media})
        assert answer.status_code == 200, answer.text
        assert "InlayMaskGrow" in {node["type"] for node in answer.json()["nodes"]} or media == "image/png"
    job = get(host, f"/jobs/{made['id']}")
    assert job["workflow"]["extra_data"]["extra_pnginfo"]["workflow"]["nodes"]
    for data, media in (
        (picture(), "image/png"),
        (b"{}", "application/json"),
        (b"[1]", "application/json"),
        (b"x", "image/png"),
    ):
        assert host.http.post("/api/inlay/open", content=data, headers={"Content-Type": media}).status_code == 422
    assert not [path for path in host.service.settings.pictures.iterdir() if path.name.startswith(".")]


# queue and history


def test_the_history_is_cleared_without_losing_a_picture(host):
    entry = run(host, graph(prefix="stays"))
    run_id, (shown,) = entry["prompt"][1], entry["outputs"]["3"]["images"]
    assert post(host, "/history", {"delete": [run_id]}).status_code == 200
    assert get(host, f"/history/{run_id}") == {}
    assert run_id not in [job["id"] for job in get(host, "/jobs")["jobs"]]
    post(host, "/history", {"clear": True})
    assert get(host, "/history") == {}
    assert host.http.get("/api/view", params=shown).status_code == 200
    assert run(host, graph(prefix="next"))["prompt"][1] in get(host, "/history", max_items="5")


def test_a_run_that_waits_is_taken_out_and_one_that_runs_is_stopped(host):
    from serving import slow

    native = slow(30)
    first = host.submit(native, client="one")
    waiting = post(host, "/prompt", {"prompt": graph(), "client_id": "two"}).json()["prompt_id"]
    host.until(first["id"], "running")
    queue = get(host, "/queue")
    assert [item[1] for item in queue["queue_running"]] == [first["id"]]
    assert [item[1] for item in queue["queue_pending"]] == [waiting]
    assert get(host, "/prompt")["exec_info"]["queue_remaining"] == 2
    assert [job["status"] for job in get(host, "/jobs", status="in_progress,pending")["jobs"]] == [
        "pending",
        "in_progress",
    ]
    assert post(host, "/queue", {"delete": [waiting]}).status_code == 200
    assert get(host, "/queue")["queue_pending"] == []
    assert post(host, "/interrupt", {"prompt_id": str(uuid.uuid4())}).status_code == 200
    assert host.run(first["id"])["state"] == "running"
    assert post(host, "/interrupt").status_code == 200
    assert host.ended(first["id"])["state"] == "cancelled"
    (entry,) = get(host, f"/history/{first['id']}").values()
    assert [name for name, _ in entry["status"]["messages"]] == ["execution_start", "execution_interrupted"]
    assert post(host, f"/jobs/{first['id']}/cancel").json() == {"cancelled": False}


def test_wrong_questions_about_jobs_are_refused(host):
    for query in ("status=odd", "limit=0", "limit=x"):
        assert host.http.get(f"/api/jobs?{query}").status_code == 400
    assert host.http.get("/api/jobs/nothing").status_code == 404


# the socket


def talk(host, prompt, sid, flags=None):
    """All messages of a run, as a page gets them: texts decoded, and binary ones."""
    address = host.address.replace("http", "ws") + f"/ws?clientId={sid}"
    with websockets.sync.client.connect(address, origin=host.address) as socket:
        found = [json.loads(socket.recv(timeout=10))]
        if flags:
            socket.send(json.dumps({"type": "feature_flags", "data": flags}))
            found.append(json.loads(socket.recv(timeout=10)))
        answer = post(host, "/prompt", {"prompt": prompt, "client_id": sid})
        assert answer.status_code == 200, answer.text
        while True:
            got = socket.recv(timeout=60)
            found.append(got if isinstance(got, bytes) else json.loads(got))
            if isinstance(got, str) and found[-1]["type"] == "executing" and found[-1]["data"]["node"] is None:
                return answer.json()["prompt_id"], found


def test_the_socket_tells_a_run_in_the_order_that_the_editor_expects(host):
    send(host)
    run_id, said = talk(host, graph(prefix=uuid.uuid4().hex), "page-1", {"supports_preview_metadata": True})
    assert (said[0]["type"], said[0]["data"]["sid"]) == ("status", "page-1")
    assert said[1]["type"] == "feature_flags"
    kinds = [one["type"] for one in said[2:] if one["type"] != "status"]
    first = {kind: kinds.index(kind) for kind in kinds}
    order = ["execution_start", "execution_cached", "progress_state", "executing", "executed", "execution_success"]
    assert [first[kind] for kind in order] == sorted(first[kind] for kind in order)
    assert kinds[-1] == "executing"
    assert said[-2]["type"] == "status"
    executed = [one["data"] for one in said if one["type"] == "executed"]
    assert [(one["node"], len(one["output"]["images"])) for one in executed] == [("3", 1)]
    ran = [one["data"]["node"] for one in said if one["type"] == "executing"]
    assert ran[-1] is None
    assert "3" in ran
    assert all(one["data"]["prompt_id"] == run_id for one in said if one["type"] in order)


def test_a_page_hears_nothing_of_anothers_run_but_that_the_queue_changed(host):
    address = host.address.replace("http", "ws")
    with websockets.sync.client.connect(f"{address}/editor/ws?clientId=other", origin=host.address) as other:
        talk(host, graph(prefix=uuid.uuid4().hex), "page-2")
        heard = []
        with contextlib.suppress(TimeoutError):
            while True:
                heard.append(json.loads(other.recv(timeout=0.3)))
    assert {one["type"] for one in heard} == {"status"}
    assert len(heard) >= 2


def test_a_long_run_is_told_in_little(host):
    """Of 300 nodes less than 800 bytes each, and no list of all of them."""
    send(host)
    prompt = graph(prefix=uuid.uuid4().hex)
    before = "2"
    for number in range(100, 400):
        prompt[str(number)] = {"class_type": "InlayMaskGrow", "inputs": {"mask": [before, 0], "pixels": 1}}
        before = str(number)
    prompt["3"] = {"class_type": "InlayImageSave", "inputs": {"image": ["1", 0], "mask": [before, 0]}}
    _, said = talk(host, prompt, "page-3")
    size = sum(len(one) if isinstance(one, bytes) else len(json.dumps(one)) for one in said)
    assert size < 300 * 800
    done = {name for one in said if one["type"] == "progress_state" for name in one["data"]["nodes"]}
    known = {name for one in said if one["type"] == "execution_cached" for name in one["data"]["nodes"]}
    assert {"100", "399"} <= done | known


def test_a_preview_is_binary_and_says_its_node_to_those_that_ask():
    from inlay.graph_runtime.front.serve.editor.socket import Preview

    shown = Preview("run", "7", b"\xff\xd8jpeg")
    assert struct.unpack(">II", shown.bytes_for(with_node=False)[:8]) == (1, 1)
    assert shown.bytes_for(with_node=False)[8:] == b"\xff\xd8jpeg"
    kind, length = struct.unpack(">II", shown.bytes_for(with_node=True)[:8])
    about = json.loads(shown.bytes_for(with_node=True)[8 : 8 + length])
    assert (kind, about["node_id"], about["image_type"]) == (4, "7", "image/jpeg")
    assert shown.bytes_for(with_node=True)[8 + length :] == b"\xff\xd8jpeg"


def test_renamed_nodes_are_replaced_as_in_the_host(host):
    found = get(host, "/node_replacements")
    assert found["InlayImageOpen"] == [
        {
            "new_node_id": "InlayImageWithMask",
            "old_node_id": "InlayImageOpen",
            "old_widget_ids": None,
            "input_mapping": [{"new_id": "image", "old_id": "image"}],
            "output_mapping": None,
        }
    ]
    send(host, "older.png")
    older = {
        "1": {"class_type": "InlayImageOpen", "inputs": {"image": "older.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "older"}},
    }
    assert run(host, older)["outputs"]["2"]["images"][0]["filename"].startswith("older_")


def test_the_compact_node_runs_and_shows_its_problems_on_itself(host):
    send(host, "compact.png")
    definition = get(host, "/object_info")["InlayInpaint"]
    assert definition["input"]["required"] == {"image": definition["input"]["required"]["image"]}
    assert definition["display_name"] == "Inpaint (inlay)"
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "compact.png"}},
        "2": {"class_type": "InlayMaskShape", "inputs": {"image": ["1", 0], "width": 8, "height": 8}},
        "3": {"class_type": "InlayInpaint", "inputs": {"image": ["1", 0], "mask": ["2", 0], "variations": 2}},
        "4": {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "compact"}},
    }
    assert len(run(host, graph)["outputs"]["4"]["images"]) == 2
    graph["3"]["inputs"]["steps"] = 5
    refused = host.http.post("/api/prompt", json={"prompt": graph})
    assert refused.status_code == 400
    assert [error["extra_info"]["input_name"] for error in refused.json()["node_errors"]["3"]["errors"]] == ["steps"]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ({"unload_models": True}, ["models"]),
        ({"free_memory": True, "unload_models": True}, ["results"]),
        ({"unload_models": False}, []),
        ({}, []),
    ],
    ids=str,
)
def test_free_reaches_the_workers_and_the_next_run_goes_on(host, monkeypatch, body, told):
    heard = []
    for worker in host.service.dispatcher._workers.values():
        tell = worker.tell
        monkeypatch.setattr(worker, "tell", lambda line, tell=tell: (heard.append(line), tell(line)))
    assert host.http.post("/free", json=body).status_code == 200
    assert [line["free"] for line in heard if "free" in line] == told
    send(host, "after.png")
    assert "2" in run(host, {
        "1": {"class_type": "LoadImage", "inputs": {"image": "after.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "after"}},
    })["outputs"]  # fmt: skip
