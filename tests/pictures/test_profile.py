"""A picture keeps its profile: known pixels are the same and look the same, in every mode and format."""

from pathlib import Path

import inlay
import numpy as np
import pytest
import torch
from colour_toys import ADOBE, D50_WHITE, P3, PROPHOTO, SRGB, icc, shown
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.events import Warned
from inlay.nodes.image.files import load, save
from picture_toys import fill_and_paste
from PIL import Image as Pil
from png_toys import chunks, png, samples_of

HOLE = np.zeros((24, 32), np.uint8)
HOLE[8:14, 10:20] = 255
KNOWN = HOLE == 0


def photo(channels=3, kind=np.uint8, seed=0):
    made = np.random.default_rng(seed).integers(0, np.iinfo(kind).max + 1, (24, 32, channels)).astype(kind)
    made[0, :4, :3] = np.array([0, 1, np.iinfo(kind).max - 1, np.iinfo(kind).max])[:, None][:, : channels and 1]
    return made


def run(folder, name, **save):
    """The saved file and the warnings of a usual workflow over `name`."""
    Pil.fromarray(HOLE).save(folder / "hole.png")
    done = inlay.run(fill_and_paste(folder / name, folder / "hole.png", **save), out=folder / "out", cache=False)
    return done.paths[-1], [event.message for event in done.events if isinstance(event, Warned)]


PROFILES = {
    "p3": icc("Display P3", P3),
    "adobe": icc("Adobe RGB (1998)", ADOBE, 2.19921875),
    "prophoto": icc("ProPhoto", PROPHOTO, 1.8, D50_WHITE),
    "linear": icc("linear", SRGB, 1.0),
    "liar": icc("sRGB IEC61966-2.1", P3),
}  # its name is not what it does


@pytest.mark.parametrize("kind", ["png", "webp"])
@pytest.mark.parametrize("name", PROFILES)
def test_a_colour_profile_stays_with_its_numbers(tmp_path, name, kind):
    made = photo()
    options = {"lossless": True} if kind == "webp" else {}
    Pil.fromarray(made).save(tmp_path / f"a.{kind}", icc_profile=PROFILES[name], **options)
    path, said = run(tmp_path, f"a.{kind}", format=kind)
    with Pil.open(path) as out:
        assert out.info["icc_profile"] == PROFILES[name]
        assert np.array_equal(np.asarray(out.convert("RGB"))[KNOWN], made[KNOWN])
    assert np.array_equal(shown(path)[KNOWN], shown(tmp_path / f"a.{kind}")[KNOWN])
    assert said == []


@pytest.mark.parametrize("large", [False, True])
def test_jpeg_keeps_a_profile_also_one_of_several_segments(tmp_path, large):
    profile = icc("Display P3" + " " * (150_000 if large else 0), P3)
    made = Pil.fromarray(np.full((24, 32, 3), (235, 40, 40), np.uint8))
    made.save(tmp_path / "a.jpg", icc_profile=profile, quality=95)
    path, _ = run(tmp_path, "a.jpg", format="jpeg")
    with Pil.open(path) as out:
        assert out.info["icc_profile"] == profile
    assert np.abs(shown(path)[KNOWN] - shown(tmp_path / "a.jpg")[KNOWN]).max() <= 3


def test_a_grey_profile_stays_with_grey_and_becomes_the_same_for_rgb(tmp_path):
    profile = icc("grey gamma 1.8", gamma=1.8, model=b"GRAY")
    made = photo(1)
    Pil.fromarray(made[..., 0]).save(tmp_path / "a.png", icc_profile=profile)
    before = shown(tmp_path / "a.png")
    for kind in ("png", "webp"):
        path, said = run(tmp_path, "a.png", format=kind)
        assert said == []
        with Pil.open(path) as out:
            assert out.mode == ("L" if kind == "png" else "RGB")
            assert np.array_equal(np.asarray(out.convert("L"))[KNOWN], made[..., 0][KNOWN])
        assert np.abs(shown(path)[KNOWN] - before[KNOWN]).max() <= 1
    image, _, profile = load(str(tmp_path / "a.png"), Context(out=tmp_path))
    image[0, 3, 3] = torch.tensor([1.0, 0.0, 0.0])  # no longer grey
    (path,) = save(image, Context(out=tmp_path / "out"), profile=profile).paths
    with Pil.open(path) as out:
        assert out.mode == "RGB"
    assert np.abs(shown(path)[5:] - before[5:]).max() <= 1


@pytest.mark.parametrize(
    "extra",
    [
        [(b"gAMA", b"\0\1\x86\xa0")],
        [(b"gAMA", b"\0\0\xb1\x8f"), (b"cHRM", bytes(32))],
        [(b"sRGB", b"\0")],
        [(b"cICP", bytes([12, 13, 0, 1]))],
    ],
)
def test_a_pngs_colour_chunks_are_written_again(tmp_path, extra):
    made = photo()
    (tmp_path / "a.png").write_bytes(png(made, extra))
    path, _ = run(tmp_path, "a.png")
    written = dict(chunks(path.read_bytes()))
    assert all(written[name] == data for name, data in extra)
    assert b"iCCP" not in written
    assert np.array_equal(samples_of(path)[KNOWN], made[KNOWN])


def test_gamma_becomes_a_profile_where_a_format_has_no_gamma(tmp_path):
    made = photo()
    (tmp_path / "a.png").write_bytes(png(made, [(b"gAMA", b"\0\1\x86\xa0")]))
    Pil.fromarray(made).save(tmp_path / "same.png", icc_profile=icc("linear", SRGB, 1.0))
    path, _ = run(tmp_path, "a.png", format="webp")
    assert np.abs(shown(path)[KNOWN] - shown(tmp_path / "same.png")[KNOWN]).max() <= 1


@pytest.mark.parametrize(
    ("profile", "word"),
    [(icc("x", P3)[:300], "damaged"), (b"none", "damaged"), (icc("g", gamma=2, model=b"GRAY"), "GRAY pictures")],
)
def test_a_profile_that_does_not_fit_is_left_out_with_a_note(tmp_path, profile, word):
    Pil.fromarray(photo()).save(tmp_path / "a.png", icc_profile=profile)
    path, said = run(tmp_path, "a.png")
    assert any(word in message and "ignored" in message for message in said)
    with Pil.open(path) as out:
        assert "icc_profile" not in out.info


def test_an_rgb_profile_in_a_grey_picture_counts(tmp_path):
    Pil.fromarray(photo(1)[..., 0]).save(tmp_path / "a.png", icc_profile=PROFILES["linear"])
    path, said = run(tmp_path, "a.png")
    with Pil.open(path) as out:
        assert out.info["icc_profile"] == PROFILES["linear"]
    assert said == []


# depth


@pytest.mark.parametrize("interlace", [False, True])
@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bits_in_sixteen_bits_out(tmp_path, channels, interlace):
    made = photo(channels, np.uint16)
    (tmp_path / "a.png").write_bytes(png(made, interlace=interlace))
    path, said = run(tmp_path, "a.png")
    out = samples_of(path)
    assert out.dtype == np.uint16
    if channels in (2, 4):
        assert np.array_equal(out[KNOWN][:, -1], made[KNOWN][:, -1])
    assert np.array_equal(out[KNOWN][:, : 3 if channels > 2 else 1], made[KNOWN][:, : 3 if channels > 2 else 1])
    assert said == []
    with Pil.open(path) as picture:
        picture.load()  # every checksum is right


def test_every_sixteen_bit_value_comes_back(tmp_path):
    made = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    made = np.stack([made, made[::-1], made.T], -1)
    (tmp_path / "a.png").write_bytes(png(made))
    image, _, profile = load(str(tmp_path / "a.png"), Context(out=tmp_path))
    assert np.array_equal(image[0].numpy(), made.astype(np.float32) / np.float32(65535))
    (path,) = save(image, Context(out=tmp_path / "out"), profile=profile).paths
    assert np.array_equal(samples_of(Path(path)), made)


def test_a_transparent_colour_of_sixteen_bits(tmp_path):
    made = photo(3, np.uint16)
    made[2, 3] = made[20, 1] = 258, 3, 40_000
    made[5, 5] = 258, 3, 40_001  # equal in its high bytes alone
    (tmp_path / "a.png").write_bytes(png(made, [(b"tRNS", made[2, 3].astype(">u2").tobytes())]))
    path, _ = run(tmp_path, "a.png")
    out = samples_of(path)
    assert np.array_equal(np.argwhere(out[..., 3] == 0), [[2, 3], [20, 1]])
    assert np.array_equal(out[KNOWN][:, :3], made[KNOWN])


# transparency


@pytest.mark.parametrize("kind", ["png", "webp"])
def test_a_cut_out_stays_one_with_the_colours_beneath_it(tmp_path, kind):
    made = photo(4)
    made[:, :6, 3] = 0
    Pil.fromarray(made).save(tmp_path / "a.png")
    path, said = run(tmp_path, "a.png", format=kind)
    with Pil.open(path) as out:
        assert out.mode == "RGBA"
        assert np.array_equal(np.asarray(out)[KNOWN], made[KNOWN])
    assert said == []


def test_a_hole_in_the_alpha_is_opaque_once_repainted(tmp_path):
    made = photo(4)
    made[..., 3] = 255 - HOLE
    made[20:, 20:, 3] = 90  # transparent, and not painted
    Pil.fromarray(made).save(tmp_path / "a.png")
    path, _ = run(tmp_path, "a.png")
    with Pil.open(path) as out:
        alpha = np.asarray(out)[..., 3]
    assert (alpha[HOLE > 0] == 255).all()
    assert np.array_equal(alpha[KNOWN], made[KNOWN][:, 3])


def test_jpeg_has_no_note_about_transparency_that_is_repainted(tmp_path):
    made = photo(4)
    made[..., 3] = 255 - HOLE
    Pil.fromarray(made).save(tmp_path / "a.png")
    _, said = run(tmp_path, "a.png", format="jpeg")
    assert not any("transparency" in message for message in said)
    made[0, 0, 3] = 254
    Pil.fromarray(made).save(tmp_path / "a.png")
    _, said = run(tmp_path, "a.png", format="jpeg")
    assert any("transparency" in message for message in said)


def test_every_paste_counts_and_soft_masks_add_opacity(tmp_path):
    made = photo(4)
    made[..., 3] = 100
    Pil.fromarray(made).save(tmp_path / "a.png")
    soft = np.zeros((24, 32), np.uint8)
    soft[:4], soft[4:8], soft[20:, :5] = 51, 200, 255
    Pil.fromarray(soft).save(tmp_path / "soft.png")
    graph = fill_and_paste(tmp_path / "a.png", tmp_path / "hole.png")
    graph["nodes"]["soft"] = {"type": "mask.load", "params": {"path": str(tmp_path / "soft.png"), "threshold": None}}
    graph["nodes"]["again"] = {
        "type": "image.paste_back",
        "inputs": {"base": "paste.image", "patch": "fill.image", "mask": "soft.mask"},
    }
    graph["nodes"]["save"]["inputs"]["image"] = "again.image"
    Pil.fromarray(HOLE).save(tmp_path / "hole.png")
    path = inlay.run(graph, out=tmp_path / "out", cache=False).paths[0]
    with Pil.open(path) as out:
        alpha = np.asarray(out)[..., 3]
    assert np.array_equal(alpha, np.minimum(255, np.maximum(100 + soft.astype(int), np.where(HOLE > 0, 255, 0))))


def test_transparency_of_another_size_is_left_out_with_a_note(tmp_path):
    Pil.fromarray(photo(4)).save(tmp_path / "a.png")
    ctx = Context(out=tmp_path / "out", listeners=((said := []).append,))
    image, _, profile = load(str(tmp_path / "a.png"), ctx)
    (path,) = save(image[:, :-1], ctx, profile=profile).paths
    assert any("transparency is left out" in event.message for event in said if isinstance(event, Warned))
    with Pil.open(path) as out:
        assert out.mode == "RGB"


# batches, and whose profile is taken


def test_each_picture_of_a_batch_keeps_its_own(tmp_path):
    (tmp_path / "in").mkdir()
    Pil.fromarray(photo()).save(tmp_path / "in" / "1.png", icc_profile=PROFILES["p3"])
    Pil.fromarray(photo(seed=1)).save(tmp_path / "in" / "2.png", icc_profile=PROFILES["adobe"])
    ctx = Context(out=tmp_path / "out")
    image, _, profile = load(str(tmp_path / "in"), ctx)
    paths = save(image.repeat_interleave(2, 0), ctx, profile=profile).paths  # two variations of each
    for path, name in zip(paths, ("p3", "p3", "adobe", "adobe"), strict=True):
        with Pil.open(path) as out:
            assert out.info["icc_profile"] == PROFILES[name]
    with pytest.raises(BadInput, match="2 pictures for 3") as caught:
        save(image[[0, 0, 1]], ctx, profile=profile)
    assert caught.value.port == "profile"


def two_photos(folder, first, second):
    """Two photos side by side on one sheet: both lie behind it."""
    for name, profile in (("a", first), ("b", second)):
        Pil.fromarray(photo()).save(folder / f"{name}.png", icc_profile=profile)
    graph = {
        "format": 1,
        "nodes": {
            "a": {"type": "image.load", "params": {"path": str(folder / "a.png")}},
            "b": {"type": "image.load", "params": {"path": str(folder / "b.png")}},
            "sheet": {"type": "image.grid", "inputs": {"image_1": "a.image", "image_2": "b.image"}},
            "save": {"type": "image.save", "inputs": {"image": "sheet.image"}},
        },
        "outputs": {},
    }
    done = inlay.run(graph, out=folder / "out", cache=False)
    with Pil.open(done.paths[0]) as out:
        return out.info.get("icc_profile"), [event.message for event in done.events if isinstance(event, Warned)]


def test_of_two_profiles_none_is_used_and_a_note_says_why(tmp_path):
    assert two_photos(tmp_path, None, None) == (None, [])  # nothing to lose
    profile, said = two_photos(tmp_path, PROFILES["p3"], PROFILES["adobe"])
    assert profile is None
    assert "a.png, b.png" in said[0]
    assert "none is used" in said[0]
    assert two_photos(tmp_path, PROFILES["p3"], PROFILES["p3"])[0] == PROFILES["p3"]


def test_the_base_of_a_paste_decides_not_its_patch(tmp_path):
    Pil.fromarray(photo()).save(tmp_path / "a.png", icc_profile=PROFILES["p3"])
    Pil.fromarray(photo(seed=2)).save(tmp_path / "b.png", icc_profile=PROFILES["adobe"])
    Pil.fromarray(HOLE).save(tmp_path / "hole.png")
    graph = fill_and_paste(tmp_path / "a.png", tmp_path / "hole.png")
    graph["nodes"]["other"] = {"type": "image.load", "params": {"path": str(tmp_path / "b.png")}}
    graph["nodes"]["paste"]["inputs"]["patch"] = "other.image"
    path = inlay.run(graph, out=tmp_path / "out", cache=False).paths[0]
    with Pil.open(path) as out:
        assert out.info["icc_profile"] == PROFILES["p3"]
    graph["nodes"]["save"]["inputs"]["profile"] = "other.profile"  # but whoever wires it decides
    path = inlay.run(graph, out=tmp_path / "out", cache=False).paths[0]
    with Pil.open(path) as out:
        assert out.info["icc_profile"] == PROFILES["adobe"]


def test_a_window_that_was_stitched_back_keeps_the_whole_pictures_profile(tmp_path):
    made = photo(4, np.uint16)
    made[..., 3] = 0
    (tmp_path / "a.png").write_bytes(png(made, [(b"gAMA", b"\0\1\x86\xa0")]))
    Pil.fromarray(HOLE).save(tmp_path / "hole.png")
    graph = fill_and_paste(tmp_path / "a.png", tmp_path / "hole.png")
    graph["nodes"]["cut"] = {"type": "image.crop_to_mask", "inputs": {"image": "photo.image", "mask": "hole.mask"}}
    graph["nodes"]["paste"] = {"type": "image.stitch", "inputs": {"patch": "cut.image", "crop": "cut.crop"}}
    path = inlay.run(graph, out=tmp_path / "out", cache=False).paths[0]
    out = samples_of(path)
    assert np.array_equal(out[KNOWN], made[KNOWN])
    assert (out[~KNOWN][:, 3] == 65535).all()
    assert dict(chunks(path.read_bytes()))[b"gAMA"] == b"\0\1\x86\xa0"


def test_a_profile_is_a_value(tmp_path):
    import pickle

    Pil.fromarray(photo(4)).save(tmp_path / "a.png", icc_profile=PROFILES["p3"], dpi=(300, 300))
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())
    one, two = (load(str(tmp_path / name), Context(out=tmp_path)).profile for name in ("a.png", "b.png"))
    assert one == two
    assert hash(one) == hash(two)
    assert pickle.loads(pickle.dumps(one)) == one
    assert one.nbytes > 24 * 32
    with pytest.raises(AttributeError):
        one.pictures[0].exif = b""
