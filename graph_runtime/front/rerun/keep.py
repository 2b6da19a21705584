"""Keep a run as a whole: what it read, what it said, the files it saved, and its outputs."""

import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from pydantic import JsonValue

from ...core.context import Context
from ...core.digests import sha256, short_digest
from ...core.events import Event, NodeFinished, NodeStarted, Noted, RunFinished, RunStarted, Saved, Warned
from ...core.reading.listing import MODEL_FILES
from ...core.reads import Reads, collect_reads
from ...core.run.plan import Plan
from ...core.run.reread import same_listings, untouched
from ...core.store.disk import DiskStore
from ...core.user_paths import GLOB, expand, home
from ..kept_between_runs import cache_limit
from ..python.load_workflow import LoadedWorkflow
from ..recipe.record import CHUNK
from .surroundings import surroundings

STARTING = 2.0  # seconds that importing the libraries takes, which a kept run saves
Outputs = Mapping[str, object]
Show = Callable[[Outputs], JsonValue]


def runs_on_disk() -> DiskStore:
    """Where whole runs are kept; their keys hold everything around them."""
    return DiskStore(home() / "cache", "runs", cache_limit())


@dataclass
class Recording:
    """A run that may be kept as a whole.

    Attributes:
        key: of the request.
        show: what a command prints of the outputs; None keeps the outputs themselves.
        label: what ran, for people.
        reads: what was read since the recording began.
        files: node, prefix, suffix and place of each file that was saved.
        around: the surroundings when the recording began.
    """

    key: bytes
    show: Show | None
    label: str
    reads: Reads
    store: DiskStore = field(default_factory=runs_on_disk)
    files: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    around: list[JsonValue] | None = field(default_factory=surroundings)

    def saved(self, node: str, prefix: str, suffix: str, path: Path) -> None:
        """Keep the bytes of a file that a node has just written, by their content."""
        if self.store.trouble:
            return
        contents = path.read_bytes()
        place = place_of(contents)
        self.store.put_bytes(place, contents, suffix, math.inf, f"saved by {node}", "file")
        self.files.append((node, prefix, suffix, place))

    def finish(self, loaded: LoadedWorkflow, plan: Plan, ctx: Context, events: list[Event], outputs: Outputs) -> None:
        """Keep the run, unless it did more than save single files, or something changed meanwhile."""
        facts, beside = _facts(loaded)
        folders = {folder: names_in(folder) for folder in _folders_of_files(facts)}
        whole = (
            len(self.files) == len(ctx.saved)
            and not ctx.asked_time
            and all(step.files is not None for step in plan.steps)
            and not any(str(path) in _texts(list(outputs.values())) for path in ctx.saved)
            and not any(os.path.lexists(loaded.out / name) for name in beside)
            and None not in folders.values()
        )
        if not whole or self.store.trouble or not self.store.limit:
            return
        held = loaded.held.holds  # the key of the request has their contents
        listings = [(key, digest) for key, digest in self.reads.listings.items() if not held(key[0])]
        record: JsonValue = {
            "files": [[node, prefix, suffix, place.hex()] for node, prefix, suffix, place in self.files],
            "events": [event for one in events if (event := event_as_data(one)) is not None],
            "reads": [
                [path, list(state) if path not in self.reads.unsure else [], digest]
                for path, (state, digest) in self.reads.files.items()
                if not held(path)
            ],
            "listings": [[base, list(parts), weights, digest] for (base, parts, weights), digest in listings],
            "facts": [[path, place] for path, place in facts.items()],
            "beside": [[name] for name in beside],
            "folders": [[folder, names] for folder, names in folders.items()],
            "savers": dict(plan.savers),
            "text": ctx.metadata.get(CHUNK, ""),
            "shown": self.show(outputs) if self.show is not None else None,
        }
        seconds = STARTING + sum(event.seconds for event in events if isinstance(event, NodeFinished))
        values = dict(outputs) if self.show is None else {}
        if untouched(self.reads) and same_listings(self.reads) and surroundings() == self.around:
            self.store.put(self.key, (json.dumps(record), values), seconds, self.label, "run")


@contextmanager
def recording(
    key: bytes | None, label: str, show: Show | None = None, asked: Reads | None = None
) -> Iterator[Recording | None]:
    """Note what is read inside the block, so that the run in it can be kept under `key`; None: it is not kept.

    Args:
        key: of the request.
        label: what runs, for people.
        show: as of `Recording`.
        asked: what was read to make the key: if the workflow changes before it is loaded, the run is not kept.
    """
    if key is None:
        yield None
        return
    with collect_reads() as reads:
        if asked is not None:
            reads.files.update(asked.files)
            reads.unsure.update(asked.unsure)
        yield Recording(key, show, label, reads)


def place_of(contents: bytes) -> bytes:
    """Where the bytes of a saved file are kept."""
    return short_digest(b"file", bytes.fromhex(sha256(contents)), size=20)


def event_as_data(event: Event) -> JsonValue:
    """An event that is repeated with the run; None for the others, such as progress."""
    match event:
        case RunStarted(nodes=nodes):
            return ["started", nodes]
        case NodeStarted(node=node, type=kind):
            return ["node", node, kind]
        case NodeFinished(node=node, type=kind):
            return ["done", node, kind]
        case Noted(message=message):
            return ["noted", message]
        case Warned(node=node, message=message):
            return ["warned", node, message]
        case Saved(node=node):
            return ["saved", node]
        case RunFinished():
            return ["finished"]
    return None


def place_now(path: str) -> str | None:
    """The real place of a path that a workflow may mean; None if nothing is there."""
    return os.path.realpath(path) if os.path.lexists(path) else None


def names_in(folder: str) -> str | None:
    """A digest of the names in a folder of weights and in the folders in it; None if there are too many.

    A configuration or tokenizer that comes to lie beside a file of weights may count. No link is followed: it counts
    with the place that it names.
    """
    try:
        found = list(islice(_names(folder, depth=2), MODEL_FILES + 1))
    except OSError:
        return None
    return None if len(found) > MODEL_FILES else sha256(*(f"{name}\0" for name in sorted(found)))


def _names(folder: str, depth: int) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                yield f"{entry.name}\0link\0{os.readlink(entry.path)}"
            elif entry.is_dir() and depth > 1:
                yield f"{entry.name}\0folder"
                yield from (f"{entry.name}/{name}" for name in _names(entry.path, depth - 1))
            else:
                yield f"{entry.name}\0{entry.is_dir()}"


def _folders_of_files(facts: Mapping[str, str | None]) -> list[str]:
    """The folders of all files of weights that a setting means."""
    files = {real for real in facts.values() if real is not None and real.endswith(".safetensors")}
    return sorted({os.path.dirname(real) for real in files if os.path.isfile(real)})


def _facts(loaded: LoadedWorkflow) -> tuple[dict[str, str | None], list[str]]:
    """What a new file would change: every path that a setting could mean, with what is there, and those of them that
    are looked for in the output folder too."""
    found: dict[str, str | None] = {}
    beside: list[str] = []
    bases = [Path.cwd(), *loaded.roots]
    for entry in loaded.workflow.nodes.values():
        spec = loaded.registry.get(entry.type)
        for parameter, role in (spec.path_roles if spec is not None else {}).items():
            value = entry.params.get(parameter)
            for text in value if isinstance(value, list) else [value]:
                counts = isinstance(text, str) and "\0" not in text and not loaded.held.holds(text)
                for form in {text, text.replace("\\", "/")} if isinstance(text, str) and counts else ():
                    given = expand(form)
                    paths = [base / part for base in bases for part in (form, given)]
                    paths += [path / "model_index.json" for path in paths] if role.kind == "model" else []
                    beside += [form] if form.endswith(".safetensors") and not given.is_absolute() else []
                    for path in paths:
                        for there in [path, path.parent] if GLOB.intersection(path.name) else [path]:
                            found[str(there)] = place_now(str(there))
    return found, beside


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
