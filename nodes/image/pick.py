"""One picture of a batch."""

from typing import Annotated

from pydantic import Field

from ...graph_runtime import BadInput, node
from ..checks.before_run import Facts, Known, Params, rehearse
from ..ports import Image
from .results import OneImage


def _check(known: Known, params: Params) -> Facts:
    return rehearse(pick, known, params)


@node("image.pick", version=1, check=_check)
def pick(
    image: Image,
    number: Annotated[int, Field(ge=1, le=256)] = 1,
    of: Annotated[int, Field(ge=1, le=256)] | None = None,
) -> OneImage:
    """Take one picture out of a batch, or one variation of each picture.

    Args:
        image: the batch.
        number: which one, from 1.
        of: how many variations of each picture there are, one after the other; null: the batch is one picture's.

    Raises:
        BadInput: there are fewer, or the batch does not hold as many of each.
    """
    count = image.shape[0]
    each = of or count
    if number > each or count % each:
        raise BadInput(
            "of" if count % each else "number",
            found=f"{count} pictures with {each} of each" if count % each else f"{number} of {each}",
            expected="as many of each picture" if count % each else f"a number from 1 to {each}",
            fix="set of to the number of variations" if count % each else "use a smaller number",
        )
    return OneImage(image[number - 1 :: each])
