"""Make the README's pictures with inlay itself: `python scripts/pictures.py`."""

import json
import shutil
import tempfile
from pathlib import Path

import inlay
from inlay.graph_runtime import Context
from inlay.graph_runtime.core.workflow import parse
from inlay.graph_runtime.front.draw.svg import draw
from inlay.graph_runtime.front.installed import installed_nodes
from inlay.nodes.image.files import load, save
from inlay.nodes.image.grid import grid

ROOT = Path(__file__).resolve().parents[1]
FLOW = ROOT / "workflows" / "zero_shot_inpaint.json"


def before_after() -> None:
    """docs/images/before-after.png: the sample, its mask, and the result of the main job."""
    flow = json.loads(FLOW.read_text("utf-8"))
    for node in ("photo", "hole"):
        flow["nodes"][node]["params"]["path"] = str(ROOT / "workflows" / flow["nodes"][node]["params"]["path"])
    flow["nodes"]["drawn"] = {"type": "image.load", "params": {"path": flow["nodes"]["hole"]["params"]["path"]}}
    flow["nodes"]["sheet"] = {
        "type": "image.grid",
        "params": {"label_1": "before", "label_2": "mask", "label_3": "after", "columns": 3},
        "inputs": {"image_1": "photo.image", "image_2": "drawn.image", "image_3": "paste.image"},
    }
    flow["nodes"]["save"]["inputs"] = {"image": "sheet.image"}
    del flow["ui"]
    with tempfile.TemporaryDirectory() as folder:
        result = inlay.run(flow, out=folder, cache=False, metadata=False)
        shutil.copy(result.paths[0], ROOT / "docs" / "images" / "before-after.png")


def by_example() -> None:
    """docs/images/by-example.png: the sample of paint_by_example, its mask, the exemplar, and the result."""
    flow = json.loads((ROOT / "workflows" / "paint_by_example.json").read_text("utf-8"))
    for node in ("photo", "hole", "example"):
        flow["nodes"][node]["params"]["path"] = str(ROOT / "workflows" / flow["nodes"][node]["params"]["path"])
    flow["nodes"]["drawn"] = {"type": "image.load", "params": {"path": flow["nodes"]["hole"]["params"]["path"]}}
    flow["nodes"]["sheet"] = {
        "type": "image.grid",
        "params": {"label_1": "before", "label_2": "mask", "label_3": "exemplar", "label_4": "after", "columns": 4},
        "inputs": {
            "image_1": "photo.image",
            "image_2": "drawn.image",
            "image_3": "example.image",
            "image_4": "paste.image",
        },
    }
    flow["nodes"]["save"]["inputs"] = {"image": "sheet.image"}
    del flow["ui"]
    with tempfile.TemporaryDirectory() as folder:
        result = inlay.run(flow, out=folder, cache=False, metadata=False)
        shutil.copy(result.paths[0], ROOT / "docs" / "images" / "by-example.png")


def edited() -> None:
    """docs/images/editing.png: the sample of baret_edit, and what three descriptions make of it."""
    jobs = (
        ("baret_edit", "a blue dog lying in a room with green walls"),
        ("baret_rigid", "a yellow dog standing in a room with green walls"),
        ("baret_rigid", "a blue dog standing in a room with pink walls"),
    )
    with tempfile.TemporaryDirectory() as folder:
        images = [inlay.run(name, out=folder, prompt=prompt)["image"] for name, prompt in jobs]
        sheet = grid(
            [load(str(ROOT / "workflows" / "dog.png"), Context()).image, *images],
            ["before", "… lying …", "a yellow dog …", "… with pink walls"],
            columns=4,
        ).image
        save(sheet, Context(out=folder), prefix="sheet", metadata=False)
        shutil.copy(Path(folder) / "sheet_00001.png", ROOT / "docs" / "images" / "editing.png")


def graph() -> None:
    """docs/images/zero_shot_inpaint.svg."""
    (ROOT / "docs" / "images" / "zero_shot_inpaint.svg").write_text(
        draw(parse(FLOW.read_bytes()), installed_nodes()), "utf-8"
    )


if __name__ == "__main__":
    before_after()
    by_example()
    edited()
    graph()
