"""What people wire that is odd: pipes for pictures, fuzzed files, slivers, turned photos, batches of variations."""

import os
import threading

import inlay
import numpy as np
import pytest
import torch
from inlay.graph_runtime import BadInput, Context
from inlay.graph_runtime.core.events import Warned
from inlay.models.text_encoder import tokenize
from inlay.nodes.condition import text
from inlay.nodes.image import crop_to_mask, fit, load, paste_back, save, stitch, unfit
from inlay.nodes.latent import encode
from inlay.nodes.mask import load as load_mask
from inlay.nodes.mask import shape
from inlay.nodes.model import stable_diffusion
from PIL import Image as Pil


def picture(count, height=12, width=10, seed=0):
    return torch.rand(count, height, width, 3, generator=torch.Generator().manual_seed(seed))


def hole(count, height=12, width=10):
    """A hole in another place for each mask."""
    masks = torch.zeros(count, height, width)
    for number, mask in enumerate(masks):
        mask[3 + number : 7 + number, 2:5] = 1
    return masks


# variations: row i belongs to picture i // k


@pytest.mark.parametrize(
    ("bases", "masks", "patches"), [(3, 1, 6), (3, 3, 6), (1, 2, 4), (1, 1, 2), (2, 1, 2), (2, 2, 6)]
)
def test_a_patch_goes_back_into_its_own_picture(bases, masks, patches):
    base, mask, patch = picture(bases), hole(masks), picture(patches, seed=1)
    out = paste_back(base, patch, mask).image
    assert len(out) == patches
    each = patches // max(bases, masks)
    for row, got in enumerate(out):
        own, plane = base[row // each if bases > 1 else 0], mask[row // each if masks > 1 else 0]
        assert torch.equal(got, torch.where(plane[..., None] > 0, patch[row], own))


def test_a_batch_that_is_no_multiple_is_still_refused():
    with pytest.raises(BadInput, match="base 3"):
        paste_back(picture(3), picture(4), hole(1))


def test_margins_and_windows_are_given_back_to_their_own_picture():
    base, mask = picture(3, 30, 21), hole(3, 30, 21)
    fitted = fit(base, mask, mode="crop", multiple=8)
    changed = fitted.image.repeat_interleave(2, 0) * 0.5
    out = unfit(changed, fitted.fit).image
    assert torch.equal(out[:, 0], base.repeat_interleave(2, 0)[:, 0])  # the margin
    assert torch.equal(unfit(fitted.image.repeat_interleave(2, 0), fitted.fit).image, base.repeat_interleave(2, 0))
    cut = crop_to_mask(base, mask, size=None)
    out = stitch(torch.zeros_like(cut.image).repeat_interleave(2, 0), cut.crop).image
    assert torch.equal(out, (base * (1 - mask[..., None])).repeat_interleave(2, 0))


# sizes


@pytest.mark.parametrize(
    ("sides", "options"),
    [
        ((2000, 3), {"size": 512}),
        ((3, 2000), {"size": 512, "mode": "crop"}),
        ((3, 3), {"size": 16384}),
        ((1, 20_000), {"square": True}),
    ],
)
def test_a_sliver_does_not_become_a_giant(sides, options):
    with pytest.raises(BadInput) as caught:
        fit(torch.zeros(1, *sides, 3), **options)
    assert caught.value.port in ("size", "image")
    assert "100 megapixels" in caught.value.expected


def test_long_pictures_that_are_not_enlarged_pass_and_patches_are_bounded():
    assert fit(torch.zeros(1, 1, 70_001, 3)).image.shape == (1, 8, 70_008, 3)
    with pytest.raises(BadInput, match="16384×16384"):
        crop_to_mask(torch.zeros(1, 64, 64, 3), torch.ones(1, 64, 64), size=16384)


@pytest.mark.parametrize("unit", ["px", "fraction"])
@pytest.mark.parametrize("value", [1e308, -1e308, float("nan"), float("inf")])
@pytest.mark.parametrize("port", ["x", "y", "width", "height", "jitter"])
def test_absurd_numbers_are_refused_in_few_words(port, value, unit):
    with pytest.raises(BadInput) as caught:
        shape(torch.zeros(1, 12, 10, 3), unit=unit, **{port: value})
    assert caught.value.port == port
    assert len(str(caught.value)) < 300


def test_a_mask_drawn_on_the_unturned_photo_is_explained():
    for sides, hint in (((10, 12), "EXIF"), ((10, 10), "image.fit")):
        with pytest.raises(BadInput, match=hint):
            paste_back(picture(1), picture(1), torch.ones(1, *sides))


# files


@pytest.mark.parametrize("kind", ["empty", "glob", "pipe", "device", "loop", "dangling", "long", "null"])
def test_paths_that_are_no_picture(tmp_path, kind):
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


def tiff(tmp_path, change):
    """A TIFF of two pages in which `change` (old bytes, new bytes) was made after the first."""
    path = tmp_path / "a.tif"
    Pil.new("RGB", (5, 4)).save(path, save_all=True, append_images=[Pil.new("RGB", (5, 4))])
    data = path.read_bytes()
    place = data.rfind(change[0])
    assert place > data.find(change[0]) >= 0
    path.write_bytes(data[:place] + change[1] + data[place + len(change[0]) :])
    return path


@pytest.mark.parametrize(
    "change",
    [
        (b"\x00\x01\x04\x00\x01", b"\x09\x77\x04\x00\x01"),  # the second page has no width
        (b"\x06\x01\x03\x00\x01\x00\x00\x00\x02", b"\x06\x01\x03\x00\x01\x00\x00\x00\x63"),
    ],
)
def test_whatever_a_decoder_trips_over_is_said_of_the_file(tmp_path, change):
    with pytest.raises(BadInput, match="damaged"):
        load(str(tiff(tmp_path, change)), Context(out=tmp_path))


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


@pytest.mark.parametrize(
    ("mode", "alpha", "words"),
    [("RGBA", 255, []), ("RGBA", 200, ["transparency"]), ("LA", 0, ["transparency"]), ("I;16", None, ["16 bits"])],
)
def test_what_a_file_does_not_keep_is_said_when_it_is_written(tmp_path, mode, alpha, words):
    made = Pil.new(mode if alpha is None else mode[:-1], (5, 4), 0)
    if alpha is not None:
        made.putalpha(alpha)
    made.save(tmp_path / "a.png")
    said = []
    ctx = Context(out=tmp_path, listeners=(said.append,))
    image, _, profile = load(str(tmp_path / "a.png"), ctx)
    save(image, ctx, profile=profile)
    load_mask(str(tmp_path / "a.png"), ctx, threshold=None)
    assert not any(
        "transparency" in event.message or "16" in event.message for event in said if isinstance(event, Warned)
    )
    said.clear()
    save(image, ctx, format="jpeg", profile=profile)
    warnings = [event.message for event in said if isinstance(event, Warned)][1:]  # the first: JPEG is not exact
    assert len(warnings) == len(words)
    assert all(word in warning for word, warning in zip(words, warnings, strict=True))


# threads and texts


def together(jobs):
    """Run jobs at once, each in a thread of its own; the first exception is raised here."""
    errors = []

    def run(job):
        try:
            job()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def test_a_tokenizer_is_not_changed_by_being_asked(shared_sd):
    tokenizer = stable_diffusion(str(shared_sd)).text_encoder.read_tokenizer()
    words = ["a", "a b c d", "a b c d e f g h i j k l"]
    want = [tokenizer(word, truncation=True, max_length=8).input_ids for word in words]
    tokenizer(words[0], truncation=False, padding=False)
    settings = []

    def job():
        for _ in range(50):
            assert [tokenize(tokenizer, word, 8)[0] for word in words] == want
            inner = getattr(tokenizer, "backend_tokenizer", None)  # transformers 4 has a tokenizer in Python here
            settings.append((inner.padding, inner.truncation) if inner else (None, None))

    together([job] * 4)
    assert set(settings) == {(None, None)}


def test_tiling_of_one_thread_is_not_that_of_another(shared_sd, tmp_path):
    vae, image = stable_diffusion(str(shared_sd)).vae, picture(1, 96, 96)
    ctx = Context(out=tmp_path)
    want = {tiling: encode(image, vae, ctx, tiling=tiling).latent for tiling in ("on", "off")}
    assert not torch.equal(want["on"], want["off"])

    def job(tiling):
        for _ in range(4):
            assert torch.equal(encode(image, vae, ctx, tiling=tiling).latent, want[tiling])

    together([lambda: job("on"), lambda: job("off")])


@pytest.mark.parametrize(
    ("words", "port"),
    [({"prompt": "a\ud800"}, "prompt"), ({"negative": "\udfff"}, "negative"), ({"text": "\ud800"}, "text")],
)
def test_half_a_character_is_refused(shared_sd, tmp_path, words, port):
    with pytest.raises(BadInput, match="half a character") as caught:
        text(stable_diffusion(str(shared_sd)).text_encoder, Context(out=tmp_path), **words)
    assert caught.value.port == port
    str(caught.value).encode("utf-8")


# the whole job


@pytest.mark.parametrize(("photos", "masks"), [(3, 1), (1, 2)])
def test_variations_of_a_batch_come_out_pasted_into_their_own_photo(shared_sd, tmp_path, photos, masks):
    for name, batch in (("photos", picture(photos, 24, 40)), ("masks", hole(masks, 24, 40))):
        (tmp_path / name).mkdir()
        for number, one in enumerate(batch):
            Pil.fromarray((one.numpy() * 255).round().astype(np.uint8)).save(tmp_path / name / f"{number}.png")
    done = inlay.run(
        "zero_shot_inpaint",
        image=str(tmp_path / "photos"),
        mask=str(tmp_path / "masks"),
        steps=2,
        source=str(shared_sd),
        variations=2,
        out=tmp_path / "out",
        cache=False,
    )
    assert len(done.paths) == 2 * max(photos, masks)
    for row, path in enumerate(done.paths):
        with Pil.open(path) as got, Pil.open(tmp_path / "photos" / f"{row // 2 if photos > 1 else 0}.png") as photo:
            outside = hole(masks, 24, 40)[row // 2 if masks > 1 else 0].numpy() == 0
            assert np.array_equal(np.asarray(got)[outside], np.asarray(photo)[outside])
            assert not np.array_equal(np.asarray(got), np.asarray(photo))
