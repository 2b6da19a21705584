"""Whole runs of a stranger's workflow: it reads below its own folder only, and learns nothing about the rest."""

import json
import os
import sys
import threading
from pathlib import Path

import inlay
import pytest
import torch
from inlay.graph_runtime.core.errors import NodeError, WorkflowError
from inlay.graph_runtime.core.file_digests import digest
from inlay.graph_runtime.core.reading.listing import listing_at
from inlay.graph_runtime.core.reading.places import Place
from inlay.graph_runtime.core.reads import collect_reads
from inlay.graph_runtime.core.run.reread import same_listings, unchanged
from PIL import Image
from safetensors.torch import save_file

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="such names and links are not for Windows")
RED, GREEN = (200, 0, 0), (0, 200, 0)


def picture(path, colour=GREEN, size=(8, 6)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def flow(folder, path, kind="image.load", name="flow.json", **params):
    """A workflow in `folder` that loads `path` and saves it as a picture."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes = {"load": {"type": kind, "params": {"path": path, **params}}}
    outputs = {"image": "load.image"}
    if kind == "mask.load":
        nodes["blank"] = {"type": "image.load", "params": {"path": "blank.png"}}
        picture(folder / "blank.png")
        nodes["show"] = {"type": "image.fill", "inputs": {"image": "blank.image", "mask": "load.mask"}}
        outputs = {"image": "show.image"}
    file = folder / name
    file.write_text(json.dumps({"format": 1, "title": "t", "nodes": nodes, "outputs": outputs}))
    return file


def colours(result):
    return {tuple(round(255 * value) for value in row[0, 0].tolist()) for row in result["image"]}


def problem(source, tmp_path, **more):
    with pytest.raises((WorkflowError, NodeError)) as caught:
        inlay.run(source, out=tmp_path / "saved", cache=False, **more)
    return str(caught.value)


@pytest.mark.parametrize("name", ["*", "?????", "[s]ecret", "**", "photos[1]", "[!x]*"])
@pytest.mark.parametrize("pattern", ["*.png", "a.png", "[a].png"])
def test_a_workflow_in_a_folder_that_looks_like_a_pattern_reads_that_folder_alone(tmp_path, name, pattern):
    for other in ("secret", "photos1", "other"):
        picture(tmp_path / other / "a.png", RED)
    picture(tmp_path / name / "a.png")
    source = flow(tmp_path / name, pattern)
    assert inlay.check(source, out=tmp_path / "saved") == []
    assert colours(inlay.run(source, out=tmp_path / "saved", cache=False)) == {GREEN}


@pytest.mark.parametrize("name", ["*", "photos[1]"])
@pytest.mark.parametrize("text", ["{}", "{}/*.png", "{}/a.png"])
def test_so_does_a_path_that_the_user_types(tmp_path, name, text):
    picture(tmp_path / "photos1" / "a.png", RED)
    picture(tmp_path / name / "a.png")
    source = flow(tmp_path / "flows", "a.png")
    typed = tmp_path / text.format(name)
    result = inlay.run(source, out=tmp_path / "saved", cache=False, set={"load.path": str(typed)})
    assert colours(result) == {GREEN}


def test_a_pattern_of_several_parts_reads_and_digests_what_it_matches(tmp_path):
    for number in (1, 2):
        picture(tmp_path / f"in/{number}/a.png")
    source = flow(tmp_path / "in", "*/*.png")
    assert len(inlay.run(source, out=tmp_path / "saved")["image"]) == 2
    picture(tmp_path / "in/2/a.png", RED)
    assert colours(inlay.run(source, out=tmp_path / "saved")) == {RED, GREEN}  # from no cache
    picture(tmp_path / "in/3/a.png", (1, 2, 3))
    assert len(inlay.run(source, out=tmp_path / "saved")["image"]) == 3


def test_a_file_of_a_list_that_changes_during_the_run_is_noticed(tmp_path, monkeypatch):
    from inlay.graph_runtime.core.run.plan import Plan

    picture(tmp_path / "in/a.png")
    picture(tmp_path / "in/b.png")
    source = tmp_path / "in/flow.json"
    source.write_text(
        json.dumps(
            {
                "format": 1,
                "title": "t",
                "nodes": {"load": {"type": "subject.photos", "params": {"path": ["a.png", "b.png"]}}},
                "outputs": {"overview": "load.overview"},
            }
        )
    )
    seen, real = [], Plan.still_reads

    def still_reads(plan, step):
        seen.append(real(plan, step))
        picture(tmp_path / "in/b.png", RED)
        seen.append(real(plan, step))
        return seen[-1]

    monkeypatch.setattr(Plan, "still_reads", still_reads)
    inlay.run(source, out=tmp_path / "saved")
    assert seen[:2] == [True, False]


@pytest.mark.parametrize("text", ["link.png", "*.png", "sub/*", "sub", "sub/../link.png", "deep/a.png", "deep"])
def test_a_link_that_leads_out_is_refused_by_the_check(tmp_path, text):
    picture(tmp_path / "secret/a.png", RED)
    source = flow(tmp_path / "in", text)
    (tmp_path / "in/sub").mkdir()
    for place in ("link.png", "sub/link.png"):
        (tmp_path / "in" / place).symlink_to(tmp_path / "secret/a.png")
    (tmp_path / "in/deep").symlink_to("../secret")
    assert "out" in str(inlay.check(source, out=tmp_path / "saved")[0])
    problem(source, tmp_path)


@pytest.mark.parametrize("kind", ["latent.load", "subject.photos", "image.load", "mask.load"])
@pytest.mark.parametrize("swap", ["file", "folder"])
def test_a_link_that_comes_between_check_and_run_is_refused(tmp_path, monkeypatch, kind, swap):
    from inlay.graph_runtime.front.python import run_loaded

    for place in ("secret", "in/sub"):
        picture(tmp_path / place / "a.png")
        save_file({"latent": torch.zeros(1, 4, 8, 8)}, tmp_path / place / "a.safetensors")
        (tmp_path / place / "a.csv").write_text("file,left,top,right,bottom\na.png,0,0,4,4\n")
    params = {
        "latent.load": {"path": "sub/a.safetensors"},
        "subject.photos": {"path": "sub/a.png", "boxes": "sub/a.csv"},
        "image.load": {"path": "sub/a.png"},
        "mask.load": {"path": "sub/a.png"},
    }[kind]
    name = Path(list(params.values())[-1]).name
    source = tmp_path / "in/flow.json"
    output = {"subject.photos": "photos"}.get(kind, kind.partition(".")[0])
    nodes = {"load": {"type": kind, "params": params}}
    source.write_text(json.dumps({"format": 1, "title": "t", "nodes": nodes, "outputs": {"x": f"load.{output}"}}))
    assert inlay.run(source, out=tmp_path / "saved", cache=False)["x"] is not None
    real = run_loaded.execute

    def execute(*args, **how):
        if swap == "file":
            (tmp_path / "in/sub" / name).unlink()
            (tmp_path / "in/sub" / name).symlink_to(tmp_path / "secret" / name)
        else:
            os.rename(tmp_path / "in/sub", tmp_path / "in/old")
            (tmp_path / "in/sub").symlink_to(tmp_path / "secret")
        return real(*args, **how)

    monkeypatch.setattr(run_loaded, "execute", execute)
    said = problem(source, tmp_path)
    assert "link" in said or "Not a directory" in said or "leads out" in said


def test_swaps_at_any_time_never_show_what_is_outside(tmp_path):
    """A thread exchanges file and link as fast as it can while workflows run."""
    picture(tmp_path / "secret/a.png", RED)
    picture(tmp_path / "in/real.png")
    source = flow(tmp_path / "in", "*.png", name="flow.json")
    (tmp_path / "in/real.png").rename(tmp_path / "real.png")
    place, stop = tmp_path / "in/a.png", threading.Event()

    def swap():
        while not stop.is_set():
            for make in (os.link, os.symlink):
                made = tmp_path / "made"
                make(tmp_path / "real.png" if make is os.link else tmp_path / "secret/a.png", made)
                os.replace(made, place)

    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        for number in range(400):
            if number >= 40 and len(seen) > 1:
                break
            try:
                seen |= colours(inlay.run(source, out=tmp_path / "saved", cache=False))
            except (WorkflowError, NodeError):
                seen.add("refused")
    finally:
        stop.set()
        thread.join()
    assert RED not in seen


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("revision", ["../../../../secret", "/etc/passwd", "..", "a/../b", "a\\b", "", "a" * 300, "é"])
def test_a_revision_is_no_path(tmp_path, revision, there, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    if there:
        (tmp_path / "secret").mkdir()
    source = tmp_path / "flow.json"
    for kind in ("model.stable_diffusion", "model.lora"):
        nodes = {"model": {"type": "model.stable_diffusion", "params": {"source": "dollhouse"}}}
        nodes |= {"asked": {"type": kind, "params": {"source": "owner/name", "revision": revision}}}
        outputs = {"denoiser": "asked.denoiser"}
        if kind == "model.lora":
            nodes["asked"]["inputs"] = {"denoiser": "model.denoiser"}
        source.write_text(json.dumps({"format": 1, "title": "t", "nodes": nodes, "outputs": outputs}))
        (found,) = inlay.check(source, out=tmp_path / "saved")
        assert found.where == "asked.revision"


@pytest.mark.parametrize("source", ["modles/mine", "owner/mine", "mine", "models", "models/../models"])
def test_a_strangers_model_name_does_not_tell_what_is_in_the_current_folder(tmp_path, monkeypatch, source):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    file = tmp_path / "in/flow.json"
    file.parent.mkdir()
    nodes = {"model": {"type": "model.stable_diffusion", "params": {"source": source}}}
    file.write_text(json.dumps({"format": 1, "title": "t", "nodes": nodes, "outputs": {"vae": "model.vae"}}))
    said = set()
    for there in (False, True):
        if there:
            for folder in ("models/mine", "owner/mime", "mine"):
                (here / folder).mkdir(parents=True)
                (here / folder / "model_index.json").write_text("{}")
        report = inlay.check(file, out=tmp_path / "saved")
        said.add(repr(([str(one) for one in report], [str(one) for one in report.warnings])))
    assert len(said) == 1


@pytest.fixture
def recalled(tmp_path):
    """A picture that was saved from `in/a.png`, moved to a folder of its own; nothing remembers the file."""
    picture(tmp_path / "in/a.png")
    saved = inlay.run(flow_that_saves(tmp_path / "in"), out=tmp_path / "out", cache=False).paths[0]
    for file in (tmp_path / "home").glob("known-inputs*"):
        file.unlink()
    (tmp_path / "mail").mkdir()
    os.replace(saved, tmp_path / "mail/shared.png")
    return tmp_path / "mail/shared.png"


def flow_that_saves(folder):
    source = flow(folder, "a.png")
    whole = json.loads(source.read_text())
    whole["nodes"]["save"] = {"type": "image.save", "inputs": {"image": "load.image"}}
    source.write_text(json.dumps(whole))
    return source


def test_a_recalled_picture_follows_no_link_that_leads_out(tmp_path, recalled, monkeypatch):
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "other"))
    without = problem(recalled, tmp_path)
    assert "no file with the content of 'a.png'" in without
    for name in ("a.png", "renamed.png"):  # the content and its hash are right
        link = recalled.parent / name
        link.symlink_to(tmp_path / "in/a.png")
        assert problem(recalled, tmp_path) == without  # and no message tells so
        link.unlink()
    (recalled.parent / "a.png").symlink_to(tmp_path / "in/nothing.png")
    assert problem(recalled, tmp_path) == without


def test_a_recalled_picture_finds_what_lies_beside_it(tmp_path, recalled, monkeypatch):
    monkeypatch.setenv("INLAY_HOME", str(tmp_path / "other"))
    for name in ("a.png", "renamed.png", "[a].png"):
        os.link(tmp_path / "in/a.png", recalled.parent / name)
        assert colours(inlay.run(recalled, out=tmp_path / "saved", cache=False)) == {GREEN}
        (recalled.parent / name).unlink()
    (recalled.parent / "sub").mkdir()
    os.link(tmp_path / "in/a.png", recalled.parent / "sub/b.png")
    (recalled.parent / "a.png").symlink_to("sub/b.png")
    assert colours(inlay.run(recalled, out=tmp_path / "saved", cache=False)) == {GREEN}


def test_a_recalled_model_folder_with_a_link_that_leads_out_is_not_used(tmp_path, monkeypatch):
    from inlay.graph_runtime.front.recipe.find_inputs import find_files
    from inlay.graph_runtime.front.recipe.read import RecordedFile

    model = tmp_path / "mail/model"
    (model / "unet").mkdir(parents=True)
    (model / "model_index.json").write_text("{}")
    save_file({}, model / "unet/a.safetensors")
    file = RecordedFile("model", digest(model, weights=True), "model")
    found, problems = find_files({("model", "source"): file}, [tmp_path / "mail"], [], [])
    assert not problems
    assert not found["model", "source"].known  # it is as little trusted as the picture
    (model / "unet/more").symlink_to(tmp_path)
    found, problems = find_files({("model", "source"): file}, [tmp_path / "mail"], [], [])
    assert problems
    assert not found


def test_what_an_earlier_run_has_read_is_found_again_wherever_it_is(tmp_path):
    picture(tmp_path / "in/a.png")
    saved = inlay.run(flow_that_saves(tmp_path / "in"), out=tmp_path / "out", cache=False).paths[0]
    (tmp_path / "mail").mkdir()
    os.replace(saved, tmp_path / "mail/shared.png")
    assert colours(inlay.run(tmp_path / "mail/shared.png", out=tmp_path / "saved", cache=False)) == {GREEN}


@pytest.mark.skipif(sys.platform != "linux", reason="names of descriptors")
@pytest.mark.parametrize("pattern", [(), ("*.png",), ("*", "*.png")])
@pytest.mark.parametrize("come", ["instead", "beside"])
def test_a_link_that_came_since_a_kept_run_is_not_followed(tmp_path, monkeypatch, pattern, come):
    folder = tmp_path.resolve() / "in"
    picture(folder / "a.png")
    picture(folder / "sub/a.png")
    picture(tmp_path / "secret/a.png", RED)
    with collect_reads() as reads:
        digest(listing_at(Place(folder, pattern)))
    assert unchanged(reads)
    assert same_listings(reads)
    link = folder / "sub" / ("a.png" if come == "instead" else "b.png")
    link = link if len(pattern) == 2 else folder / link.name
    link.unlink(missing_ok=True)
    link.symlink_to(tmp_path / "secret/a.png")
    opened, real = [], os.open

    def watched(*args, **how):
        made = real(*args, **how)
        opened.append(os.readlink(f"/proc/self/fd/{made}"))
        return made

    monkeypatch.setattr(os, "open", watched)
    assert not (unchanged(reads) and same_listings(reads))
    assert [path for path in opened if path.startswith(str(tmp_path / "secret"))] == []


@pytest.mark.parametrize("size", ["", "7"])
def test_a_picture_that_names_many_files_reads_only_so_much(tmp_path, monkeypatch, size):
    from inlay.graph_runtime.front.recipe import find_inputs
    from inlay.graph_runtime.front.recipe.read import RecordedFile

    for number in range(30):
        (tmp_path / f"{number}.png").write_bytes(bytes([number]) * 100)
    tried = []
    monkeypatch.setattr(find_inputs, "_is_it", lambda place, *_: tried.append(place) or False)
    monkeypatch.setattr(find_inputs, "MOST_FILES", 20)
    monkeypatch.setattr(find_inputs, "MOST_BYTES", 1001)
    files = {(f"n{number}", "path"): RecordedFile("x.png", f"{number % 50:064x}", "file", size) for number in range(99)}
    found, problems = find_inputs.find_files(files, [tmp_path], [], [])
    assert not found
    assert len(problems) == len(files)
    assert len(tried) == 20 + (0 if size else 10)
