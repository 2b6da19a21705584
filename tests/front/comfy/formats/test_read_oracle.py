"""What we read from a UI file is what ComfyUI's own editor would queue of it."""

import random

import pytest
from editor_page import editor, node_definitions
from host_graphs import Chance
from inlay.graph_runtime.front.comfy.formats.host_types import types_of
from inlay.graph_runtime.front.comfy.formats.ui import read_ui
from inlay.graph_runtime.front.installed import installed_nodes

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture(scope="module")
def page():
    with editor(node_definitions(installed_nodes())) as page:
        yield page


def ours(raw):
    found = read_ui(raw, types_of(installed_nodes()))
    assert not found.problems
    return {
        one.id: (one.type, one.values | {name: [link.node, link.slot] for name, link in one.links.items()})
        for one in found.nodes.values()
    }


def theirs(page, raw):
    return {name: (one["class_type"], one["inputs"]) for name, one in page.prompt(raw).items()}


def test_subgraphs_reroutes_primitives_muted_and_bypassed_nodes_are_read_as_the_editor_queues_them(page):
    seen = 0
    for seed in range(8):
        raw = Chance(random.Random(seed)).graph()
        assert ours(raw) == theirs(page, raw), f"seed {seed}"
        seen += len(ours(raw))
    assert seen > 40
