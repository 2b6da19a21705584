"""Picture files of strangers cost no more than their pixels: checks decode nothing, headers end, runs use strips."""

import io
import tracemalloc

import hostile_pictures
import inlay
import numpy as np
import pytest
import torch
from colour_toys import P3, icc
from hostile_pictures import png_text_bombs, table, tiff_pages, tiff_picture
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.events import Warned
from inlay.graph_runtime.front.recipe.read import read_recipe
from inlay.nodes.checks.image import load as check
from inlay.nodes.image.files import load, save
from inlay.pictures.colour.space import Colour, values_to_srgb
from inlay.pictures.containers import bmp, jpeg, png, tiff
from inlay.pictures.containers.bmp import decode_runs
from inlay.pictures.files.info import FileInfo
from inlay.pictures.files.profile import PictureProfile
from inlay.pictures.files.texts import is_recall
from PIL import Image as Pil
from PIL import ImageFile

FILES = {one.name: one for one in table()}
REFUSED = {
    "huge-tile.tif": "tiles of 400000×400000",
    "entries.tif": "tags",
    "offsets-raw.tif": "strips for 8×8",
    "offsets-deflate.tif": "strips for 8×8",
    "chunks.png": "more than 3000 chunks",
    "chunks-late.png": "more than 3000 chunks",
    "empty-pixels.png": "more than 3000 chunks",
    "texts.png": "more than 3000 chunks",
    "comments.jpg": "more than 4096 segments",
    "tables.jpg": "more than 4096 segments",
    "exif-segments.jpg": "more than 4096 segments",
    "junk.jpg": "belong to no segment",
    "padding.jpg": "belong to no segment",
    "header-65500.jpg": "megapixels",
    "comments.gif": "blocks before its picture",
}
COUNTS = {"entries.tif": 5000, "junk.jpg": 20_000, "padding.jpg": 40_000, "comments.gif": 70_000, "text-bombs.png": 40}


def made(tmp_path, name, side=64, count=5000):
    path = tmp_path / name
    FILES[name].make(path, side, count)
    return path


def error_of(function):
    try:
        function()
    except BadInput as error:
        return error
    return None


@pytest.mark.parametrize("name", FILES)
def test_a_check_decodes_no_pixel_and_refuses_headers_without_end(tmp_path, monkeypatch, name):
    monkeypatch.setattr(png, "MOST_CHUNKS", 3000)
    monkeypatch.setattr("inlay.nodes.checks.before_run.CHEAP", 0)  # small transparency is decoded in a check
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    monkeypatch.setattr("PIL.TiffImagePlugin.TiffImageFile.load", None)
    monkeypatch.setattr("PIL.WebPImagePlugin.WebPImageFile.load", None)
    path = made(tmp_path, name, count=COUNTS.get(name, 5000) if name in REFUSED else 30)
    if name == "huge-tile.tif":  # so large only in its header
        path.write_bytes(path.read_bytes().replace((64).to_bytes(4, "little"), (400_000).to_bytes(4, "little")))
    error = error_of(lambda: check({}, {"path": str(path)}))
    assert (error is not None) == (name in REFUSED), error
    if error is not None:
        assert REFUSED[name] in error.found
        assert name in error.found
        assert error.fix


@pytest.mark.parametrize("name", [name for name in FILES if name != "header-10000.jpg"])  # it has 100 megapixels
def test_a_run_reads_a_hostile_picture_or_says_what_is_wrong(tmp_path, name):
    error = error_of(lambda: load(str(made(tmp_path, name, count=30)), Context(out=tmp_path)))
    assert error is None or (name in error.found and not FILES[name].good)


def test_pages_after_the_first_are_counted_and_never_read(tmp_path, monkeypatch):
    path = tmp_path / "a.tif"
    tiff_pages(path, 1, 2500)
    seen = []
    ours = Pil.open(path)._seek.__func__
    monkeypatch.setattr(
        "PIL.TiffImagePlugin.TiffImageFile._seek", lambda self, page: (seen.append(page), ours(self, page))
    )
    said = Context(out=tmp_path)
    load(str(path), said)
    assert set(seen) == {0}
    assert tiff.count_pages(path.open("rb")) == tiff.MOST_PAGES


def test_a_directory_that_follows_itself_is_one_page(tmp_path):
    assert tiff.count_pages(made(tmp_path, "circle.tif").open("rb")) == 1


def test_strips_that_claim_the_whole_file_again_and_again_are_refused(tmp_path):
    entries = tiff_picture(8, 64, compression=8, offsets=(8,) * 64, counts=(2**20,) * 64, rows=1)
    (tmp_path / "a.tif").write_bytes(hostile_pictures.tiff(entries, bytes(2**20)))
    with pytest.raises(BadInput, match="bytes of pixels"):
        check({}, {"path": str(tmp_path / "a.tif")})


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"iCCP"])
def test_texts_that_unpack_to_gigabytes_are_unpacked_within_a_budget(tmp_path, monkeypatch, kind):
    unpacked = []
    ours = png._inflated

    def counted(data, limit):
        unpacked.append(limit)
        return ours(data, limit)

    monkeypatch.setattr(png, "_inflated", counted)
    png_text_bombs(kind)(tmp_path / "a.png", 8, 900)
    image, _, profile = load(str(tmp_path / "a.png"), Context(out=tmp_path))
    assert image.shape == (1, 8, 8, 3)
    assert len(unpacked) <= 2 * 33  # once before the run, once in it
    assert sum(len(text) for _, text in profile.pictures[0].texts) <= 2**20
    assert len(" ".join(profile.pictures[0].omitted)) < 1000


@pytest.mark.parametrize("number", [jpeg.MOST_SCANS, jpeg.MOST_SCANS + 20])
def test_a_jpeg_of_scans_without_end_is_refused_before_it_is_decoded(tmp_path, number):
    path = made(tmp_path, "scans.jpg", count=number - 10)
    if number == jpeg.MOST_SCANS:
        load(str(path), Context(out=tmp_path))
        return
    with pytest.raises(BadInput, match="more than 64 scans"):
        load(str(path), Context(out=tmp_path))
    hidden = path.read_bytes().replace(b"\xff\xda", b"\xff\xfe\0\4\xff\xd9\xff\xda", 2)  # an end inside a comment
    path.write_bytes(hidden)
    with pytest.raises(BadInput, match="more than 64 scans"):
        load(str(path), Context(out=tmp_path))


@pytest.mark.parametrize("bits", [8, 4])
def test_run_length_codes_give_what_pillow_gives(bits):
    draws = np.random.default_rng(0)
    for width, height in ((1, 9), (7, 5), (64, 3), (300, 2)):
        for _ in range(60):
            code = draws.integers(0, 256, 400, dtype=np.uint8)
            code[::2] = np.where(draws.random(200) < 0.4, 0, code[::2] % 9)
            code[1::2] = np.where(draws.random(200) < 0.5, code[1::2] % 5, code[1::2])
            code, start = code.tobytes(), int(draws.integers(54, 60))
            seen = _pillows_own(code, start, width, height, bits)
            assert decode_runs(code, start, width, height, four_bits=bits == 4)[: width * height] == seen


def _pillows_own(code, start, width, height, bits):
    """What Pillow's decoder makes of a code that stands at `start` of a file."""
    from PIL.BmpImagePlugin import BmpRleDecoder

    kept = []
    decoder = BmpRleDecoder("L", "L", bits == 4, 1)
    decoder.setimage(Pil.new("L", (width, height)).im)
    file = io.BytesIO(bytes(start) + code)
    file.seek(start)
    decoder.setfd(file)
    decoder.set_as_raw = lambda data, *_: kept.append(data)
    decoder.decode(b"")
    return kept[0][: width * height]


def test_rows_that_end_early_cost_no_more_than_their_code(tmp_path):
    data = decode_runs(b"\0\0" * 3 + b"\2\1\0\0" * 4 + b"\0\1", 54, 1_000_000, 4, four_bits=False)
    assert len(data) == 4_000_000
    assert data[:3] == b"\1\1\0"
    assert bmp.MOST_CODE == 8 * 2**20
    path = made(tmp_path, "rle-flat.bmp", side=700)
    with Pil.open(path) as picture:
        assert np.array_equal(load(str(path), Context()).image[0] * 255, np.asarray(picture.convert("RGB")))


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "RGB16"])
def test_a_picture_is_converted_in_strips(tmp_path, mode):
    """NumPy's memory beyond the 12 bytes a pixel of the result; Pillow's own is at most 8."""
    width, height = 2000, 1500
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    path = tmp_path / ("a.png" if mode != "CMYK" else "a.tif")
    if mode == "RGB16":
        made(tmp_path, "noise-rgb16.png", side=1700).rename(path)
    elif mode == "I;16":
        Pil.fromarray(noise[..., 0].astype(np.uint16) * 257).save(path)
    else:
        Pil.fromarray(noise).convert(mode).save(path, compress_level=1)
    tracemalloc.start()
    image = load(str(path), Context(out=tmp_path)).image
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    pixels = image.numel() // 3
    assert peak < (12 + 10) * pixels + 30 * 2**20


@pytest.mark.parametrize("text", ["Steps: 1,\n" * 20_000, "Steps: 1\n\n" * 20_000, "Steps: " + "1" * 100_000])
def test_a_text_that_almost_looks_like_settings_is_read_once(text):
    assert not is_recall("note", text)  # takes minutes where every beginning is tried with every end
    assert is_recall("note", text + "\nSteps: 20, Sampler: x, Seed: 1")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_a_turned_tiff_is_read_upright_however_it_is_stored(tmp_path, mode, compression, orientation):
    noise = np.random.default_rng(0).integers(0, 256, (7, 5, 3), dtype=np.uint8)
    Pil.fromarray(noise).convert(mode).save(tmp_path / "a.tif", compression=compression, tiffinfo={274: orientation})
    turned = {1: lambda x: x, 2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud, 5: lambda x: x.swapaxes(0, 1)}
    turned |= {6: lambda x: np.rot90(x, -1), 7: lambda x: np.rot90(x, 2).swapaxes(0, 1), 8: np.rot90}
    expected = turned[orientation](np.asarray(Pil.fromarray(noise).convert(mode).convert("RGB")))
    assert np.array_equal(load(str(tmp_path / "a.tif"), Context()).image[0] * 255, expected)


@pytest.mark.parametrize("name", FILES)
def test_looking_for_a_workflow_decodes_nothing_and_ends(tmp_path, monkeypatch, name):
    monkeypatch.setattr(png, "MOST_CHUNKS", 3000)
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)
    path = made(tmp_path, name, count=COUNTS.get(name, 5000) if name in REFUSED else 30)
    with pytest.raises(inlay.WorkflowError, match="workflow"):
        read_recipe(path)


@pytest.mark.parametrize("size", [(64, 40_000), (40_000, 64)])
def test_wide_and_tall_pictures_are_converted_and_saved_in_strips_too(tmp_path, size):
    image = torch.rand(1, *size, 3, generator=torch.Generator().manual_seed(0))
    colour = Colour(icc("P3", P3))
    tracemalloc.start()
    found = values_to_srgb(image[0].numpy(), colour)
    converting = tracemalloc.get_traced_memory()[1]
    tracemalloc.reset_peak()
    save(image, Context(out=tmp_path), profile=PictureProfile((FileInfo(bits=16),)))
    saving = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    pixels = image.numel() // 3
    assert found.shape == (*size, 3)
    assert converting < (12 + 12) * pixels
    assert saving < (12 + 6 * 6) * pixels + 2**20 * 10  # samples, and one chunk of all rows in the making


def test_a_thousand_parts_that_are_left_out_are_said_in_a_short_message(tmp_path):
    noted = FileInfo(omitted=tuple(f"the text {number}" for number in range(1000)))
    said = []
    ctx = Context(out=tmp_path, listeners=(said.append,))
    save(torch.zeros(1, 4, 4, 3), ctx, profile=PictureProfile((noted,)))
    (message,) = [event.message for event in said if isinstance(event, Warned)]
    assert "and 980 more" in message
    assert len(message) < 500
