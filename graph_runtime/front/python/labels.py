"""Problems in the words of the file that a workflow was made from."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from ...core.check.graph import CYCLE, NO_NODES, with_labels
from ...core.check.links import NOTHING_CONNECTED
from ...core.errors import Problem


def labelled(problem: Problem, labels: Mapping[str, str], aliases: Mapping[str, str]) -> Problem:
    """The problem, with node and setting named as its file names them.

    Args:
        problem: which names nodes of ours.
        labels: what the file calls a node: `12 (Load photo)`.
        aliases: `node.setting` of ours for other ways to say it.
    """
    problem = replace(problem, found=with_labels(problem.found, labels))
    label = labels.get(problem.node or "", "")
    if not label:
        return problem
    ours, id_ = f"{problem.node}.{problem.port}", label.partition(" ")[0]
    said = next((one for one, meant in aliases.items() if meant == ours and one.startswith(f"{id_}.")), ours)
    port = said.rpartition(".")[2] if problem.port else problem.port
    return replace(problem, label=label, port=port)


def together(read: Iterable[Problem], checked: Iterable[Problem]) -> list[Problem]:
    """What was found when a file was read, and what its check found of inputs that were not named then."""
    found = list(read)
    named = {(one.label or one.node, one.port) for one in found}
    nodes = {node for node, _ in named}
    cut = any(one.found.startswith(CYCLE) for one in found)

    def follows(one: Problem) -> bool:
        """True for what is so only because something was not read: the file's input may have another name, too."""
        node = one.label or one.node
        lost = one.found == NOTHING_CONNECTED and (cut or node in nodes)
        return bool(found) and (lost or one.found == NO_NODES or (node, one.port) in named)

    return [*found, *(one for one in checked if not follows(one))]
