"""subject.photos: sizes from headers, boxes from masks or whole photos, what is refused, and the fingerprint."""

import json
import os
import shutil
import time
import zlib

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput, Context, NodeError, WorkflowError
from inlay.nodes.image.files import load
from inlay.nodes.mask.files import load as load_mask
from inlay.nodes.subject import photos
from inlay.pictures.files.opening import picture_size
from inlay.pictures.files.read import read_picture
from inlay.pictures.photos.masks import match_masks, read_mask
from inlay.pictures.photos.photo import photo_sizes
from picture_toys import save_box_mask, save_noise
from PIL import Image as Pil
from PIL import ImageFile
from PIL.PngImagePlugin import PngInfo

DRAWS = np.random.default_rng(0)


def save(path, width=40, height=30, **options):
    return save_noise(path, DRAWS, width, height, **options)


def save_mask(path, width=40, height=30, box=(10, 5, 30, 20), **options):
    return save_box_mask(path, width, height, box, **options)


@pytest.fixture
def folder(tmp_path):
    save(tmp_path / "photos" / "10.png")
    save(tmp_path / "photos" / "2.jpg", 141, 99)
    save(tmp_path / "photos" / "3.jpg", 60, 20, orientation=6)
    return tmp_path / "photos"


def test_photos_in_natural_order_with_upright_sizes_and_whole_boxes(folder, ctx):
    some, overview = photos(str(folder), ctx)
    assert [(photo.name, photo.width, photo.height) for photo in some.photos] == [
        ("2.jpg", 141, 99),
        ("3.jpg", 20, 60),
        ("10.png", 40, 30),
    ]
    assert some.pairs() == ((0, (0, 0, 141, 99)), (1, (0, 0, 20, 60)), (2, (0, 0, 40, 30)))
    assert len(some) == 3
    assert some.name == "photos"
    assert overview.shape[0] == 1
    assert overview.shape[-1] == 3
    assert not ctx.warnings


def test_a_photo_is_what_image_load_gives(folder, ctx):
    save(folder / "clear.png", mode="RGBA").rename(folder / "9.png")
    for photo in photos(str(folder), ctx).photos.photos:
        loaded = load(str(photo.path), Context()).image[0]
        assert torch.equal(photo.picture(), loaded)
        assert photo.picture().shape == (photo.height, photo.width, 3)
        assert photo.subject() is None


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
def test_sizes_are_those_of_the_decoded_picture(tmp_path, orientation, ending):
    path = save(tmp_path / f"a.{ending}", orientation=orientation)
    height, width = load(str(path), Context()).image.shape[1:3]
    assert picture_size(path) == (width, height)


def test_a_png_with_its_orientation_after_the_pixels(tmp_path):
    path = save(tmp_path / "a.png", orientation=6)
    data = path.read_bytes()
    at = data.index(b"eXIf") - 4
    length = 12 + int.from_bytes(data[at : at + 4], "big")
    end = data.index(b"IEND") - 4
    path.write_bytes(data[:at] + data[at + length : end] + data[at : at + length] + data[end:])
    assert picture_size(path) == (30, 40)
    assert load(str(path), Context()).image.shape[1:3] == (40, 30)


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_a_damaged_photo_is_refused_by_its_name(tmp_path, ending):
    how = {"compression": "tiff_adobe_deflate"} if ending == "tiff" else {}
    path = save(tmp_path / f"a.{ending}", orientation=6, **how)
    data = path.read_bytes()
    if ending == "png":  # its pixels break off, and its EXIF data stand behind them
        at = data.index(b"eXIf") - 4
        length, pixels = 12 + int.from_bytes(data[at : at + 4], "big"), data.index(b"IDAT") - 4
        size = int.from_bytes(data[pixels : pixels + 4], "big")
        cut = size // 2
        chunk = b"IDAT" + data[pixels + 8 : pixels + 8 + cut]
        path.write_bytes(
            data[:at]
            + cut.to_bytes(4, "big")
            + chunk
            + zlib.crc32(chunk).to_bytes(4, "big")
            + data[at : at + length]
            + data[data.index(b"IEND") - 4 :]
        )
    else:
        path.write_bytes(data[:12] + bytes(40) + data[52:])
    with pytest.raises(BadInput, match="a." + ending):
        read_picture(path)


def test_a_png_with_its_orientation_as_xmp(tmp_path):
    words = PngInfo()
    words.add_itxt("XML:com.adobe.xmp", '<x tiff:Orientation="6"/>')
    path = save(tmp_path / "a.png", pnginfo=words)
    assert picture_size(path) == (30, 40)


def test_thousands_of_photos_are_described_from_their_headers(tmp_path, monkeypatch):
    folder = tmp_path / "many"
    for ending in ("png", "jpg"):
        first = save(folder / f"0.{ending}", 512, 512)
        for number in range(1, 1000):
            os.link(first, folder / f"{number}.{ending}")
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    began = time.process_time()
    sizes = photo_sizes(sorted(folder.iterdir()))
    assert time.process_time() - began < 2.0  # for a tenth of them
    assert len(sizes) == 2000
    assert set(sizes.values()) == {(512, 512)}


def test_masks_give_boxes_and_stay_with_their_photos(folder, tmp_path, ctx):
    masks = tmp_path / "masks"
    save_mask(masks / "10.png")
    save_mask(masks / "2.png", 141, 99, box=(100, 40, 141, 99))
    save_mask(masks / "3.png", 20, 60, box=(0, 0, 5, 50))
    some, overview = photos(str(folder), ctx, masks=str(masks))
    assert [photo.boxes for photo in some.photos] == [((100, 40, 141, 99),), ((0, 0, 5, 50),), ((10, 5, 30, 20),)]
    for photo in some.photos:
        loaded = load_mask(str(photo.mask), Context()).mask[0]
        assert torch.equal(photo.subject(), loaded)
        assert photo.subject().shape == (photo.height, photo.width)
    assert not ctx.warnings
    padded = photos(str(folder), ctx, masks=str(masks), padding=0.5).photos
    assert padded.photos[2].boxes == ((0, 0, 40, 28),)
    assert overview.isfinite().all()


def test_masks_override_everything_with_a_warning(folder, tmp_path, ctx):
    for name, size in (("2", (141, 99)), ("3", (20, 60)), ("10", (40, 30))):
        save_mask(tmp_path / "masks" / f"{name}.png", *size, box=(0, 0, 10, 10))
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("file,left,top,right,bottom\n10.png,0,0,20,20")
    some = photos(str(folder), ctx, masks=str(tmp_path / "masks"), boxes=str(boxes)).photos
    assert all(photo.boxes == ((0, 0, 10, 10),) for photo in some.photos)
    assert any("boxes file is not used" in said for said in ctx.warnings)
    assert any("the mask of 2.jpg covers 0.7%" in said for said in ctx.warnings)


def test_transparent_masks_are_read_as_mask_load_reads_them(tmp_path):
    alpha = np.full((30, 40), 255, dtype=np.uint8)
    alpha[5:20, 10:30] = 0
    picture = Pil.fromarray(DRAWS.integers(0, 256, (30, 40, 3), dtype=np.uint8))
    picture.putalpha(Pil.fromarray(alpha))
    picture.save(tmp_path / "a.png")
    assert np.array_equal(read_mask(tmp_path / "a.png"), load_mask(str(tmp_path / "a.png"), Context()).mask[0].numpy())


def test_one_photo_and_one_mask_belong_together(tmp_path, ctx):
    photo, drawn = save(tmp_path / "sofa.jpg"), save_mask(tmp_path / "my mask.png")
    assert photos(str(photo), ctx, masks=str(drawn)).photos.photos[0].boxes == ((10, 5, 30, 20),)
    assert ctx.warnings == ["my mask.png is used as the mask of sofa.jpg, though their names differ: is that right?"]
    ctx.warnings.clear()
    photos(str(photo), ctx, masks=str(save_mask(tmp_path / "masks" / "sofa.png")))
    assert ctx.warnings == []


def test_warnings_about_masks_are_shown_and_many_are_counted(folder, tmp_path, ctx):
    masks = tmp_path / "masks"
    for number in range(6):
        save(tmp_path / "six" / f"{number}.png")
        save_mask(masks / f"{number}.png")
        layer = Pil.open(masks / f"{number}.png").convert("L")
        strokes = Pil.new("RGB", layer.size, "white")
        strokes.putalpha(layer)
        strokes.save(masks / f"{number}.png")
    photos(str(tmp_path / "six"), ctx, masks=str(masks))
    told = [message for message in ctx.warnings if "mask-strokes" in message]
    assert [message[:5] for message in told] == ["0.png", "1.png", "2.png", "3.png"]
    assert "2 more masks look doubtful" in ctx.warnings


def paths(*names, root="/x"):
    from pathlib import Path

    return [Path(root) / name for name in names]


def test_masks_are_matched_by_whole_name_before_the_ending():
    files, masks = paths("a.png", "a.jpg"), paths("a.jpg", "a.png", root="/m")
    assert match_masks(files, masks) == {"a.png": masks[1], "a.jpg": masks[0]}


@pytest.mark.parametrize(
    ("files", "masks", "message"),
    [
        (["a.png", "b.png"], ["a.png"], "no mask for the photo 'b.png'"),
        (["a.png"], ["a.png", "b.png", "c.png"], "no photo for the mask 'b.png', and 1 more"),
        (["a.png", "b.png"], ["a.jpg", "a.webp", "b.png"], "2 masks for the photo 'a.png'"),
        (["a.png", "a.jpg"], ["a.webp"], "one mask, 'a.webp', for the photos 'a.png' and 'a.jpg'"),
    ],
)
def test_masks_that_do_not_match_are_named(files, masks, message):
    with pytest.raises(BadInput, match=message) as caught:
        match_masks(paths(*files), paths(*masks))
    assert caught.value.port == "masks"


def test_masks_of_another_size_turned_empty_or_damaged(tmp_path, ctx):
    photo = save(tmp_path / "photos" / "a.jpg", 60, 20, orientation=6)
    masks = tmp_path / "masks"
    for size, box, message in (
        ((21, 60), (0, 0, 9, 9), "a.png of 21×60 for a photo of 20×60"),
        ((60, 20), (0, 0, 9, 9), "rotated upright"),
        ((20, 60), (0, 0, 0, 0), "a.png is empty"),
    ):
        save_mask(masks / "a.png", *size, box=box)
        with pytest.raises(BadInput, match=message) as caught:
            photos(str(photo), ctx, masks=str(masks))
        assert caught.value.port == "masks"
    for content in (b"", b"text", (masks / "a.png").read_bytes()[:60]):
        (masks / "a.png").write_bytes(content)
        with pytest.raises(BadInput, match=r"a\.png") as caught:
            photos(str(photo), ctx, masks=str(masks))
        assert caught.value.port == "masks"
    (masks / "a.png").unlink()
    with pytest.raises(BadInput, match="no picture among") as caught:
        photos(str(photo), ctx, masks=str(masks))
    assert caught.value.port == "masks"


def test_an_empty_folder_no_pictures_and_a_damaged_one(tmp_path, ctx):
    empty = tmp_path / "empty"
    empty.mkdir()
    for words in ("no picture among the 0 entries", "no picture among the 1 entries"):
        with pytest.raises(BadInput, match=words):
            photos(str(empty), ctx)
        (empty / "notes.txt").write_text("x")
    save(empty / "good.png")
    (empty / "bad.jpg").write_bytes(b"no picture")
    with pytest.raises(BadInput, match=r"bad\.jpg"):
        photos(str(empty), ctx)
    (empty / "bad.jpg").write_bytes(save(tmp_path / "b.jpg", 200, 200).read_bytes()[:3000])
    with pytest.raises(BadInput, match=r"bad\.jpg"):  # its header is whole, its pixels are not
        photos(str(empty), ctx)


def test_boxes_of_a_file_and_photos_without_one(folder, tmp_path, ctx):
    boxes = tmp_path / "boxes.csv"
    boxes.write_text(
        "file,left,top,right,bottom,label\n2.jpg,10,10,60,60,sofa\n2.jpg,70,10,120,60,lamp\n"
        "10.png,0,0,2,2,sofa\n3.jpg,0,0,20,40,sofa"
    )
    some = photos(str(folder), ctx, boxes=str(boxes)).photos
    assert some.pairs() == ((0, (10, 10, 60, 60)), (0, (70, 10, 120, 60)), (1, (0, 0, 20, 40)))
    assert ctx.warnings == [
        "1 box is left out: below 2% of the picture",
        "1 of 3 photos have no box and are not used: 10.png",
    ]
    assert photos(str(folder), ctx, boxes=str(boxes), label="lamp").photos.pairs() == ((0, (70, 10, 120, 60)),)
    with pytest.raises(BadInput, match="labelled 'sofa'"):
        photos(str(folder), ctx, boxes=str(boxes), label="bird")


def test_settings_that_contradict_each_other(folder, ctx):
    with pytest.raises(BadInput, match="nothing that has labels"):
        photos(str(folder), ctx, label="sofa")
    with pytest.raises(BadInput, match="min_area < max_area"):
        photos(str(folder), ctx, min_area=0.5, max_area=0.5)


def test_the_fingerprint_is_of_contents_boxes_and_masks_not_of_folders_or_dates(folder, tmp_path, ctx):
    first = photos(str(folder), ctx).photos.fingerprint
    copy = tmp_path / "elsewhere"
    shutil.copytree(folder, copy)
    os.utime(copy / "2.jpg", (1, 1))
    assert photos(str(copy), ctx).photos.fingerprint == first
    assert photos(str(copy), ctx, masks=None, padding=0.0).photos.fingerprint == first
    seen = {first}
    for name, size in (("2", (141, 99)), ("3", (20, 60)), ("10", (40, 30))):
        save_mask(tmp_path / "masks" / f"{name}.png", *size, box=(0, 0, 10, 10))
    masked = photos(str(copy), ctx, masks=str(tmp_path / "masks")).photos
    seen.add(masked.fingerprint)
    plane = np.asarray(Pil.open(tmp_path / "masks" / "2.png")).copy()
    plane[5, 5] = 0  # another mask with the same box
    Pil.fromarray(plane).save(tmp_path / "masks" / "2.png")
    changed = photos(str(copy), ctx, masks=str(tmp_path / "masks")).photos
    assert changed.pairs() == masked.pairs()
    seen.add(changed.fingerprint)
    boxes = tmp_path / "boxes.csv"
    for right in (30, 31):
        boxes.write_text(f"file,left,top,right,bottom\n10.png,0,0,{right},20")
        seen.add(photos(str(copy), ctx, boxes=str(boxes)).photos.fingerprint)
    data = bytearray((copy / "2.jpg").read_bytes())
    data[-100] ^= 1  # the same size
    before = (copy / "2.jpg").stat()
    (copy / "2.jpg").write_bytes(data)
    os.utime(copy / "2.jpg", ns=(before.st_atime_ns, before.st_mtime_ns))
    seen.add(photos(str(copy), ctx).photos.fingerprint)
    (copy / "2.jpg").rename(copy / "1.jpg")
    seen.add(photos(str(copy), ctx).photos.fingerprint)
    assert len(seen) == 7


def test_a_photo_that_changes_later_is_noticed(folder, ctx):
    some = photos(str(folder), ctx).photos
    save(folder / "10.png", 41, 30)
    with pytest.raises(BadInput, match=r"10\.png of 41×30"):
        some.photos[2].picture()
    (folder / "10.png").unlink()
    with pytest.raises(BadInput, match=r"10\.png"):
        _ = some.fingerprint


def test_the_sheet_shows_a_box_where_it_is_and_reads_two_dozen_photos_at_most(tmp_path, ctx, monkeypatch):
    path = tmp_path / "photos"
    path.mkdir()
    for number in range(30):
        Pil.new("RGB", (256, 128), (200, 200, 200)).save(path / f"{number}.png")
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("\n".join(["file,left,top,right,bottom", *(f"{number}.png,64,32,192,96" for number in range(30))]))
    read = []
    from inlay.pictures.photos import photo as photos_module

    decode = photos_module.read_picture
    monkeypatch.setattr(photos_module, "read_picture", lambda file: read.append(file) or decode(file))
    some, sheet = photos(str(path), ctx, boxes=str(boxes))
    assert len(some) == 30
    assert len(read) == 24
    red = (sheet[0] - torch.tensor([230, 40, 40]) / 255).abs().amax(dim=-1) < 1e-3
    assert int(red.sum()) == 24 * (2 * 2 * 128 + 2 * 2 * 60)
    tiny = tmp_path / "tiny"
    Pil.new("RGB", (4000, 3), (200, 200, 200)).save(path / "thin.png")
    tiny.mkdir()
    (path / "thin.png").rename(tiny / "thin.png")
    boxes.write_text("file,left,top,right,bottom\nthin.png,3999,0,4000,1")
    photos(str(tiny), ctx, boxes=str(boxes), min_area=0.0)  # a box of less than a pixel on the sheet


def workflow(tmp_path, **params):
    return {
        "format": 1,
        "title": "t",
        "inputs": {"photos": "some.path"},
        "outputs": {"sheet": "some.overview"},
        "nodes": {"some": {"type": "subject.photos", "version": 1, "params": {"path": "photos", **params}}},
    }


def test_in_a_workflow_a_changed_photo_is_seen(folder, tmp_path):
    first = inlay.run(workflow(tmp_path), photos=str(folder), out=str(tmp_path / "out"))["sheet"]
    again = inlay.run(workflow(tmp_path), photos=str(folder), out=str(tmp_path / "out"))["sheet"]
    assert torch.equal(first, again)
    save(folder / "10.png")
    changed = inlay.run(workflow(tmp_path), photos=str(folder), out=str(tmp_path / "out"))["sheet"]
    assert first.shape == changed.shape
    assert not torch.equal(first, changed)


def test_a_list_of_pictures_folders_and_globs(folder, tmp_path, ctx):
    one = save(tmp_path / "one.png")
    some = photos([str(one), str(folder / "*.jpg")], ctx).photos
    assert [photo.name for photo in some.photos] == ["one.png", "2.jpg", "3.jpg"]
    assert some.name == "3 photos"
    with pytest.raises(BadInput, match="an empty list"):
        photos([], ctx)
    with pytest.raises(BadInput, match=r"two pictures named 'one\.png'"):
        photos([str(one), str(one)], ctx)
    result = inlay.run(workflow(tmp_path), photos=[one, folder], out=str(tmp_path / "out"))
    assert torch.equal(result["sheet"], photos([str(one), str(folder)], ctx).overview)


def test_a_list_in_a_workflow_file_is_read_below_the_file_only_and_contents_count(folder, tmp_path, monkeypatch):
    inside = tmp_path / "inside"
    shutil.copytree(folder, inside)
    save(tmp_path / "secret.png")
    outside = str(tmp_path / "secret.png")
    for path in (["2.jpg", "../secret.png"], ["2.jpg", outside], ["2.jpg", "missing.jpg"], [1], []):
        (inside / "w.json").write_text(json.dumps(workflow(tmp_path, path=path)))
        with pytest.raises((WorkflowError, NodeError)) as caught:
            inlay.run(str(inside / "w.json"), out=str(tmp_path / "out"))
        assert "some.path" in str(caught.value)
    (inside / "w.json").write_text(json.dumps(workflow(tmp_path, path=["2.jpg", "10.png"])))
    sheets = []
    for _ in range(2):
        sheets.append(inlay.run(str(inside / "w.json"), out=str(tmp_path / "out"))["sheet"])
        save(inside / "10.png")
    assert not torch.equal(*sheets)


def test_a_list_is_recorded_by_names_alone(folder, tmp_path):
    graph = workflow(tmp_path, path=[str(folder / "2.jpg"), str(folder / "10.png")])
    graph["nodes"]["save"] = {"type": "image.save", "version": 1, "inputs": {"image": "some.overview"}}
    result = inlay.run(graph, out=str(tmp_path / "out"))
    recorded = Pil.open(result.paths[0]).text["inlay"]
    assert str(tmp_path) not in recorded
    assert json.loads(recorded)["workflow"]["nodes"]["some"]["params"]["path"] == ["2.jpg", "10.png"]


def test_photos_that_moved_are_described_anew_though_their_contents_are_known(folder, tmp_path):
    graph = workflow(tmp_path)
    graph["outputs"]["photos"] = "some.photos"
    inlay.run(graph, photos=str(folder), out=str(tmp_path / "out"))
    for number in range(2):
        shutil.copytree(folder, tmp_path / f"new{number}")
    again = inlay.run(graph, photos=str(tmp_path / "new0"), out=str(tmp_path / "out"))["photos"]
    assert not again.gone
    save(again.photos[0].path.parent / "2.jpg")
    assert again.gone
    shutil.rmtree(folder)
    last = inlay.run(graph, photos=str(tmp_path / "new1"), out=str(tmp_path / "out"))["photos"]
    assert last.photos[0].path.parent == tmp_path / "new1"
    assert last.photos[0].picture().shape == (99, 141, 3)


def test_what_a_path_is_for_is_part_of_what_a_result_depends_on(tmp_path):
    """The same two files as two photos, and as a photo and its mask."""
    photo, drawn = save(tmp_path / "a.png"), save_mask(tmp_path / "b.png")
    both = inlay.run(workflow(tmp_path), photos=[photo, drawn], out=str(tmp_path / "out"))["sheet"]
    masked = inlay.run(workflow(tmp_path, masks=str(drawn)), photos=[photo], out=str(tmp_path / "out"))["sheet"]
    assert both.shape != masked.shape


def test_a_workflow_file_reads_no_photos_masks_or_boxes_outside_its_folder(folder, tmp_path):
    inside = tmp_path / "inside"
    shutil.copytree(folder, inside / "photos")
    for params in ({"path": str(folder)}, {"path": "../photos"}, {"masks": str(folder)}, {"boxes": "/etc/passwd"}):
        (inside / "w.json").write_text(json.dumps(workflow(tmp_path, **params)))
        with pytest.raises(WorkflowError, match="outside"):
            inlay.run(str(inside / "w.json"), out=str(tmp_path / "out"))


@pytest.mark.parametrize(
    ("spoil", "port", "said"),
    [
        (lambda d: (d / "in" / "2.png").write_bytes(b""), "path", "'2.png', an empty file"),
        (lambda d: [(d / "in" / f"{n}.png").write_bytes(b"no") for n in (1, 2)], "path", "nor can 2.png be read"),
        (lambda d: (d / "masks" / "2.png").unlink(), "masks", "no mask for the photo '2.png'"),
        (lambda d: save_mask(d / "masks" / "3.png"), "masks", "no photo for the mask '3.png'"),
        (lambda d: save_mask(d / "masks" / "2.png", 30, 40), "masks", "2.png of 30×40 for a photo of 40×30"),
        (lambda d: save_mask(d / "masks" / "2.png", box=(0, 0, 0, 0)), "masks", "2.png is empty"),
    ],
)
def test_check_finds_it_before_anything_runs(tmp_path, spoil, port, said):
    for number in (1, 2):
        save(tmp_path / "in" / f"{number}.png")
        save_mask(tmp_path / "masks" / f"{number}.png")
    flow = {
        "format": 1,
        "nodes": {
            "some": {
                "type": "subject.photos",
                "params": {"path": str(tmp_path / "in"), "masks": str(tmp_path / "masks")},
            }
        },
        "outputs": {"sheet": "some.overview"},
    }
    assert inlay.check(flow) == []
    spoil(tmp_path)
    problems = inlay.check(flow)
    assert [(problem.node, problem.port) for problem in problems] == [("some", port)]
    assert said in problems[0].found


def test_check_reads_the_boxes(tmp_path):
    save(tmp_path / "in" / "a.png")
    (tmp_path / "boxes.csv").write_text("file,left,top,right,bottom\na.png,0,0,20,20\nb.png,0,0,20,20\n")
    flow = {
        "format": 1,
        "nodes": {
            "some": {
                "type": "subject.photos",
                "params": {"path": str(tmp_path / "in"), "boxes": str(tmp_path / "boxes.csv")},
            }
        },
        "outputs": {"sheet": "some.overview"},
    }
    problems = inlay.check(flow)
    assert "'b.png', which is not among the 1 photos" in problems[0].found
