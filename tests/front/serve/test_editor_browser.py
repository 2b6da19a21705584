"""ComfyUI's own web editor on our server, in a real browser: run, paint, drop, restart; no call stays unanswered."""

import base64
import io
import json
import time

import httpx
import numpy
import pytest
from editor_page import chromium
from inlay.graph_runtime.front.installed import shipped_samples
from PIL import Image
from serving import Process, free_port

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]

GRAPH = {
    "1": {"class_type": "InlayImageWithMask", "inputs": {"image": "photo.jpg"}},
    "2": {"class_type": "InlayImageFill", "inputs": {"image": ["1", 0], "mask": ["1", 1]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "filled"}},
}


class Editor:
    """The editor, open in a browser.

    Attributes:
        unanswered: calls to the server that were answered by an error.
        elsewhere: answers of other hosts.
    """

    def __init__(self, page, address):
        self.page, self.address = page, address
        self.unanswered, self.elsewhere, self.errors = [], [], []
        page.on("response", self._answered)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

    def _answered(self, response):
        if not response.url.startswith((self.address, "blob:", "data:")):
            self.elsewhere.append(response.url)
        elif response.status >= 400:
            self.unanswered.append((response.request.method, response.status, response.url))

    def open(self):
        self.page.goto(f"{self.address}/editor/")
        self.until("!!(globalThis.app?.vueAppReady && app.canvas && app.rootGraph && app.extensionManager)")
        self.until("app.rootGraph.nodes.length > 0 || document.readyState === 'complete'")
        self.page.wait_for_timeout(1500)

    def until(self, expression, seconds=60):
        """Wait for it. `wait_for_function` would be refused: the page's policy lets nothing evaluate text."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.page.evaluate(expression):
                return found
            self.page.wait_for_timeout(50)
        raise AssertionError(f"never: {expression}")

    def load(self, prompt):
        self.page.evaluate("prompt => app.loadApiJson(prompt, 'test')", prompt)
        self.until(f"app.rootGraph.nodes.length === {len(prompt)}")

    def run(self):
        """Press Run; the picture that appears on the node that saves."""
        before = self.page.evaluate(_SHOWN)
        self.page.evaluate("app.queuePrompt(0, 1)")
        self.until(f"({_SHOWN}) !== {json.dumps(before)} && !!({_SHOWN})")
        found = httpx.get(self.page.evaluate(_SHOWN))
        return found.content

    def widget(self):
        node = "app.rootGraph.nodes.find(node => node.type === 'InlayImageWithMask')"
        return self.page.evaluate(f"{node}.widgets.find(widget => widget.name === 'image').value")

    def drop(self, data, name, media):
        """Drop a file onto the canvas."""
        self.page.evaluate(
            """async ([text, name, type]) => {
                const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0))
                await app.handleFile(new File([bytes], name, { type }))
            }""",
            [base64.b64encode(data).decode(), name, media],
        )


_JOBS = "fetch('/editor/api/jobs').then(answer => answer.json())"
_SHOWN = "app.rootGraph.nodes.find(node => node.type === 'SaveImage')?.imgs?.[0]?.src ?? ''"


def pixels(data):
    return numpy.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


class Server:
    """`inlay serve` as a process, which can be killed and started again."""

    def __init__(self, folder):
        self.folder, self.port = folder, free_port()
        self.start()

    def start(self):
        self.process = Process(self.folder, self.port)
        self.process.listening()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("editor"))
    server.process.client.ready()
    yield server
    server.process.stop()


@pytest.fixture(scope="module")
def editor(server):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            editor = Editor(browser.new_page(viewport={"width": 1600, "height": 900}), server.process.client.address)
            editor.open()
            yield editor
        finally:
            browser.close()


def test_run_shows_the_picture_on_its_node(editor):
    editor.load(GRAPH)
    saved = editor.run()
    photo = numpy.asarray(Image.open(shipped_samples()["photo.jpg"]).convert("RGB")).astype(int)
    assert numpy.array_equal(pixels(saved), photo), "nothing is painted: every pixel stays"


def test_what_is_painted_in_its_mask_editor_is_what_changes(editor):
    """Paint, Save, Run: pixels change inside the mask only."""
    editor.load(GRAPH)
    page = editor.page
    page.evaluate("app.canvas.selectNode(app.rootGraph.nodes.find(node => node.type === 'InlayImageWithMask'))")
    editor.until("!!app.rootGraph.nodes.find(node => node.type === 'InlayImageWithMask').imgs?.length")
    page.evaluate("app.extensionManager.command.execute('Comfy.MaskEditor.OpenMaskEditor')")
    box = editor.until(
        """(() => {
            const canvas = [...document.querySelectorAll('canvas')].find(one => /z-30/.test(one.className))
            const box = canvas?.getBoundingClientRect()
            return box && canvas.width > 300 && box.width > 300 ? [box.x, box.y, box.width, box.height] : null
        })()"""
    )
    page.wait_for_timeout(1000)
    left, top, width, height = box
    page.mouse.move(left + 0.4 * width, top + 0.4 * height)
    page.mouse.down()
    page.mouse.move(left + 0.6 * width, top + 0.4 * height, steps=10)
    page.mouse.up()
    page.wait_for_timeout(300)
    page.get_by_role("button", name="Save").first.click()
    editor.until("/painted-masked/.test(app.rootGraph.nodes[0].widgets?.[0]?.value)")
    name = editor.widget()
    painted = httpx.get(f"{editor.address}/api/view", params={"filename": name}).content
    alpha = numpy.asarray(Image.open(io.BytesIO(painted)).getchannel("A"))
    photo = numpy.asarray(Image.open(shipped_samples()["photo.jpg"]).convert("RGB")).astype(int)
    hole = alpha < 255
    assert 500 < hole.sum() < hole.size / 4
    assert numpy.array_equal(pixels(painted), photo), "also below the paint the picture keeps its pixels"
    changed = (pixels(editor.run()) != photo).any(axis=-1)
    assert changed[alpha == 0].mean() > 0.5
    assert not changed[~hole].any()


def test_a_saved_picture_that_is_dropped_brings_its_graph_back(editor):
    editor.load(GRAPH)
    saved = editor.run()
    editor.page.evaluate("app.rootGraph.clear()")
    editor.drop(saved, "filled.png", "image/png")
    editor.until("app.rootGraph.nodes.length === 3")
    types = editor.page.evaluate("app.rootGraph.nodes.map(node => node.type).sort()")
    assert types == sorted(node["class_type"] for node in GRAPH.values())


def test_a_wrong_graph_marks_the_node_and_says_why(editor):
    editor.load({**GRAPH, "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}}})
    editor.unanswered.clear()
    editor.page.evaluate("app.queuePrompt(0, 1)")
    errors = editor.until("app.lastNodeErrors && Object.keys(app.lastNodeErrors).length ? app.lastNodeErrors : null")
    assert errors["3"]["errors"][0]["type"] == "required_input_missing"
    assert [(method, status) for method, status, _ in editor.unanswered] == [("POST", 400)]
    editor.unanswered.clear()


def test_templates_help_and_sidebars_are_answered_and_no_other_host_is_asked(editor):
    page = editor.page
    page.keyboard.press("Escape")
    names = page.evaluate("fetch('/editor/api/workflow_templates').then(answer => answer.json())")["inlay"]
    assert "zero_shot_inpaint" in names
    page.evaluate("app.extensionManager.command.execute('Comfy.BrowseTemplates')")
    editor.until("document.body.innerText.includes('zero_shot_inpaint') || document.body.innerText.includes('baret')")
    page.wait_for_timeout(800)
    page.keyboard.press("Escape")
    text = page.evaluate("fetch('/editor/extensions/inlay/docs/InlayMaskGrow.md').then(answer => answer.text())")
    assert "Grow the hole" in text
    for tab in ("assets", "node-library", "model-library", "workflows"):
        page.evaluate(f"app.extensionManager.sidebarTab.toggleSidebarTab({tab!r})")
        page.wait_for_timeout(300)
    assert editor.unanswered == []
    assert editor.elsewhere == []
    assert editor.errors == []


def test_the_history_is_there_after_the_server_was_killed_and_opens_its_graph(server, editor):
    editor.load(GRAPH)
    editor.run()
    before = editor.page.evaluate(_JOBS)
    server.process.kill()
    server.start()
    editor.unanswered.clear()
    editor.open()
    after = editor.page.evaluate(_JOBS)
    assert [job["id"] for job in after["jobs"]] == [job["id"] for job in before["jobs"]]
    shown = after["jobs"][0]["preview_output"]
    url = f"/editor/api/view?filename={shown['filename']}&subfolder={shown['subfolder']}&type=output"
    assert editor.page.evaluate(f"fetch({url!r}).then(answer => answer.status)") == 200
    editor.page.evaluate(
        """async (id) => {
            const job = await (await fetch(`/editor/api/jobs/${id}`)).json()
            await app.loadGraphData(job.workflow.extra_data.extra_pnginfo.workflow, true, true, 'from history')
        }""",
        after["jobs"][0]["id"],
    )
    editor.until("app.rootGraph.nodes.length === 3")
    assert editor.unanswered == []
