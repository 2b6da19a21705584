"""A file's metadata: EXIF upright and without thumbnail, resolution, texts; and what is never saved again."""

import io
import json
import struct
from pathlib import Path

import inlay
import numpy as np
import pytest
from colour_toys import ADOBE, icc, shown
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.events import Warned
from inlay.nodes.image.files import load, save
from PIL import Image as Pil
from PIL.PngImagePlugin import PngInfo
from PIL.TiffImagePlugin import IFDRational, ImageFileDirectory_v2
from png_toys import png

MAKE, ORIENTATION, DATE, ARTIST, GPS, EXIF, NOTE, COMMENT = 0x10F, 0x112, 0x132, 0x13B, 0x8825, 0x8769, 0x927C, 0x9286
PIXELS = np.random.default_rng(0).integers(0, 256, (10, 16, 3), dtype=np.uint8)


def exif(orientation=1, **extra):
    out = Pil.Exif()
    out[MAKE], out[DATE], out[ORIENTATION] = "Maker", "2024:01:02 03:04:05", orientation
    out[ARTIST] = "Jürgen".encode()
    out.get_ifd(EXIF).update({NOTE: b"maker's own", 0xA002: 16, 0xA003: 10, 0xA001: 1})
    out.get_ifd(GPS).update({1: "N", 2: (52.0, 31.0, 0.0), 3: "E", 4: (13.0, 24.0, 0.0)})
    return out


def kept(path, tmp_path, ctx=None, **options):
    """Load and save; the file that was written and what was said."""
    said = []
    ctx = ctx or Context(out=tmp_path / "out", listeners=(said.append,))
    image, _, profile = load(str(path), ctx)
    (saved,) = save(image, ctx, profile=profile, **options).paths
    return saved, [event.message for event in said if isinstance(event, Warned) and "not exact" not in event.message]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
@pytest.mark.parametrize("source", ["jpg", "png", "webp", "tif"])
def test_exif_is_kept_upright_and_without_place(tmp_path, source, kind):
    options = {"lossless": True} if source == "webp" else {}
    Pil.fromarray(PIXELS).save(tmp_path / f"a.{source}", exif=exif(6).tobytes(), **options)
    path, said = kept(tmp_path / f"a.{source}", tmp_path, format=kind)
    with Pil.open(path) as out:
        assert out.size == (10, 16)
        found = out.getexif()
        assert found[MAKE] == "Maker"
        assert found[DATE] == "2024:01:02 03:04:05"
        assert found.get(ORIENTATION, 1) == 1
        if source != "tif":  # Pillow's own TIFF writer loses it
            assert found[ARTIST].encode("latin-1").decode() == "Jürgen"
        assert GPS not in found
        assert not found.get_ifd(GPS)
        inner = found.get_ifd(EXIF)
        assert inner[NOTE] == b"maker's own"
        assert (inner[0xA002], inner[0xA003]) == (10, 16)
    assert said == ["left out of the file: where it was taken (gps=true keeps it)"]
    path, said = kept(tmp_path / f"a.{source}", tmp_path, format=kind, gps=True)
    with Pil.open(path) as out:
        assert out.getexif().get_ifd(GPS)[2] == (52.0, 31.0, 0.0)
    assert said == []


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_georeference_is_a_place_and_is_left_out(tmp_path, kind):
    tags = ImageFileDirectory_v2()
    for tag, value in ((33550, (10.0, 10.0, 0.0)), (33922, (0.0, 0.0, 0.0, 13.376213, 52.521918, 0.0))):
        tags.tagtype[tag] = 12
        tags[tag] = value
    for tag, value in ((34737, "WGS 84|Berlin|"), (42112, "<Item name='LAT'>52.521918</Item>"), (MAKE, "Maker")):
        tags.tagtype[tag] = 2
        tags[tag] = value
    Pil.fromarray(PIXELS).save(tmp_path / "a.tif", tiffinfo=tags)
    path, said = kept(tmp_path / "a.tif", tmp_path, format=kind)
    saved = Path(path).read_bytes()
    assert b"Maker" in saved
    for place in (b"Berlin", b"52.521918", struct.pack("<d", 52.521918), struct.pack(">d", 52.521918)):
        assert place not in saved
    assert said == ["left out of the file: its georeference (GeoTIFF)"]


@pytest.mark.parametrize("source", ["jpg", "png", "webp"])
def test_a_preview_in_a_makers_note_shows_the_old_picture_and_is_left_out(tmp_path, source):
    preview = io.BytesIO()
    Pil.fromarray(PIXELS).save(preview, "JPEG")
    told = exif()
    told.get_ifd(EXIF)[NOTE] = b"OLYMP\0\1\0" + preview.getvalue()
    Pil.fromarray(PIXELS).save(tmp_path / f"a.{source}", exif=told.tobytes())
    path, said = kept(tmp_path / f"a.{source}", tmp_path, gps=True)
    assert b"OLYMP" not in Path(path).read_bytes()
    assert "preview of the old picture" in said[0]


@pytest.mark.parametrize("maker", [b"Nikon\0", b"Panasonic\0\0\0"])
def test_a_note_of_a_maker_that_repeats_the_place_is_left_out_with_it(tmp_path, maker):
    told = Pil.Exif()
    told.get_ifd(EXIF)[NOTE] = maker + b"Berlin"
    Pil.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=told.tobytes())
    path, said = kept(tmp_path / "a.jpg", tmp_path)
    assert b"Berlin" not in Path(path).read_bytes()
    assert said == ["left out of the file: where it was taken (gps=true keeps it)"]
    path, said = kept(tmp_path / "a.jpg", tmp_path, gps=True)
    assert b"Berlin" in Path(path).read_bytes()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_no_turned_picture_is_turned_twice(tmp_path, orientation):
    Pil.fromarray(PIXELS).save(
        tmp_path / "a.jpg", exif=exif(orientation).tobytes(), dpi=(300, 200), quality=100, subsampling=0
    )
    path, _ = kept(tmp_path / "a.jpg", tmp_path)
    from PIL import ImageOps

    with Pil.open(tmp_path / "a.jpg") as before, Pil.open(path) as after:
        upright = ImageOps.exif_transpose(before)
        assert np.array_equal(np.asarray(ImageOps.exif_transpose(after)), np.asarray(upright))
        turned = orientation >= 5
        assert tuple(round(value) for value in after.info["dpi"]) == ((200, 300) if turned else (300, 200))


def test_the_thumbnail_is_not_kept(tmp_path):
    small = io.BytesIO()
    Pil.fromarray(PIXELS).save(small, format="JPEG")
    data = small.getvalue()
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", 1) + struct.pack("<HHI4s", MAKE, 2, 3, b"ab\0\0")
    first = struct.pack("<HHHII", 2, 0x201, 4, 1, 26 + 30) + struct.pack("<HHII", 0x202, 4, 1, len(data)) + bytes(4)
    block = b"Exif\0\0" + head + struct.pack("<I", 26) + first + data
    Pil.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=block)
    path, _ = kept(tmp_path / "a.jpg", tmp_path, format="jpeg")
    with Pil.open(path) as out:
        assert out.getexif()[MAKE] == "ab"
        assert not out.getexif().get_ifd(1)
    with open(path, "rb") as file:
        assert data[20:200] not in file.read()


@pytest.mark.parametrize(("unit", "density"), [(1, 300), (2, 118)])
@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_resolution_in_inches_and_centimetres(tmp_path, unit, density, kind):
    Pil.fromarray(PIXELS).save(tmp_path / "a.jpg")
    data = bytearray((tmp_path / "a.jpg").read_bytes())
    place = data.index(b"JFIF\0") + 7
    data[place : place + 5] = struct.pack(">BHH", unit, density, density)
    (tmp_path / "a.jpg").write_bytes(data)
    path, _ = kept(tmp_path / "a.jpg", tmp_path, format=kind)
    with Pil.open(path) as out:
        across = out.info["dpi"][0] if kind != "webp" else float(out.getexif()[0x11A])
        assert across == pytest.approx(density * (2.54 if unit == 2 else 1), abs=0.5)


def test_no_resolution_is_made_up(tmp_path):
    Pil.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif())  # of which Pillow says 72
    path, _ = kept(tmp_path / "a.jpg", tmp_path)
    with Pil.open(path) as out:
        assert "dpi" not in out.info
    told = exif()
    told[0x11A], told[0x11B], told[0x128] = 240.0, 240.0, 2
    Pil.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=told)
    path, _ = kept(tmp_path / "a.jpg", tmp_path)
    with Pil.open(path) as out:
        assert round(out.info["dpi"][0]) == 240


def test_texts_are_kept_where_the_format_has_a_place(tmp_path):
    words = {"Title": "my sofa", "Author": "Jürgen 部屋", "Copyright": "none", "Note": "x" * 5000}
    told = PngInfo()
    for name, text in words.items():
        told.add_text(name, text, zip=name == "Note")
    Pil.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=told)
    path, said = kept(tmp_path / "a.png", tmp_path)
    with Pil.open(path) as out:
        assert out.text == words
    assert said == []
    path, said = kept(tmp_path / "a.png", tmp_path, format="jpeg")
    with Pil.open(path) as out:
        assert out.getexif()[ARTIST].encode("latin-1").decode() == "Jürgen 部屋"
        assert out.getexif()[0x10E] == "my sofa"
    assert said == ["left out of the file: the text 'Note' (jpeg has no place for it; png has)"]


SETTINGS = "a cat\nNegative prompt: dog\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 1, Size: 512x512"
GRAPH = json.dumps({"3": {"class_type": "KSampler", "inputs": {"seed": 1}}})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("workflow", "{}"),
        ("prompt", "a cat"),
        ("parameters", SETTINGS),
        ("Workflow", GRAPH),
        ("invokeai_metadata", "x"),
        ("Comment", GRAPH),
        ("Description", SETTINGS),
        ("inlay", '{"workflow": {}}'),
    ],
)
def test_the_record_of_another_program_is_not_saved(tmp_path, name, text):
    told = PngInfo()
    told.add_text(name, text)
    told.add_text("Title", "kept")
    Pil.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=told)
    path, said = kept(tmp_path / "a.png", tmp_path)
    with Pil.open(path) as out:
        assert out.text == {"Title": "kept"}
    words = f"left out of the file: another program's record of its work (prompt, graph, settings) ({name})"
    assert said == ([] if name == "inlay" else [words])


@pytest.mark.parametrize("tag", [MAKE, 0x110, 0x10E])
@pytest.mark.parametrize("kind", ["webp", "jpg"])
def test_nor_if_it_stands_in_exif(tmp_path, tag, kind):
    told = exif()
    told[tag] = "workflow:" + GRAPH
    told.get_ifd(EXIF)[COMMENT] = b"UNICODE\0" + SETTINGS.encode("utf-16-be")
    Pil.fromarray(PIXELS).save(tmp_path / f"a.{kind}", exif=told.tobytes())
    path, said = kept(tmp_path / f"a.{kind}", tmp_path)
    with open(path, "rb") as file:
        data = file.read()
    assert b"KSampler" not in data
    assert "Euler".encode("utf-16-be") not in data
    assert b"2024:01:02" in data
    assert "record of its work" in said[0]


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_exif_values_have_the_types_of_the_standard(tmp_path, kind):
    """CIPA DC-008: dates are ASCII (2), comments UNDEFINED (7), the exposure bias SRATIONAL (10)."""
    told = exif()
    told.get_ifd(EXIF).update(
        {
            0x9003: "2024:01:02 03:04:05",
            0xA434: "Zo?",
            COMMENT: b"ASCII\0\0\0hello",
            0x9204: IFDRational(3, 2),
            0xA300: b"\3",
        }
    )
    Pil.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=told.tobytes().replace(b"Zo?", "Zoß".encode("latin-1")))
    for source in (tmp_path / "a.jpg", kept(tmp_path / "a.jpg", tmp_path, format=kind)[0]):
        path, _ = kept(source, tmp_path, format=kind)
        with Pil.open(path) as out:
            data, said = out.info["exif"].removeprefix(b"Exif\0\0"), out.getexif()
        assert said.get_ifd(EXIF)[0x9003] == "2024:01:02 03:04:05"
        assert said.get_ifd(EXIF)[0xA434] == "Zoß"
        (first,) = struct.unpack_from(">I" if data[:1] == b"M" else "<I", data, 4)
        found = folder(data, folder(data, first)[EXIF][1])
        assert {tag: found[tag][0] for tag in (0x9003, 0xA434, COMMENT, NOTE, 0xA300, 0x9204)} == {
            0x9003: 2,
            0xA434: 2,
            COMMENT: 7,
            NOTE: 7,
            0xA300: 7,
            0x9204: 10,
        }


def folder(data, offset):
    """{tag: (type, value or offset)} of a TIFF's folder."""
    order = ">" if data[:1] == b"M" else "<"
    (count,) = struct.unpack_from(f"{order}H", data, offset)
    rows = [struct.unpack_from(f"{order}HHII", data, offset + 2 + 12 * row) for row in range(count)]
    return {tag: (kind, value) for tag, kind, _, value in rows}


@pytest.mark.parametrize(("unit", "dots"), [(2, (300, 150)), (3, (762, 381)), (1, None)])
@pytest.mark.parametrize(("source", "turned"), [("webp", 1), ("png", 6), ("jpg", 6), ("jpg", 1), ("tif", 6)])
def test_a_resolution_that_exif_alone_states(tmp_path, unit, dots, source, turned):
    told = exif(turned)
    told[0x11A], told[0x11B], told[0x128] = 300, 150, unit
    Pil.fromarray(PIXELS).save(tmp_path / f"a.{source}", exif=told)
    with Pil.open(kept(tmp_path / f"a.{source}", tmp_path)[0]) as out:
        found = out.info.get("dpi")
    assert found is dots is None or found == pytest.approx(dots if turned == 1 else dots[::-1], abs=0.02)


WIDE = "猫, a cat\n" + SETTINGS


@pytest.mark.parametrize(
    ("tag", "value"),
    [
        (COMMENT, b"UNICODE\0" + WIDE.encode("utf-16-be")),
        (COMMENT, b"UNICODE\0" + WIDE.encode("utf-16-le")),
        (COMMENT, b"UNICODE\0" + WIDE.encode("utf-16")),
        (COMMENT, b"UNICODE\0" + WIDE.encode()),
        (COMMENT, b"JIS\0\0\0\0\0" + SETTINGS.encode()),
        (0x9C9C, WIDE.encode("utf-16-le") + b"\0\0"),
        (0x9C9B, (GRAPH + "Euler").encode("utf-16-le")),
        (0x10E, ("\ufeff" + GRAPH + "Euler").encode()),
        (0x10E, b"\0\0" + (GRAPH + "Euler").encode()),
    ],
)
def test_nor_in_any_text_encoding(tmp_path, tag, value):
    told, kind = exif(), "png" if tag == COMMENT else "tif"
    (told.get_ifd(EXIF) if tag == COMMENT else told)[tag] = value
    Pil.fromarray(PIXELS).save(tmp_path / f"a.{kind}", exif=told)
    path, said = kept(tmp_path / f"a.{kind}", tmp_path)
    with open(path, "rb") as file:
        assert b"Euler" not in file.read().replace(b"\0", b"")
    assert "record of its work" in said[0]


def test_a_block_in_imagemagicks_form_is_named(tmp_path):
    told = PngInfo()
    told.add_text("Raw profile type APP1", "\ngeneric profile\n       4\n00112233\n", zip=True)
    Pil.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=told)
    assert kept(tmp_path / "a.png", tmp_path)[1] == ["left out of the file: the block APP1"]


def test_a_text_keeps_its_language(tmp_path):
    told = PngInfo()
    told.add_itxt("Title", "Sofá", lang="es", tkey="Título")
    Pil.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=told)
    with open(kept(tmp_path / "a.png", tmp_path)[0], "rb") as file:
        assert b"iTXtTitle\0\0\0es\0" + "Título\0Sofá".encode() in file.read()


@pytest.mark.parametrize("gps", [False, True])
def test_a_place_in_texts_is_a_place(tmp_path, gps):
    told = PngInfo()
    for name, text in (
        ("exif:GPSLatitude", "48/1, 51/1"),
        ("exif:UserComment", ", ".join(map(str, SETTINGS.encode()))),
        ("Location", "48.8566 N"),
        ("Title", "kept"),
    ):
        told.add_text(name, text)
    Pil.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=told)
    path, said = kept(tmp_path / "a.png", tmp_path, gps=gps)
    with Pil.open(path) as out:
        assert out.text == {"Title": "kept"} | ({"Location": "48.8566 N"} if gps else {})
    assert "ImageMagick's copy of its EXIF data" in said[0]
    assert ("where it was taken" in said[0]) is not gps


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_a_result_used_again_carries_its_new_workflow_alone(tmp_path, kind):
    first = inlay.run(_copy(_source(tmp_path), kind), out=tmp_path / "out").paths[0]
    again = inlay.run(_copy(first, "jpeg", title="second"), out=tmp_path / "out").paths[0]
    from inlay.graph_runtime.front.recipe.read import read_recipe

    assert read_recipe(first)[0].title == ""
    assert read_recipe(again)[0].title == "second"
    path, said = kept(again, tmp_path)
    with open(path, "rb") as file:
        assert b"class_type" not in (data := file.read())
        assert b"image.load" not in data
    assert said == []


def _copy(path, kind, **more):
    return {
        "format": 1,
        **more,
        "nodes": {
            "photo": {"type": "image.load", "params": {"path": str(path)}},
            "save": {"type": "image.save", "params": {"format": kind}, "inputs": {"image": "photo.image"}},
        },
    }


def _source(folder):
    Pil.fromarray(PIXELS).save(folder / "a.jpg", exif=exif().tobytes())
    return folder / "a.jpg"


def test_xmp_is_named_as_left_out(tmp_path):
    packet = b"<x:xmpmeta xmlns:x='adobe:ns:meta/'><exif:GPSLatitude>52</exif:GPSLatitude></x:xmpmeta>"
    Pil.fromarray(PIXELS).save(tmp_path / "a.jpg", xmp=packet)
    Pil.fromarray(PIXELS).save(tmp_path / "a.webp", xmp=packet)
    told = PngInfo()
    told.add_itxt("XML:com.adobe.xmp", packet.decode())
    Pil.fromarray(PIXELS).save(tmp_path / "a.png", pnginfo=told)
    for name in ("a.jpg", "a.webp", "a.png"):
        path, said = kept(tmp_path / name, tmp_path)
        assert said == ["left out of the file: XMP"]
        with open(path, "rb") as file:
            assert b"GPSLatitude" not in file.read()


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
def test_without_metadata_only_pixels_and_their_profile_are_left(tmp_path, kind):
    profile = icc("Adobe RGB (1998)", ADOBE, 2.19921875)
    Pil.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=exif(), dpi=(300, 300), icc_profile=profile, comment=b"mine")
    graph = _copy(tmp_path / "a.jpg", kind)
    whole, bare = (inlay.run(graph, out=tmp_path / "out", metadata=metadata) for metadata in (True, False))
    with Pil.open(whole.paths[0]) as out:
        assert out.getexif()[MAKE] == "Maker"
    with Pil.open(bare.paths[0]) as out:
        assert out.info["icc_profile"] == profile
        assert not out.getexif()
        assert not getattr(out, "text", None)
        assert "comment" not in out.info
        assert out.info.get("dpi", (1, 1))[0] < 73  # JFIF always has a number there
    assert not [event for event in bare.events if isinstance(event, Warned) and "left out" in event.message]


def test_exif_that_means_adobe_rgb_stays_and_becomes_a_profile_where_exif_goes(tmp_path):
    told = exif()
    told.get_ifd(EXIF).update({0xA001: 0xFFFF, 0xA005: {1: "R03"}})
    Pil.fromarray(PIXELS).save(tmp_path / "a.jpg", exif=told, quality=100, subsampling=0)
    path, _ = kept(tmp_path / "a.jpg", tmp_path)
    with Pil.open(path) as out, Pil.open(tmp_path / "a.jpg") as before:
        assert out.getexif().get_ifd(EXIF)[0xA001] == 0xFFFF
        assert out.getexif().get_ifd(0xA005)[1].strip("\0") == "R03"
        assert "icc_profile" not in out.info
        before.save(tmp_path / "same.png", icc_profile=icc("Adobe RGB (1998)", ADOBE, 2.19921875), exif=b"")
    path, _ = kept(tmp_path / "a.jpg", tmp_path, metadata=False)
    assert np.abs(shown(path) - shown(tmp_path / "same.png")).max() <= 1


def test_too_much_for_jpeg_goes_in_a_known_order(tmp_path):
    told = exif()
    told.get_ifd(EXIF)[NOTE] = b"n" * 60_000
    Pil.fromarray(PIXELS).save(tmp_path / "a.png", exif=told)
    said = []
    ctx = Context(out=tmp_path / "out", listeners=(said.append,), metadata={"inlay": "w" * 6000})
    path, _ = kept(tmp_path / "a.png", tmp_path, ctx, format="jpeg")
    with Pil.open(path) as out:
        assert len(out.getexif().get_ifd(EXIF)[NOTE]) == 60_000
        assert 0x10E not in out.getexif()
    assert any("workflow is too long" in event.message for event in said if isinstance(event, Warned))
    told.get_ifd(EXIF)[NOTE] = b"n" * 70_000
    Pil.fromarray(PIXELS).save(tmp_path / "a.png", exif=told)
    path, said = kept(tmp_path / "a.png", tmp_path, format="jpeg")
    with Pil.open(path) as out:
        assert out.getexif()[MAKE] == "Maker"
        assert NOTE not in out.getexif().get_ifd(EXIF)
    assert "maker's note" in said[0]
    told[ARTIST] = "a" * 70_000
    Pil.fromarray(PIXELS).save(tmp_path / "a.png", exif=told)
    path, said = kept(tmp_path / "a.png", tmp_path, format="jpeg")
    with Pil.open(path) as out:
        assert not out.getexif()
    assert "its EXIF data (too long for JPEG)" in said[0]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "block", [b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff"]
)
def test_damaged_exif_never_stops_a_run(tmp_path, block):
    data = io.BytesIO()
    Pil.fromarray(PIXELS).save(data, format="JPEG", exif=b"Exif\0\0" + b"." * (len(block) - 6))
    raw = data.getvalue().replace(b"Exif\0\0" + b"." * (len(block) - 6), block)
    (tmp_path / "a.jpg").write_bytes(raw)
    path, _ = kept(tmp_path / "a.jpg", tmp_path)
    with Pil.open(path) as out:
        out.load()


def test_plain_pictures_are_written_to_the_same_bytes_as_before(tmp_path):
    (tmp_path / "a.png").write_bytes(png(PIXELS))
    path, said = kept(tmp_path / "a.png", tmp_path)
    plain = io.BytesIO()
    Pil.fromarray(PIXELS).save(plain, format="PNG", pnginfo=PngInfo())
    with open(path, "rb") as file:
        assert file.read() == plain.getvalue()
    assert said == []
