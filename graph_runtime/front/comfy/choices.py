"""Choices of a widget that also takes text from a wire."""

from collections.abc import Mapping

from .host.modules import host_module


class Choices(list[str]):
    """The names to choose from; a host that compares types finds them equal to STRING, so a text connects to them.

    The host asks `received_type != input_type` first, for types such as this one; then it looks for the names.
    """

    __slots__ = ()
    __hash__ = None  # as of any list

    def __ne__(self, other: object) -> bool:
        return False if other == "STRING" else super().__ne__(other)

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)


def compares_types_its_own_way() -> bool:
    """True in a host (0.3.64 is one) whose STRING is unequal to any list, so that types must be compared here."""
    known = getattr(host_module("nodes"), "NODE_CLASS_MAPPINGS", None)
    made = known.get("PrimitiveString") if isinstance(known, dict) else None
    types: tuple[object, ...] = getattr(made, "RETURN_TYPES", None) or ()
    return bool(types) and bool(types[0] != Choices())


def wrong_type(received: Mapping[str, object], wanted: Mapping[str, object]) -> str:
    """What is wrong with the types of wires, for such a host; empty if each fits.

    Args:
        received: by input, the type of the output that is connected to it.
        wanted: by input, its own type.
    """
    for name, kind in received.items():
        mine = wanted.get(name)
        given = {part.strip() for part in str(getattr(kind, "value", kind)).split(",")}
        if "*" in given or (isinstance(mine, Choices) and "STRING" in given) or mine == kind:
            continue
        if not (isinstance(mine, str) and given & {part.strip() for part in mine.split(",")}):
            return f"{name}: found {', '.join(sorted(given))}; expected {'STRING' if isinstance(mine, list) else mine}"
    return ""
