"""Repeat a kept run: the same files under new numbers, the same warnings, and its outputs when they are asked for."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from ...core.context import Context
from ...core.errors import NodeError, Problem, shorten
from ...core.events import (
    CancelToken,
    Event,
    Listener,
    NodeFinished,
    NodeStarted,
    Noted,
    Record,
    RunFinished,
    RunStarted,
    Warned,
)
from ...core.paths import why_unwritable
from ...core.reads import Reads
from ...core.run.reread import same_listings, unchanged
from ...core.store.encoding import decode
from ...core.store.types import StorableTypes
from .keep import names_in, place_now, place_of, runs_on_disk

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Repeated:
    """A repeated run.

    Attributes:
        outputs: by name, made when they are asked for; empty for a command.
        shown: what the command prints of them.
        paths: the files that were saved.
        events: what happened, as in a run whose results were all known.
        savers: by output, the node that saved it.
        text: the record that the files carry.
    """

    outputs: Mapping[str, object]
    shown: JsonValue
    paths: list[Path]
    events: list[Event]
    savers: Mapping[str, str]
    text: str


class KeptOutputs(Mapping[str, object]):
    """The outputs of a kept run; each is read when it is asked for, and only then torch is imported."""

    def __init__(
        self, structures: Mapping[str, JsonValue], tensor: "Callable[[str], Tensor]", types: StorableTypes
    ) -> None:
        self._structures, self._tensor, self._types = structures, tensor, types
        self._made: dict[str, object] = {}

    def __getitem__(self, name: str) -> object:
        if name not in self._made:
            self._made[name] = decode(self._structures[name], self._tensor, self._types)
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._structures)

    def __len__(self) -> int:
        return len(self._structures)


def repeat(
    key: bytes | None,
    out: Path,
    *,
    types: StorableTypes | None = None,
    listeners: Iterable[Listener] = (),
    cancel: CancelToken | None = None,
) -> Repeated | None:
    """Repeat the run that is kept under `key`; None if there is none, or if anything that it read has changed.

    Args:
        key: of the request.
        out: the output folder.
        types: the types of values that outputs may have.
        listeners: called with every event.
        cancel: stops between two files.

    Raises:
        NodeError: a file cannot be written.
        Cancelled: the token was cancelled.
    """
    store = runs_on_disk()
    found = store.structure(key) if key is not None and store.limit else None
    match found:
        case ([_, str(text), ["dict", *pairs]], tensor):
            record = json.loads(text)
        case _:
            return None
    contents = [store.bytes_at(bytes.fromhex(place)) for *_, place in record["files"]]
    saved = [
        (node, prefix, suffix, body)
        for (node, prefix, suffix, place), body in zip(record["files"], contents, strict=True)
        if body is not None and place_of(body).hex() == place
    ]
    if len(saved) < len(contents) or not _still_valid(record, out) or (saved and why_unwritable(out)):
        return None
    events = Record()
    ctx = Context(out=out, listeners=(events, *listeners), cancel=cancel)
    _repeat(record["events"], saved, ctx)
    store.flush()
    structures = {str(pair[0]): pair[1] for pair in pairs if isinstance(pair, list)}
    outputs = KeptOutputs(structures, tensor, types or StorableTypes())
    return Repeated(outputs, record["shown"], list(ctx.saved), events, record["savers"], record["text"])


def _still_valid(record: Mapping[str, list[list[object]]], out: Path) -> bool:
    """True if every path means what it meant, and every file holds what it held."""
    reads = Reads()
    for path, state, digest in record["reads"]:
        reads.unsure |= set() if state else {str(path)}
        reads.files[str(path)] = (tuple(state), str(digest))  # type: ignore[assignment, arg-type]  # from JSON
    for base, parts, weights, digest in record["listings"]:
        reads.listings[str(base), tuple(parts), bool(weights)] = str(digest)  # type: ignore[arg-type]  # from JSON
    return (
        all(place_now(str(path)) == place for path, place in record["facts"])
        and not any(place_now(str(out.absolute() / str(name))) for (name,) in record["beside"])
        and all(names_in(str(folder)) == names for folder, names in record["folders"])
        and unchanged(reads)
        and same_listings(reads)
    )


def _repeat(events: list[list[object]], saved: list[tuple[str, str, str, bytes]], ctx: Context) -> None:
    """Emit the events again; where a file was saved, save it."""
    waiting = iter(saved)
    for kind, *details in events:
        ctx.check_cancelled()
        match kind, details:
            case "started", [int(nodes)]:
                ctx.emit(RunStarted(nodes))
            case "node", [str(node), str(name)]:
                ctx.node = node
                ctx.emit(NodeStarted(node, name))
            case "done", [str(node), str(name)]:
                ctx.emit(NodeFinished(node, name, 0.0, cached=True))
            case "warned", [node, str(message)]:
                ctx.pass_on(Warned(node if isinstance(node, str) else None, message))
            case "noted", [str(message)]:
                ctx.pass_on(Noted(None, message))
            case "saved", _:
                _save(*next(waiting), ctx)
            case _:
                ctx.emit(RunFinished(0.0))


def _save(node: str, prefix: str, suffix: str, contents: bytes, ctx: Context) -> None:
    try:
        with ctx.new_file(prefix, suffix) as path:
            path.write_bytes(contents)
    except OSError as error:
        problem = Problem(
            node,
            "prefix",
            f"{shorten(str(ctx.out))} cannot be written to ({error.strerror or error})",
            "an output folder with room for the file",
            "free some space, or choose another folder with --out",
        )
        raise NodeError(problem, node) from error
