"""What can be known of a graph before it runs: descriptions from static nodes, and whether the parts fit together."""

from collections.abc import Iterable, Mapping
from typing import Any

from .errors import BadInput, shorten
from .events import Warned
from .findings import Findings
from .notices import hearing
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
    for name in order:
        spec, wires = specs[name], links.get(name, [])
        if not (spec.static or spec.check):
            continue
        given = {
            socket: known[source][list(specs[source].outputs).index(output)]
            for socket, source, output in wires
            if source in known
        }
        said: list[str] = []
        try:
            with hearing() as said:
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
                f"{type(error).__name__}: {shorten(str(error), 200)}",
                "settings and files that make sense together",
                f"check what {spec.id} is given; is a model's configuration damaged?",
            )
        found.warnings += [Warned(name, message) for message in said]
    return known


def _heard(spec: NodeSpec, wires: list[Link], facts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """None for sockets with nothing wired to them, and what earlier checks have told of the others."""
    wired = {socket for socket, _, _ in wires}
    unwired = {socket: None for socket in spec.sockets if socket not in wired}
    return unwired | {
        socket: facts[source][output] for socket, source, output in wires if output in facts.get(source, ())
    }
