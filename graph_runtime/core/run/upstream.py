"""Implicit links: an unconnected socket may take its value from upstream of another socket of its node.

`FromUpstream("image")`: the nearest outputs of the socket's own kind upstream of `image`. On the way back, a node with
a socket of `SocketRole("base")` is followed through that socket alone, any other node through all of its sockets.
`FromUpstream("image", "changed")`: what is connected to the sockets of that role on the way. The engine knows no
node by name.
"""

from collections import deque
from collections.abc import Iterator, Mapping

from ..bounded import limits
from ..definition.sockets import Socket
from ..errors import WorkflowError
from ..spec import NodeSpec
from ..workflow import Link

Links = Mapping[str, list[Link]]


def upstream_links(specs: Mapping[str, NodeSpec], links: Links, order: list[str]) -> dict[str, list[Link]]:
    """For each node of `order`, the links of its unconnected sockets: (socket, source node, source output).

    Raises:
        WorkflowError: so many nodes lie behind so many of these sockets that following them takes too long.
    """
    found: dict[str, list[Link]] = {}
    passed = 0
    for name in order:
        wired = {socket for socket, _, _ in links[name]}
        for socket in specs[name].sockets.values():
            if socket.upstream is not None and socket.name not in wired:
                sources: dict[tuple[str, str], None] = {}
                for source in _behind(name, socket, specs, links):
                    passed += 1
                    if source is not None:
                        sources[source] = None
                    if passed > limits.UPSTREAM:
                        raise _too_many(name)
                found.setdefault(name, []).extend(Link(socket.name, *source) for source in sources)
    return found


def _too_many(name: str) -> WorkflowError:
    return WorkflowError.of(
        "nodes",
        found=f"more than {limits.UPSTREAM:,} nodes behind sockets that take their value from upstream, at {name}",
        expected="fewer",
        fix="connect these sockets, or split the workflow",
    )


def _behind(name: str, socket: Socket, specs: Mapping[str, NodeSpec], links: Links) -> Iterator[tuple[str, str] | None]:
    """(node, output) of everything that `socket` of node `name` takes, nearest first; None for each node passed."""
    assert socket.upstream is not None
    role = socket.upstream.role
    waiting, seen = deque(source for at, source, _ in links[name] if at == socket.upstream.behind), set()
    while waiting:
        node = waiting.popleft()
        yield None
        if node in seen:
            continue
        seen.add(node)
        spec = specs[node]
        outputs = [output for output, port in spec.outputs.items() if port.socket == socket.port.socket]
        if role is None and outputs:
            yield node, outputs[0]
            continue
        wires = [(_kind(spec.sockets[at]), source, output) for at, source, output in links[node]]
        for kind, source, output in wires:
            if role is not None and kind == role:
                yield source, output
        waiting += [source for kind, source, _ in wires if kind == "base"] or [source for _, source, _ in wires]


def _kind(socket: Socket) -> str | None:
    return None if socket.role is None else socket.role.kind
