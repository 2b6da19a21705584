"""What a socket may say of itself beside its kind, for wires that nobody drew (`implied.py`)."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Role:
    """Marks a socket by what it does to the node's result: `base` is the picture (or what holds it) that the result
    continues, `changed` says where it does not.
    """

    kind: Literal["base", "changed"]


@dataclass(frozen=True)
class Implied:
    """Marks an optional socket that, where nobody wires it, takes what lies behind another one; see `implied.py`.

    Its parameter then gets a list. `role` names sockets on the way whose wires are taken; None: the nearest outputs
    of the socket's own kind.
    """

    behind: str
    role: Literal["changed"] | None = None
