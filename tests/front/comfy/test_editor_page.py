"""ComfyUI's own web editor shows our nodes: every widget has its default, and its Run button sends it."""

import pytest
from editor_page import editor, node_definitions
from inlay.graph_runtime.front.comfy.node_names import display_name, host_id
from inlay.graph_runtime.front.installed import installed_nodes

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def page():
    with editor(node_definitions(installed_nodes())) as page:
        yield page


def test_the_editor_shows_every_node_and_sends_the_defaults_of_its_widgets(page):
    nodes = {str(number): spec for number, spec in enumerate(installed_nodes().values(), 1)}
    page.load_prompt({number: {"class_type": host_id(spec.id), "inputs": {}} for number, spec in nodes.items()})
    assert page.unknown_types() == []
    sent = page.prompt()
    assert {number: (node["class_type"], node["_meta"]["title"]) for number, node in sent.items()} == {
        number: (host_id(spec.id), display_name(spec.id)) for number, spec in nodes.items()
    }
    definitions = node_definitions(installed_nodes())
    for number, spec in nodes.items():
        groups = definitions[host_id(spec.id)]["input"]
        widgets = {**groups["required"], **groups["optional"]}
        defaults = {name: options["default"] for name, (_, options) in widgets.items() if "default" in options}
        assert {name: sent[number]["inputs"].get(name) for name in defaults} == defaults


def test_the_editor_draws_a_node_that_it_does_not_know_as_missing(page):
    page.load_prompt({"1": {"class_type": "InlayImageLoad", "inputs": {}}, "2": {"class_type": "Foo", "inputs": {}}})
    assert page.unknown_types() == ["Foo"]
