"""Digests of the results of every shipped workflow, to show that a refactoring changed no result.

    python scripts/digests.py > before.json       # before the change
    python scripts/digests.py --compare before.json  # after it, on the same machine

Pictures are hashed as decoded pixels and trained files as tensors, so metadata do not count. Few steps, one thread,
no cache: a minute or two. Bits depend on the processor and on library versions, so compare on one machine only.
"""

import argparse
import hashlib
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
SMALL = {
    "baret_edit": {"steps": 4, "iterations": 1},
    "baret_rigid": {"steps": 4, "iterations": 1},
    "null_text_edit": {"steps": 4, "iterations": 1},
    "compare_editors": {
        "steps": 4,
        "start_layer": 1,
        "set": {"mutual.start_step": 1, "tune.iterations": 1, "null.iterations": 1, "sheet.times": False},
    },
    "paint_by_example": {"steps": 4},
    "subject_lora_inpaint": {"steps": 4},
    "subject_lora_train": {"epochs": 1, "batch_size": 200, "variations": 1},
    "train_exemplar": {"steps": 1, "batch_size": 2},
    "zero_shot_inpaint": {"steps": 4, "prompt": "a red cat sitting in a room"},
    "zero_shot_inpaint_strict": {"steps": 4},
}


def digest_of(path: Path) -> str:
    """Hash of a picture's pixels or of a safetensors file's tensors."""
    import numpy as np
    from PIL import Image
    from safetensors.numpy import load_file

    total = hashlib.sha256()
    if path.suffix == ".safetensors":
        arrays = sorted(load_file(path).items())
    else:
        with Image.open(path) as picture:
            arrays = [(picture.mode, np.asarray(picture))]
    for name, array in arrays:
        total.update(f"{name}{array.dtype}{array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return total.hexdigest()[:16]


def digests(names: list[str]) -> dict[str, str]:
    """`workflow/file` → digest, for everything that the shipped workflows write."""
    import inlay
    from inlay.graph_runtime.front.installed import shipped_workflows

    found = {}
    for name in names or sorted(shipped_workflows()):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["INLAY_HOME"] = f"{folder}/home"
            settings = {**SMALL.get(name, {})}
            inlay.run(name, out=f"{folder}/out", cache=False, device="cpu", **settings)
            files = sorted(path for path in Path(f"{folder}/out").rglob("*") if path.suffix in (".png", ".safetensors"))
            for number, path in enumerate(files):
                if not path.stem.startswith(("state", "step", "checkpoint")):
                    found[f"{name}/{number}-{path.suffix[1:]}"] = digest_of(path)
        print(f"{name}: done", file=sys.stderr)
    return found


def main() -> int:
    """Print the digests, or compare them with a file of earlier ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="workflows; all that ship by default")
    parser.add_argument("--compare", type=Path, help="a file that this script has printed before")
    arguments = parser.parse_args()
    found = digests(arguments.names)
    if arguments.compare is None:
        print(json.dumps(found, indent=1))
        return 0
    before = json.loads(arguments.compare.read_text("utf-8"))
    changed = sorted(key for key in before.keys() | found.keys() if before.get(key) != found.get(key))
    for key in changed:
        print(f"{key}: {before.get(key)} → {found.get(key)}")
    print(f"{len(changed)} of {len(before)} changed")
    return 1 if changed else 0


if __name__ == "__main__":
    sys.exit(main())
