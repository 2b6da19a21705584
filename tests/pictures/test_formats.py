"""AVIF and HEIC: read where their libraries are installed, named where not; and PNGs with long or damaged metadata."""

import struct
import zlib

import numpy as np
import pytest
from colour_toys import P3, icc
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.events import Warned
from inlay.nodes.image.files import load, save
from inlay.pictures.files import formats
from PIL import Image as Pil
from PIL import features
from png_toys import chunk, png

PIXELS = np.full((24, 32, 3), (200, 90, 40), np.uint8)
PIXELS[:12, :16] = 20, 200, 90
AVIF = "avif" in features.modules and features.check("avif")
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0" * 64


@pytest.mark.skipif(not AVIF, reason="this Pillow reads no AVIF")
@pytest.mark.parametrize("name", ["a.avif", "a.jpg"])
def test_avif_is_read_whatever_its_suffix(tmp_path, name):
    exif = Pil.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    Pil.fromarray(PIXELS).save(
        tmp_path / name, format="AVIF", quality=100, subsampling="4:4:4", exif=exif, icc_profile=icc("P3", P3)
    )
    ctx = Context(out=tmp_path / "out")
    image, _, profile = load(str(tmp_path / name), ctx)
    assert np.abs(image[0].numpy() * 255 - np.rot90(PIXELS, -1)).max() <= 6
    (path,) = save(image, ctx, profile=profile).paths
    with Pil.open(path) as out:
        assert out.info["icc_profile"] == icc("P3", P3)
        assert out.getexif()[0x010F] == "Maker"
        assert out.getexif().get(0x0112, 1) == 1


@pytest.mark.skipif(not AVIF, reason="this Pillow reads no AVIF")
def test_a_folder_finds_avif(tmp_path):
    (tmp_path / "in").mkdir()
    Pil.fromarray(PIXELS).save(tmp_path / "in" / "1.avif")
    Pil.fromarray(PIXELS).save(tmp_path / "in" / "2.png")
    assert len(load(str(tmp_path / "in"), Context(out=tmp_path)).image) == 2


@pytest.fixture
def without(monkeypatch):
    """As on a machine without these libraries."""
    monkeypatch.setattr(formats, "has_avif", lambda: False)
    monkeypatch.setattr(formats, "has_heic", lambda: False)


@pytest.mark.parametrize(
    ("data", "says", "fix"),
    [
        (HEIC, "HEIC", "pip install pillow-heif"),
        (HEIC.replace(b"ftypheic", b"ftypmsf1"), "HEIC", "pip install pillow-heif"),
        (b"\0\0\0\x20ftypavif\0\0\0\0avifmif1" + bytes(64), "AVIF", "pip install --upgrade pillow"),
        (b"\0\0\0\x20ftypmif1\0\0\0\0mif1avif" + bytes(64), "AVIF", "pip install --upgrade pillow"),
    ],
)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.heic"])
def test_without_the_library_the_content_is_named_and_the_command(tmp_path, without, name, data, says, fix):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(BadInput) as caught:
        load(str(tmp_path / name), Context(out=tmp_path))
    assert says in caught.value.found
    assert fix in caught.value.fix


def test_a_damaged_one_is_not_blamed_on_a_library_that_is_there(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "has_heic", lambda: True)
    monkeypatch.setattr("inlay.pictures.files.opening.formats_for", lambda head: formats.FORMATS)
    (tmp_path / "a.jpg").write_bytes(HEIC)
    with pytest.raises(BadInput) as caught:
        load(str(tmp_path / "a.jpg"), Context(out=tmp_path))
    assert "damaged" in str(caught.value)
    assert "pip" not in caught.value.fix


def large_icc(size):
    return icc("P3" + " " * size, P3)


def iccp(profile):
    return b"iCCP", b"profile\0\0" + zlib.compress(profile)


def test_a_profile_of_megabytes_in_a_png(tmp_path):
    profile = large_icc(3_000_000)
    (tmp_path / "a.png").write_bytes(png(PIXELS, [iccp(profile)]))
    ctx = Context(out=tmp_path / "out")
    image, _, said = load(str(tmp_path / "a.png"), ctx)
    assert np.array_equal(image[0].numpy() * 255, PIXELS)
    assert said.colour.icc == profile
    (path,) = save(image, ctx, format="jpeg", profile=said).paths
    with Pil.open(path) as out:
        assert out.info["icc_profile"] == profile


@pytest.mark.parametrize(
    "extra",
    [
        (b"zTXt", b"Note\0\0" + zlib.compress(b"a" * 3_000_000)),
        (b"iTXt", b"Note\0\1\0\0\0" + zlib.compress(b"a" * 3_000_000)),
        iccp(b"\0" * 60_000_000),
        (b"cHRM", b"\0" * 8),
        (b"sRGB", b""),
        (b"pHYs", b"\0" * 3),
        (b"iCCP", b"x\0\0damaged"),
        (b"iCCP", b"no end"),
    ],
)
def test_metadata_too_long_or_damaged_do_not_hide_the_pixels(tmp_path, extra):
    (tmp_path / "a.png").write_bytes(png(PIXELS, [extra, (b"tEXt", b"Title\0mine")]))
    said = []
    ctx = Context(out=tmp_path / "out", listeners=(said.append,))
    image, _, profile = load(str(tmp_path / "a.png"), ctx)
    assert np.array_equal(image[0].numpy() * 255, PIXELS)
    save(image, ctx, profile=profile)
    said = [event.message for event in said if isinstance(event, Warned)]
    assert any("left out" in message or "ignored" in message for message in said), said


@pytest.mark.parametrize("name", [b"IHDR", b"tEXt", b"IDAT"])
def test_a_wrong_checksum_does_not_hide_the_pixels(tmp_path, name):
    noise = np.random.default_rng(0).integers(0, 256, (300, 300, 3), dtype=np.uint8)
    Pil.fromarray(noise).save(tmp_path / "a.png")  # several IDAT chunks
    data = (tmp_path / "a.png").read_bytes()
    data = bytearray(data[:33] + chunk(b"tEXt", b"Title\0mine") + data[33:])
    place = data.index(name) - 4
    size = int.from_bytes(data[place : place + 4], "big")
    data[place + 8 + size] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    said = []
    image, *_ = load(str(tmp_path / "a.png"), Context(out=tmp_path, listeners=(said.append,)))
    assert np.array_equal(image[0].numpy(), noise.astype(np.float32) / np.float32(255))
    heard = any("checksum" in event.message for event in said if isinstance(event, Warned))
    assert heard or name == b"IDAT"  # Pillow does not look at those of the pixels; a wrong pixel fails to inflate
    (tmp_path / "a.png").write_bytes(data[: len(data) // 2])
    with pytest.raises(BadInput, match="damaged"):
        load(str(tmp_path / "a.png"), Context(out=tmp_path))


def test_wrong_chunk_sizes_are_a_damaged_file(tmp_path):
    data = png(PIXELS, [(b"gAMA", b"\0\0\xb1\x8f")])
    place = data.index(b"gAMA") - 4
    (tmp_path / "a.png").write_bytes(data[:place] + struct.pack(">I", 2**31 - 1) + data[place + 4 :])
    with pytest.raises(BadInput):
        load(str(tmp_path / "a.png"), Context(out=tmp_path))
    assert chunk(b"gAMA", b"")[:4] == bytes(4)
