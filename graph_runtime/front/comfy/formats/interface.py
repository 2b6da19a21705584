"""What a person may set in a converted workflow, and what it is for: its named inputs and outputs."""

from collections.abc import Iterator, Mapping

from .....nodes.pack import PACK
from ....core.workflow import NAME, RESERVED_INPUTS, Workflow
from .become import Becoming, slug
from .host_graph import HostGraph, text


def add_interface(workflow: Workflow, graph: HostGraph, becoming: Becoming) -> None:
    """Add title, inputs and outputs: those that inlay wrote into the file, else those that people expect."""
    workflow.title, workflow.description = text(graph.own.get("title")), text(graph.own.get("description"))
    _add_own(workflow, graph.own)
    if not workflow.inputs and "inputs" not in graph.own:
        _add_expected(workflow, becoming)
    if not workflow.outputs and "outputs" not in graph.own:
        _add_outputs(workflow, becoming)


def _add_own(workflow: Workflow, own: Mapping[str, object]) -> None:
    inputs, outputs = own.get("inputs"), own.get("outputs")
    for name, target in inputs.items() if isinstance(inputs, dict) else ():
        listed = target if isinstance(target, list) else [target]
        there = [one for one in listed if isinstance(one, str) and one.partition(".")[0] in workflow.nodes]
        if there and NAME.fullmatch(name) and name not in RESERVED_INPUTS:
            workflow.inputs[name] = there if isinstance(target, list) else there[0]
    for name, target in outputs.items() if isinstance(outputs, dict) else ():
        if isinstance(target, str) and target.partition(".")[0] in workflow.nodes and NAME.fullmatch(name):
            workflow.outputs[name] = target


def _add_expected(workflow: Workflow, becoming: Becoming) -> None:
    for name, targets in _of_primitives(becoming):
        if name not in workflow.inputs:
            workflow.inputs[name] = targets if len(targets) > 1 else targets[0]
    set_already = {target for name in workflow.inputs for target in workflow.targets(name)}
    offered: dict[str, list[str]] = {}
    for node, entry in workflow.nodes.items():
        spec = becoming.registry.get(entry.type)
        for setting in spec.params.model_fields if spec is not None else ():
            for key in (f"{entry.type}.{setting}", f"*.{setting}"):
                offered.setdefault(key, []).append(f"{node}.{setting}")
    for flag, keys in PACK.expected_inputs:
        found = [target for key in keys for target in offered.get(key, ()) if target not in set_already]
        if len(found) == 1 and flag not in workflow.inputs:
            workflow.inputs[flag] = found[0]


def _of_primitives(becoming: Becoming) -> Iterator[tuple[str, list[str]]]:
    """A titled primitive is an input of its name, which sets all that it is connected to."""
    for primitive, settings in becoming.constants.items():
        node = becoming.graph.nodes[primitive]
        titled = node.title not in becoming.types[node.type].titles
        name = slug(node.title) if titled else ""
        if name and name not in RESERVED_INPUTS:
            yield name, [f"{our}.{setting}" for our, setting in settings]


def _add_outputs(workflow: Workflow, becoming: Becoming) -> None:
    """What is saved, each under a name; if nothing is saved, what nothing else reads."""
    found = []
    for entry in workflow.nodes.values():
        spec = becoming.registry.get(entry.type)
        link = entry.inputs.get(spec.saves) if spec is not None and spec.saves is not None else None
        if isinstance(link, str):
            found.append(link)
    if not any(spec.effects for entry in workflow.nodes.values() if (spec := becoming.registry.get(entry.type))):
        read = {link for entry in workflow.nodes.values() for link in entry.inputs.values()}
        for node, entry in workflow.nodes.items():
            spec = becoming.registry.get(entry.type)
            for output, port in spec.outputs.items() if spec is not None else ():
                if port.socket in ("IMAGE", "MASK") and f"{node}.{output}" not in read:
                    found.append(f"{node}.{output}")
    for number, link in enumerate(dict.fromkeys(found), 1):
        workflow.outputs["image" if number == 1 else f"image_{number}"] = link
