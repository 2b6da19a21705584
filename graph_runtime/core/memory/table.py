"""Who holds what of a device's memory, for a person to read when it is full."""

from collections.abc import Mapping, Sequence

from ..errors import ModelError
from .decisions import columns
from .residents import Hold, Key, Resident
from .sizes import size_text


def who_holds_what(
    device: str,
    resident: Mapping[Key, Resident],
    holds: Sequence[Hold],
    aside: Sequence[tuple[str, int]],
    limit: int | None,
) -> list[str]:
    """Lines of a table: weights and kept room on a device, what waits in CPU memory, and the sum."""
    rows = [("holder", "size", "state")]
    total = 0
    for (base, where), entry in resident.items():
        if where == device:
            state = "in use" if entry.holders else "idle"
            rows.append((base.label, size_text(entry.nbytes), f"{state}, streamed" if entry.streamed else state))
            total += entry.nbytes
    for hold in holds:
        if hold.device == device:
            rows.append((hold.label, size_text(hold.missing(resident)), "kept for what it makes"))
            total += hold.missing(resident)
    rows.append((f"all on {device}", size_text(total), f"of {'any' if limit is None else size_text(limit)}"))
    rows += [(label, size_text(size), "in CPU memory, to come back") for label, size in aside]
    return columns(rows)


def too_large(sizes: Mapping[str, int], budget: int, setting: str) -> ModelError:
    """The error of what is in use together, with the smallest budget that holds it."""
    parts = " and ".join(f"{label} ({size_text(size)})" for label, size in sizes.items())
    least = size_text(sum(sizes.values()))
    return ModelError(
        None,
        found=f"{parts}, {'in use together, ' if len(sizes) > 1 else ''}with a budget of {size_text(budget)}",
        expected=f"a budget of at least {least}",
        fix=f"{setting}{least.replace(' ', '')}, or a smaller dtype",
    )
