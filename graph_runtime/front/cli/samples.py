"""`inlay samples [DIR]`: fills a folder with the pictures that README and the guides use.

No file is ever overwritten: before anything is written, other files of the same names are reported.
"""

import argparse
import json
import os
import shlex
from pathlib import Path

from ...core.disk_errors import explain
from ...core.errors import WorkflowError, clean
from ...core.files import make_folder, write_new
from .parser import AddCommand

#: What lies in the folder afterwards, for a person.
CONTENTS = (
    ("photo.jpg, hole.png", "a photo, and in white what to remove from it"),
    ("album, album-masks", "more photos, with a mask of the same name each"),
    ("room.png, room-mask.png", "a drawn room and an ink blot on it"),
    ("living-room.png, living-room-mask.png", "a drawn room with a bed, and the place of the bed"),
    ("exemplar.png", "a sofa to put there"),
    ("subject, subject-masks", "another sofa, in four drawings"),
    ("subject.safetensors", "a LoRA that has learned that sofa"),
    ("dog.png", "a drawing to edit by describing the result"),
    ("photos, boxes.csv", "drawings with boxes, to train on"),
)
NEXT = ("inlay inpaint photo.jpg hole.png",)
_NAMED = 5  # files that a message lists


def add_samples(add: AddCommand) -> None:
    """The parser of `inlay samples`."""
    parser = add("samples", _samples, "fill a folder with sample photos, masks and drawings to try the commands on")
    parser.add_argument("folder", metavar="DIR", nargs="?", default="inlay-samples", help="(default: inlay-samples)")


def write_samples(folder: Path) -> tuple[list[str], list[str]]:
    """Write all samples into a folder, which is made if it is not there.

    Returns:
        The files that were written, and those that were there already.

    Raises:
        WorkflowError: a name is taken by another file (then nothing is written), or the folder takes no files.
    """
    from ..installed import shipped_samples

    samples = shipped_samples()
    try:
        same = [name for name, sample in samples.items() if _is_same(folder / name, sample)]
        _refuse([name for name in samples if name not in same and _is_taken(folder, name)], folder)
        missing = [name for name in samples if name not in same]
        for name in missing:
            make_folder((folder / name).parent)
            if not write_new(folder / name, samples[name].read_bytes()):
                _refuse([name], folder)
    except (OSError, ValueError) as error:
        if not isinstance(error, OSError):  # a name with a NUL
            error = OSError(0, str(error))
        found, expected, _ = explain(error, folder)
        raise WorkflowError.of("DIR", found=found, expected=expected, fix="choose another folder") from error
    return missing, same


def _is_same(path: Path, sample: Path) -> bool:
    return path.is_file() and path.stat().st_size == sample.stat().st_size and path.read_bytes() == sample.read_bytes()


def _is_taken(folder: Path, name: str) -> bool:
    above = (folder / name).parent
    return os.path.lexists(folder / name) or (os.path.lexists(above) and not above.is_dir())


def _refuse(names: list[str], folder: Path) -> None:
    if not names:
        return
    listed = ", ".join(names[:_NAMED]) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")
    raise WorkflowError.of(
        "DIR",
        found=f"other files in {str(folder)!r} with the names of samples: {listed}",
        expected="a folder without such files; none is ever overwritten",
        fix="choose a new folder: inlay samples NEW_FOLDER",
    )


def _samples(options: argparse.Namespace, rest: list[str]) -> int:
    folder = Path(options.folder)
    written, kept = write_samples(folder)
    if options.json:
        print(
            json.dumps({"status": "done", "folder": str(folder), "written": written, "kept": kept, "next": list(NEXT)})
        )
    else:
        print(clean(_text(folder, len(written), len(kept))))
    return 0


def _text(folder: Path, written: int, kept: int) -> str:
    width = max(len(names) for names, _ in CONTENTS)
    done = f"wrote {written} files to {folder}" + (f"; {kept} were there already" if kept else "")
    enter = [f"cd {shlex.quote(str(folder))}"] if folder.resolve() != Path.cwd() else []
    return "\n".join(
        [
            done,
            *(f"  {names:{width}}  {about}" for names, about in CONTENTS),
            "next:",
            *(f"  {command}" for command in (*enter, *NEXT)),
        ]
    )
