"""Which combination is the best, by a number that a node gives."""

import math
from dataclasses import dataclass
from typing import Literal

from ...core.errors import WorkflowError, did_you_mean, shorten
from ..jobs.outcome import Outcome
from ..python.load_workflow import LoadedWorkflow

Way = Literal["higher", "lower"]
_WAYS: dict[str, Way] = {"max": "higher", "min": "lower"}
_NO_NUMBER = frozenset({"IMAGE", "MASK", "STRING"})  # sockets of the hosts, which are no numbers
FORM = "NODE.output, or NODE.output:max or :min"


@dataclass(frozen=True)
class Best:
    """A number by which combinations are compared.

    Attributes:
        link: `node.output`.
        way: which of two is the better one.
    """

    link: str
    way: Way

    def number(self, outcome: Outcome) -> float | None:
        """The number that a run gave; None if it gave none that can be compared."""
        value = outcome.values.get(self.link)
        if outcome.status == "failed" or isinstance(value, bool) or not isinstance(value, int | float):
            return None
        return None if math.isnan(value) else float(value)

    def is_better(self, one: float, other: float) -> bool:
        """True if `one` is better than `other`."""
        return one > other if self.way == "higher" else one < other


def best_of(text: str, loaded: LoadedWorkflow) -> Best:
    """What `--best` asks for.

    Raises:
        WorkflowError: no such output, one that is no number, or nothing says which number is better.
    """
    name, colon, word = (
        text.strip().rpartition(":") if text.strip().endswith((":max", ":min")) else (text.strip(), "", "")
    )
    link = loaded.workflow.outputs.get(name, name)
    node, _, output = link.partition(".")
    entry = loaded.workflow.nodes.get(node)
    spec = loaded.registry.get(entry.type) if entry is not None else None
    if spec is not None and not output and len(spec.outputs) == 1:
        output = next(iter(spec.outputs))
    if entry is None or (spec is not None and output not in spec.outputs):
        raise WorkflowError.of(
            "--best",
            found=f"no output {shorten(name)} in this workflow",
            expected=FORM + ", or the name of an output of the workflow",
            fix=did_you_mean(name, [*loaded.workflow.outputs, *_numbers(loaded)]),
        )
    if spec is not None and spec.outputs[output].socket in _NO_NUMBER:
        raise WorkflowError.of(
            "--best",
            found=f"{node}.{output}, which is {spec.outputs[output].doc or 'no number'}",
            expected="a number that a node gives, such as a metric",
            fix=did_you_mean(name, _numbers(loaded)),
        )
    way = _WAYS[word] if colon else spec.better.get(output) if spec is not None else None
    if way is None:
        raise WorkflowError.of(
            "--best",
            found=f"{node}.{output}, which does not say whether more or less is better",
            expected=f"--best {name}:max or --best {name}:min",
            fix="add :max or :min",
        )
    return Best(f"{node}.{output}", way)


def _numbers(loaded: LoadedWorkflow) -> list[str]:
    """The measurements of a workflow."""
    specs = ((node, loaded.registry.get(entry.type)) for node, entry in loaded.workflow.nodes.items())
    return [f"{node}.{output}" for node, spec in specs if spec is not None for output in spec.better]
