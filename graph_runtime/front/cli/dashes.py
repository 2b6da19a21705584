"""Values that begin with dashes."""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

NEAR = 0.8  # a word with dashes that is this similar to a flag is a misspelt flag, not a value


def join_dashed_values(rest: Sequence[str], names: Iterable[str]) -> list[str]:
    """Write `--negative --no` as `--negative=--no`: a word with dashes is a value unless it is similar to a flag."""
    known = {f"--{form}" for name in names for form in (name, name.replace("_", "-"))}
    joined: list[str] = []
    for word in rest:
        flag = word.partition("=")[0]
        if (
            joined
            and joined[-1] in known
            and word.startswith("--")
            and flag not in known
            and not get_close_matches(flag, known, n=1, cutoff=NEAR)
        ):
            joined[-1] = f"{joined[-1]}={word}"
        else:
            joined.append(word)
    return joined
