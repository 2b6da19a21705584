"""`example_workflows/`: every shipped workflow as a graph of ComfyUI's editor, with groups and a note beside them.

    python scripts/example_workflows.py   # writes the graphs; `make docs` does so too

The pictures beside the graphs are made by `scripts/thumbnails.py`.
"""

import json
from pathlib import Path, PurePosixPath

from inlay.graph_runtime.core.spec import Registry
from inlay.graph_runtime.core.workflow import Link, Node, Workflow, parse
from inlay.graph_runtime.front.comfy.formats.layout import Group, Layout, Note, Placed
from inlay.graph_runtime.front.comfy.formats.places import GAP, GRID, NOTE_WIDTH, TITLE, Box, arrange_boxes, note_height
from inlay.graph_runtime.front.comfy.formats.write import to_ui
from inlay.graph_runtime.front.comfy.host.samples import FOLDER
from inlay.graph_runtime.front.comfy.node_names import display_name
from inlay.graph_runtime.front.installed import installed_nodes, shipped_samples, shipped_workflows
from inlay.graph_runtime.front.node_settings import settings_of

FOLDER_OF_EXAMPLES = Path(__file__).resolve().parents[1] / "example_workflows"
SET = Placed(color="#223", bgcolor="#335")  # the editor's blue: what a person sets
FRAME = "#3f789e"  # the editor's own colour of groups
HEADING, MARGIN = 40.0, 20.0  # of a group's frame
STAGES = ("Choose", "Prepare", "{}", "Finish")
_CHOOSE = ("model.", "image.load", "image.with_mask", "mask.load", "subject.photos")
_WORK = {"sample.": "Paint", "invert.": "Edit", "train.": "Train"}
_FINISH = ("latent.decode", "image.unfit", "image.from_srgb", "image.paste_back", "image.stitch", "image.grid")
_FINISH_TOO = ("image.save", "metric.", "report.")


def example_files(registry: Registry) -> dict[str, str]:
    """The text of each file of `example_workflows/`, by its name."""
    return {
        f"{name}.json": json.dumps(example(path, registry), indent=1, ensure_ascii=False) + "\n"
        for name, path in shipped_workflows().items()
    }


def example(path: Path, registry: Registry) -> dict[str, object]:
    """The graph of one shipped workflow: the samples by the names that the host's loaders list."""
    workflow = parse(path.read_bytes(), path.name)
    samples = {*shipped_samples(), *(PurePosixPath(name).parts[0] for name in shipped_samples())}
    for node in workflow.nodes.values():
        for setting in registry[node.type].path_roles:
            if (value := node.params.get(setting)) in samples:
                node.params[setting] = f"{FOLDER}/{value}"
    layout = Layout(_looks(workflow))
    workflow.ui = layout.to_ui()
    boxes = _boxes(to_ui(workflow, registry))
    workflow.ui = _placed(workflow, registry, layout, boxes).to_ui()
    return to_ui(workflow, registry)


def _looks(workflow: Workflow) -> dict[str, Placed]:
    """Titles where two nodes have the same, and a colour for those that a person sets."""
    types = [node.type for node in workflow.nodes.values()]
    chosen = {target.partition(".")[0] for name in workflow.inputs for target in workflow.targets(name)}
    return {
        name: Placed(
            title=f"{display_name(node.type)}: {name}" if types.count(node.type) > 1 else "",
            color=SET.color if name in chosen else "",
            bgcolor=SET.bgcolor if name in chosen else "",
        )
        for name, node in workflow.nodes.items()
    }


def _boxes(graph: dict[str, object]) -> dict[str, Box]:
    """The size of each node as the graph has it."""
    found: dict[str, Box] = {}
    nodes = graph["nodes"]
    assert isinstance(nodes, list)
    for node in nodes:
        width, height = node["size"]
        inputs, outputs = ([slot["name"] for slot in node[side]] for side in ("inputs", "outputs"))
        found[node["properties"]["inlay"]["name"]] = Box(width, height, inputs, outputs)
    return found


def _placed(workflow: Workflow, registry: Registry, layout: Layout, boxes: dict[str, Box]) -> Layout:
    """Stages from left to right, each in a frame of its own, and the note at the left."""
    stages = _stages(workflow)
    work = next(
        (word for kind, word in _WORK.items() for node in workflow.nodes.values() if node.type.startswith(kind)), "Fill"
    )
    groups: list[Group] = []
    nodes: dict[str, Placed] = {}
    left = 0.0
    for stage, title in enumerate(STAGES):
        inside = {name: boxes[name] for name in workflow.nodes if stages[name] == stage}
        if not inside:
            continue
        arrange_boxes(inside, {name: _links(workflow.nodes[name]) for name in inside})
        top = min(box.y for box in inside.values()) - TITLE
        for name, box in inside.items():
            box.x, box.y = box.x + left + MARGIN, box.y - top + HEADING + GRID
            nodes[name] = Placed(**{**vars(layout.nodes[name]), "x": box.x, "y": box.y})
        width = max(box.x + box.width for box in inside.values()) + MARGIN - left
        height = max(box.y + box.height for box in inside.values()) + MARGIN
        groups.append(Group(f"{len(groups) + 1}. {title.format(work)}", left, 0.0, width, height, color=FRAME))
        left += width + GAP
    text = _note(workflow, registry, nodes)
    note = Note(text, -NOTE_WIDTH - GAP, TITLE, NOTE_WIDTH, note_height(text), title="Read me", markdown=True)
    return Layout(nodes, groups, [note])


def _links(node: Node) -> list[Link]:
    return [Link(socket, *str(link).split(".")) for socket, link in node.inputs.items()]


def _stages(workflow: Workflow) -> dict[str, int]:
    """The stage of each node: that of its type, but never before that of a node it reads."""
    found: dict[str, int] = {}

    def stage(name: str) -> int:
        if name not in found:
            found[name] = _stage(workflow.nodes[name])
            found[name] = max([found[name], *(stage(link.node) for link in _links(workflow.nodes[name]))])
        return found[name]

    return {name: stage(name) for name in workflow.nodes}


def _stage(node: Node) -> int:
    if node.type.startswith(_CHOOSE) and not node.inputs.keys() - {"image", "profile"}:
        return 0
    if node.type.startswith(tuple(_WORK)) or node.params.get("fill") == "patches":
        return 2
    return 3 if node.type.startswith((*_FINISH, *_FINISH_TOO)) else 1


def _note(workflow: Workflow, registry: Registry, nodes: dict[str, Placed]) -> str:
    """What the workflow does, how to run it, and what the blue nodes set."""
    lines = [f"# {workflow.title}", "", *workflow.description.split("\n"), ""]
    lines += [
        f"Press **Run**: the pictures are samples (`{FOLDER}/…`), the models small ones that are part of inlay.",
        "Then choose your own in the blue nodes.",
        "",
        "## What the blue nodes set",
        "",
    ]
    for target in dict.fromkeys(target for name in workflow.inputs for target in workflow.targets(name)):
        name, _, parameter = target.partition(".")
        spec = registry[workflow.nodes[name].type]
        doc = next((setting.doc for setting in settings_of(spec) if setting.name == parameter), "")
        title = nodes[name].title or display_name(spec.id)
        first = doc.split(". ")[0].split("; ")[0].rstrip(".")
        lines.append(f"- **{parameter}** on *{title}*: {first}" if first else f"- **{parameter}** on *{title}*")
    return "\n".join(lines)


def write_examples(registry: Registry, folder: Path) -> None:
    """Write the graphs into a folder, and remove those of workflows that are gone."""
    folder.mkdir(exist_ok=True)
    files = example_files(registry)
    for old in folder.glob("*.json"):
        if old.name not in files:
            old.unlink()
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_examples(installed_nodes(), FOLDER_OF_EXAMPLES)
