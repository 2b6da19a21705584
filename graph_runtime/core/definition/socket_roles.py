"""What a socket's value is: roles by which an unconnected one finds it (`run/upstream.py`); measurements."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class SocketRole:
    """What a socket's value is to the node's result.

    `base`: the result continues this picture (or what holds it). `changed`: where the result differs from it.
    `described`: a model that the node does not lease: it uses the description, or trains a copy of its own.
    """

    kind: Literal["base", "changed", "described"]


@dataclass(frozen=True)
class FromUpstream:
    """Marks an optional socket that takes its value, when unconnected, from the nodes upstream of another socket.

    Its parameter then gets a list.

    Attributes:
        behind: the socket whose upstream nodes are searched.
        role: take what is connected to the sockets of this role on the way; None: the nearest outputs of the socket's
            own kind.
    """

    behind: str
    role: Literal["changed"] | None = None


@dataclass(frozen=True)
class Better:
    """Marks an output that is a measurement, and says which of two numbers is the better one."""

    way: Literal["higher", "lower"]
