"""Settings with which a node would take less: they change its result a little, so they are named and never chosen."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ....nodes.pack import PACK
from ...core.memory.descriptions import AnyDescription
from ...core.memory.forecast import Leased
from ...core.memory.rehearsal import rehearsed
from ...core.memory.sizes import size_text
from ...core.run.plan import Plan, Step


def lighter(plan: Plan, step: Step, device: str, group: Leased, made: int, sure: float) -> str:
    """How else a node would fit, with the smallest budget that works then; empty if there is no such setting.

    Args:
        plan: of the run.
        step: the node.
        device: where it runs.
        group: the models that it leases together.
        made: bytes that it makes beside them.
        sure: by how much more than a rehearsal says a budget that works is.
    """
    before = group.least(device) + made
    ways = [*_settings(plan, step, device, group, sure), *_models(group, device, made)]
    return "".join(
        f"; or {what}, a slightly different result, for which {size_text(size)} are enough"
        for what, size in ways
        if size < before
    )


def fewer(plan: Plan, step: Step) -> str:
    """How to hold fewer pictures at once in a node, where a node before it asks for several; else empty."""
    before, found = list(step.sources), dict[str, str]()
    seen = set(before)
    while before:
        source = plan.steps[before.pop()]
        setting, way = PACK.several.get(source.spec.id, ("", ""))
        count = source.settings.get(setting)
        if isinstance(count, int) and count > 1:
            found[source.name] = f"; or a smaller {setting} in {source.name} ({way})"
        before += (new := set(source.sources) - seen)
        seen |= new
    return "".join(found.values())


def _settings(plan: Plan, step: Step, device: str, group: Leased, sure: float) -> Iterator[tuple[str, int]]:
    for setting, value in PACK.lighter.get(step.spec.id, {}).items():
        if step.settings.get(setting) != value:
            other = replace(step, settings={**step.settings, setting: value})
            made = rehearsed(plan, other, device)
            if made is not None:
                yield f"set {setting} to {value} in {step.name}", group.least(device) + math.ceil(made * sure)


def _models(group: Leased, device: str, made: int) -> Iterator[tuple[str, int]]:
    for place, model in enumerate(group.models):
        found = model.lighter()
        if found is not None:
            others: Sequence[AnyDescription] = (*group.models[:place], found[1], *group.models[place + 1 :])
            yield found[0], Leased(group.socket, tuple(others)).least(device) + made
