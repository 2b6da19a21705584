"""Save the outputs of a workflow that saves nothing itself."""

from ...core.workflow import Node
from .load_workflow import LoadedWorkflow


def save_outputs(loaded: LoadedWorkflow) -> None:
    """If a workflow saves nothing itself, add a saving node for each output that can be saved, named after it."""
    workflow, registry = loaded.workflow, loaded.registry
    if any(entry.type in registry and registry[entry.type].effects for entry in workflow.nodes.values()):
        return
    savers = {spec.sockets[spec.saves].port.socket: spec for spec in registry.values() if spec.saves is not None}
    for name, link in list(workflow.outputs.items()):
        node, _, output = link.partition(".")
        spec = registry.get(workflow.nodes[node].type) if node in workflow.nodes else None
        port = spec.outputs.get(output) if spec is not None else None
        saver = savers.get(port.socket) if port is not None else None
        if saver is not None and saver.saves is not None:
            added = f"save_{name}"
            while added in workflow.nodes:
                added += "_"
            workflow.nodes[added] = Node(type=saver.id, params={"prefix": name}, inputs={saver.saves: link})
