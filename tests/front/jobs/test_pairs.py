"""Which files of a folder are pictures, which mask belongs to which, and what results are called."""

import os
from pathlib import Path

import pytest
from inlay.graph_runtime.core.errors import WorkflowError
from inlay.graph_runtime.front.jobs.pairs import pair
from inlay.graph_runtime.front.jobs.part import name_for, prefixes_of
from inlay.graph_runtime.front.jobs.sources import find, is_many


@pytest.fixture
def touch(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def pairs_of(folder, masks="masks"):
    found = pair([find("image", str(folder / "in"), folder / "out"), find("mask", str(folder / masks), folder / "out")])
    return {item.name: Path(item.files["mask"]).relative_to(folder).as_posix() for item in found}


@pytest.mark.parametrize(
    "mask",
    ["a.png", "a_mask.png", "a-mask.webp", "a mask.tif", "a.mask.png", "A_MASK.PNG", "a_hole.png", "a_masks.gif"],
)
def test_a_mask_is_found_by_the_name_of_its_picture(touch, mask):
    assert pairs_of(touch("in/a.jpg", f"masks/{mask}")) == {"a": f"masks/{mask}"}


def test_sub_folders_are_mirrored_and_names_sort_naturally(touch):
    folder = touch(
        *(f"in/{name}.jpg" for name in ("10", "9", "x/2", "x/10", "1")),
        *(f"masks/{name}.png" for name in ("10", "9", "x/2", "x/10", "1")),
    )
    found = pairs_of(folder)
    assert list(found) == ["1", "9", "10", "x/2", "x/10"]
    assert all(mask == f"masks/{name}.png" for name, mask in found.items())


def test_a_picture_whose_name_ends_like_a_mask_has_its_own(touch):
    folder = touch("in/room.jpg", "in/room_mask.jpg", "masks/room.png", "masks/room_mask.png")
    assert pairs_of(folder) == {"room": "masks/room.png", "room_mask": "masks/room_mask.png"}


def test_pictures_and_masks_may_lie_in_one_folder(touch):
    folder = touch("in/a.jpg", "in/a_mask.png", "in/b.png", "in/b-mask.png")
    assert pairs_of(folder, "in") == {"a": "in/a_mask.png", "b": "in/b-mask.png"}


def test_accents_are_compared_however_a_system_stores_them(touch):
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    assert pairs_of(touch(f"in/{composed}.jpg", f"masks/{decomposed}.png")) == {composed: f"masks/{decomposed}.png"}


@pytest.mark.skipif(os.name == "nt" or os.path.exists(__file__.upper()), reason="names that differ only in case")
def test_names_that_differ_only_in_case_keep_their_own_masks(touch):
    folder = touch("in/a.jpg", "in/A.jpg", "masks/a.png", "masks/A.png")
    assert pairs_of(folder) == {"A": "masks/A.png", "a": "masks/a.png"}


def test_every_missing_and_every_extra_mask_is_listed_at_once(touch):
    folder = touch("in/a.jpg", "in/b.jpg", "in/sub/c.jpg", "masks/b.png", "masks/d.png", "masks/e_mask.png")
    with pytest.raises(WorkflowError) as caught:
        pairs_of(folder)
    missing, extra = caught.value.problems
    assert missing.port == extra.port == "inputs.mask"
    assert "a.jpg" in missing.found
    assert "sub/c.jpg" in missing.found
    assert "b.jpg" not in missing.found
    assert "d.png" in extra.found
    assert "e_mask.png" in extra.found
    assert all(problem.expected and problem.fix for problem in caught.value.problems)


def test_two_masks_for_one_picture_are_refused(touch):
    with pytest.raises(WorkflowError, match=r"several of mask for a\.jpg \(a\.png, a_mask\.png\)"):
        pairs_of(touch("in/a.jpg", "masks/a.png", "masks/a_mask.png"))


def test_lists_go_by_number(touch):
    folder = touch("in/a.jpg", "in/b.jpg", "masks/y.png", "masks/x.png")
    images = find("image", [str(folder / "in/b.jpg"), str(folder / "in/a.jpg")], folder / "out")
    masks = find("mask", [str(folder / "masks/x.png"), str(folder / "masks/y.png")], folder / "out")
    found = {item.name: Path(item.files["mask"]).name for item in pair([images, masks])}
    assert list(found.items()) == [("b", "x.png"), ("a", "y.png")]
    masks.files.pop()
    with pytest.raises(WorkflowError, match="a list of 1 for 2 of image"):
        pair([images, masks])


def test_a_link_to_nothing_and_a_pipe_are_left_out_with_a_note(touch):
    folder = touch("in/a.png")
    (folder / "in/gone.png").symlink_to("nowhere.png")
    names = ["gone.png"]
    if hasattr(os, "mkfifo"):
        os.mkfifo(folder / "in/pipe.png")
        names.append("pipe.png")
    found = find("image", str(folder / "in"), folder / "out")
    assert [file.name for file in found.files] == ["a"]
    assert found.left_out == names


def test_what_is_no_picture_is_left_out_with_a_note(touch):
    folder = touch("in/a.png", "in/notes.txt", "in/Thumbs.db", "in/.hidden.png", "in/._a.png")
    found = find("image", str(folder / "in"), folder / "out")
    assert [file.shown for file in found.files] == ["a.png"]
    assert found.left_out == ["notes.txt"]
    assert "notes.txt" in found.note


def test_results_are_not_taken_for_pictures(touch):
    folder = touch("in/a.png", "in/out/a.png", "in/contact-sheet-1.jpg", "in/job.csv")
    found = find("image", str(folder / "in"), folder / "in/out")
    assert [file.shown for file in found.files] == ["a.png"]
    with pytest.raises(WorkflowError, match="an output folder of its own"):
        find("image", str(folder / "in"), folder / "in")


def test_a_loop_of_links_ends(touch):
    folder = touch("in/x/a.png")
    try:
        (folder / "in/x/up").symlink_to(folder / "in", target_is_directory=True)
    except OSError:
        pytest.skip("no links here")
    assert [file.name for file in find("image", str(folder / "in"), folder / "out").files] == ["x/a"]


def test_links_to_files_and_folders_are_followed(touch):
    folder = touch("in/a.png", "other/b.png", "far/c.png")
    try:
        (folder / "in/c.png").symlink_to(folder / "far/c.png")
        (folder / "in/more").symlink_to(folder / "other", target_is_directory=True)
        (folder / "in/gone.png").symlink_to(folder / "nowhere.png")
    except OSError:
        pytest.skip("no links here")
    assert [file.name for file in find("image", str(folder / "in"), folder / "out").files] == ["a", "c", "more/b"]


@pytest.mark.parametrize("names", [(), ("in/notes.txt",), ("in/sub/notes.txt",)])
def test_a_folder_without_pictures_is_refused(touch, names):
    folder = touch("other", *names)
    (folder / "in").mkdir(exist_ok=True)
    with pytest.raises(WorkflowError, match="no picture"):
        find("image", str(folder / "in"), folder / "out")


@pytest.mark.parametrize("value", [[], [3], [""], ["a\0b"], [None]])
def test_a_list_that_names_no_files_is_refused(tmp_path, value):
    with pytest.raises(WorkflowError, match="list"):
        find("image", value, tmp_path / "out")


def test_a_pattern_takes_files_alone(touch):
    folder = touch("in/a.png", "in/b.jpg", "in/sub/c.png", "in/d.png")
    found = find("image", str(folder / "in" / "*.png"), folder / "out")
    assert [file.name for file in found.files] == ["a", "d"]
    assert is_many(str(folder / "in" / "*.png"))
    assert is_many(str(folder / "in"))
    assert not is_many(str(folder / "in/a.png"))
    assert not is_many(str(folder / "nowhere"))
    assert not any(map(is_many, ("", "a\0b", None, 3)))


def test_files_of_one_name_have_results_of_different_names(touch):
    folder = touch("in/a.jpg", "in/a.png", "in/b.png", "x/b.png")
    found = find("image", str(folder / "in"), folder / "out")
    assert [item.name for item in pair([found])] == ["a-jpg", "a-png", "b"]
    listed = find("image", [str(folder / "in/b.png"), str(folder / "x/b.png")], folder / "out")
    assert [item.name for item in pair([listed])] == ["b-png", "b-png-2"]


def test_a_single_saving_node_takes_the_name_of_the_picture():
    assert prefixes_of("x/a", {"save": ("anything", False)}) == {"save": "x/a"}
    assert prefixes_of("x/a", {"save": ("tests/room", False)}) == {"save": "tests/x/a"}


def test_of_several_saving_nodes_another_prefix_is_added():
    savers = {"save": ("image", True), "overlay": ("found", False), "own": ("a", False), "sheet": ("a_sheet", False)}
    assert prefixes_of("x/a", savers) == {
        "save": "x/a",
        "overlay": "x/a_found",
        "own": "x/a",
        "sheet": "x/a_sheet",
    }


@pytest.mark.parametrize("name", ["a\x1b[31m", "tab\tname", "x" * 240, "right\u202eleft"])
def test_a_name_that_cannot_be_written_is_told_by_a_digest(name):
    from inlay.graph_runtime.core.context import safe_prefix

    made = name_for(f"sub/{name}", "_")
    assert safe_prefix(made)
    assert made.startswith("sub/")
    assert made != name_for(f"sub/{name}2", "_")
    assert len(made.encode()) < 200


@pytest.mark.parametrize("name", ["a b", "ä", "photo.final", "100%", "[1]", "*", "-x", "~a"])
def test_a_name_that_can_be_written_stays(name):
    if os.name == "nt" and name == "*":
        return
    assert name_for(name, "_") == name
