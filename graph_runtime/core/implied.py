"""Wires that nobody drew: an optional socket may take what lies behind another one of its node.

`Implied("image")` on a socket says: unwired, it takes the nearest outputs of its own kind behind `image`. On the way
back, a node that says what its result continues (a socket with `Role("base")`) is followed through that socket alone,
any other through all of them. `Implied("image", "changed")` takes what is wired to the sockets of that role on the way.
The engine names no node: sockets say what they are.
"""

from collections.abc import Iterator, Mapping

from .pairing import Link
from .spec import NodeSpec, Socket

Links = Mapping[str, list[Link]]


def implied_links(specs: Mapping[str, NodeSpec], links: Links, order: list[str]) -> dict[str, list[Link]]:
    """For each node of `order` the links that its sockets imply: (socket, source node, source output)."""
    found: dict[str, list[Link]] = {}
    for name in order:
        wired = {socket for socket, _, _ in links[name]}
        for socket in specs[name].sockets.values():
            if socket.implied is not None and socket.name not in wired:
                sources = dict.fromkeys(_behind(name, socket, specs, links))
                found.setdefault(name, []).extend((socket.name, *source) for source in sources)
    return found


def _behind(name: str, socket: Socket, specs: Mapping[str, NodeSpec], links: Links) -> Iterator[tuple[str, str]]:
    """(node, output) of everything that `socket` of node `name` implies, nearest first."""
    assert socket.implied is not None
    role = socket.implied.role
    waiting, seen = [source for at, source, _ in links[name] if at == socket.implied.behind], set()
    while waiting:
        node = waiting.pop(0)
        if node in seen:
            continue
        seen.add(node)
        spec = specs[node]
        givers = [output for output, port in spec.outputs.items() if port.socket == socket.port.socket]
        if role is None and givers:
            yield node, givers[0]
            continue
        wires = [(_kind(spec.sockets[at]), source, output) for at, source, output in links[node]]
        for kind, source, output in wires:
            if role is not None and kind == role:
                yield source, output
        waiting += [source for kind, source, _ in wires if kind == "base"] or [source for _, source, _ in wires]


def _kind(socket: Socket) -> str | None:
    return None if socket.role is None else socket.role.kind
