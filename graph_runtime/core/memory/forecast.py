"""What each node of a plan will need, before anything runs: weights, and what it makes beside them."""

import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, NamedTuple

from ..definition.needed import Needed
from ..digests import short_digest
from ..light.sketch import Sketch
from ..store.parts import parts_of
from .decisions import columns
from .descriptions import AnyDescription, ModelDescription, least_of
from .needs import Asked, Need, Source, anything_known, recall
from .rehearsal import rehearsed
from .sizes import size_text

if TYPE_CHECKING:
    from ..run.plan import Plan, Step
    from ..spec import NodeSpec

_DEPTH = 6
_BYTES = {"float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "uint16": 2, "complex64": 8}


class Leased(NamedTuple):
    """Models that a node holds in memory together: those of one socket, and those that its other values ask for."""

    socket: str
    models: tuple[AnyDescription, ...]

    def nbytes(self, device: str) -> int:
        """Of their weights on a device."""
        return sum(one.nbytes_on(device) for one in self.models)

    def least(self, device: str) -> int:
        """Of their weights on a device, where what can be streamed is."""
        return sum(min(one.nbytes_on(device), least_of(one, device) or one.nbytes_on(device)) for one in self.models)


@dataclass(frozen=True)
class Line:
    """What one node will need, in bytes.

    Attributes:
        node: its name.
        type: of the node.
        weights: of the models that it leases together.
        activations: what it makes beside them.
        peak: what is in use then, with the weights of earlier nodes that stay where there is room.
        source: how the activations are known: `measured` before at this size, `declared` by the node, `scaled` from
            other sizes, `rehearsed` with shapes alone, or `at least`: no less than its inputs and outputs.
        models: labels of the models.
    """

    node: str
    type: str
    weights: int
    activations: int
    peak: int
    source: Source
    models: tuple[str, ...]


@dataclass(frozen=True)
class Forecast:
    """What a run will need.

    Attributes:
        device: where.
        limit: bytes that may be in use there; None: any number.
        lines: of each node that runs on the device or makes something there.
    """

    device: str
    limit: int | None
    lines: tuple[Line, ...]

    @property
    def peak(self) -> int:
        """The most that is in use at once."""
        return max((line.peak for line in self.lines), default=0)

    def table(self) -> list[str]:
        """As lines for a person."""
        rows = [("node", "type", "weights", "activations", "peak", "how it is known")]
        rows += [
            (
                one.node,
                one.type,
                size_text(one.weights) if one.weights else "-",
                size_text(one.activations),
                size_text(one.peak),
                one.source,
            )
            for one in self.lines
        ]
        limit = "any amount" if self.limit is None else size_text(self.limit)
        return [*columns(rows), f"at most {size_text(self.peak)} on {self.device}, where {limit} may be used"]


def forecast(plan: "Plan", device: str, limit: int | None) -> Forecast:
    """What the nodes of a plan will need on a device; nothing runs, and no weight is read."""
    lines: list[Line] = []
    resident: dict[AnyDescription, int] = {}
    for step in plan.steps:
        if step.known is not None:
            continue
        leased = max(leases(plan, step), key=lambda one: one.nbytes(device), default=None)
        need = need_of(plan, step, device)
        if leased is None and device != "cpu":
            continue  # it computes on the CPU
        whole = leased.nbytes(device) if leased is not None else 0
        weights = max(whole, need.weights or 0)
        made = need.activations
        if limit is not None and weights + made > limit:
            made = with_least(need, plan, step, device).within(limit - weights)
            if leased is not None and weights + made > limit:
                weights = max(leased.least(device), limit - made)
        for one in leased.models if leased is not None else ():
            resident[one.base()] = one.nbytes_on(device)
        room = limit - made if limit is not None else math.inf
        peak = made + int(max(weights, min(sum(resident.values()), room)))
        labels = tuple(one.label for one in leased.models) if leased is not None else ()
        lines.append(Line(step.name, step.spec.id, weights, made, peak, need.source, labels))
    return Forecast(device, limit, tuple(lines))


def leases(plan: "Plan", step: "Step") -> list[Leased]:
    """The models that a node leases, socket by socket; those that are not on this machine yet have no size."""
    found = []
    for socket, slot in step.links if step.spec.context is not None and not step.spec.static else ():
        role = step.spec.sockets[socket].role
        owner = plan.steps[plan.owner[slot]]
        model = None if owner.known is None else owner.known[slot - owner.first_slot]
        if not isinstance(model, ModelDescription) or (role is not None and role.kind == "described"):
            continue
        if all(getattr(one, "known", True) for one in (model, *step.beside)):
            found.append(Leased(socket, tuple({one.base(): one for one in (model, *step.beside)}.values())))
    return found


def known_need(plan: "Plan", step: "Step", device: str, *, ask: bool = True) -> Need | None:
    """What measurements say that a node needs, or the node itself where it never ran at this size; None: neither.

    Args:
        plan: of the run.
        step: the node.
        device: where it will run.
        ask: ask the node too, which may take seconds.
    """
    found = recall(asked(plan, step, device)) if anything_known() else None
    if not ask or step.spec.needs is None or (found is not None and found.source == "measured"):
        return found
    return declared(plan, step, device) or found


def declared(plan: "Plan", step: "Step", device: str) -> Need | None:
    """What a node says itself; None if it says nothing, or cannot with what is known."""
    if step.spec.needs is None:
        return None
    return said_by(step.spec, plan.seen.get(step.name, ({}, {}))[0], step.settings, device, step.name)


def said_by(
    spec: "NodeSpec", given: Mapping[str, object], settings: Mapping[str, object], device: str, name: str
) -> Need | None:
    """What a node says of itself with values at its sockets and settings; None if it says nothing."""
    if spec.needs is None:
        return None
    try:
        said = spec.needs({socket: spec.seen(value) for socket, value in given.items()}, settings, device)
        if said is None:
            return None
        if not isinstance(said, Needed) or not all(
            isinstance(one, int) and one >= 0 for one in (said.usual, said.least or 0)
        ):
            raise TypeError(f"{said!r} is no Needed of whole numbers of bytes")
    except Exception:  # of any pack: a run goes on without what it would say
        logging.getLogger("inlay").exception("node %s cannot say what it needs", name)
        return None
    return Need(said.usual, None, (), "declared", said.least)


def with_least(need: Need, plan: "Plan", step: "Step", device: str) -> Need:
    """A need with the least that the node says it can do with; asked only where that matters, for it takes time."""
    if need.source == "declared" or need.least is not None or step.spec.needs is None:
        return need
    said = declared(plan, step, device)
    return need if said is None or said.least is None else replace(need, least=min(said.least, need.activations))


def need_of(plan: "Plan", step: "Step", device: str) -> Need:
    """What a node needs beside weights: as known, else as it rehearses, else at least what it is given and gives."""
    known = known_need(plan, step, device)
    if known is not None:
        return known
    if leases(plan, step) and (made := rehearsed(plan, step, device)) is not None:
        return Need(made, None, (), "rehearsed")
    size = sum(math.prod(shape) * _BYTES.get(kind, 1) for _, shape, kind in _tensors(plan.seen.get(step.name, ())))
    return Need(size, None, (), "at least")


def asked(plan: "Plan", step: "Step", device: str) -> Asked:
    """Under what a node's measurements are kept."""
    models = [one for leased in leases(plan, step) for one in leased.models]
    if step.spec.needs is not None:  # it may work on copies of models that it does not lease
        given = plan.seen.get(step.name, ({}, {}))[0].values()
        models += [one for one in given if isinstance(one, ModelDescription)]
    return asked_of(step.spec, step.settings, models, plan.seen.get(step.name, ()), device)


def asked_of(
    spec: "NodeSpec",
    settings: Mapping[str, object],
    models: Sequence[AnyDescription],
    seen: Sequence[Mapping[str, object]],
    device: str,
    around: str = "",
) -> Asked:
    """Under what the measurements of a node with these settings are kept.

    Args:
        spec: of the node.
        settings: all of them.
        models: that it works with.
        seen: values at its sockets, and at its outputs where they are known.
        device: where it runs.
        around: what else sets these measurements apart.
    """
    kind = [spec.id, spec.version, spec.digest, [one.fingerprint for one in models], _around(device) + around]
    matter = {name: value for name, value in settings.items() if _matters(spec, name, value)}
    tensors = list(_tensors(seen))
    return Asked(
        short_digest(json.dumps(kind, default=repr).encode()).hex(),
        short_digest(json.dumps(matter, sort_keys=True, default=repr).encode()).hex(),
        " ".join(f"{name}{list(shape)}{kind}" for name, shape, kind in tensors),
        float(sum(math.prod(shape) for _, shape, _ in tensors)),
    )


def _matters(spec: "NodeSpec", name: str, value: object) -> bool:
    """False for settings that no size depends on: seeds, paths and free text."""
    if name == "seed" or name in spec.path_roles:
        return False
    return not isinstance(value, str) or "enum" in json.dumps(spec.schema.get("properties", {}).get(name, {}))


@cache
def _around(device: str) -> str:
    """Libraries and device, as far as sizes depend on them."""
    name = device.partition(":")[0]
    if name == "cuda":
        import torch

        name = torch.cuda.get_device_name(torch.device(device))
    return f"{name} torch {version('torch')}"


def _tensors(seen: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Name, shape and type of each tensor that a node is known to be given or to give."""
    for values in seen:
        for name, value in _sorted(values):
            yield from ((name, shape, kind) for shape, kind in _shapes(value))


def _sorted(values: Mapping[str, object]) -> list[tuple[str, object]]:
    return sorted(values.items())


def _shapes(value: object, depth: int = 0) -> Iterator[tuple[tuple[int, ...], str]]:
    if value is None or depth > _DEPTH or isinstance(value, (str, bytes, int, float, ModelDescription)):
        return
    if isinstance(value, Sketch) or type(value).__module__.partition(".")[0] == "torch":
        if hasattr(value, "shape") and hasattr(value, "dtype"):
            yield tuple(value.shape), str(value.dtype).removeprefix("torch.")
        return
    for part in parts_of(value).values():
        yield from _shapes(part, depth + 1)
