"""Boxes from COCO JSON and CSV: both forms agree; invalid values are refused by file and line."""

import json
import os

import pytest
from inlay.graph_runtime import BadInput
from inlay.pictures.boxes import padded, whole_pixels
from inlay.pictures.photos.annotations import MAX_FILE, read_annotations
from inlay.pictures.photos.boxes import read_boxes

SIZES = {"a.png": (100, 50), "b.jpg": (40, 80)}
BOXES = {"a.png": [(10, 5, 50, 45), (60, 10, 90, 40)], "b.jpg": [(0, 0, 20, 40)]}
ROWS = [("a.png", 10, 5, 50, 45, "sofa"), ("a.png", 60, 10, 90, 40, "lamp"), ("b.jpg", 0, 0, 20, 40, "Sofa")]


@pytest.fixture
def write(tmp_path):
    def write(content, name="boxes.csv"):
        path = tmp_path / name
        path.write_bytes(
            content
            if isinstance(content, bytes)
            else (content if isinstance(content, str) else json.dumps(content)).encode()
        )
        return path

    return write


def coco(**changes):
    annotations = [
        {
            "id": i,
            "image_id": {"a.png": 7, "b.jpg": "x"}[file],
            "category_id": {"sofa": 1, "lamp": 2}[kind.lower()],
            "bbox": [left, top, right - left, bottom - top],
        }
        for i, (file, left, top, right, bottom, kind) in enumerate(ROWS)
    ]
    return {
        "images": [{"id": 7, "file_name": "train/a.png", "width": 100}, {"id": "x", "file_name": "b.jpg"}],
        "annotations": annotations,
        "categories": [{"id": 1, "name": "sofa"}, {"id": 2, "name": "lamp"}],
        **changes,
    }


def table(header="file,left,top,right,bottom,label", rows=ROWS, between=","):
    return "\n".join([header.replace(",", between), *(between.join(map(str, row)) for row in rows)])


SPANS = [(file, left, top, right - left, bottom - top, kind) for file, left, top, right, bottom, kind in ROWS]
FORMS = {
    "corners": table(),
    "semicolons": table(between=";"),
    "tabs": table(between="\t"),
    "spaces": table(between=" , "),
    "byte order mark": b"\xef\xbb\xbf" + table().encode(),
    "windows lines": table().replace("\n", "\r\n") + "\r\n\r\n",
    "x y width height": table("file,x,y,width,height,label", SPANS),
    "x y w h": table("file_name,x,y,w,h,class", SPANS),
    "left top width height": table("Image, Left, Top, Width, Height, Label", SPANS),
    "corners beside the picture's size": table(
        "filename,width,height,class,xmin,ymin,xmax,ymax",
        [(file, *SIZES[file], kind, *box) for file, *box, kind in ROWS],
    ),
    "folders": table(rows=[("C:\\photos\\" + row[0], *row[1:]) for row in ROWS]),
    "decimal commas": table(
        rows=[(row[0], *(f"{number},0" for number in row[1:5]), row[5]) for row in ROWS], between=";"
    ),
    "quoted": table(rows=[(f'"{row[0]}"', *row[1:]) for row in ROWS]),
    "coco": coco(),
    "coco with numbers as text": coco(
        annotations=[{**entry, "bbox": [str(number) for number in entry["bbox"]]} for entry in coco()["annotations"]]
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_boxes(write, form):
    found, left_out = read_boxes(write(FORMS[form]), SIZES)
    assert found == BOXES
    assert not left_out


@pytest.mark.parametrize("form", ["corners", "coco"])
def test_a_label_is_matched_in_any_case(write, form):
    found, left_out = read_boxes(write(FORMS[form]), SIZES, label=" SOFA ")
    assert found == {"a.png": BOXES["a.png"][:1], "b.jpg": BOXES["b.jpg"]}
    assert left_out == {"labelled 'lamp'": 1}


def test_boxes_too_small_too_large_and_crowds_are_counted(write):
    rows = [
        ("a.png", 0, 0, 10, 9, ""),
        ("a.png", 0, 0, 10, 10, ""),
        ("a.png", 0, 0, 80, 50, ""),
        ("a.png", 0, 0, 81, 50, ""),
    ]
    found, left_out = read_boxes(write(table(rows=rows)), SIZES)
    assert found == {"a.png": [(0, 0, 10, 10), (0, 0, 80, 50)]}  # 2 % and 80 % themselves are kept
    assert left_out == {"below 2% of the picture": 1, "above 80% of the picture": 1}
    crowd = coco()
    crowd["annotations"][0]["iscrowd"] = 1
    assert read_boxes(write(crowd), SIZES)[1] == {"marked as a crowd": 1}
    with pytest.raises(BadInput, match="4 boxes, none of which is used: 4 below 90% of the picture") as caught:
        read_boxes(write(table(rows=rows)), SIZES, min_area=0.9, max_area=1.0)
    assert "90% to 100%" in caught.value.expected


def test_fractions_of_pixels_round_outward_and_a_pixel_beyond_the_border_is_cut(write):
    rows = [("a.png", -0.6, 4.2, 50.9, 50.7, "")]
    assert read_boxes(write(table(rows=rows)), SIZES)[0] == {"a.png": [(0, 4, 51, 50)]}


def test_accents_are_compared_however_a_system_writes_them(write):
    rows = [("cafe\u0301.png", 0, 0, 20, 20, "")]
    assert read_boxes(write(table(rows=rows)), {"caf\u00e9.png": (40, 40)})[0] == {"caf\u00e9.png": [(0, 0, 20, 20)]}


HUGE = "1" + "0" * 400
BAD_ROWS = {
    "another file": ("c.png,1,1,30,30", r"line 3: the picture 'c.png', which is not among the 2 photos"),
    "outside": ("a.png,1,1,130,30", r"line 3: a box from 1, 1 to 130, 30 in 'a.png' of 100×50"),
    "left of it": ("a.png,-30,1,30,30", "line 3: a box from -30"),
    "beyond by rounding alone": ("a.png,100.2,1,100.9,30", "line 3: a box .* that holds no pixel"),
    "nan": ("a.png,nan,1,30,30", "line 3: the box \\['nan'"),
    "infinite": ("a.png,1,1,inf,30", "line 3: the box"),
    "huge": (f"a.png,1,1,{HUGE},30", "line 3: the box"),
    "words": ("a.png,one,1,30,30", "line 3: the box \\['one'"),
    "empty cell": ("a.png,,1,30,30", "line 3: the box \\[''"),
    "empty box": ("a.png,30,1,30,30", "line 3: an empty box"),
    "turned": ("a.png,30,30,1,1", "line 3: an empty box"),
    "short": ("a.png,1,1", "line 3: 3 columns of 5"),
    "nul": ("a.png,1\0,1,30,30", "line 3"),
    "endless": ('a.png,"' + "x" * 200_000, "line 3: not valid CSV"),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_a_bad_line_is_named(write, case):
    row, message = BAD_ROWS[case]
    path = write("\n".join(["file,left,top,right,bottom", "a.png,1,1,30,30", row]))
    with pytest.raises(BadInput, match=rf"boxes.csv, {message}") as caught:
        read_boxes(path, SIZES)
    assert caught.value.port == "boxes"
    assert len(str(caught.value)) < 600


def entry(**changes):
    return coco(annotations=[coco()["annotations"][0], {**coco()["annotations"][1], **changes}])


DEEP = json.loads("[" * 200 + "]" * 200)
BAD_JSON = {
    "a list": ([1, 2], "no lists images and annotations"),
    "no annotations": ({"images": []}, "no lists images"),
    "annotations of another kind": (coco(annotations={"a": 1}), "no lists"),
    "cut off": ('{"images": [', "not valid JSON"),
    "too deep": ('{"images": ' + "[" * 100_000, "not valid JSON"),
    "too long a number": ('{"images": ' + "9" * 5000, "not valid JSON"),
    "an annotation that is text": (coco(annotations=["x"]), "annotation 1: 'x'"),
    "no box": (entry(bbox=None), "annotation 2: bbox is None"),
    "three numbers": (entry(bbox=[1, 2, 3]), r"annotation 2: bbox is \[1, 2, 3\]"),
    "nested": (entry(bbox=[DEEP, 1, 2, 3]), r"annotation 2: the box \[a list, 1, 2, 3\]"),
    "true": (entry(bbox=[True, 1, 20, 20]), "annotation 2: the box"),
    "not a number": (entry(bbox=[float("nan"), 1, 20, 20]), "annotation 2: the box"),
    "huge": (entry(bbox=[10**400, 1, 20, 20]), "annotation 2: the box"),
    "negative": (entry(bbox=[10, 1, -5, 20]), "annotation 2: an empty box"),
    "no such picture": (entry(image_id=99), "annotation 2: image_id is 99"),
    "no picture": (entry(image_id=None), "annotation 2: image_id is None"),
    "a picture that is a list": (entry(image_id=[7]), "annotation 2: image_id is"),
    "pictures without id": (coco(images=[{"file_name": "a.png"}]), "annotation 1: image_id is 7"),
    "another file": (
        coco(images=[{"id": 7, "file_name": "c.png"}, {"id": "x", "file_name": "b.jpg"}]),
        "annotation 1: the picture 'c.png'",
    ),
}


@pytest.mark.parametrize("case", BAD_JSON)
def test_a_bad_annotation_is_named(write, case):
    content, message = BAD_JSON[case]
    with pytest.raises(BadInput, match=message) as caught:
        read_boxes(write(content, "boxes.json"), SIZES)
    assert "boxes.json" in caught.value.found
    assert len(str(caught.value)) < 600


def test_categories_that_are_odd_only_lose_their_names(write):
    for categories in (None, {"1": "sofa"}, [None, {"id": [1], "name": "x"}, {"id": 1, "name": 5}]):
        assert read_boxes(write(coco(categories=categories)), SIZES)[0] == BOXES


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: the columns ''"),
        (b"left,top,right,bottom\n1,1,2,2", "line 1: the columns"),
        (b"file,left,top\n", "line 1"),
        (b"file,left,top,right,bottom\n", "without a box"),
        (b'{"images": [], "annotations": []}', "without a box"),
        (b"\xff\xfef\0i\0", "cannot be read"),
        (b"\x89PNG\r\n\x1a\n\0\0", "cannot be read"),
    ],
)
def test_a_file_without_boxes_is_refused(write, content, message):
    with pytest.raises(BadInput, match=message):
        read_annotations(write(content))


def test_a_missing_file_a_folder_a_pipe_and_a_giant_are_refused(tmp_path, monkeypatch):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big.csv").write_text(table())
    for name in ("pipe", ".", "missing.csv"):
        with pytest.raises(BadInput, match=r"not an ordinary file|cannot be read"):
            read_annotations(tmp_path / name)
    monkeypatch.setattr("inlay.pictures.photos.annotations.MAX_FILE", 10)
    with pytest.raises(BadInput, match="only boxes are read"):
        read_annotations(tmp_path / "big.csv")


HEADER = "file,left,top,right,bottom\n"
LARGE = {  # all below 16 MiB: a check reads them
    "boxes.csv": (HEADER + "a.png,1,1,9,9\n" * 60_000, "boxes so far"),
    "blank lines.csv": (HEADER + "\n" * 16_000_000, "cells"),
    "one line.csv": ("file" + "," * 16_000_000, "cells"),
    "annotations.json": (json.dumps({"images": [], "annotations": [0] * 60_000}), "annotations"),
    "lists.json": ('{"images": [' + "[]," * 5_000_000 + "[]]}", "commas and brackets"),
    "images.json": (json.dumps({"images": [{"id": 1}] * 1_100_000, "annotations": []}), "commas and brackets"),
    "categories.json": ('{"categories": [' + "{}," * 5_000_000 + "{}]}", "commas and brackets"),
}


@pytest.mark.parametrize("name", LARGE)
def test_a_file_with_more_than_a_check_can_read_is_refused(tmp_path, monkeypatch, name):
    monkeypatch.setattr("inlay.pictures.photos.annotations.MAX_BOXES", 1000)
    content, what = LARGE[name]
    (tmp_path / name).write_text(content)
    assert (tmp_path / name).stat().st_size <= MAX_FILE
    with pytest.raises(BadInput, match=what) as refused:
        read_annotations(tmp_path / name)
    assert name in refused.value.found
    assert refused.value.expected.startswith("at most")


def test_a_misspelt_picture_gets_a_suggestion(write):
    with pytest.raises(BadInput, match=r"did you mean 'a.png'\?"):
        read_boxes(write("file,left,top,right,bottom\na.pgn,1,1,30,30"), SIZES)


def test_padding_stays_inside_and_whole_pixels_may_be_none():
    assert padded((10, 10, 30, 20), (100, 100), 0.5) == (0, 5, 40, 25)
    assert padded((10, 10, 30, 20), (35, 22), 0.5) == (0, 5, 35, 22)
    assert padded((10, 10, 30, 20), (35, 22), 0) == (10, 10, 30, 20)
    assert whole_pixels((0.2, 0.2, 0.4, 0.4), (3, 3)) == (0, 0, 1, 1)
    assert whole_pixels((3.0, 0.0, 4.0, 1.0), (3, 3)) is None


def test_all_pictures_that_are_not_there_are_counted(write):
    rows = [(name, 1, 1, 30, 30, "") for name in ("a.png", "c.png", "d.png", "e.png", "d.png")]
    with pytest.raises(BadInput, match=r"'c\.png', which is not among the 2 photos, nor are 2 more pictures"):
        read_boxes(write(table(rows=rows)), SIZES)
