"""What each result of a run depended on, noted so that it can be said later why one was made anew."""

import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..memory.descriptions import ModelDescription
from .plan import Plan, Step

if TYPE_CHECKING:
    from pydantic import JsonValue

NODES = 2000  # a run of more nodes is not noted


@dataclass(frozen=True)
class Made:
    """One node of a run, and what its result depended on.

    Attributes:
        type: the node's type.
        version: of the type.
        code: a digest of the code behind it.
        settings: as text, without the paths of files whose contents count.
        files: by setting, name and digest of what was read.
        models: fingerprints of the models that the node describes.
        links: `node.output` by socket.
        key: of the result; empty if it depends on what the run itself writes.
        outcome: what became of the result: found in memory or on disk, made, why it is not kept.
    """

    type: str
    version: int
    code: str
    settings: dict[str, str]
    files: dict[str, list[str]]
    models: list[str]
    links: dict[str, str]
    key: str
    outcome: str = ""


@dataclass(frozen=True)
class RunNote:
    """A run: its environment, as named parts, its nodes, and what it did with memory (memory/account.py)."""

    environment: dict[str, str]
    nodes: dict[str, Made] = field(default_factory=dict)
    memory: "dict[str, JsonValue]" = field(default_factory=dict)

    def packed(self) -> bytes:
        """As bytes."""
        return zlib.compress(json.dumps(asdict(self)).encode())

    @classmethod
    def unpacked(cls, data: bytes) -> "RunNote":
        """From bytes.

        Raises:
            ValueError: they are none of ours.
        """
        try:
            raw = json.loads(zlib.decompress(data))
            nodes = {name: Made(**made) for name, made in raw["nodes"].items()}
            return cls(raw["environment"], nodes, dict(raw.get("memory", {})))
        except (zlib.error, KeyError, TypeError, AttributeError) as error:
            raise ValueError("not a note of a run") from error


def note(
    plan: Plan,
    environment: Mapping[str, str],
    outcomes: Mapping[bytes, str],
    memory: "Mapping[str, JsonValue]" = MappingProxyType({}),
) -> RunNote:
    """What the results of a plan depend on, what became of them, and what the run did with memory."""
    names = [step.name for step in plan.steps]
    return RunNote(
        dict(environment),
        {step.name: _made(step, plan, key, names, outcomes) for step, key in zip(plan.steps, plan.keys, strict=True)},
        dict(memory),
    )


def _made(step: Step, plan: Plan, key: bytes | None, names: list[str], outcomes: Mapping[bytes, str]) -> Made:
    links: dict[str, str] = {}
    for number, (socket, slot) in enumerate(step.links):
        owner = plan.owner[slot]
        output = list(plan.steps[owner].spec.outputs)[slot - plan.steps[owner].first_slot]
        links[f"{socket}[{number}]" if socket in step.lists else socket] = f"{names[owner]}.{output}"
    if step.known is not None:
        outcome = "described at each check"
    elif step.spec.effects:
        outcome = "it writes files, so it runs each time"
    elif key is None:
        outcome = "it depends on a file that the run itself writes"
    else:
        outcome = outcomes.get(key, "not needed: what depends on it was found")
    hidden = step.spec.path_roles if step.files else {}
    return Made(
        step.spec.id,
        step.spec.version,
        step.spec.digest,
        {name: repr(value) for name, value in step.settings.items() if name not in hidden},
        {name: _file(step, name, plan) for name in hidden},
        [value.fingerprint for value in step.known or () if isinstance(value, ModelDescription)],
        links,
        key.hex() if key is not None else "",
        outcome,
    )


def _file(step: Step, setting: str, plan: Plan) -> list[str]:
    """Name and digest of the file of a setting; of a list, those of all files that the node reads."""
    file = plan.files.get((step.name, setting))
    return [file["name"], file["digest"]] if file is not None else [repr(step.settings[setting]), *(step.files or ())]


def differences(name: str, now: RunNote, before: RunNote) -> list[str]:
    """Why a node's result is another one than before: in itself, in the environment, or in nodes above it."""
    found = list(_changed("", now.environment, before.environment))
    waiting, seen = [name], set()
    while waiting:
        current = waiting.pop(0)
        if current in seen:
            continue
        seen.add(current)
        made, old = now.nodes.get(current), before.nodes.get(current)
        where = "" if current == name else f"node {current} above it: "
        if made is None:
            continue
        if old is None:
            found.append(f"{where}the workflow had no node {current}, or did not need it")
            continue
        found += [where + one for one in _own_differences(made, old)]
        waiting += [link.partition(".")[0] for link in made.links.values()]
    return found


def _own_differences(made: Made, old: Made) -> Iterator[str]:
    if made.type != old.type or made.version != old.version:
        yield f"it is {made.type} version {made.version} now, it was {old.type} version {old.version}"
        return
    yield from _changed("setting ", made.settings, old.settings)
    for setting, file in made.files.items():
        before = old.files.get(setting)
        if before is None or file[1:] != before[1:]:
            same = before is not None and file[0] == before[0]
            was = f"{file[0]} has other contents" if same else f"{file[0]} instead of {before[0] if before else 'none'}"
            yield f"the file of setting {setting}: {was}"
    if made.models != old.models:
        yield "the files or settings of its model changed"
    yield from _changed("what is connected to ", made.links, old.links)
    if made.code != old.code:
        yield f"the code behind {made.type} changed"


def _changed(what: str, now: Mapping[str, str], before: Mapping[str, str]) -> Iterator[str]:
    for name in dict.fromkeys([*now, *before]):
        if now.get(name) != before.get(name):
            yield f"{what}{name} is {now.get(name, 'not there')} now, it was {before.get(name, 'not there')}"
