"""What a node says that it needs of a device's memory, beside the weights that it leases."""

from collections.abc import Callable, Mapping
from typing import NamedTuple


class Needed(NamedTuple):
    """Bytes that a node makes at once.

    Attributes:
        usual: with memory for all.
        least: with which it gives the same bytes, more slowly, when memory runs out; None: it needs what is usual.
    """

    usual: int
    least: int | None = None


#: Called with (inputs, settings, device), where an input is there if it is known before the run; None: it cannot say.
Needs = Callable[[Mapping[str, object], Mapping[str, object], str], Needed | None]
