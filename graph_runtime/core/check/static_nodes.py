"""Static nodes and check hooks, run before the rest: model descriptions, and whether connected values fit."""

from collections.abc import Iterable, Mapping

from ..errors import BadInput, missing_package, shorten
from ..events import Warned
from ..models import ModelDescription
from ..notices import MARKS, collect_marks, collect_notices
from ..spec import NodeSpec
from ..workflow import Link
from .draft import Draft

Facts = Mapping[str, Mapping[str, object]]  # by node: what its check returned about its outputs


def run_static_nodes(order: Iterable[str], draft: Draft) -> dict[str, tuple[object, ...]]:
    """Run the static nodes (such as model loaders), and every node's check hook on what is known.

    Args:
        order: nodes without problems, in execution order.
        draft: collects problems and warnings.

    Returns:
        The outputs of the static nodes.
    """
    known: dict[str, tuple[object, ...]] = {}
    facts: dict[str, Mapping[str, object]] = {}
    marks: dict[str, dict[str, None]] = {}
    warned: set[str] = set()
    for name in order:
        spec, links = draft.specs[name], draft.links.get(name, [])
        given = {
            link.socket: known[link.node][list(draft.specs[link.node].outputs).index(link.output)]
            for link in links
            if link.node in known
        }
        notices: list[str] = []
        try:
            with collect_notices() as notices, collect_marks(_marks_upstream(links, marks)) as marks[name]:
                facts[name] = spec.facts({**_known_inputs(spec, links, facts), **given}, draft.settings[name])
                if spec.static and len(given) == len(links):
                    known[name] = tuple(spec.run(**draft.settings[name], **given))
        except BadInput as error:
            draft.found.problems.append(error.at(name))
        except Exception as error:  # noqa: BLE001 - a description made from a damaged file; nothing has run yet
            draft.found.add(name, None, *(missing_package(error) or _unforeseen(spec, error)))
        notices += _model_warnings(given.values(), marks[name], warned)
        draft.found.warnings += [Warned(name, message) for message in notices]
    return known


def _unforeseen(spec: NodeSpec, error: Exception) -> tuple[str, str, str]:
    return (
        f"{type(error).__name__}: {shorten(str(error), 200)}",
        "settings and files that fit together",
        f"check the inputs of {spec.id}; is a model's configuration damaged?",
    )


def _marks_upstream(links: Iterable[Link], marks: Mapping[str, dict[str, None]]) -> dict[str, None]:
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


def _known_inputs(spec: NodeSpec, links: Iterable[Link], facts: Facts) -> dict[str, object]:
    """None for unconnected sockets; for the others, the facts that earlier checks returned."""
    wired = {link.socket for link in links}
    unwired: dict[str, object] = dict.fromkeys(socket for socket in spec.sockets if socket not in wired)
    return unwired | {
        link.socket: facts[link.node][link.output] for link in links if link.output in facts.get(link.node, ())
    }
