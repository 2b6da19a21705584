"""image.load and mask.load against hand-made files: every mode, orientation, damaged and hostile files."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput
from inlay.nodes.image.files import load
from inlay.nodes.mask.files import load as load_mask
from inlay.pictures.files.headers import headers
from PIL import Image as Pil
from png_toys import without_pixels

RNG = np.random.default_rng(0)
SIZE = (9, 7)  # width, height


def bytes_of(shape):
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def test_rgb_is_exactly_x_over_255(tmp_path, ctx):
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    Pil.fromarray(np.stack([values, values.T, 255 - values], -1)).save(tmp_path / "a.png")
    image, mask, _ = load(str(tmp_path / "a.png"), ctx)
    assert image.dtype == torch.float32
    assert image.shape == (1, 16, 16, 3)
    expected = np.stack([values, values.T, 255 - values], -1).astype(np.float32) / np.float32(255)
    assert np.array_equal(image[0].numpy(), expected)
    assert mask.shape == (1, 16, 16)
    assert not mask.any()
    assert ctx.warnings == []


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_modes_agree_with_pillow(tmp_path, ctx, mode):
    source = Pil.fromarray(bytes_of((7, 9, 4)), "RGBA")
    picture = (
        source.convert("RGB").convert("P", palette=Pil.Palette.ADAPTIVE)
        if mode == "P"
        else (
            source.convert("L").convert("LA")
            if mode == "LA"
            else source.convert("RGB").convert(mode)
            if mode in ("1", "CMYK")
            else source.convert(mode)
        )
    )
    if mode == "LA":
        picture.putalpha(source.getchannel("A"))
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    picture.save(path)
    image, mask, _ = load(str(path), ctx)
    wanted = np.asarray(Pil.open(path).convert("RGB"), dtype=np.float32) / np.float32(255)
    assert np.array_equal(image[0].numpy(), wanted)
    if mode in ("LA", "RGBA"):
        alpha = np.asarray(source.getchannel("A"), dtype=np.float32) / np.float32(255)
        assert np.array_equal(mask[0].numpy(), 1 - alpha)
    else:
        assert not mask.any()


@pytest.mark.parametrize("transparency", [2, bytes([0, 128, 255, 255])])
def test_palette_transparency_is_the_mask(tmp_path, ctx, transparency):
    index = RNG.integers(0, 4, (7, 9), dtype=np.uint8)
    picture = Pil.fromarray(index, "P")
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90, 255, 255, 255])
    picture.save(tmp_path / "a.png", transparency=transparency)
    image, mask, _ = load(str(tmp_path / "a.png"), ctx)
    table = np.array([0, 128, 255, 255]) if isinstance(transparency, bytes) else np.array([255, 255, 0, 255])
    assert np.allclose(mask[0].numpy(), 1 - table[index] / 255, atol=1e-7)
    palette = np.array([[10, 20, 30], [40, 50, 60], [70, 80, 90], [255, 255, 255]], dtype=np.float32)
    assert np.array_equal(image[0].numpy(), palette[index] / np.float32(255))


def test_grey_and_rgb_colour_keys_are_transparent(tmp_path, ctx):
    grey = np.array([[0, 7, 9], [7, 1, 2]], dtype=np.uint8)
    Pil.fromarray(grey).save(tmp_path / "l.png", transparency=7)
    _, mask, _ = load(str(tmp_path / "l.png"), ctx)
    assert np.array_equal(mask[0].numpy(), (grey == 7).astype(np.float32))
    colour = np.stack([grey, grey, grey], -1)
    Pil.fromarray(colour).save(tmp_path / "rgb.png", transparency=(7, 7, 7))
    _, mask, _ = load(str(tmp_path / "rgb.png"), ctx)
    assert np.array_equal(mask[0].numpy(), (grey == 7).astype(np.float32))


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_keeps_its_depth(tmp_path, ctx, suffix):
    values = RNG.integers(0, 65536, (7, 9), dtype=np.uint16)
    values[0, :2] = 0, 65535
    Pil.fromarray(values).save(tmp_path / f"a.{suffix}")
    image, *_ = load(str(tmp_path / f"a.{suffix}"), ctx)
    assert np.array_equal(image[0, ..., 1].numpy(), values.astype(np.float32) / np.float32(65535))


@pytest.mark.parametrize(("order", "zero"), [(">", "black"), ("<", "black"), ("<", "white")])
def test_sixteen_bit_tiffs_of_both_orders_and_zeros(tmp_path, ctx, order, zero):
    values = RNG.integers(0, 65536, (3, 5)).astype(f"{order}u2")
    tags = [
        (256, 3, 1, 5),
        (257, 3, 1, 3),
        (258, 3, 1, 16),
        (259, 3, 1, 1),
        (262, 3, 1, int(zero == "black")),
        (273, 4, 1, 200),
        (277, 3, 1, 1),
        (278, 3, 1, 3),
        (279, 4, 1, 30),
    ]
    body = (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(f"{order}IH", 8, len(tags))
    for tag, kind, count, value in tags:
        packed = struct.pack(f"{order}HH", value, 0) if kind == 3 else struct.pack(f"{order}I", value)
        body += struct.pack(f"{order}HHI", tag, kind, count) + packed
    (tmp_path / "a.tif").write_bytes(body.ljust(200, b"\0") + values.tobytes())
    image, *_ = load(str(tmp_path / "a.tif"), ctx)
    values = 65535 - values if zero == "white" else values
    assert np.array_equal(image[0, ..., 0].numpy(), values.astype(np.float32) / np.float32(65535))


def test_sixteen_bit_planes_are_refused_not_misread(tmp_path, ctx):
    values = RNG.integers(0, 65536, (3, 4, 5)).astype("<u2")  # a plane of 4×5 for each colour
    tags = [
        (256, 3, 1, 5),
        (257, 3, 1, 4),
        (258, 3, 3, 150),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 3, 160),
        (277, 3, 1, 3),
        (278, 3, 1, 4),
        (279, 4, 3, 180),
        (284, 3, 1, 2),
    ]
    body = b"II*\0" + struct.pack("<IH", 8, len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    body = body.ljust(150, b"\0") + struct.pack("<3H", 16, 16, 16)
    body = body.ljust(160, b"\0") + struct.pack("<6I", 200, 240, 280, 40, 40, 40)
    (tmp_path / "a.tif").write_bytes(body.ljust(200, b"\0") + values.tobytes())
    with pytest.raises(BadInput, match="separate planes"):
        load(str(tmp_path / "a.tif"), ctx)
    with pytest.raises(BadInput, match="separate planes"):
        headers(str(tmp_path / "a.tif"))


def test_a_tiff_of_another_kind_is_called_a_tiff(tmp_path, ctx):
    body = b"MM\0*" + struct.pack(">IH", 8, 2) + struct.pack(">HHII", 256, 4, 1, 5) + struct.pack(">HHII", 257, 4, 1, 4)
    (tmp_path / "a.tif").write_bytes(body.ljust(400, b"\0"))
    with pytest.raises(BadInput, match="a TIFF of a kind that is not read"):
        load(str(tmp_path / "a.tif"), ctx)


def test_mode_i_within_sixteen_bits(tmp_path, ctx):
    values = RNG.integers(0, 65536, (7, 9)).astype(np.int32)
    Pil.fromarray(values).save(tmp_path / "a.tif")
    image, *_ = load(str(tmp_path / "a.tif"), ctx)
    assert np.array_equal(image[0, ..., 0].numpy(), values.astype(np.float32) / np.float32(65535))
    Pil.fromarray(values * 40000).save(tmp_path / "b.tif")
    with pytest.raises(BadInput, match="32-bit integers"):
        load(str(tmp_path / "b.tif"), ctx)


def test_float_pictures_are_refused_by_name(tmp_path, ctx):
    Pil.fromarray(np.ones((3, 3), dtype=np.float32)).save(tmp_path / "a.tif")
    with pytest.raises(BadInput, match="mode 'F'") as caught:
        load(str(tmp_path / "a.tif"), ctx)
    assert caught.value.port == "path"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, ctx, suffix, orientation):
    array = np.zeros((16, 32, 3), dtype=np.uint8)
    array[:8, :8] = 255, 0, 0
    array[8:, 24:] = 0, 255, 0
    exif = Pil.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if suffix == "webp" else {"quality": 100, "subsampling": 0} if suffix == "jpg" else {}
    Pil.fromarray(array).save(tmp_path / f"a.{suffix}", exif=exif, **options)
    image, mask, _ = load(str(tmp_path / f"a.{suffix}"), ctx)
    upright = {
        1: array,
        2: array[:, ::-1],
        3: array[::-1, ::-1],
        4: array[::-1],
        5: array.transpose(1, 0, 2),
        6: np.rot90(array, -1),
        7: np.rot90(array, 2).transpose(1, 0, 2),
        8: np.rot90(array),
    }[orientation]
    assert image.shape[1:] == upright.shape
    assert np.abs(image[0].numpy() - upright / 255).max() < (0.02 if suffix == "jpg" else 1e-6)
    assert mask.shape == image.shape[:3]


def test_folder_and_glob_are_sorted_naturally(tmp_path, ctx):
    for number in (10, 9, 1):
        Pil.new("RGB", SIZE, (number, 0, 0)).save(tmp_path / f"p{number}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / ".hidden.png").write_bytes(b"nor this")
    for path in (str(tmp_path), str(tmp_path / "*.png"), str(tmp_path / "p*")):
        image, mask, _ = load(path, ctx)
        assert (image[:, 0, 0, 0] * 255).round().tolist() == [1, 9, 10]
        assert mask.shape == (3, SIZE[1], SIZE[0])


def test_a_file_whose_name_looks_like_a_glob(tmp_path, ctx):
    Pil.new("RGB", SIZE, (5, 0, 0)).save(tmp_path / "a[1].png")
    Pil.new("RGB", SIZE, (9, 0, 0)).save(tmp_path / "a1.png")
    assert load(str(tmp_path / "a[1].png"), ctx).image[0, 0, 0, 0] * 255 == 5


def test_batches_need_one_size_and_all_sizes_are_listed(tmp_path, ctx):
    Pil.new("RGB", (9, 7)).save(tmp_path / "a.png")
    Pil.new("RGB", (9, 7)).save(tmp_path / "b.png")
    Pil.new("RGB", (141, 99)).save(tmp_path / "c.png")
    exif = Pil.Exif()
    exif[0x0112] = 6
    Pil.new("RGB", (7, 9)).save(tmp_path / "d.png", exif=exif)  # 9×7 once upright
    with pytest.raises(BadInput) as caught:
        load(str(tmp_path), ctx)
    assert caught.value.port == "path"
    assert "9×7: a.png, b.png, d.png" in caught.value.found
    assert "141×99: c.png" in caught.value.found
    (tmp_path / "c.png").unlink()
    assert load(str(tmp_path), ctx).image.shape == (3, 7, 9, 3)


def test_animations_give_their_first_frame_and_say_so(tmp_path, ctx):
    frames = [Pil.new("RGB", SIZE, colour) for colour in ("red", "lime", "blue")]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        ctx.warnings.clear()
        options = {"lossless": True} if name == "a.webp" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], **options)
        image, *_ = load(str(tmp_path / name), ctx)
        assert image.shape[0] == 1
        assert image[0, 0, 0].tolist() == [1, 0, 0]
        assert any("3 frames" in message and name in message for message in ctx.warnings)


def bad_files(folder: Path):
    rgb = Pil.fromarray(bytes_of((64, 64, 3)))
    for name, options in (
        ("cut.png", {}),
        ("cut.jpg", {}),
        ("cut.webp", {"lossless": True}),
        ("cut.gif", {}),
        ("cut.bmp", {}),
        ("cut.tif", {}),
    ):
        rgb.save(folder / name, **options)
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[: len(data) // 2])
    (folder / "text.png").write_text("I am text")
    (folder / "empty.png").write_bytes(b"")
    (folder / "photo.png").write_bytes(b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00")
    (folder / "drawing.png").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (folder / "zero.png").write_bytes(without_pixels(0, 0))
    (folder / "flat.png").write_bytes(without_pixels(12, 0))
    (folder / "large.png").write_bytes(without_pixels(20_000, 10_000))
    (folder / "middle.png").write_bytes(without_pixels(11_000, 10_000))
    (folder / "bomb.png").write_bytes(without_pixels(100_000, 100_000))
    rgb.convert("L").save(folder / "other.png", format="PPM")


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("cut.png", "damaged"),
        ("cut.jpg", "damaged"),
        ("cut.webp", ""),
        ("cut.gif", ""),
        ("cut.bmp", "damaged"),
        ("cut.tif", ""),
        ("text.png", "not a picture"),
        ("empty.png", "empty file"),
        ("photo.png", "HEIC"),
        ("drawing.png", "SVG"),
        ("zero.png", "0 pixels"),
        ("flat.png", "0 pixels"),
        ("large.png", "200 megapixels"),
        ("middle.png", "11000×10000"),
        ("bomb.png", "100 megapixels"),
        ("other.png", "not a picture"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_bad_files_are_explained(tmp_path, ctx, name, says):
    bad_files(tmp_path)
    for function in (load, load_mask):
        with pytest.raises(BadInput) as caught:
            function(str(tmp_path / name), ctx)
        assert caught.value.port == "path"
        assert says in str(caught.value)
        assert name in caught.value.found
        assert caught.value.fix


def test_missing_files_folders_and_odd_things(tmp_path, ctx):
    (tmp_path / "room.png").write_bytes(b"")
    (tmp_path / "void").mkdir()
    for path, says in (
        ("rom.png", "did you mean 'room.png'"),
        ("void", "no picture"),
        ("no*.png", "no picture"),
        ("nowhere/room.png", "no folder"),
    ):
        with pytest.raises(BadInput, match=says) as caught:
            load(str(tmp_path / path), ctx)
        assert caught.value.port == "path"
    with pytest.raises(BadInput, match="not an ordinary file"):
        load("/dev/null", ctx)


def test_a_link_out_of_the_folder_is_refused(tmp_path, ctx):
    folder, outside = tmp_path / "in", tmp_path / "secret.png"
    folder.mkdir()
    Pil.new("RGB", SIZE).save(outside)
    Pil.new("RGB", SIZE).save(folder / "a.png")
    (folder / "b.png").symlink_to(outside)
    for path in (folder, folder / "*.png"):
        with pytest.raises(BadInput, match="leads out"):
            load(str(path), ctx)


def test_only_a_profile_that_cannot_be_used_is_mentioned(tmp_path, ctx):
    from PIL import ImageCms

    Pil.new("RGB", SIZE).save(
        tmp_path / "s.png", icc_profile=ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    )
    load(str(tmp_path / "s.png"), ctx)
    assert ctx.warnings == []
    Pil.new("RGB", SIZE).save(tmp_path / "x.png", icc_profile=b"nonsense")
    load(str(tmp_path / "x.png"), ctx)
    assert "colour profile is damaged" in ctx.warnings[0]
    assert "x.png" in ctx.warnings[0]
    ctx.warnings.clear()
    load_mask(str(tmp_path / "x.png"), ctx, threshold=None)
    assert not any("profile" in message for message in ctx.warnings)  # a mask has no colour


def test_real_photos(ctx):
    photos = Path(__file__).parents[2].parent / "shared" / "photos"
    if not photos.is_dir():
        pytest.skip("no ../shared/photos beside the repository")
    for path in sorted(photos.glob("*.[pj]*g")):
        image, mask, _ = load(str(path), ctx)
        assert mask.shape == image.shape[:3]
        wanted = np.asarray(Pil.open(path).convert("RGB"), dtype=np.float32) / np.float32(255)
        assert np.array_equal(image[0].numpy(), wanted)
    for name in ("example_1_mask.png", "painting-mask-palette.png", "scene-mask-rgba.png"):
        mask = load_mask(str(photos / name), ctx).mask
        assert mask.shape == (1, 512, 512)
        assert set(mask.unique().tolist()) == {0.0, 1.0}
        assert 0.01 < float(mask.mean()) < 0.6
