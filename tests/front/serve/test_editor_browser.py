"""ComfyUI's own web editor on our server, in a real browser: run, paint, drop, restart; no call stays unanswered."""

import base64
import io
import json
import time

import httpx
import numpy
import pytest
from editor_page import chromium
from inlay.graph_runtime.front.installed import shipped_samples, shipped_workflows
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

    def button(self, name):
        """Press a button of the page."""
        self.page.get_by_role("button", name=name, exact=True).first.click()

    def at(self, node, where, slot=0):
        """Where on the page a node's title is, or its input or output of a number."""
        return self.page.evaluate(_PLACE, [node, where, slot])

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


_PLACE = """([type, where, slot]) => {
    const node = app.rootGraph.nodes.find((node) => node.type === type)
    const place = where === 'title' ? [node.pos[0] + 60, node.pos[1] - 12] : node.getConnectionPos(where === 'in', slot)
    const [x, y] = app.canvas.ds.convertOffsetToCanvas(place)
    const box = app.canvas.canvas.getBoundingClientRect()
    return [x + box.x, y + box.y]
}"""


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
            page = browser.new_page(viewport={"width": 1600, "height": 900})
            page.context.grant_permissions(["clipboard-read", "clipboard-write"])
            editor = Editor(page, server.process.client.address)
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


def test_a_template_that_is_chosen_by_clicks_runs_to_its_picture(editor):
    page = editor.page
    editor.button("Templates")
    page.get_by_text("inpaint", exact=True).first.click()
    editor.until("app.rootGraph.nodes.some(node => node.type === 'InlayImageStitch')")
    loaders = "app.rootGraph.nodes.filter(node => /Load$/.test(node.type))"
    widgets = editor.page.evaluate(f"{loaders}.map(node => node.widgets.find(one => one.name === 'path').type)")
    assert widgets == ["combo", "combo"], "pictures can be chosen"
    assert page.evaluate(f"{loaders}.filter(node => node.has_errors).length") == 0
    saver = "app.rootGraph.nodes.find(node => node.type === 'InlayImageSave').imgs?.[0]?.src ?? ''"
    editor.button("Run")
    saved = httpx.get(editor.until(saver)).content
    photo = numpy.asarray(Image.open(shipped_samples()["photo.jpg"]).convert("RGB")).astype(int)
    hole = numpy.asarray(Image.open(shipped_samples()["hole.png"]).convert("L").resize(photo.shape[1::-1])) > 0
    changed = (pixels(saved) != photo).any(axis=-1)
    assert changed.any()
    assert not changed[~hole].any()


def test_nodes_that_are_wired_with_the_mouse_run_with_a_picture_from_the_clipboard(editor):
    page = editor.page
    single = {"1": GRAPH["1"], "3": {"class_type": "SaveImage", "inputs": {"filename_prefix": "wired"}}}
    editor.load(single)
    page.evaluate(
        """() => {
            const [loader, saver] = ['InlayImageWithMask', 'SaveImage'].map(
                (type) => app.rootGraph.nodes.find((node) => node.type === type))
            loader.pos = [100, 200]
            saver.pos = [700, 200]
            app.canvas.ds.scale = 1
            app.canvas.ds.offset = [100, 50]
            app.canvas.setDirty(true, true)
        }"""
    )
    editor.until("!!app.rootGraph.nodes.find(node => node.type === 'InlayImageWithMask').imgs?.length")
    page.wait_for_timeout(300)
    page.mouse.move(*editor.at("InlayImageWithMask", "out"))
    page.mouse.down()
    page.mouse.move(*editor.at("SaveImage", "in"), steps=8)
    page.mouse.up()
    editor.until("app.rootGraph.nodes.find(node => node.type === 'SaveImage').inputs[0].link !== null")
    page.evaluate(
        """async () => {
            const canvas = new OffscreenCanvas(80, 60)
            const context = canvas.getContext('2d')
            context.fillStyle = 'rgb(200, 10, 20)'
            context.fillRect(0, 0, 80, 60)
            const blob = await canvas.convertToBlob({ type: 'image/png' })
            await navigator.clipboard.write([new ClipboardItem({ 'image/png': blob })])
        }"""
    )
    page.mouse.click(*editor.at("InlayImageWithMask", "title"))
    page.keyboard.press("Control+v")
    editor.until(
        "app.rootGraph.nodes.find(node => node.type === 'InlayImageWithMask').widgets[0].value !== 'photo.jpg'"
    )
    assert page.evaluate("app.rootGraph.nodes.length") == 2, "onto the node that is selected"
    saved = pixels(editor.run())
    assert saved.shape == (60, 80, 3)
    assert (saved == [200, 10, 20]).all()


def test_a_native_workflow_file_that_is_dropped_is_drawn(editor):
    editor.page.evaluate(
        """(text) => {
            const moved = new DataTransfer()
            moved.items.add(new File([text], 'mine.json', { type: 'application/json' }))
            const options = { dataTransfer: moved, bubbles: true, cancelable: true, clientX: 800, clientY: 500 }
            app.canvas.canvas.dispatchEvent(new DragEvent('drop', options))
        }""",
        shipped_workflows()["zero_shot_inpaint"].read_text(encoding="utf-8"),
    )
    editor.until("app.rootGraph.nodes.some(node => node.type === 'InlayConstraintNullSpace')")
    assert editor.page.evaluate("app.rootGraph.nodes.filter(node => node.has_errors).length") == 0


def test_a_subgraph_that_is_made_by_the_menu_runs(editor):
    editor.load(GRAPH)
    page = editor.page
    page.evaluate("app.canvas.selectItems(app.rootGraph.nodes.filter(node => node.type !== 'SaveImage'))")
    page.wait_for_timeout(300)
    page.mouse.click(*editor.at("InlayImageFill", "title"), button="right")
    page.get_by_text("Convert to Subgraph").first.click()
    editor.until("app.rootGraph.nodes.length === 2")
    photo = numpy.asarray(Image.open(shipped_samples()["photo.jpg"]).convert("RGB")).astype(int)
    assert numpy.array_equal(pixels(editor.run()), photo)


def test_a_model_that_is_not_there_is_said_on_its_node_and_the_history_stays(editor):
    page = editor.page
    graph = page.evaluate(
        "fetch('/editor/api/workflow_templates/inlay/zero_shot_inpaint.json').then(one => one.json())"
    )
    for node in graph["nodes"]:
        if node["type"] == "InlayModelStableDiffusion":
            node["widgets_values_named"]["source"] = node["widgets_values"][0] = "nobody/nothing-here"
            model = str(node["id"])
    page.evaluate("graph => app.loadGraphData(graph, true, true, 'missing')", graph)
    editor.until("app.rootGraph.nodes.length > 10")
    editor.button("Run")
    error = editor.until("app.lastExecutionError")
    assert (error["node_id"], error["node_type"]) == (model, "InlayModelStableDiffusion")
    assert "nobody/nothing-here" in error["exception_message"]
    assert page.evaluate(f"{_JOBS}.then(({{ jobs }}) => jobs[0].status)") == "failed"


def test_a_graph_that_is_saved_by_hand_is_there_after_a_reload(editor):
    editor.load(GRAPH)
    page = editor.page
    page.mouse.click(900, 750)
    page.keyboard.press("Control+s")
    page.wait_for_timeout(800)
    page.keyboard.type("by hand")
    page.keyboard.press("Enter")
    kept = "fetch('/editor/api/userdata?dir=workflows').then(one => one.json())"
    editor.until(f"{kept}.then(names => names.includes('by hand.json'))")
    editor.open()
    assert page.evaluate("app.extensionManager.workflow.activeWorkflow.path") == "workflows/by hand.json"
    assert page.evaluate("app.rootGraph.nodes.map(node => node.type).sort()") == sorted(
        node["class_type"] for node in GRAPH.values()
    )


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
