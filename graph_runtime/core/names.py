"""What can be a name at all."""


def is_possible(path: str) -> bool:
    """False for what can be no path at all: empty, with a NUL, or with half a character."""
    try:
        return bool(path) and "\0" not in path and bool(path.encode())
    except UnicodeEncodeError:
        return False
