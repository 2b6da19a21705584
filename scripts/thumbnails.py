"""example_workflows/*.jpg: what each shipped workflow makes, as ComfyUI's template browser shows it.

    python scripts/thumbnails.py              # all that are missing
    python scripts/thumbnails.py baret_edit   # these, again

A training shows the sheet that it saved last, or, where it draws none, the photos that it learns from.
"""

import sys
import tempfile
from pathlib import Path

import inlay
from inlay.graph_runtime.front.installed import shipped_samples, shipped_workflows
from PIL import Image, ImageOps

FOLDER = Path(__file__).resolve().parents[1] / "example_workflows"
SIDE, QUALITY = 400, 85  # pixels of a square; JPEG's scale
FASTER = {"subject_lora_train": {"epochs": 1}}  # of what takes minutes
LEARNS_FROM = {"train_exemplar": "photos/photo-{}.png"}


def main(names):
    """Make the pictures of these workflows, or of all that have none."""
    for name in names or shipped_workflows():
        place = FOLDER / f"{name}.jpg"
        if names or not place.is_file():
            _thumbnail(name).save(place, quality=QUALITY, optimize=True)
            print(place, flush=True)


def _thumbnail(name):
    """The picture that the workflow makes, cut to a square."""
    if name in LEARNS_FROM:
        return _photos(LEARNS_FROM[name])
    with tempfile.TemporaryDirectory() as out:
        result = inlay.run(name, out=out, **FASTER.get(name, {}))
        made = result.pil() if "image" in result else Image.open(_last_picture(Path(out)))
        return ImageOps.fit(made.convert("RGB"), (SIDE, SIDE), Image.Resampling.LANCZOS)


def _photos(pattern):
    """Four of the sample photos."""
    sheet = Image.new("RGB", (SIDE, SIDE))
    for number in range(4):
        photo = Image.open(shipped_samples()[pattern.format(number + 1)]).convert("RGB")
        place = (number % 2 * SIDE // 2, number // 2 * SIDE // 2)
        sheet.paste(ImageOps.fit(photo, (SIDE // 2, SIDE // 2), Image.Resampling.LANCZOS), place)
    return sheet


def _last_picture(folder):
    pictures = [path for path in folder.rglob("*") if path.suffix in (".png", ".jpg", ".webp")]
    return max(pictures, key=lambda path: path.stat().st_mtime_ns)


if __name__ == "__main__":
    main(sys.argv[1:])
