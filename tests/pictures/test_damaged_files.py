"""Paths that are not pictures, and damaged files: a BadInput names the file, never the decoder's exception."""

import os

import numpy as np
import pytest
from inlay.graph_runtime import BadInput, Context
from inlay.nodes.image.files import load
from PIL import Image as Pil


@pytest.mark.parametrize("kind", ["empty", "glob", "pipe", "device", "loop", "dangling", "long", "null"])
def test_paths_that_are_not_pictures(tmp_path, kind):
    path = tmp_path / "a.png"
    if kind == "empty":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind in ("loop", "dangling"):
        path.symlink_to(path if kind == "loop" else tmp_path / "nowhere")
    given = {"glob": str(tmp_path / "*.png"), "device": "/dev/zero", "long": "a" * 5000, "null": "a\0b"}
    given = given.get(kind, str(path))
    with pytest.raises(BadInput) as caught:
        load(given, Context(out=tmp_path))
    assert caught.value.port == "path"
    assert caught.value.fix


def test_an_error_of_a_decoder_names_the_file(tmp_path):
    path = tmp_path / "a.tif"
    Pil.new("RGB", (50, 40)).save(path, compression="tiff_lzw")
    data = bytearray(path.read_bytes())
    data[8:40] = b"\xff" * 32
    path.write_bytes(data)
    with pytest.raises(BadInput, match=r"a\.tif.*damaged"):
        load(str(path), Context(out=tmp_path))


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "webp", "bmp"])
def test_a_picture_that_is_cut_off_is_called_damaged_wherever_it_is_cut(tmp_path, suffix):
    whole = tmp_path / f"whole.{suffix}"
    Pil.effect_noise((24, 20), 80).convert("RGB").save(whole)
    data, path = whole.read_bytes(), tmp_path / f"a.{suffix}"
    for length in range(18, min(len(data), 200), 3):
        path.write_bytes(data[:length])
        with pytest.raises(BadInput, match="incomplete or damaged"):
            load(str(path), Context(out=tmp_path))


@pytest.mark.parametrize(
    "change",
    [
        (b"\x00\x01\x04\x00\x01", b"\x09\x77\x04\x00\x01"),  # the second page has no width
        (b"\x06\x01\x03\x00\x01\x00\x00\x00\x02", b"\x06\x01\x03\x00\x01\x00\x00\x00\x63"),
    ],
)
def test_damage_in_a_page_that_is_not_used_does_no_harm(tmp_path, change):
    path = tmp_path / "a.tif"
    Pil.new("RGB", (5, 4)).save(path, save_all=True, append_images=[Pil.new("RGB", (5, 4))])
    data = path.read_bytes()
    place = data.rfind(change[0])
    assert place > data.find(change[0]) >= 0
    path.write_bytes(data[:place] + change[1] + data[place + len(change[0]) :])
    assert load(str(path), Context(out=tmp_path)).image.shape == (1, 4, 5, 3)


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
def test_random_damage_never_shows_an_exception_of_the_decoder(tmp_path):
    noise = np.random.default_rng(0)
    pixels = noise.integers(0, 256, (9, 11, 3), dtype=np.uint8)
    for suffix in ("png", "jpg", "tif", "gif", "bmp", "webp"):
        path = tmp_path / f"a.{suffix}"
        Pil.fromarray(pixels).save(path)
        whole = path.read_bytes()
        for _ in range(25):
            data = bytearray(whole)
            for place in noise.integers(0, min(len(data), 200), 4):
                data[place] = noise.integers(0, 256)
            path.write_bytes(data)
            try:
                load(str(path), Context(out=tmp_path))
            except BadInput:
                continue
