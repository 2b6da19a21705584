"""The sockets of a node, and which values they take."""

from dataclasses import dataclass

from ..port_types import Port, require_type
from .socket_roles import FromUpstream, SocketRole


@dataclass(frozen=True)
class Repeat:
    """A list parameter that a graph shows as numbered sockets: `Repeat("image", 2, 16)` is image_1 … image_16."""

    name: str
    required: int
    most: int

    def names(self) -> list[str]:
        """`image_1`, `image_2`, …"""
        return [f"{self.name}_{number}" for number in range(1, self.most + 1)]


@dataclass(frozen=True)
class Socket:
    """One input socket of a node; its values must be what `annotation` says (see `port_types.py`)."""

    name: str
    port: Port
    optional: bool = False
    doc: str = ""
    annotation: object = object  # a class, a shape, a union; object is not checked
    role: SocketRole | None = None
    upstream: FromUpstream | None = None

    def require(self, value: object) -> None:
        """Raise BadInput unless `value` is of this socket's type; None if the socket is optional."""
        if value is None and self.optional:
            return
        for item in value if self.upstream is not None and isinstance(value, list) else [value]:
            require_type(item, self.annotation, self.name, self.port)
