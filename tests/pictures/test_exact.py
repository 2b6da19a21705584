"""Float colours beside the samples of a PNG: read where they belong to the samples, ignored in every other case."""

import struct
import zlib

import numpy as np
import pytest
from inlay.pictures.containers.png import EXACT, SIGNATURE, chunk, chunks_of
from inlay.pictures.files.exact import CONTRADICTS
from inlay.pictures.files.read import read_picture
from inlay.pictures.memory.write import write_value
from PIL import Image

H, W = 5, 7
COLOURS = np.random.default_rng(0).random((H, W, 3), np.float32)
GREY = COLOURS[..., 0]


@pytest.fixture
def written(tmp_path):
    def write(values):
        return write_value(values, tmp_path, "a").path

    return write


def forged(path, change):
    """The file with its chunks changed by a function of name and data."""
    chunks = [change(name, data) for name, data in chunks_of(path.read_bytes())]
    path.write_bytes(SIGNATURE + b"".join(chunk(*one) for one in chunks if one is not None))
    return path


@pytest.mark.parametrize("values", [COLOURS, GREY, np.dstack([COLOURS, GREY]), np.dstack([GREY, GREY])])
def test_they_are_read_to_the_bit_and_other_programs_see_the_nearest_samples(written, values):
    path = written(values)
    picture = read_picture(path)
    colours = values[..., None] if values.ndim == 2 else values[..., : 1 if values.shape[2] == 2 else 3]
    assert np.array_equal(picture.rgb(), np.broadcast_to(colours, (H, W, 3)))
    assert np.array_equal(picture.sampled(2), picture.rgb()[::2, ::2])
    assert picture.info.bits == 16
    assert not picture.notes
    seen = np.asarray(Image.open(path).convert("RGB" if values.ndim == 3 else "I"))
    top = 255 if values.ndim == 3 else 65_535
    assert np.abs(seen.reshape(H, W, -1) / top - colours).max() <= 1 / 255


FORGERIES = {
    "another picture": lambda data: (1 - np.frombuffer(data, "<f4")).tobytes(),
    "one pixel": lambda data: struct.pack("<f", 0.9) + data[4:],
    "NaN": lambda data: struct.pack("<f", float("nan")) + data[4:],
    "infinity": lambda data: struct.pack("<f", float("inf")) + data[4:],
    "too short": lambda data: data[:-4],
    "too long": lambda data: data + data,
    "nothing": lambda data: b"",
}


@pytest.mark.parametrize("case", FORGERIES)
def test_what_does_not_belong_to_the_samples_is_ignored(written, case):
    path = forged(written(COLOURS), lambda name, data: (name, FORGERIES[case](data) if name == EXACT else data))
    picture = read_picture(path)
    assert picture.notes == (CONTRADICTS,)
    assert np.array_equal(picture.rgb(), np.rint(COLOURS.astype(np.float64) * 65_535).astype(np.float32) / 65_535)


def test_below_0_and_above_1_is_ignored(written):
    path = written(np.where(GREY > 0.5, np.float32(1e-9), GREY))
    below = forged(path, lambda name, data: (name, data.replace(struct.pack("<f", 1e-9), struct.pack("<f", -1e-9))))
    assert read_picture(below).notes == (CONTRADICTS,)


def test_samples_of_8_bits_have_none(written):
    path = written((COLOURS * 255).astype(np.uint8))
    extra = (EXACT, COLOURS.tobytes())
    chunks = list(chunks_of(path.read_bytes()))
    path.write_bytes(SIGNATURE + b"".join(chunk(*one) for one in [chunks[0], extra, *chunks[1:]]))
    picture = read_picture(path)
    assert picture.notes == (CONTRADICTS,)
    assert picture.colour8 is not None


def test_a_picture_on_its_side_has_none(written):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = forged(written(COLOURS), lambda name, data: (name, data))
    chunks = list(chunks_of(path.read_bytes()))
    path.write_bytes(
        SIGNATURE + b"".join(chunk(*one) for one in [chunks[0], (b"eXIf", exif.tobytes()[6:]), *chunks[1:]])
    )
    assert read_picture(path).notes == (CONTRADICTS,)


def test_the_written_png_is_a_valid_one(written):
    for values in (COLOURS, (COLOURS * 255).astype(np.uint8), GREY > 0.5):
        path = written(values)
        data = path.read_bytes()
        path.unlink()
        place = len(SIGNATURE)
        while place < len(data):
            (size,) = struct.unpack_from(">I", data, place)
            (stated,) = struct.unpack_from(">I", data, place + 8 + size)
            assert stated == zlib.crc32(data[place + 4 : place + 8 + size])
            place += 12 + size
        assert place == len(data)
