"""Checks of the links between nodes."""

from collections.abc import Callable
from typing import NamedTuple

from ..definition.sockets import Socket
from ..errors import shorten
from ..workflow import Link
from .draft import Draft

NOTHING_CONNECTED = "nothing connected"  # what is found at a required socket that no link reaches


class Entry(NamedTuple):
    """One link as written in the file: the value of `socket` under "inputs" of `node`."""

    node: str
    socket: str
    link: object

    @property
    def source(self) -> tuple[str, str]:
        """(node, output) that it names; valid only after `link_names_an_output` has passed."""
        node, output = str(self.link).split(".")
        return node, output


LinkCheck = Callable[[Draft, Entry], bool]  # False if further checks of the link make no sense


def socket_is_known(draft: Draft, entry: Entry) -> bool:
    """The node has a socket of that name."""
    spec = draft.specs[entry.node]
    if entry.socket in spec.sockets:
        return True
    draft.found.add(
        entry.node,
        entry.socket,
        f"an unknown socket {shorten(entry.socket)}",
        f"a socket of {spec.id}",
        'this is a setting: put it under "params"'
        if entry.socket in spec.params.model_fields
        else draft.found.suggest(entry.socket, spec.sockets),
    )
    return False


def socket_has_one_link(draft: Draft, entry: Entry) -> bool:
    """A socket takes one link, not a list of them."""
    if not (isinstance(entry.link, list) and all(isinstance(item, str) for item in entry.link)):
        return True
    draft.found.add(entry.node, entry.socket, f"{len(entry.link)} links to one socket", "one link", "keep one of them")
    return False


def link_names_an_output(draft: Draft, entry: Entry) -> bool:
    """A link is written `node.output`."""
    if isinstance(entry.link, str) and entry.link.count(".") == 1:
        return True
    draft.found.add(
        entry.node,
        entry.socket,
        shorten(entry.link),
        'a link "node.output"',
        "links are written as the node's name, a dot, and its output's name",
    )
    return False


def source_exists(draft: Draft, entry: Entry) -> bool:
    """The node at the other end is in the file."""
    source, _ = entry.source
    if source in draft.workflow.nodes:
        return source in draft.specs  # its unknown type is reported already
    draft.found.add(
        entry.node,
        entry.socket,
        f"a link to a missing node {shorten(source)}",
        "a node of this file",
        draft.found.suggest(source, draft.workflow.nodes),
    )
    return False


def output_exists(draft: Draft, entry: Entry) -> bool:
    """The node at the other end has an output of that name."""
    source, output = entry.source
    spec = draft.specs[source]
    if output in spec.outputs:
        return True
    draft.found.add(
        entry.node,
        entry.socket,
        f"{shorten(source)} ({spec.id}) has no output {shorten(output)}",
        "one of its outputs",
        draft.found.suggest(output, spec.outputs),
    )
    return False


def types_match(draft: Draft, entry: Entry) -> bool:
    """The output is of the socket's type."""
    source, output = entry.source
    given, wanted = draft.specs[source].outputs[output].socket, draft.specs[entry.node].sockets[entry.socket].port
    if given == wanted.socket:
        return True
    draft.found.add(
        entry.node,
        entry.socket,
        f"{entry.link} of type {given}",
        f"{wanted.socket}: {wanted.doc}",
        _outputs_of_type(draft, wanted.socket, entry.node),
    )
    return False


LINK_CHECKS: tuple[LinkCheck, ...] = (
    socket_is_known,
    socket_has_one_link,
    link_names_an_output,
    source_exists,
    output_exists,
    types_match,
)


def links_fit(draft: Draft, name: str) -> bool:
    """Every link into a node passes `LINK_CHECKS`; valid ones are kept."""
    sockets, found = draft.specs[name].sockets, []
    for socket, link in draft.workflow.nodes[name].inputs.items():
        valid = _source(draft, sockets.get(socket), link)  # most links: several times faster than the checks
        if valid is None:
            entry = Entry(name, socket, link)
            if not all(check(draft, entry) for check in LINK_CHECKS):
                continue
            valid = entry.source
        found.append(Link(socket, *valid))
    draft.links[name] = found
    return True


def _source(draft: Draft, socket: Socket | None, link: object) -> tuple[str, str] | None:
    """(node, output) of a link that passes every check, or None."""
    if socket is None or not isinstance(link, str):
        return None
    node, _, output = link.partition(".")
    port = spec.outputs.get(output) if (spec := draft.specs.get(node)) is not None else None
    return (node, output) if port is not None and port.socket == socket.port.socket else None


def required_sockets_are_wired(draft: Draft, name: str) -> bool:
    """Every required socket has a link."""
    for socket, definition in draft.specs[name].sockets.items():
        if not definition.optional and socket not in draft.workflow.nodes[name].inputs:
            draft.found.add(
                name,
                socket,
                NOTHING_CONNECTED,
                f"{definition.port.socket}: {definition.port.doc}",
                _outputs_of_type(draft, definition.port.socket, name),
            )
    return True


def _outputs_of_type(draft: Draft, socket_type: str, reader: str) -> str:
    """How to get a value of a type: from outputs in this workflow, or else from nodes to add."""
    here = [f"{name}.{output}" for name, output in draft.givers.get(socket_type, ()) if name != reader]
    if here:
        return "connect one of: " + ", ".join(here[:6])
    givers = [
        spec for spec in draft.registry.values() if any(port.socket == socket_type for port in spec.outputs.values())
    ]
    givers.sort(key=lambda spec: not all(socket.optional for socket in spec.sockets.values()))  # loaders first
    names = ", ".join(spec.id for spec in givers[:6])
    return f"add a node that outputs it: {names}" if givers else f"no known node outputs {socket_type}"
