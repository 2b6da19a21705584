"""Choices of a widget that also takes text from a wire."""


class Choices(list[str]):
    """The names to choose from; a host that compares types finds them equal to STRING, so a text connects to them.

    The host asks `received_type != input_type` first, for types such as this one; then it looks for the names.
    """

    __slots__ = ()
    __hash__ = None  # type: ignore[assignment] # as of any list

    def __ne__(self, other: object) -> bool:
        return False if other == "STRING" else super().__ne__(other)

    def __eq__(self, other: object) -> bool:
        return super().__eq__(other)
