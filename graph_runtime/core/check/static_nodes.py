"""Static nodes and check hooks, run before the rest: model descriptions, and whether connected values fit."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ..bounded import limits
from ..bounded.effort import Effort
from ..errors import BadInput, missing_package, shorten
from ..memory.descriptions import ModelDescription, asked_for
from ..notices import MARKS, collect_marks, collect_notices
from ..spec import NodeSpec
from ..workflow import Link
from .draft import Draft

Seen = tuple[Mapping[str, object], Mapping[str, object]]  # what is known of a node's inputs, and of its outputs


@dataclass
class _Outcome:
    """What one node's check and, of a static node, its run have found.

    Attributes:
        facts: what is known of its outputs.
        known: its outputs, if it is static.
        marks: what it brings in, after the marks of the nodes upstream.
        notices: warnings.
        failed: found, expected and fix, or the error that names the port.
    """

    facts: Mapping[str, object] = field(default_factory=dict)
    known: tuple[object, ...] | None = None
    marks: Mapping[str, None] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    failed: BadInput | tuple[str, str, str] | None = None


def run_static_nodes(order: list[str], draft: Draft, effort: Effort) -> dict[str, tuple[object, ...]]:
    """Run the static nodes (such as model loaders), and every node's check hook on what is known.

    Args:
        order: nodes without problems, in execution order.
        draft: collects problems and warnings.
        effort: the time that the check has taken.

    Returns:
        The outputs of the static nodes.
    """
    known: dict[str, tuple[object, ...]] = {}
    facts: dict[str, Mapping[str, object]] = {}
    marks: dict[str, Mapping[str, None]] = {}
    warned: set[str] = set()
    alike: dict[tuple[str, str], _Outcome] = {}
    kinds: dict[tuple[object, ...], Seen] = {}
    for number, name in enumerate(order):
        spec, links = draft.specs[name], draft.links.get(name, [])
        told = {link.socket: facts[link.node][link.output] for link in links if link.output in facts.get(link.node, ())}
        given = {
            link.socket: known[link.node][list(draft.specs[link.node].outputs).index(link.output)]
            for link in links
            if link.node in known
        }
        upstream = _marks_upstream(links, marks) if marks else {}
        seen = _unwired(spec, links, kinds)
        if not (spec.looks or told or given):  # nothing to look at
            if seen[0]:
                draft.seen[name] = seen
            if upstream:
                marks[name] = upstream
            continue
        if number >= limits.DEEP and effort.late:
            draft.found.add(
                None,
                "nodes",
                f"{len(order):,} nodes that take too long to check ({number:,} in {limits.SECONDS:g} s)",
                f"{limits.DEEP:,} nodes, or more that are simpler",
                "split it into several workflows",
            )
            break
        inputs = {**seen[0], **told, **given}
        whole = given if len(given) == len(links) else None
        if beside := tuple(model for value in inputs.values() for model in asked_for(value)):
            draft.beside[name] = beside
        same = (spec.id, repr(draft.settings[name])) if not links else None
        if same is None or (outcome := alike.get(same)) is None:
            outcome = _look(spec, inputs, draft.settings[name], whole, upstream)
            if same is not None:
                alike[same] = outcome
        if outcome.facts:
            facts[name] = outcome.facts
        if outcome.marks:
            marks[name] = outcome.marks
        if inputs or outcome.facts:
            draft.seen[name] = inputs, outcome.facts
        if outcome.known is not None:
            known[name] = outcome.known
        if isinstance(outcome.failed, BadInput):
            draft.found.note(outcome.failed.at(name))
        elif outcome.failed is not None:
            draft.found.add(name, None, *outcome.failed)
        draft.found.warn(name, [*outcome.notices, *_model_warnings(given.values(), outcome.marks, warned)])
    return known


def _look(
    spec: NodeSpec,
    inputs: Mapping[str, object],
    settings: Mapping[str, object],
    given: Mapping[str, object] | None,
    upstream: Mapping[str, None],
) -> _Outcome:
    """Call a node's check, and run it if it is static and all that is connected to it is `given`."""
    found = _Outcome(marks=upstream)
    if not spec.looks and not any(value is not None for value in inputs.values()):
        return found
    with collect_notices() as found.notices, collect_marks(upstream) as found.marks:
        try:
            found.facts = spec.facts(inputs, settings)
            if spec.static and given is not None:
                found.known = tuple(spec.run(**settings, **given))
        except BadInput as error:
            found.failed = error
        except Exception as error:  # noqa: BLE001 - a description made from a damaged file; nothing has run yet
            found.failed = missing_package(error) or _unforeseen(spec, error)
    return found


def _unforeseen(spec: NodeSpec, error: Exception) -> tuple[str, str, str]:
    return (
        f"{type(error).__name__}: {shorten(str(error), 200)}",
        "settings and files that fit together",
        f"check the inputs of {spec.id}; is a model's configuration damaged?",
    )


def _marks_upstream(links: Iterable[Link], marks: Mapping[str, Mapping[str, None]]) -> dict[str, None]:
    """The first few marks of the nodes upstream."""
    found: dict[str, None] = {}
    for link in links:
        found |= marks.get(link.node, {})
    return dict.fromkeys(list(found)[:MARKS])


def _model_warnings(given: Iterable[object], marks: Mapping[str, None], warned: set[str]) -> list[str]:
    """Warnings of the models connected to a node about what is marked; each model warns once in a check."""
    messages = []
    for value in given if marks else ():
        doubt = value.doubt(list(marks)) if isinstance(value, ModelDescription) else None
        if doubt is not None and doubt[0] not in warned:
            warned.add(doubt[0])
            messages.append(doubt[1])
    return messages


def _unwired(spec: NodeSpec, links: Iterable[Link], kinds: dict[tuple[object, ...], Seen]) -> Seen:
    """What is known of a node from its links alone, None for each unconnected socket; kept by the kind of the node."""
    wired = [link.socket for link in links]
    if (known := kinds.get((spec, *wired))) is None:
        known = kinds[spec, *wired] = dict.fromkeys(socket for socket in spec.sockets if socket not in wired), {}
    return known
