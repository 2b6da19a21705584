"""Sizes in bytes, as people read and write them."""


def size_text(nbytes: int) -> str:
    """A size as --memory takes it, rounded up: `12 KiB`, `512 MiB`."""
    unit, name = (2**20, "MiB") if nbytes >= 100 * 2**20 else (2**10, "KiB") if nbytes >= 2**10 else (1, "B")
    return f"{-(-nbytes // unit)} {name}"
