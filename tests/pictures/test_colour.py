"""sRGB and back: against littleCMS, closed forms, and on shipped workflows with photos in other colour spaces."""

import io
import struct
import zlib

import inlay
import numpy as np
import pytest
import torch
from colour_toys import ADOBE, D50_WHITE, P3, PROPHOTO, SRGB, columns, icc, shown, srgb_light, tables
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.events import Warned
from inlay.nodes.image.colour import from_srgb, to_srgb
from inlay.nodes.image.files import load, save
from inlay.pictures.colour.space import Colour, icc_for, is_unknown, space_of
from PIL import Image as Pil
from PIL import ImageCms
from png_toys import png

PROFILES = {
    "p3": icc("x", P3),
    "adobe": icc("x", ADOBE, 2.19921875),
    "prophoto": icc("x", PROPHOTO, 1.8, D50_WHITE),
    "linear": icc("x", SRGB, 1.0),
    "gamma 2.2": icc("x", SRGB, 2.2),
    "tables": tables(),
}
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
PIXELS[:16, :16] = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)


def loaded(folder, **options):
    Pil.fromarray(PIXELS).save(folder / "a.png", **options)
    return load(str(folder / "a.png"), Context(out=folder / "out"))


def by_littlecms(profile, forward=True):
    own, srgb = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
    ends = (own, srgb) if forward else (srgb, own)
    return np.asarray(ImageCms.profileToProfile(Pil.fromarray(PIXELS), *ends)).astype(float)


@pytest.mark.parametrize("name", PROFILES)
def test_to_and_from_srgb_agree_with_littlecms(tmp_path, name):
    image, _, profile = loaded(tmp_path, icc_profile=PROFILES[name])
    seen = to_srgb(image, profile, Context(out=tmp_path)).image
    assert np.abs(seen[0].numpy() * 255 - by_littlecms(PROFILES[name])).max() <= 1
    own = from_srgb(image, profile).image[0].numpy() * 255
    bright = PIXELS.min(-1) > 20  # littleCMS's own 8 bits are coarse where a curve is steep
    assert np.abs(own - by_littlecms(PROFILES[name], forward=False))[bright].max() <= 1


@pytest.mark.parametrize("name", PROFILES)
def test_round_trip_inside_both_gamuts(tmp_path, name):
    image, _, profile = loaded(tmp_path, icc_profile=PROFILES[name])
    seen = to_srgb(image, profile, Context(out=tmp_path)).image
    back = from_srgb(seen, profile).image
    inside = ((seen > 0.001) & (seen < 0.999)).all(-1)
    assert int(inside.sum()) > 300
    away = (back - image).abs()[inside] * 255
    assert float(away.mean() if name == "tables" else away.max()) <= (1 if name == "tables" else 0.01)


def test_the_formula_written_out(tmp_path):
    image, _, profile = loaded(tmp_path, icc_profile=PROFILES["p3"])
    light = srgb_light(PIXELS / 255) @ columns(P3).T @ np.linalg.inv(columns(SRGB)).T
    light = np.clip(light, 0, 1)
    wanted = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    assert np.abs(to_srgb(image, profile, Context(out=tmp_path)).image[0].numpy() - wanted).max() < 3e-4  # s15Fixed16


@pytest.mark.parametrize(
    ("options", "same"),
    [
        ({}, True),
        ({"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}, True),
        ({"icc_profile": icc("Display P3", SRGB)}, True),
        ({"icc_profile": icc("sRGB IEC61966-2.1", P3)}, False),
        ({"icc_profile": icc("sRGB", SRGB, 2.2)}, False),
        ({"icc_profile": tables(SRGB, 33)}, True),
    ],
)
def test_content_decides_what_is_srgb_and_srgb_keeps_every_bit(tmp_path, options, same):
    image, _, profile = loaded(tmp_path, **options)
    seen = to_srgb(image, profile, Context(out=tmp_path))
    assert torch.equal(seen.image, image) == same
    assert torch.equal(from_srgb(image, profile).image, image) == same
    assert (seen.profile == profile) == same


def chunk(*values):
    return struct.pack(f">{len(values)}I", *values)


def chrm(primaries, white=(0.3127, 0.3290)):
    return chunk(*(round(value * 100_000) for point in (white, *primaries) for value in point))


@pytest.mark.parametrize(
    ("extra", "like"),
    [
        ([(b"gAMA", chunk(100_000))], icc("x", SRGB, 1.0)),
        ([(b"gAMA", chunk(45_455))], None),
        ([(b"gAMA", chunk(45_455)), (b"cHRM", chrm(SRGB))], None),
        ([(b"cHRM", chrm(P3))], icc("x", P3)),
        ([(b"sRGB", b"\0"), (b"gAMA", chunk(100_000))], None),
        ([(b"gAMA", chunk(0))], None),
        ([(b"gAMA", chunk(1))], None),
        ([(b"gAMA", chunk(2**31 - 1))], None),
        ([(b"cICP", bytes([2, 2, 0, 1])), (b"cHRM", chrm(P3))], icc("x", P3)),
        ([(b"cICP", bytes([2, 13, 0, 1])), (b"iCCP", b"x\0\0" + zlib.compress(icc("x", P3)))], icc("x", P3)),
        ([(b"gAMA", chunk(55_556)), (b"cHRM", chrm(PROPHOTO, D50_WHITE))], icc("x", PROPHOTO, 1.8, D50_WHITE)),
        ([(b"cICP", bytes([12, 13, 0, 1])), (b"gAMA", chunk(100_000))], icc("x", P3)),
        ([(b"cHRM", bytes(32))], None),
    ],
)
def test_colour_chunks_of_pngs(tmp_path, extra, like):
    (tmp_path / "b.png").write_bytes(png(PIXELS, extra))
    image, _, profile = load(str(tmp_path / "b.png"), Context(out=tmp_path))
    seen = to_srgb(image, profile, Context(out=tmp_path)).image
    if like is None:
        assert torch.equal(seen, image)
    else:
        same, _, other = loaded(tmp_path, icc_profile=like)
        assert float((seen - to_srgb(same, other, Context(out=tmp_path)).image).abs().max()) * 255 < 1
        assert np.abs(seen[0].numpy() * 255 - by_littlecms(icc_for(profile.colour))).max() <= 1  # as a profile


def test_high_dynamic_range_and_one_way_profiles_are_reported_not_guessed(tmp_path):
    (tmp_path / "b.png").write_bytes(png(PIXELS, [(b"cICP", bytes([9, 16, 0, 1]))]))
    said = []
    ctx = Context(out=tmp_path, listeners=(said.append,))
    image, _, profile = load(str(tmp_path / "b.png"), ctx)
    assert torch.equal(to_srgb(image, profile, ctx).image, image)
    assert sum("dynamic range" in event.message for event in said if isinstance(event, Warned)) == 2
    one_way = tables().replace(b"B2A0", b"zzz0")
    assert space_of(Colour(one_way)) is None
    assert is_unknown(Colour(one_way))


def test_a_sixteen_bit_picture_keeps_its_steps(tmp_path):
    deep = np.random.default_rng(1).integers(0, 65536, (20, 20, 3), dtype=np.uint16)
    (tmp_path / "b.png").write_bytes(png(deep, [(b"cHRM", chrm(P3))]))
    image, _, profile = load(str(tmp_path / "b.png"), Context(out=tmp_path))
    seen = to_srgb(image, profile, Context(out=tmp_path)).image
    inside = ((seen > 0.001) & (seen < 0.999)).all(-1)
    assert float((from_srgb(seen, profile).image - image).abs()[inside].max()) * 65535 < 1


def test_a_batch_and_its_variations_are_each_converted_by_their_own(tmp_path):
    (tmp_path / "in").mkdir()
    for number, name in enumerate(("p3", "adobe")):
        Pil.fromarray(PIXELS).save(tmp_path / "in" / f"{number}.png", icc_profile=PROFILES[name])
    image, _, profile = load(str(tmp_path / "in"), Context(out=tmp_path))
    seen = to_srgb(image.repeat_interleave(2, 0), profile, Context(out=tmp_path)).image
    for row, name in enumerate(("p3", "p3", "adobe", "adobe")):
        assert np.abs(seen[row].numpy() * 255 - by_littlecms(PROFILES[name])).max() <= 1
    with pytest.raises(BadInput, match="2 pictures for 3") as caught:
        from_srgb(image[[0, 0, 1]], profile)
    assert caught.value.port == "profile"
    with pytest.raises(BadInput, match="a str"):
        from_srgb(image, "P3")


def test_a_copy_in_srgb_is_saved_as_srgb(tmp_path):
    Pil.fromarray(PIXELS).save(tmp_path / "a.png", icc_profile=PROFILES["p3"], dpi=(300, 300))
    path = inlay.run(
        {
            "format": 1,
            "nodes": {
                "photo": {"type": "image.load", "params": {"path": str(tmp_path / "a.png")}},
                "seen": {"type": "image.to_srgb", "inputs": {"image": "photo.image", "profile": "photo.profile"}},
                "save": {"type": "image.save", "inputs": {"image": "seen.image"}},
            },
        },
        out=tmp_path / "out",
    ).paths[0]
    with Pil.open(path) as out:
        assert "icc_profile" not in out.info
        assert round(out.info["dpi"][0]) == 300
    assert np.abs(shown(path) - shown(tmp_path / "a.png")).max() <= 1


def test_training_photos_are_read_as_srgb(tmp_path):
    from inlay.pictures.photos.photo import Photo

    image, _, profile = loaded(tmp_path, icc_profile=PROFILES["adobe"])
    seen = Photo(tmp_path / "a.png", 40, 40).picture()
    assert torch.equal(seen, to_srgb(image, profile, Context(out=tmp_path)).image[0])
    assert not torch.equal(seen, image[0])


# CMYK and Lab


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_without_a_profile_is_converted_plainly_with_a_note(tmp_path, name):
    Pil.fromarray(PIXELS).convert("CMYK").save(tmp_path / name)
    said = []
    image, _, profile = load(str(tmp_path / name), Context(out=tmp_path, listeners=(said.append,)))
    with Pil.open(tmp_path / name) as picture:
        assert np.array_equal(image[0].numpy(), np.asarray(picture.convert("RGB")).astype(np.float32) / np.float32(255))
    assert any("CMYK" in event.message and "without a profile" in event.message for event in said)
    assert profile.colour == Colour()


@pytest.mark.parametrize("name", ["a.jpg", "a.tif"])
def test_cmyk_with_a_profile_is_converted_by_it_with_a_note(tmp_path, name):
    profile = tables(points=7, cmyk=True)
    Pil.fromarray(PIXELS).convert("CMYK").save(tmp_path / name, icc_profile=profile)
    said = []
    ctx = Context(out=tmp_path / "out", listeners=(said.append,))
    image, _, carried = load(str(tmp_path / name), ctx)
    with Pil.open(tmp_path / name) as picture:
        own = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        wanted = ImageCms.profileToProfile(picture, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert np.array_equal(image[0].numpy(), np.asarray(wanted).astype(np.float32) / np.float32(255))
        assert np.abs(np.asarray(wanted).astype(int) - np.asarray(picture.convert("RGB"))).max() > 20
    assert any("CMYK" in event.message and "own profile" in event.message for event in said)
    (path,) = save(image, ctx, profile=carried).paths
    with Pil.open(path) as out:
        assert "icc_profile" not in out.info
    Pil.fromarray(PIXELS).save(tmp_path / "b.png", icc_profile=profile)  # a printer's profile in an RGB file
    said.clear()
    load(str(tmp_path / "b.png"), ctx)
    assert any("CMYK pictures" in event.message for event in said)


def test_lab_is_converted_by_littlecms_with_a_note(tmp_path):
    srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    made = ImageCms.profileToProfile(Pil.fromarray(PIXELS), srgb, lab, outputMode="LAB")
    made.save(tmp_path / "a.tif")
    said = []
    image, *_ = load(str(tmp_path / "a.tif"), Context(out=tmp_path, listeners=(said.append,)))
    assert np.abs(image[0].numpy() * 255 - PIXELS).mean() < 3  # Lab at 8 bits
    assert any("Lab" in event.message for event in said)


# workflows


def scene(folder, profile):
    """A smooth photo in that space and the same one as an 8-bit sRGB file; and a hole."""
    y, x = np.mgrid[0:64, 0:64] / 63
    own = np.round(255 * np.stack([0.85 - 0.3 * y, 0.35 + 0.3 * x, 0.25 + 0.3 * y], -1)).astype(np.uint8)
    Pil.fromarray(own).save(folder / "own.png", icc_profile=profile)
    Pil.fromarray(shown(folder / "own.png").astype(np.uint8)).save(folder / "srgb.png")
    hole = np.zeros((64, 64), np.uint8)
    hole[24:40, 24:40] = 255
    Pil.fromarray(hole).save(folder / "hole.png")
    return own, hole > 0


@pytest.mark.parametrize("name", ["zero_shot_inpaint", "paint_by_example", "zero_shot_inpaint_strict"])
def test_a_photo_in_another_space_is_edited_as_its_srgb_twin(tmp_path, name):
    settings = {"steps": 3}
    own, hole = scene(tmp_path, PROFILES["prophoto"])
    if name == "paint_by_example":
        settings = {**settings, "example": tmp_path / "own.png"}
    first = inlay.run(name, image=tmp_path / "own.png", mask=tmp_path / "hole.png", out=tmp_path / "out", **settings)
    if name == "paint_by_example":
        settings = {**settings, "example": tmp_path / "srgb.png"}
    twin = inlay.run(name, image=tmp_path / "srgb.png", mask=tmp_path / "hole.png", out=tmp_path / "out", **settings)
    with Pil.open(first.paths[0]) as out:
        assert out.info["icc_profile"] == PROFILES["prophoto"]
        if name != "zero_shot_inpaint_strict":
            assert np.array_equal(np.asarray(out)[~hole], own[~hole])
    apart = np.abs(shown(first.paths[0]) - shown(twin.paths[0]))
    assert apart[hole].mean() < 2.5
    assert apart[~hole].max() <= (1 if name != "zero_shot_inpaint_strict" else 12)
