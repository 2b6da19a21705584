"""The judge of what we write: ComfyUI's own editor opens it, and its `graphToPrompt` sends what our API file says.

`make oracle GRAPHS=300` does so for more generated workflows.
"""

import json
import os
import random
from pathlib import Path

import pytest
from editor_page import editor, node_definitions
from fuzzing.graphs import grow
from inlay.graph_runtime.core.workflow import build, parse
from inlay.graph_runtime.front.comfy.formats.read import from_host
from inlay.graph_runtime.front.comfy.formats.write import to_api, to_ui
from inlay.graph_runtime.front.installed import installed_nodes, shipped_workflows

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
COUNT = int(os.environ.get("INLAY_TEST_EDITOR_GRAPHS", "8"))


@pytest.fixture(scope="module")
def registry():
    return installed_nodes()


@pytest.fixture(scope="module")
def page(registry):
    with editor(node_definitions(registry)) as page:
        yield page


def sent(prompt):
    """Types and inputs, with numbers as JavaScript has them."""
    found = {key: [node["class_type"], node["inputs"]] for key, node in prompt.items()}
    return json.loads(json.dumps(found), parse_int=lambda text: float(text) if len(text) > 15 else int(text))


def said(workflow):
    """What a workflow says, apart from what is only seen; JavaScript writes 3.0 as 3."""
    nodes = {
        name: (node.type, node.version, json.loads(json.dumps(node.params), parse_int=float), node.inputs)
        for name, node in workflow.nodes.items()
    }
    return workflow.title, workflow.description, workflow.inputs, workflow.outputs, nodes


def assert_judged(page, registry, workflow):
    """The editor sends what our API file says, and what it saves comes back."""
    api, ui = to_api(workflow, registry), to_ui(workflow, registry)
    assert sent(page.prompt(ui)) == sent(api)
    assert page.unknown_types() == []
    saved = page.saved()
    places = {node["id"]: (node["pos"], node["size"], node.get("title")) for node in ui["nodes"]}
    assert {node["id"]: (node["pos"], node["size"], node.get("title")) for node in saved["nodes"]} == places
    back = from_host(saved, registry).workflow
    assert said(back) == said(from_host(ui, registry).workflow)


@pytest.mark.parametrize("name", ["inpaint", "compare_editors", "subject_lora_train"])
def test_the_editor_sends_of_a_shipped_workflow_what_our_api_file_says(page, registry, name):
    workflow = parse(shipped_workflows()[name].read_bytes())
    assert_judged(page, registry, workflow)
    page.load_prompt(to_api(workflow, registry))  # opened as an API file
    assert sent(page.prompt()) == sent(to_api(workflow, registry))


def test_the_editor_opens_every_example_and_no_type_and_no_file_is_missing(page, registry):
    for path in sorted((Path(__file__).resolve().parents[3] / "example_workflows").glob("*.json")):
        graph = json.loads(path.read_text(encoding="utf-8"))
        assert sent(page.prompt(graph)) == sent(to_api(from_host(graph, registry).workflow, registry)), path.stem
        assert page.unknown_types() == page.marked_red() == []


def test_the_editor_sends_of_generated_workflows_what_our_api_files_say(page, registry):
    for seed in range(COUNT):
        assert_judged(page, registry, build(grow(random.Random(7_000 + seed))))
