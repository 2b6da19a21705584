"""The page as people use it, in a real browser before a real server with its guard."""

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from brush.hands import Hands, browser
from brush.rounds import Rounds
from inlay.graph_runtime.front.cli.main import main
from inlay.graph_runtime.front.installed import shipped_samples
from inlay.pictures.masks.morphology import grow_mask
from PIL import Image, ImageOps
from serving import served

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("page")]
WIDE, TALL = 96, 64


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INLAY_HOME", str(tmp_path_factory.mktemp("home")))
        patch.setenv("INLAY_OFFLINE", "1")
        with served(tmp_path_factory.mktemp("serve"), guarded=True) as (client, _), browser() as started:
            client.ready()
            yield client, started


@pytest.fixture
def look():
    """How the window is: other options of the browser's context."""
    return {"viewport": {"width": 1200, "height": 800}}


@pytest.fixture
def hands(world, look):
    client, started = world
    context = started.new_context(**look)
    hands = Hands(context.new_page(), client)
    hands.page.set_default_timeout(60_000)
    yield hands
    context.close()
    known = ("422", "ERR_FAILED", "willReadFrequently")  # refusals, a server that is cut off, these tests
    assert not [text for text in hands.said if not any(word in text for word in known)]  # nor what the policy forbids


def photo(seed=0, wide=WIDE, tall=TALL):
    """A photo of soft colours."""
    few = np.random.default_rng(seed).integers(0, 255, (6, 8, 3), np.uint8)
    return Image.fromarray(few).resize((wide, tall), Image.Resampling.BICUBIC)


def file_of(picture, kind="PNG", **how):
    file = io.BytesIO()
    picture.save(file, kind, **how)
    return file.getvalue()


def pixels(body):
    with Image.open(io.BytesIO(body)) as picture:
        return np.asarray(picture)


def kinds():
    turned = Image.Exif()
    turned[0x0112] = 6
    clear = photo().convert("RGBA")
    clear.putalpha(photo(1).convert("L"))
    deep = Image.fromarray(np.random.default_rng(2).integers(0, 65535, (TALL, WIDE), np.uint16))
    yield "16 bits", file_of(deep), "image/png", (WIDE, TALL)
    yield "transparent", file_of(clear), "image/png", (WIDE, TALL)
    yield "turned", file_of(photo(), "JPEG", exif=turned), "image/jpeg", (TALL, WIDE)
    yield "turned PNG", file_of(photo(), exif=turned), "image/png", (TALL, WIDE)
    yield "WebP", file_of(photo(), "WEBP", lossless=True), "image/webp", (WIDE, TALL)
    yield "TIFF", file_of(photo(), "TIFF"), "image/tiff", (WIDE, TALL)


def test_a_photo_of_any_kind_arrives_with_its_own_bytes_and_a_mask_of_its_size(hands):
    for name, body, media, size in kinds():
        hands.open(body, f"{name}.file", media)
        assert f"{size[0]} × {size[1]}" in hands.page.inner_text("#name")
        shown = hands.page.evaluate("[photo.offsetWidth, photo.offsetHeight, photo.naturalWidth > 0]")
        assert shown == [*size, True], name
        hands.width(9)
        hands.drag((10, 12), (30, 20))
        run = hands.run()
        assert hands.sent(run, "photo") == body, name
        mask = pixels(hands.sent(run, "hole"))
        assert (mask.dtype, mask.shape, set(np.unique(mask))) == (np.uint8, size[::-1], {0, 255}), name
        assert mask[12, 10] == 255, name
        assert mask[40, 50] == 0, name


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_turned_photo_is_shown_as_the_run_sees_it(hands, kind):
    """A stroke in a corner of what is shown lies in that corner for the run. Chromium does not turn WebP."""
    for orientation in (1, 3, 4, 5, 8):
        exif = Image.Exif()
        exif[0x0112] = orientation
        body = file_of(photo(8, 64, 64), kind, exif=exif)
        hands.open(body, f"{orientation}.{kind}", f"image/{kind.lower()}")
        shown = hands.page.evaluate(
            """() => {
                const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 64 });
                canvas.getContext("2d").drawImage(photo, 0, 0, 64, 64);
                return [...canvas.getContext("2d").getImageData(0, 0, 64, 64).data];
            }"""
        )
        with Image.open(io.BytesIO(body)) as picture:
            expected = np.asarray(ImageOps.exif_transpose(picture).convert("RGB"), int)
        assert np.abs(np.array(shown).reshape(64, 64, 4)[..., :3] - expected).mean() < 12, orientation


def test_a_run_changes_pixels_inside_the_paint_alone_and_its_download_makes_the_same_bytes_again(hands, tmp_path):
    body = file_of(photo())
    hands.open(body)
    hands.width(10)
    hands.drag((40, 30), (55, 30), (55, 40))
    hands.page.fill("#set-grow", "2")
    hands.page.fill("#set-feather", "3")
    hands.page.wait_for_selector("#stage[data-settled=true]")
    run = hands.run()
    assert run["state"] == "done", run
    with hands.page.expect_download() as download:
        hands.page.click("#download")
    assert download.value.suggested_filename == run["results"][0]["name"]
    made = download.value.path().read_bytes()
    assert made == hands.client.http.get(run["results"][0]["url"]).content
    for name, held in (("photo.png", body), ("photo-mask.png", hands.sent(run, "hole")), ("got.png", made)):
        (tmp_path / name).write_bytes(held)
    assert main(["run", str(tmp_path / "got.png"), "--out", str(tmp_path / "again"), "--device", "cpu"]) == 0
    assert [path.read_bytes() for path in (tmp_path / "again").iterdir()] == [made], "`inlay run` makes other bytes"
    mask = pixels(hands.sent(run, "hole"))
    hole = grow_mask(torch.from_numpy(mask > 0).float()[None], 5)[0].numpy() > 0
    changed = (pixels(made) != pixels(body)).any(-1)
    assert not changed[~hole].any()
    assert changed[mask > 0].mean() > 0.5
    drawn = overlay(hands)
    assert np.array_equal(drawn > 0, hole), "the preview shows another hole than the run used"


def overlay(hands):
    """How opaque the mask is drawn over each pixel of the photo, at 1 screen pixel a photo's pixel or more."""
    if hands.page.is_visible("#back"):
        hands.page.click("#back")
    hands.page.wait_for_timeout(100)
    data = hands.page.evaluate(
        """() => {
            const canvas = document.querySelector("#overlay"), stage = canvas.getBoundingClientRect();
            const shown = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data, out = [];
            const box = photo.getBoundingClientRect(), scale = box.width / photo.offsetWidth;
            for (let y = 0; y < photo.offsetHeight; y++)
                for (let x = 0; x < photo.offsetWidth; x++) {
                    const left = Math.floor((box.left - stage.left + (x + 0.5) * scale) * devicePixelRatio);
                    const top = Math.floor((box.top - stage.top + (y + 0.5) * scale) * devicePixelRatio);
                    out.push(shown[(top * canvas.width + left) * 4 + 3]);
                }
            return out;
        }"""
    )
    wide, tall = hands.page.evaluate("[photo.offsetWidth, photo.offsetHeight]")
    return np.array(data).reshape(tall, wide)


def test_every_tool_paints_and_every_step_is_undone(hands):
    hands.open(file_of(photo()))
    hands.tool("rectangle")
    hands.drag((10, 10), (19, 14))
    expected = np.zeros((TALL, WIDE), bool)
    expected[10:15, 10:20] = True
    assert np.array_equal(overlay(hands) > 0, expected)
    hands.tool("eraser")
    hands.width(1)
    hands.drag((12, 12), (16, 12))
    expected[12, 12:17] = False
    assert np.array_equal(overlay(hands) > 0, expected)
    hands.tool("lasso")
    hands.drag((40, 10), (60, 10), (60, 30), (40, 30))
    drawn = overlay(hands) > 0
    assert drawn[12:28, 42:58].all()
    assert not drawn[35:].any()
    hands.page.click("#invert")
    assert np.array_equal(overlay(hands) > 0, ~drawn)
    for _ in range(2):
        hands.page.keyboard.press("Control+z")
    assert np.array_equal(overlay(hands) > 0, expected)
    hands.page.click("#undo")
    hands.page.click("#undo")
    assert not overlay(hands).any()
    assert hands.page.is_disabled("#undo")
    for _ in range(3):
        hands.page.keyboard.press("Control+Shift+z")
    assert np.array_equal(overlay(hands) > 0, drawn)
    hands.page.click("#clear")
    assert not overlay(hands).any()


def test_what_is_wrong_is_said_with_its_fix_at_its_field(hands):
    hands.open(file_of(photo()))
    hands.page.fill("#set-prompt", "a cat")
    hands.page.click("#run")
    hands.page.wait_for_selector("#problems p")
    text = hands.page.inner_text("#problems")
    assert "without a model" in text
    assert "mask" in text.lower(), "nothing is painted: that is said too"
    assert "Fix:" in text
    assert "--" not in text, "the page's own words, not the command line's"
    field = hands.page.locator("#set-prompt")
    assert field.get_attribute("aria-invalid") == "true"
    assert hands.page.inner_text("#set-prompt-wrong")
    assert hands.page.evaluate("document.activeElement.id") == "set-prompt"
    hands.page.fill("#set-prompt", "")
    hands.drag((30, 30), (40, 30))
    assert hands.run()["state"] == "done"
    assert not hands.page.inner_text("#problems")
    assert field.get_attribute("aria-invalid") is None


def test_a_file_that_is_no_photo_is_refused_by_name_of_what_is_wrong(hands):
    hands.page.set_input_files("#open", {"name": "a.png", "mimeType": "image/png", "buffer": b"<html>"})
    hands.page.wait_for_selector("#problems p")
    assert "found" in hands.page.inner_text("#problems")
    assert hands.page.is_visible("#start")


def test_without_the_server_the_paint_stays_and_the_next_run_works(hands):
    hands.open(file_of(photo()))
    hands.width(8)
    hands.drag((30, 30), (40, 30))
    before = overlay(hands)
    hands.page.route("**/v1/**", lambda route: route.abort())
    hands.page.click("#run")
    hands.page.wait_for_selector("#problems p")
    assert "the server does not answer" in hands.page.inner_text("#problems")
    hands.page.unroute("**/v1/**")
    assert np.array_equal(overlay(hands), before)
    assert hands.run()["state"] == "done"


def test_a_variation_is_gone_on_from_and_its_recipe_opens_with_photo_and_mask(hands):
    body = file_of(photo())
    hands.open(body, "dots.png")
    hands.width(12)
    hands.drag((40, 30), (50, 34))
    hands.page.fill("#set-variations", "2")
    run = hands.run()
    cards = hands.page.locator("#cards button")
    assert cards.count() == 3
    assert cards.nth(0).get_attribute("aria-pressed") == "true"
    cards.nth(1).click()
    made = hands.client.http.get(run["results"][1]["url"]).content
    mask = hands.sent(run, "hole")
    hands.page.click("#go-on")
    assert run["results"][1]["name"] in hands.page.inner_text("#name")
    assert not overlay(hands).any()
    hands.drag((70, 50), (75, 50))
    hands.page.fill("#set-variations", "1")
    second = hands.run()
    changed = (pixels(hands.client.http.get(second["results"][0]["url"]).content) != pixels(made)).any(-1)
    assert changed.any()
    assert not changed[:40, :60].any()

    drop(hands, made, run["results"][1]["name"])
    assert hands.page.input_value("#workflow") == "recipe"
    assert "dots.png" in hands.page.inner_text("#name")
    assert np.array_equal(overlay(hands) > 0, pixels(mask) > 0)
    again = hands.run()
    assert hands.client.http.get(again["results"][0]["url"]).content == made, "the same recipe, other bytes"


def drop(hands, body, name, place="body", said="live.textContent.includes"):
    """Drop a file on a place of the page, as a browser hands it over; wait until it is said that it came."""
    hands.page.evaluate(
        """([bytes, name, place]) => {
            const data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(bytes)], name, { type: "image/png" }));
            const how = { dataTransfer: data, bubbles: true, cancelable: true };
            document.querySelector(place).dispatchEvent(new DragEvent("drop", how));
        }""",
        [list(body), name, place],
    )
    words = name if "problems" in said else f"{name} is {'open' if place == 'body' else 'the mask'}"
    hands.page.wait_for_function(f"(words) => {said}(words)", arg=words)


def masks():
    """Files of the kinds in which masks come, and their pixels, 255 where each repaints."""
    grey = np.asarray(photo(9).convert("L"))
    hole = np.where(grey >= 128, 255, 0).astype(np.uint8)
    flat = Image.fromarray(hole)
    yield "grey", file_of(flat), hole
    yield "soft", file_of(Image.fromarray(grey)), hole
    yield "1 bit", file_of(flat.convert("1")), hole
    yield "palette", file_of(flat.convert("RGB").quantize(2)), hole
    yield "opaque", file_of(flat.convert("RGBA")), hole
    yield "16 bits", file_of(Image.fromarray(grey.astype(np.uint16) * 257)), hole
    yield "TIFF", file_of(flat, "TIFF"), hole
    erased = photo().convert("RGBA")
    erased.putalpha(Image.fromarray(np.uint8(255) - hole))
    yield "erased", file_of(erased), hole


def test_a_mask_file_of_any_kind_becomes_the_mask_to_the_bit(hands):
    body = file_of(photo())
    hands.open(body)
    for name, made, expected in masks():
        hands.page.set_input_files("#open-mask", {"name": f"{name}.png", "mimeType": "image/png", "buffer": made})
        hands.page.wait_for_function("(name) => live.textContent.startsWith(`${name}.png is the mask`)", arg=name)
        with hands.page.expect_download() as download:
            hands.page.click("#save-mask")
        assert download.value.suggested_filename == "photo-mask.png"
        assert np.array_equal(pixels(download.value.path().read_bytes()), expected), name
        assert np.array_equal(overlay(hands) > 0, expected > 0), name
        hands.page.click("#clear")
    hands.page.click("#undo")
    assert np.array_equal(pixels(hands.sent(hands.run(), "hole")), expected), "what the run got"
    hands.page.click("#back")
    hands.page.click("#undo")
    assert not overlay(hands).any(), "taking a mask is a step"


def test_a_file_is_dropped_as_a_photo_or_as_a_mask_and_one_of_another_size_is_refused(hands):
    hands.open(file_of(photo()))
    hands.width(9)
    hands.drag((10, 12), (30, 20))
    before = overlay(hands)
    assert not hands.page.is_visible("#drop")
    drag_over(hands, file_of(photo(4, 20, 20)))
    assert hands.page.is_visible("#drop-mask"), "with a photo open, there are two places to drop on"
    drop(hands, file_of(photo(4, 20, 20)), "small.png", "#drop-mask", "problems.textContent.includes")
    assert not hands.page.is_visible("#drop")
    text = hands.page.inner_text("#problems")
    assert "20 × 20" in text
    assert f"{WIDE} × {TALL}" in text
    assert np.array_equal(overlay(hands), before), "a refusal changed the mask"
    _, made, expected = next(masks())
    drop(hands, made, "hole.png", "#drop-mask", "live.textContent.includes")
    assert np.array_equal(overlay(hands) > 0, expected > 0)
    assert not hands.page.inner_text("#problems")
    drop(hands, made, "hole.png")
    assert "hole.png" in hands.page.inner_text("#name"), "dropped elsewhere, it is a photo"


def drag_over(hands, body):
    """Hold a file over the page, as a browser does."""
    hands.page.evaluate(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(bytes)], "held.png", { type: "image/png" }));
            stage.dispatchEvent(new DragEvent("dragover", { dataTransfer: data, bubbles: true, cancelable: true }));
        }""",
        list(body),
    )


def test_what_is_done_to_the_mask_is_seen_although_a_result_was_compared(hands):
    hands.open(file_of(photo()))
    hands.width(10)
    hands.drag((40, 30), (50, 30))
    hands.run()
    for button, key in (("#invert", "i"), ("#undo", "Control+z"), ("#clear", "Delete")):
        hands.page.locator("#cards button").first.click()
        assert hands.page.is_visible("#compare")
        hands.page.click(button)
        assert not hands.page.is_visible("#compare"), button
        hands.page.click("#undo" if button != "#undo" else "#redo")
        hands.page.locator("#cards button").first.click()
        hands.page.focus("#stage")
        hands.page.keyboard.press(key)
        assert not hands.page.is_visible("#compare"), key
        hands.page.click("#undo" if button != "#undo" else "#redo")


def test_the_previews_of_a_sampling_run_are_seen_and_become_the_result(hands):
    hands.open(shipped_samples()["living-room.png"].read_bytes(), "room.png")
    hands.tool("rectangle")
    hands.drag((10, 10), (118, 118))
    hands.page.fill("#set-source", "dollhouse")
    hands.page.fill("#set-prompt", "a yellow sofa in a room with pink walls")
    hands.page.click("#more-settings summary")
    hands.page.fill("#set-steps", "6")
    hands.page.evaluate(
        """() => {
            window.previews = [];
            new MutationObserver(() => {
                const box = preview.getBoundingClientRect(), inside = box.top >= 0 && box.bottom <= innerHeight;
                window.previews.push([preview.src, inside && box.height > 60 && preview.checkVisibility()]);
            }).observe(preview, { attributes: true, attributeFilter: ["src"] });
        }"""
    )
    run = hands.run(240)
    assert run["state"] == "done", run
    made = hands.page.evaluate("previews")
    assert len(made) >= 2
    assert all(seen for _, seen in made[1:]), "a preview is not seen in the window"
    with Image.open(io.BytesIO(hands.client.http.get(run["results"][0]["url"]).content)) as picture:
        result = np.asarray(picture.convert("RGB").resize((32, 32), Image.Resampling.BOX), float)[4:28, 4:28]
    alike = []
    for text, _ in made:
        with Image.open(io.BytesIO(base64.b64decode(text.split(",")[1]))) as picture:
            small = np.asarray(picture.convert("RGB").resize((32, 32), Image.Resampling.BOX), float)[4:28, 4:28]
        alike.append(float(np.corrcoef(small.ravel(), result.ravel())[0, 1]))
    assert alike[-1] > max(0.8, alike[0]), alike
    assert not hands.page.is_visible("#preview")


def test_the_page_leads_to_the_editor_if_the_server_has_it(hands):
    hands.open(file_of(photo()))
    link = hands.page.locator("#editor")
    assert link.is_visible() == hands.client.http.get("/v1/status").json()["editor"]
    assert hands.client.http.get("/" + link.get_attribute("href")).status_code == (200 if link.is_visible() else 404)


def test_a_photo_is_pasted(hands):
    body = file_of(photo(3))
    hands.page.evaluate(
        """(bytes) => {
            const data = new DataTransfer();
            data.items.add(new File([Uint8Array.from(bytes)], "pasted.png", { type: "image/png" }));
            document.body.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
        }""",
        list(body),
    )
    hands.page.wait_for_function("() => live.textContent.includes('pasted.png is open')")
    assert f"{WIDE} × {TALL}" in hands.page.inner_text("#name")


def test_a_run_of_the_history_opens_with_its_photo_mask_and_results(hands):
    body = file_of(photo(5))
    hands.open(body, "old.png")
    hands.width(12)
    hands.drag((20, 20), (40, 30))
    painted = overlay(hands) > 0
    hands.run()
    hands.page.reload()
    hands.page.wait_for_selector("body[data-ready]")
    hands.page.click("#history-button")
    hands.page.locator("#runs li").first.get_by_role("button", name="Open").click()
    hands.page.wait_for_selector("#results", state="visible")
    assert "old.png" in hands.page.inner_text("#name")
    assert np.array_equal(overlay(hands) > 0, painted)
    assert not hands.page.is_visible("#history")
    hands.page.click("#history-button")
    rows = hands.page.locator("#runs li")
    rows.first.wait_for()
    count = rows.count()
    rows.first.get_by_role("button", name="Remove").click()
    hands.page.wait_for_function("(count) => document.querySelectorAll('#runs li').length === count - 1", arg=count)


def test_a_run_shows_how_far_it_is_and_is_cancelled(hands):
    hands.open(file_of(photo(6, 900, 700)))
    hands.width(300)
    hands.drag((200, 200), (600, 500))
    hands.page.fill("#set-variations", "8")
    hands.page.click("#run")
    hands.page.wait_for_function(r"() => /\d+ of \d+/.test(note.textContent)")
    assert hands.page.is_disabled("#run")
    hands.page.click("#cancel")
    hands.page.wait_for_selector("#progress", state="hidden")
    assert hands.newest()["state"] == "cancelled"
    assert hands.page.inner_text("#live") == "Cancelled"
    assert hands.page.is_enabled("#run")


def test_a_click_paints_over_the_object_under_it(hands):
    hands.open(shipped_samples()["living-room.png"].read_bytes(), "room.png")
    hands.tool("object")
    hands.page.fill("#detector", "dollhouse-detector")
    hands.page.click("#find")
    buttons = hands.page.locator("#found-list button")
    buttons.first.wait_for()
    run = hands.newest()
    thing = run["values"]["boxes"][0][0]
    hands.page.mouse.click(*hands.place((thing["left"] + thing["right"]) // 2, (thing["top"] + thing["bottom"]) // 2))
    drawn = overlay(hands) > 0
    smallest = min(
        (
            one
            for one in run["values"]["boxes"][0]
            if one["left"] <= (thing["left"] + thing["right"]) // 2 < one["right"]
            and one["top"] <= (thing["top"] + thing["bottom"]) // 2 < one["bottom"]
        ),
        key=lambda one: (one["right"] - one["left"]) * (one["bottom"] - one["top"]),
    )
    expected = np.zeros(drawn.shape, bool)
    expected[smallest["top"] : smallest["bottom"], smallest["left"] : smallest["right"]] = True
    assert np.array_equal(drawn, expected)
    pressed = hands.page.locator("#found-list button[aria-pressed=true]")
    pressed.click()  # again: erased
    assert not overlay(hands).any()


PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True, "device_scale_factor": 2}
AUDIT = (Path(__file__).parents[2] / "helpers" / "brush" / "audit.js").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "look",
    [
        {"viewport": {"width": 1200, "height": 800}, "color_scheme": "light"},
        {"viewport": {"width": 1200, "height": 800}, "color_scheme": "dark"},
        PHONE | {"color_scheme": "dark"},
    ],
    ids=["light", "dark", "phone"],
)
def test_every_control_has_a_name_and_every_text_its_contrast_in_every_state(hands):
    assert hands.page.evaluate(AUDIT) == []
    hands.open(file_of(photo()))
    hands.page.fill("#set-prompt", "a cat")
    hands.page.click("#run")
    hands.page.wait_for_selector("#problems p")
    hands.tool("object")
    for summary in hands.page.locator("summary").all():
        if summary.evaluate("node => !node.parentElement.open"):
            summary.click()
    assert hands.page.evaluate(AUDIT) == []
    hands.page.fill("#set-prompt", "")
    hands.tool("brush")
    hands.drag((30, 30), (40, 30))
    hands.run()
    hands.page.wait_for_selector("#results", state="visible")
    assert hands.page.evaluate(AUDIT) == []
    hands.page.click("#history-button")
    hands.page.locator("#runs li").first.wait_for()
    assert hands.page.evaluate(AUDIT) == []


def test_the_audit_sees_what_is_planted(hands):
    planted = hands.page.evaluate(
        """() => {
            document.body.insertAdjacentHTML("beforeend", `<main><img><button id="run" class="bad"></button>
                <label for="gone">x</label><p class="faint">faint</p></main>`);
            document.querySelector(".faint").style.color = "#999";
            document.querySelector(".bad").tabIndex = 3;
            document.querySelector(".bad").style.minHeight = 0;
        }"""
    )
    assert planted is None
    wrong = " ".join(hands.page.evaluate(AUDIT))
    for word in ("no name", "order of its own", "twice: #run", "no #gone", "no alt", "h1, main", "contrast", "small"):
        assert word in wrong, word


def test_tab_goes_over_everything_in_the_order_in_which_it_is_seen(hands):
    hands.open(file_of(photo()))
    hands.page.focus(".skip")
    order, bare = ["skip"], []
    for _ in range(60):
        hands.page.keyboard.press("Tab")
        name, outline = hands.page.evaluate(
            """() => {
                const at = document.activeElement;
                const held = document.querySelector(`label.button[for="${at.id}"]`) ?? at;
                return [at.id || at.dataset.tool || at.className || at.tagName, getComputedStyle(held).outlineStyle];
            }"""
        )
        if name == "BODY":
            break
        order.append(name)
        bare += [name] if outline == "none" else []
    stops = [
        "skip",
        "open",
        "history-button",
        "brush",
        "hand",
        "undo",
        "size",
        "out",
        "in",
        "hide",
        "open-mask",
        "save-mask",
        "stage",
        "workflow",
    ]
    stops = [stop for stop in stops if stop != "undo"]  # there is nothing to undo yet
    stops += ["set-grow", "set-source", "set-prompt", "set-method", "set-seed", "run"]
    assert [name for name in order if name in stops] == stops
    assert not bare, "the focus is not seen"


def test_the_whole_way_goes_by_keyboard_alone(hands):
    body = file_of(photo())
    hands.open(body)
    press = hands.page.keyboard.press
    assert hands.page.evaluate("document.activeElement.id") == "stage"
    press("b")
    for _ in range(40):
        press("[")
    for _ in range(2):
        press("]")
    assert hands.page.inner_text("#size-shown") == "3 px"
    press("Space")
    for _ in range(5):
        press("ArrowRight")
    press("Space")
    y, x = np.mgrid[:TALL, :WIDE]
    middle = (WIDE // 2, TALL // 2)
    distance = np.hypot(x - np.clip(x, middle[0], middle[0] + 5), y - middle[1])
    assert np.array_equal(overlay(hands) > 0, distance <= 1.5)
    assert "Brush: painted" in hands.page.inner_text("#live")
    press("r")
    press("Space")
    press("Shift+ArrowDown")
    press("Shift+ArrowRight")
    press("Space")
    expected = distance <= 1.5
    expected[middle[1] : middle[1] + 11, middle[0] + 5 : middle[0] + 16] = True
    assert np.array_equal(overlay(hands) > 0, expected)
    press("l")
    press("Space")
    press("Shift+ArrowDown")
    press("Escape")
    assert np.array_equal(overlay(hands) > 0, expected), "a lasso that was cancelled left something"
    press("m")
    assert not overlay(hands).any()
    press("m")
    press("Control+Enter")
    hands.page.wait_for_selector("#results", state="visible")
    hands.page.wait_for_function("() => live.textContent.includes('Done: 1 picture')")
    made = hands.client.http.get(hands.newest()["results"][0]["url"]).content
    changed = (pixels(made) != pixels(body)).any(-1)
    assert changed.any()
    assert not changed[~expected].any()
    hands.page.focus("#split")
    press("Home")
    press("ArrowRight")
    assert hands.page.evaluate("document.querySelector('#after').style.clipPath").startswith("inset(0")


def touch(cdp, kind, *points):
    places = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
    cdp.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})


@pytest.mark.parametrize("look", [PHONE], ids=["phone"])
def test_one_finger_paints_and_two_move_and_zoom(hands):
    hands.open(file_of(photo()))
    hands.width(8)
    cdp = hands.page.context.new_cdp_session(hands.page)
    touch(cdp, "touchStart", hands.place(20, 20))
    touch(cdp, "touchMove", hands.place(40, 20))
    touch(cdp, "touchEnd")
    drawn = overlay(hands) > 0
    assert drawn[20, 20:40].all()
    assert not drawn[40:].any()
    zoom = hands.page.inner_text("#zoom")
    one, other = hands.place(40, 40), hands.place(56, 40)
    touch(cdp, "touchStart", one)
    touch(cdp, "touchMove", (one[0] + 3, one[1]))
    touch(cdp, "touchStart", one, other)
    touch(cdp, "touchMove", (one[0] - 20, one[1]), (other[0] + 20, other[1]))
    touch(cdp, "touchEnd")
    hands.page.wait_for_timeout(100)
    assert int(hands.page.inner_text("#zoom").split()[0]) > int(zoom.split()[0])
    hands.page.click("#zoom")
    assert np.array_equal(overlay(hands) > 0, drawn), "two fingers painted"


def test_a_pen_paints_thinner_where_it_is_pressed_less_and_its_eraser_erases(hands):
    hands.open(file_of(photo()))
    hands.width(20)
    cdp = hands.page.context.new_cdp_session(hands.page)

    def pen(kind, place, **more):
        x, y = hands.place(*place)
        how = {"type": kind, "x": x, "y": y, "pointerType": "pen", "button": "left", "buttons": 1, "clickCount": 1}
        cdp.send("Input.dispatchMouseEvent", how | more)

    for place, force in (((20, 32), 0.2), ((70, 32), 1.0)):
        pen("mouseMoved", place, buttons=0, button="none")
        pen("mousePressed", place, force=force)
        pen("mouseReleased", place, buttons=0)
    drawn = overlay(hands) > 0
    thin, thick = drawn[:, :45].sum(), drawn[:, 45:].sum()
    assert thick > 300
    assert 10 < thin < thick / 4
    pen("mouseMoved", (70, 32), buttons=0, button="none")
    pen("mousePressed", (70, 32), button="right", buttons=2, force=1.0)
    pen("mouseReleased", (70, 32), button="right", buttons=0)
    assert not (overlay(hands) > 0)[:, 45:].any()


def test_photo_and_mask_come_back_to_the_bit_after_two_dozen_rounds_of_paint_save_and_reopen(hands):
    """`make page-rounds` makes a thousand."""
    rounds = Rounds(hands, seed=1)
    assert not [found for number in range(24) if (found := rounds.one(number))]
