"""A folder or glob of pictures: what is read, and what is named as left out."""

import pytest
from inlay.graph_runtime import BadInput
from inlay.nodes.image.files import load
from inlay.nodes.mask.files import load as load_mask
from inlay.nodes.subject import photos
from inlay.pictures.files.folders import find_pictures, left_out
from PIL import Image as Pil

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64


@pytest.fixture
def folder(tmp_path):
    """A phone's folder: photos, and what else gathers in one."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in (1, 2, 10):
        Pil.new("RGB", (8, 6), (number, 9, 9)).save(folder / f"IMG_{number}.JPG")
    for name in (".DS_Store", "Thumbs.db", "._IMG_1.JPG", "desktop.ini"):
        (folder / name).write_bytes(b"\0\1")
    return folder


def names(paths):
    return [path.name for path in paths]


def test_system_files_are_not_mentioned(folder):
    assert names(find_pictures(str(folder))) == ["IMG_1.JPG", "IMG_2.JPG", "IMG_10.JPG"]
    assert left_out(str(folder)) == ""


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("IMG_3.HEIC", HEIC, "IMG_3.HEIC (a HEIC photo)"),
        ("IMG_3.HEIC", b"", "IMG_3.HEIC (a HEIC photo)"),
        ("notes.txt", b"hello", "notes.txt"),
        ("scan.pdf", b"%PDF-1.7", "scan.pdf (a PDF document)"),
        ("clip.MOV", b"\0\0\0\x14ftypqt  ", "clip.MOV (a video)"),
        ("raw.NEF", b"MM\0*\0\0\0\x08", "raw.NEF (a camera's raw photo)"),
        ("photo", b"\x89PNG\r\n\x1a\n", "photo (a picture with the wrong extension: rename it)"),
        ("photo.jpg_large", b"\xff\xd8\xff\xe0", "photo.jpg_large (a picture with the wrong extension: rename it)"),
        ("photo.img", b"RIFF\x10\0\0\0WEBPVP8 ", "photo.img (a picture with the wrong extension: rename it)"),
        ("scan.img", b"II*\0\x08\0\0\0", "scan.img (a picture with the wrong extension: rename it)"),
    ],
)
def test_a_file_that_is_not_a_picture_is_named_with_its_kind(folder, name, content, said):
    (folder / name).write_bytes(content)
    assert left_out(str(folder)) == f"left out: {said}"
    assert left_out(str(folder / "*")) == f"left out: {said}"
    assert left_out(str(folder / "*.JPG")) == ""
    assert left_out(str(folder / "IMG_1.JPG")) == ""
    assert left_out(str(folder), but=frozenset({name})) == ""


def test_folders_broken_links_and_many_files(folder):
    (folder / "more").mkdir()
    (folder / "gone.png").symlink_to(folder / "nowhere.png")
    assert left_out(str(folder)) == (
        "left out: gone.png (not an ordinary file), more (a folder: subfolders are not read)"
    )
    for number in range(1, 12):
        (folder / f"a{number}.txt").write_text("x")
    assert left_out(str(folder)) == "left out: a1.txt, a2.txt, a3.txt, a4.txt and 9 more"


def test_every_node_that_reads_a_folder_says_what_it_leaves_out(folder, ctx):
    (folder / "IMG_3.HEIC").write_bytes(HEIC)
    said = "left out: IMG_3.HEIC (a HEIC photo)"
    assert len(load(str(folder), ctx).image) == 3
    assert ctx.warnings == [said]
    load_mask(str(folder), ctx)
    assert ctx.warnings[1] == said
    ctx.warnings.clear()
    photos(str(folder), ctx)
    assert ctx.warnings == [said]


def test_a_file_of_boxes_and_a_folder_of_masks_are_not_left_out(folder, tmp_path, ctx):
    (folder / "boxes.csv").write_text(
        "file,left,top,right,bottom\n" + "".join(f"IMG_{number}.JPG,0,0,4,4\n" for number in (1, 2, 10))
    )
    photos(str(folder), ctx, boxes=str(folder / "boxes.csv"))
    assert ctx.warnings == []
    photos(str(folder), ctx)
    assert ctx.warnings == ["left out: boxes.csv"]


def test_a_folder_of_other_things_alone_is_refused_with_their_names(tmp_path, ctx):
    (tmp_path / "IMG_3.HEIC").write_bytes(HEIC)
    with pytest.raises(BadInput, match=r"no picture among .* \(left out: IMG_3.HEIC \(a HEIC photo\)\)"):
        load(str(tmp_path), ctx)
