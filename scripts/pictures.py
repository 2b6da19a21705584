"""Make the pictures of README and the guides with the commands that stand beside them: `python scripts/pictures.py`.

    python scripts/pictures.py                all of them, into docs/images
    python scripts/pictures.py subject.png    only these

Each command runs in a folder that `inlay samples` has filled. tests/test_pictures.py makes them again and compares.
"""

import glob
import json
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from inlay.graph_runtime.core.workflow import parse
from inlay.graph_runtime.front.draw.svg import draw
from inlay.graph_runtime.front.installed import installed_nodes
from inlay.nodes.image.grid import grid
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
FLOW = ROOT / "workflows" / "inpaint" / "zero_shot_inpaint.json"
TALL = 320  # pixels: higher photos are made smaller, as a page shows them


@dataclass(frozen=True)
class Shown:
    """A picture of the documents.

    Attributes:
        commands: as the pages print them; each saves at least one picture.
        panels: label, and a sample by name or a result by its number; from left to right.
        columns: panels in a row; None: all in one.
    """

    commands: Sequence[str]
    panels: Sequence[tuple[str, str | int]]
    columns: int | None = None


ROOM = "living-room.png"
HOLE = "living-room-mask.png"
SHOWN = {
    "inpaint.jpg": Shown(
        ["inlay inpaint photo.jpg hole.png"],
        [("before", "photo.jpg"), ("after", 0)],
    ),
    "prompt.png": Shown(
        [
            f"inlay inpaint {ROOM} {HOLE} --source dollhouse "
            '--prompt "a yellow sofa in a room with pink walls" --guidance 2'
        ],
        [("before", ROOM), ("mask", HOLE), ("after", 0)],
    ),
    "by-example.png": Shown(
        [f"inlay inpaint {ROOM} {HOLE} --source dollhouse --example exemplar.png"],
        [("before", ROOM), ("mask", HOLE), ("exemplar", "exemplar.png"), ("after", 0)],
    ),
    "subject.png": Shown(
        [
            f"inlay run subject_lora_inpaint --image {ROOM} --mask {HOLE} --example subject/sofa-1.png "
            "--lora subject.safetensors"
        ],
        [
            *(("photos" if number == 1 else "", f"subject/sofa-{number}.png") for number in range(1, 5)),
            ("before", ROOM),
            ("after", 0),
        ],
    ),
    "editing.png": Shown(
        [
            'inlay run baret_edit --image dog.png --prompt "a blue dog lying in a room with green walls"',
            'inlay run baret_rigid --image dog.png --prompt "a yellow dog standing in a room with green walls"',
            'inlay run baret_rigid --image dog.png --prompt "a blue dog standing in a room with pink walls"',
        ],
        [("before", "dog.png"), ("... lying ...", 0), ("a yellow dog ...", 1), ("... with pink walls", 2)],
    ),
}


def sheet(shown: Shown, folder: Path, home: str | None = None) -> Image.Image:
    """Run the commands in a folder of samples and lay out what they were given and what they made."""
    results = [path for command in shown.commands for path in run(command, folder, home)]
    pictures = [_read(folder / panel if isinstance(panel, str) else results[panel]) for _, panel in shown.panels]
    drawn = grid(pictures, [label for label, _ in shown.panels], columns=shown.columns or len(pictures)).image
    return Image.fromarray((drawn[0] * 255).round().to(torch.uint8).numpy())


def run(command: str, folder: Path, home: str | None = None) -> list[Path]:
    """Run a command of the documents, with a home of its folder or another; returns the pictures that it saved."""
    words = [found for word in shlex.split(command) for found in (sorted(glob.glob(word, root_dir=folder)) or [word])]
    assert words[0] == "inlay", command
    place = {**os.environ, "INLAY_HOME": home or str(folder / ".home"), "INLAY_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "inlay", *words[1:], "--json"], cwd=folder, env=place, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{command}\n{done.stderr}")
    return [folder / path for path in json.loads(done.stdout)["paths"]]


def _read(path: Path) -> torch.Tensor:
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    if picture.height > TALL:
        picture = picture.resize((round(picture.width * TALL / picture.height), TALL), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.asarray(picture).copy()).float()[None] / 255


def samples(folder: Path) -> Path:
    """A folder with all samples."""
    subprocess.run([sys.executable, "-m", "inlay", "samples", str(folder), "--json"], check=True, capture_output=True)
    return folder


def save(picture: Image.Image, path: Path) -> None:
    """Save a sheet: photos as JPEG, drawings as PNG."""
    picture.save(path, **({"quality": 90} if path.suffix == ".jpg" else {"optimize": True}))


def graph() -> str:
    """docs/images/zero_shot_inpaint.svg."""
    return draw(parse(FLOW.read_bytes()), installed_nodes())


def pages_that_show(name: str) -> Iterator[Path]:
    """README and guides with this picture."""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs" / "guide").glob("*.md"))):
        if f"images/{name})" in page.read_text("utf-8"):
            yield page


if __name__ == "__main__":
    for name in sys.argv[1:] or SHOWN:
        with tempfile.TemporaryDirectory() as place:
            save(sheet(SHOWN[name], samples(Path(place) / "samples")), IMAGES / name)
    if not sys.argv[1:]:
        (IMAGES / "zero_shot_inpaint.svg").write_text(graph(), "utf-8")
