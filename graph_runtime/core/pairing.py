"""What can be known of a graph before it runs: descriptions from static nodes, and whether the parts fit together."""

from collections.abc import Iterable, Mapping
from typing import Any

from .errors import BadInput, missing_package, shorten
from .events import Warned
from .findings import Findings
from .models import ModelDescription
from .notices import MARKS, hearing, marking
from .spec import NodeSpec

Link = tuple[str, str, str]  # (socket, source node, source output)


def pair(
    order: Iterable[str],
    specs: Mapping[str, NodeSpec],
    settings: Mapping[str, dict[str, Any]],
    links: Mapping[str, list[Link]],
    found: Findings,
) -> dict[str, tuple[Any, ...]]:
    """Run the nodes that only describe (model loaders), and every check hook on what is known.

    Args:
        order: nodes without problems of their own, each after all that it reads.
        specs: their types.
        settings: their settings, validated.
        links: the wires into them.
        found: takes what does not fit, and what a person should know of the rest.

    Returns:
        The outputs of the static nodes.
    """
    known: dict[str, tuple[Any, ...]] = {}
    facts: dict[str, Mapping[str, Any]] = {}
    marks: dict[str, dict[str, None]] = {}
    doubters: set[str] = set()
    for name in order:
        spec, wires = specs[name], links.get(name, [])
        marks[name] = _behind(wires, marks)
        given = {
            socket: known[source][list(specs[source].outputs).index(output)]
            for socket, source, output in wires
            if source in known
        }
        said: list[str] = []
        try:
            with hearing() as said, marking(marks[name]) as marks[name]:
                if spec.check is not None:
                    facts[name] = spec.check({**_heard(spec, wires, facts), **given}, settings[name]) or {}
                if spec.static and len(given) == len(wires):
                    known[name] = tuple(spec.run(**settings[name], **given))
        except BadInput as error:
            found.problems.append(error.at(name))
        except Exception as error:  # a description made from a damaged file; nothing has run yet
            found.add(
                name,
                None,
                *(
                    missing_package(error)
                    or (
                        f"{type(error).__name__}: {shorten(str(error), 200)}",
                        "settings and files that make sense together",
                        f"check what {spec.id} is given; is a model's configuration damaged?",
                    )
                ),
            )
        found.warnings += [Warned(name, message) for message in [*said, *_doubts(given, marks[name], doubters)]]
    return known


def _behind(wires: list[Link], marks: Mapping[str, dict[str, None]]) -> dict[str, None]:
    """What the nodes that a node reads, however far up, have brought in."""
    brought: dict[str, None] = {}
    for _, source, _ in wires:
        brought |= marks.get(source, {})
    return brought if len(brought) <= MARKS else dict.fromkeys(list(brought)[:MARKS])


def _doubts(given: Mapping[str, Any], marks: dict[str, None], doubters: set[str]) -> list[str]:
    """What the descriptions that are wired to a node say of what is marked, each doubter once in a check."""
    said = []
    for value in given.values() if marks else ():
        doubt = value.doubt(list(marks)) if isinstance(value, ModelDescription) else None
        if doubt is not None and doubt[0] not in doubters:
            doubters.add(doubt[0])
            said.append(doubt[1])
    return said


def _heard(spec: NodeSpec, wires: list[Link], facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """None for sockets with nothing wired to them, and what earlier checks have told of the others."""
    wired = {socket for socket, _, _ in wires}
    unwired = {socket: None for socket in spec.sockets if socket not in wired}
    return unwired | {
        socket: facts[source][output] for socket, source, output in wires if output in facts.get(source, ())
    }
