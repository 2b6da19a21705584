"""Array types for pictures that are not tensors, and their strips."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Float64Array = NDArray[np.float64]
FloatArray = NDArray[np.float32] | NDArray[np.float64]
Samples = NDArray[np.uint8] | NDArray[np.uint16]  # as stored in a file; the highest number is white, or opaque
STRIP = 2**17  # pixels that are converted at a time, in a processor's cache


def strips(height: int, width: int) -> Iterator[slice]:
    """The rows of a picture, so many at a time that work on them needs little memory, and few calls."""
    rows = max(1, STRIP // max(1, width))
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))
