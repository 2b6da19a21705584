"""Checks of the workflow's own inputs and outputs."""

from collections.abc import Callable

from ..errors import shorten
from ..workflow import NAME, RESERVED_INPUTS
from .draft import Draft

InterfaceCheck = Callable[[Draft, str], None]  # (draft, name of the input or output)


def input_can_be_a_flag(draft: Draft, name: str) -> None:
    """An input's name consists of letters, digits and _, and is not one of inlay's own flags."""
    if not NAME.fullmatch(name) or name in RESERVED_INPUTS:
        draft.found.add(
            None,
            f"inputs.{name}",
            f"an input called {shorten(name)}",
            "letters, digits and _, and none of: " + ", ".join(sorted(RESERVED_INPUTS)),
            "rename it",
        )


def input_has_a_target(draft: Draft, name: str) -> None:
    """An input has a target."""
    if not draft.workflow.targets(name):
        draft.found.add(None, f"inputs.{name}", "no target", '"node.parameter"', "give the setting that it sets")


def input_targets_exist(draft: Draft, name: str) -> None:
    """Every target of an input is a setting of a node in this file."""
    for target in draft.workflow.targets(name):
        node, _, parameter = target.partition(".")
        spec = draft.specs.get(node)
        if node not in draft.workflow.nodes:
            draft.found.add(
                None,
                f"inputs.{name}",
                f"a target {shorten(target)}, whose node is not in this file",
                '"node.parameter"',
                draft.found.suggest(node, draft.workflow.nodes),
            )
        elif spec is not None and parameter not in spec.params.model_fields:
            draft.found.add(
                None,
                f"inputs.{name}",
                f"{shorten(target)}: {spec.id} has no such setting",
                "a setting",
                draft.found.suggest(parameter, spec.params.model_fields),
            )


def output_name_is_plain(draft: Draft, name: str) -> None:
    """An output's name consists of letters, digits and _."""
    if not NAME.fullmatch(name):
        draft.found.add(None, "outputs", f"an output called {shorten(name)}", "letters, digits and _", "rename it")


def output_source_exists(draft: Draft, name: str) -> None:
    """An output names an output of a node in this file; valid ones are kept."""
    node, _, output = draft.workflow.outputs[name].partition(".")
    spec = draft.specs.get(node)
    if node not in draft.workflow.nodes:
        draft.found.add(
            None,
            f"outputs.{name}",
            f"a link to a missing node {shorten(node)}",
            '"node.output"',
            draft.found.suggest(node, draft.workflow.nodes),
        )
    elif spec is not None and output not in spec.outputs:
        draft.found.add(
            None,
            f"outputs.{name}",
            f"{shorten(node)} ({spec.id}) has no output {shorten(output)}",
            "one of its outputs",
            draft.found.suggest(output, spec.outputs),
        )
    elif spec is not None:
        draft.targets[name] = (node, output)


INPUT_CHECKS: tuple[InterfaceCheck, ...] = (input_can_be_a_flag, input_has_a_target, input_targets_exist)
OUTPUT_CHECKS: tuple[InterfaceCheck, ...] = (output_name_is_plain, output_source_exists)
