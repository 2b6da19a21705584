"""Pictures that a caller holds in memory: each is a file in a private folder for as long as the call lasts.

The engine knows paths and contents. So a picture of Pillow, an array or a tensor is written once, with every bit of its
pixels, and its path takes its place; the same pixels make the same file, and with it the same keys.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ....nodes.pack import PACK
from ...core.context import safe_prefix
from ...core.errors import BadInput, Problem, WorkflowError
from ...core.events import Warned
from ...core.file_digests import digest
from ...core.files import make_folder
from ...core.leftovers import hidden, sweep
from ...core.run.plan import Plan
from ...core.user_paths import home
from .keywords import a_folder
from .result import Result, SavedFile

if TYPE_CHECKING:
    from .load_workflow import LoadedWorkflow

_PLAIN = (str, int, float, os.PathLike, Mapping, list, tuple, type(None))
_PICTURE = "a picture, an array or a tensor"
_FAINT = (
    "a mask of the integers 0 and 1, where the highest integer is white",
    "True and False, 0 and 255, or floats from 0 to 1",
    "mask.astype(bool), or mask * 255",
)


@dataclass
class Held:
    """The pictures in memory among the arguments of one call.

    Attributes:
        folder: where they are; None as long as there are none.
        names: by the path of each, the argument that holds it.
        warnings: about them.
        releases: the output folder is here too.
    """

    folder: Path | None = None
    releases: bool = False
    names: dict[str, str] = field(default_factory=dict)
    warnings: list[Warned] = field(default_factory=list)
    _faint: set[str] = field(default_factory=set)  # paths of pictures of 0 and 1
    _problems: list[Problem] = field(default_factory=list)

    def paths_for(self, arguments: object) -> object:
        """The arguments by name, with the path of a file in place of each picture.

        Raises:
            WorkflowError: every picture that cannot be.
        """
        if type(arguments) is not dict:  # whatever else it is, reading it is bounded elsewhere
            return arguments
        replaced = {
            name: self._with_paths(value, name if isinstance(name, str) else "") for name, value in arguments.items()
        }
        if self._problems:
            raise WorkflowError(self._problems)
        return replaced

    def _with_paths(self, value: object, name: str) -> object:
        if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
            return [self._path_for(item, name, number) for number, item in enumerate(value, start=1)]
        return self._path_for(value, name)

    def _path_for(self, value: object, name: str, number: int = 0) -> object:
        if isinstance(value, _PLAIN):
            return value
        stem = re.sub(r"\W", "_", name.partition(".")[0])[:60]
        stem = stem if safe_prefix(stem, windows=True) else "picture"
        place = self._new_folder()
        try:
            written = PACK.write_value(value, place, f"{stem}-{number}" if number else stem)
        except BadInput as error:
            argument = f"{name}[{number - 1}]" if number else name
            self._problems.append(Problem(None, argument, error.found, error.expected, error.fix))
            return None
        if written is None:
            return value
        path, notes, faint = written
        if faint:
            self._faint.add(str(path))
        self.names[str(path)] = name
        self.warnings += [Warned(None, f"{name}: {note}") for note in notes]
        return str(path)

    def _new_folder(self) -> Path:
        """A folder for one picture, whose file can so have the name of its argument."""
        if self.folder is None:
            self.folder = _private_folder()
        return Path(tempfile.mkdtemp(dir=self.folder))

    def output(self, out: object) -> Path:
        """The output folder; without one, a folder that is gone after the call.

        Raises:
            WorkflowError: it is no path.
        """
        if out is not None:
            return a_folder(out, "out")
        self.folder = self.folder or _private_folder()
        self.releases = True
        return self.folder / "out"

    def released(self, result: Result) -> Result:
        """A result that needs none of these files any more."""
        if not self.releases:
            return result
        files = {
            name: [SavedFile(Path(file.path.name), file.read()) for file in files]
            for name, files in result.files.items()
        }
        return replace(result, paths=[], files=files)

    def shown(self, path: str) -> str:
        """A path as people may see it: of these pictures, the name alone."""
        return Path(path).name if self.holds(path) else path

    def set_values(
        self, loaded: "LoadedWorkflow", values: Mapping[str, object], settings: Mapping[str, object]
    ) -> None:
        """Write the arguments into a workflow.

        Raises:
            WorkflowError: as `LoadedWorkflow.set_values`, or a picture for a setting that takes something else.
        """
        loaded.held = self
        loaded.set_values(values, settings)
        self._require_fit(loaded)

    def contents_of(self, arguments: Mapping[str, object]) -> dict[str, object]:
        """Arguments with the digest of each picture in place of its path: what the key of a run is made of."""
        return {name: self._content_of(value) for name, value in arguments.items()}

    def _content_of(self, value: object) -> object:
        if isinstance(value, str) and value in self.names:
            return {"content": digest(Path(value))}
        return [self._content_of(item) for item in value] if isinstance(value, list) else value

    def holds(self, path: str | os.PathLike[str]) -> bool:
        """True for a path of these pictures."""
        return self.folder is not None and Path(path).is_relative_to(self.folder)

    def _require_fit(self, loaded: "LoadedWorkflow") -> None:
        """Refuse a picture where a setting takes something else, such as text, and a mask of 0 and 1 of 255.

        Raises:
            WorkflowError: names each argument.
        """
        problems: dict[Problem, None] = {}
        for node, entry in loaded.workflow.nodes.items():
            spec = loaded.registry.get(entry.type)
            if spec is None or not self.names:
                continue
            is_mask = [port.socket for port in spec.outputs.values()][:1] == ["MASK"]
            for parameter, value in entry.params.items():
                role = spec.path_roles.get(parameter)
                for path in value if isinstance(value, list) else [value]:
                    if not isinstance(path, str) or path not in self.names:
                        continue
                    name = self.names[path]
                    if role is None or role.kind == "model":
                        expected = "a model" if role is not None else f"what {node}.{parameter} takes"
                        problems[Problem(None, name, _PICTURE, expected, f"see `inlay nodes {entry.type}`")] = None
                    elif is_mask and path in self._faint:
                        problems[Problem(None, name, *_FAINT)] = None
        if problems:
            raise WorkflowError(problems)

    def require_pictures_only(self, plan: Plan) -> None:
        """Without an output folder, refuse a workflow that writes more than pictures, such as a model.

        Raises:
            WorkflowError: names each node that does.
        """
        writers = [step for step in plan.steps if step.spec.effects and step.spec.saves is None]
        if self.releases and writers:
            found = f"out=None, and {', '.join(f'{step.name} ({step.spec.id})' for step in writers[:5])}"
            raise WorkflowError.of(
                "--out", found=found, expected="a folder for what they write", fix="give out=, the output folder"
            )


@contextmanager
def held_pictures() -> Iterator[Held]:
    """The pictures of one call; their files are gone after the block."""
    held = Held()
    try:
        yield held
    finally:
        if held.folder is not None:
            shutil.rmtree(held.folder, ignore_errors=True)


def _private_folder() -> Path:
    """A new folder that only this user can read; if this process is killed, a later call removes it."""
    try:
        place = home() / "held"
        make_folder(place)
        sweep(place)
        folder = place / f"{hidden('pictures')}.part"
        folder.mkdir(mode=0o700)
    except OSError:  # nothing can be kept at home
        folder = Path(tempfile.mkdtemp(prefix="inlay-"))
    return Path(os.path.realpath(folder))
