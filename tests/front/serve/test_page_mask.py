"""The modules of the page that hold pixels, against plain transcriptions and other programs."""

import base64
import io
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from brush.hands import browser, modules, packed, unpacked
from inlay.pictures.masks.morphology import grow_mask, inward_ramp
from PIL import Image

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def page():
    with browser() as started:
        yield modules(started)


def draw(page, width, height, calls):
    """A mask after some calls of its methods."""
    text = page.evaluate(
        """async ([width, height, calls]) => {
            const { Mask } = await import("/page/mask.js");
            const mask = new Mask(width, height);
            for (const [name, ...given] of calls) {
                mask.begin();
                mask[name](...given);
                mask.end();
            }
            return pack(mask.data);
        }""",
        [width, height, calls],
    )
    return unpacked(text, (height, width))


def near_line(width, height, x0, y0, x1, y1, radius):
    """Pixels whose distance to a segment is at most the radius, by exact fractions."""
    x0, y0, x1, y1, radius = (Fraction(value) for value in (x0, y0, x1, y1, radius))
    dx, dy = x1 - x0, y1 - y0
    squared = dx * dx + dy * dy
    out = np.zeros((height, width), np.uint8)
    for y in range(height):
        for x in range(width):
            share = (
                Fraction(0)
                if squared == 0
                else max(Fraction(0), min(Fraction(1), ((x - x0) * dx + (y - y0) * dy) / squared))
            )
            gx, gy = x - x0 - share * dx, y - y0 - share * dy
            out[y, x] = 255 * (gx * gx + gy * gy <= radius * radius)
    return out


def test_a_stroke_covers_exactly_the_pixels_within_its_radius(page):
    rng = np.random.default_rng(1)
    for _ in range(40):
        width, height = (int(value) for value in rng.integers(5, 34, 2))
        ends = [float(value) for value in rng.uniform(-6, 36, 4)]
        radius = float(rng.uniform(0.3, 12))
        assert np.array_equal(
            draw(page, width, height, [["line", *ends, radius, 255]]), near_line(width, height, *ends, radius)
        ), (width, height, ends, radius)


def around(points, x, y):
    """Whether a closed line goes around a place, by the sum of the angles it is seen under."""
    total = 0.0
    for (x0, y0), (x1, y1) in zip(points, points[1:] + points[:1], strict=True):
        one, other = math.atan2(y0 - y, x0 - x), math.atan2(y1 - y, x1 - x)
        total += (other - one + math.pi) % (2 * math.pi) - math.pi
    return round(total / (2 * math.pi)) != 0


def test_a_lasso_covers_what_it_goes_around(page):
    rng = np.random.default_rng(2)
    for count in (3, 4, 5, 9, 20, 20, 20):
        points = [[float(x) + 0.137, float(y) + 0.211] for x, y in rng.uniform(-5, 45, (count, 2))]
        drawn = draw(page, 40, 30, [["polygon", points, 255]])
        expected = [[255 * around(points, x, y) for x in range(40)] for y in range(30)]
        assert np.array_equal(drawn, np.array(expected, np.uint8)), points


def test_any_steps_are_undone_and_done_again_to_the_bit(page):
    result = page.evaluate(
        """async () => {
            const { Mask } = await import("/page/mask.js");
            const mask = new Mask(700, 530), seen = [mask.data.slice()];
            let seed = 5;
            const random = (most) => (seed = (seed * 16807) % 2147483647) % most;
            for (let step = 0; step < 60; step++) {
                const value = random(3) ? 255 : 0;
                if (step % 17 === 16) mask.invert();
                else {
                    mask.begin();
                    const [x, y] = [random(800) - 50, random(600) - 50];
                    if (step % 3 === 0) mask.line(x, y, random(800) - 50, random(600), random(90), value);
                    else if (step % 3 === 1) mask.rectangle(random(700), random(530), random(900), random(700), value);
                    else mask.polygon(Array.from({ length: 6 }, () => [random(700), random(530)]), value);
                    if (!mask.end()) continue;
                }
                seen.push(mask.data.slice());
            }
            const same = (one, other) => one.every((value, at) => value === other[at]);
            let wrong = 0;
            for (let at = seen.length - 2; at >= 0; at--) wrong += !mask.undo() || !same(mask.data, seen[at]);
            wrong += mask.undo();
            for (let at = 1; at < seen.length; at++) wrong += !mask.redo() || !same(mask.data, seen[at]);
            wrong += mask.redo();
            mask.begin();
            mask.line(0, 0, 600, 500, 40, 0);
            mask.abandon();
            wrong += !same(mask.data, seen.at(-1));
            return [wrong, seen.length];
        }"""
    )
    assert result[0] == 0
    assert result[1] > 40


def weights_of(page, mask, reach, feather, parts):
    """The weights of the page as 32-bit floats, computed part by part."""
    height, width = mask.shape
    text = page.evaluate(
        """async ([text, width, height, reach, feather, parts]) => {
            const { depths, ramp } = await import("/page/weights.js");
            const mask = unpack(text), table = ramp(feather), out = new Float32Array(width * height);
            for (const rect of parts) {
                const found = depths(mask, width, height, rect, reach, feather);
                let at = 0;
                for (let y = rect.top; y < rect.bottom; y++)
                    for (let x = rect.left; x < rect.right; x++) out[y * width + x] = table[found[at++]];
            }
            return pack(new Uint8Array(out.buffer));
        }""",
        [packed(mask), width, height, reach, feather, parts],
    )
    return unpacked(text, mask.shape, np.float32)


def parts_of(width, height, side):
    return [
        {"left": left, "top": top, "right": min(width, left + side), "bottom": min(height, top + side)}
        for top in range(0, height, side)
        for left in range(0, width, side)
    ]


@pytest.mark.parametrize(
    ("grow", "feather"), [(0, 0), (1, 0), (0, 1), (3, 2), (0, 9), (12, 5), (40, 30)], ids=lambda value: str(value)
)
def test_the_preview_has_the_very_weights_that_a_run_uses(page, grow, feather):
    """`inpaint` grows the mask by grow + feather (mask.grow), then softens it inward (image.stitch)."""
    rng = np.random.default_rng(grow * 100 + feather)
    for number in range(6):
        height, width = (int(value) for value in rng.integers(20, 90, 2))
        mask = np.zeros((height, width), np.uint8)
        for _ in range(number):
            y, x = rng.integers(0, height), rng.integers(0, width)
            mask[y : y + rng.integers(1, 25), x : x + rng.integers(1, 25)] = 255
        if number == 5:
            mask[rng.random(mask.shape) < 0.02] = 255
        plane = torch.from_numpy(mask > 0).float()[None]
        expected = inward_ramp(grow_mask(plane, grow + feather), feather)[0].numpy()
        found = weights_of(page, mask, grow + feather, feather, parts_of(width, height, 31))
        assert found.tobytes() == expected.tobytes(), (number, np.abs(found - expected).max())


def test_a_byte_of_the_preview_is_zero_or_full_only_where_the_weight_is(page):
    shown = page.evaluate(
        """async () => {
            const { byteOf, ramp } = await import("/page/weights.js");
            return [[...ramp(200)].map(byteOf), byteOf(1e-9), byteOf(1 - 1e-9)];
        }"""
    )
    assert shown[0][0] == 0
    assert set(shown[0][1:40]) == {1}  # far below 1/255, and still seen
    assert shown[0][-1] == 255
    assert shown[1:] == [1, 254]


def test_a_mask_is_written_so_that_another_program_reads_the_same_bytes(page):
    rng = np.random.default_rng(3)
    for width, height in ((1, 1), (7, 3), (256, 256), (641, 427)):
        mask = (rng.random((height, width)) < 0.3).astype(np.uint8) * 255
        file, back = page.evaluate(
            """async ([text, width, height]) => {
                const { readMask, writeMask } = await import("/page/png.js");
                const file = await writeMask({ data: unpack(text), width, height });
                const bytes = new Uint8Array(await file.arrayBuffer());
                return [pack(bytes), pack((await readMask(bytes)).data)];
            }""",
            [packed(mask), width, height],
        )
        with Image.open(io.BytesIO(base64.b64decode(file))) as picture:
            assert (picture.mode, picture.size) == ("L", (width, height))
            assert np.array_equal(np.asarray(picture), mask)
        assert np.array_equal(unpacked(back, mask.shape), mask)


def test_a_grey_file_of_another_program_is_read_to_the_bit(page):
    """Pillow chooses filters of rows as it likes."""
    y, x = np.mgrid[:90, :120]
    for picture in (((x * y) % 256), (x + 2 * y) % 256, np.random.default_rng(4).integers(0, 256, (90, 120))):
        file = io.BytesIO()
        Image.fromarray(picture.astype(np.uint8)).save(file, "PNG")
        text = page.evaluate(
            """async (text) => pack((await (await import("/page/png.js")).readMask(unpack(text))).data)""",
            base64.b64encode(file.getvalue()).decode(),
        )
        assert np.array_equal(unpacked(text, picture.shape), picture)


@pytest.mark.parametrize("how", ["plain", "packed", "international", "JPEG", "WEBP"])
def test_the_recipe_of_a_picture_is_read_from_any_format(page, how):
    from PIL import PngImagePlugin

    recipe = '{"workflow": {"nodes": {"a": {}}}, "files": {}, "title": "\\u00e9"}'
    file, picture = io.BytesIO(), Image.new("RGB", (9, 9))
    if how in ("JPEG", "WEBP"):
        exif = Image.Exif()
        exif[0x010E] = recipe
        picture.save(file, how, exif=exif)
    else:
        texts = PngImagePlugin.PngInfo()
        texts.add_text("other", "text")
        if how == "international":
            texts.add_itxt("inlay", recipe, zip=True)
        else:
            texts.add_text("inlay", recipe, zip=how == "packed")
        picture.save(file, "PNG", pnginfo=texts)
    read = page.evaluate(
        """async (text) => (await import("/page/recipe.js")).readRecipe(unpack(text))""",
        base64.b64encode(file.getvalue()).decode(),
    )
    assert read == {"workflow": {"nodes": {"a": {}}}, "files": {}, "title": "é"}


def test_a_photo_without_a_recipe_has_none(page):
    for kind in ("PNG", "JPEG", "WEBP", "TIFF"):
        file = io.BytesIO()
        Image.effect_noise((40, 40), 60).convert("RGB").save(file, kind)
        text = base64.b64encode(file.getvalue()).decode()
        assert page.evaluate("""async (t) => (await import("/page/recipe.js")).readRecipe(unpack(t))""", text) is None
