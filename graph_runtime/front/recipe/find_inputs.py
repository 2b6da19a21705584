"""Find the files of a recorded run by their content: next to the picture, and where earlier runs read them."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from ...core.errors import Problem
from ...core.file_digests import holds
from ...core.run.plan import Plan
from ...core.workflow import Override
from .known_inputs import recall
from .known_inputs import remember as remember_paths
from .read import RecordedFile


def find_files(
    files: Mapping[Override, RecordedFile], folders: Iterable[Path], given: Iterable[Override]
) -> tuple[dict[Override, str], list[Problem]]:
    """Find the recorded files by digest, in `folders` and among files of earlier runs.

    Args:
        files: what the picture names.
        folders: the picture's own, and the input folder.
        given: parameters that the user sets anyway.
    """
    skip = set(given)
    found: dict[Override, str] = {}
    problems = []
    for target, file in files.items():
        if target in skip:
            continue
        path = _find(file, folders)
        if path is not None:
            found[target] = str(path)
        else:
            searched = ", ".join(str(folder) for folder in folders)
            problems.append(
                Problem(
                    target[0],
                    target[1],
                    f"no file with the content of {file.name!r} (sha256 {file.digest[:12]}…)",
                    f"that file in {searched}, or among the files of earlier runs",
                    "put it there, give its folder with --inputs, or give its path (with a flag of the workflow "
                    f"such as --image, or with --set {target[0]}.{target[1]}=PATH)",
                )
            )
    return found, problems


def _find(file: RecordedFile, folders: Iterable[Path]) -> Path | None:
    """The first path with that content. Of other files in the folders, only those of its suffix and size are read."""
    places = list(folders)
    candidates = [folder / file.name for folder in places]
    if remembered := recall(file.digest):
        candidates.append(remembered)
    if ":" not in file.digest:  # a whole ordinary file: it may have been renamed
        suffix = Path(file.name).suffix.lower()
        for folder in places:
            candidates += sorted(path for path in folder.glob("*") if path.suffix.lower() == suffix and path.is_file())
    for path in candidates:
        try:
            if file.size and str(path.stat().st_size) != file.size:
                continue
            if path.is_dir() and not file.digest.startswith("folder:"):
                continue
            if holds(path, file.digest, weights=file.kind == "model"):
                return path.resolve()
        except OSError:
            continue
    return None


def remember(plan: Plan) -> None:
    """Keep the paths of a run's files by digest, so that they can be found again from its pictures."""
    remember_paths({file["digest"]: file["path"] for file in plan.files.values()})
