"""When a result is worth keeping on disk, and how much the disk may hold.

One rule: a result is kept if making it again takes longer than writing it and reading it back, taken as
`FIXED + bytes / RATE` seconds. To make it again means the node itself and the longest way of nodes above it whose
results are not kept.
"""

FIXED = 0.02  # seconds: a transaction, a file, and its place in the index
RATE = 50_000_000  # bytes in a second: a slow disk, written once and read once
LIMIT = 4 * 2**30  # bytes on disk, unless INLAY_CACHE says otherwise


def is_worth(seconds: float, size: int) -> bool:
    """True if a result of `size` bytes is worth its place on disk: it takes `seconds` to make it again."""
    return seconds > FIXED + size / RATE


def why_not_worth(seconds: float, size: int) -> str:
    """Why a result is not worth its place on disk; empty if it is.

    Args:
        seconds: how long it takes to make it again.
        size: its bytes.
    """
    if is_worth(seconds, size):
        return ""
    return f"making it again takes {seconds:.3f} s, which is less than keeping its {_size(size)} costs"


def _size(size: int) -> str:
    return f"{size / 2**20:.1f} MiB" if size >= 2**20 else f"{size / 1024:.1f} KiB"
