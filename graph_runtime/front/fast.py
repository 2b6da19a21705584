"""`--fast`: put a node that makes models faster before every node that evaluates one.

What is asked for becomes a part of the workflow: pictures record it, and results are kept under keys of their own.
"""

from collections.abc import Iterable, Mapping

from ...nodes.pack import PACK
from ..core.errors import Problem, WorkflowError, did_you_mean, shorten
from ..core.workflow import Node, Workflow

SETTING = "fast"  # among the settings of a run, which have a dot in their names


def with_fast(settings: Mapping[str, object] | None, fast: object) -> Mapping[str, object]:
    """The settings of a run, with what `fast` asks for; what is no mapping stays, and is refused later."""
    given = {} if settings is None else settings
    return {**given, SETTING: fast} if fast is not None and isinstance(given, Mapping) else given


def read_fast(asked: object) -> tuple[str, ...]:
    """The names in "compile,channels-last", or in a list of them.

    Raises:
        WorkflowError: a name that there is not.
    """
    known = PACK.fast.ways
    names = asked.split(",") if isinstance(asked, str) else list(asked) if isinstance(asked, Iterable) else [asked]
    read = [name.strip() if isinstance(name, str) else name for name in names]
    problems = [
        Problem(
            None,
            "--fast",
            shorten(name),
            " | ".join(known),
            did_you_mean(name, known) if isinstance(name, str) else "give names as text",
        )
        for name in read
        if not isinstance(name, str) or name not in known
    ]
    if problems:
        raise WorkflowError(problems)
    return tuple(name for name in known if name in read)  # in one order, so that pictures record one thing


def make_fast(workflow: Workflow, names: Iterable[str]) -> None:
    """Change a workflow so that its models are evaluated as the names say.

    Raises:
        WorkflowError: no node evaluates a model, or two names contradict each other.
    """
    fast, params = PACK.fast, dict[str, object]()
    for name in names:
        setting, value = fast.ways[name]
        if params.setdefault(setting, value) != value:
            both = ",".join(one for one in names if fast.ways[one][0] == setting)
            raise WorkflowError.of("--fast", found=both, expected="one of them", fix="leave the others out")
    places = [
        (node, fast.socket, link)
        for node in workflow.nodes.values()
        if node.type in fast.before and isinstance(link := node.inputs.get(fast.socket), str)
    ]
    if not places:
        raise WorkflowError.of(
            "--fast",
            found=f"{','.join(names)}, and no node that evaluates a model",
            expected=f"a workflow with {', '.join(fast.before)}",
            fix="leave --fast out",
        )
    made: dict[str, str] = {}
    for node, socket, link in places:
        there = workflow.nodes.get(link.partition(".")[0])
        if there is not None and there.type == fast.node:
            there.params.update(params)
            continue
        if link not in made:
            name = next(
                one
                for number in range(1, len(workflow.nodes) + 2)
                if (one := f"fast_{number}" if number > 1 else "fast") not in workflow.nodes
            )
            workflow.nodes[name] = Node(type=fast.node, version=1, params=dict(params), inputs={fast.socket: link})
            made[link] = f"{name}.{fast.output}"
        node.inputs[socket] = made[link]
