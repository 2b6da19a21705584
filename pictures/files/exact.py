"""Colours that lie between the steps of 16 bits: float32 in a chunk of a PNG, beside the nearest samples.

Pictures that come from Python as floats are handed on so. The samples show the same picture to every other program; a
chunk that says anything else is ignored.
"""

import numpy as np
from numpy.typing import NDArray

from ..arrays import Float32Array, strips
from ..containers.container import Container

ROUNDING = 1e-3  # of a step, in float arithmetic
CONTRADICTS = "its float colours do not belong to its samples: ignored"


def exact_colours(container: Container, samples: NDArray[np.uint16] | None, notes: list[str]) -> Float32Array | None:
    """`[h w]` or `[h w 3]` in [0, 1], as `samples`; None if the file has none that belong to them, which `notes` says.

    Args:
        container: the open file.
        samples: decoded, as they lie in the file.
        notes: collects messages for the user.
    """
    if container.exact is None:
        return None
    if samples is not None and container.exact.seek(0, 2) == 4 * samples.size:
        container.exact.seek(0)
        values = np.empty(samples.shape, np.float32)
        for rows in strips(*samples.shape[:2]):
            part = container.exact.read(4 * samples[rows].size)
            values[rows] = np.frombuffer(part, "<f4").reshape(samples[rows].shape)
            if not _belongs(values[rows], samples[rows]):
                break
        else:
            return values
    notes.append(CONTRADICTS)
    return None


def _belongs(values: Float32Array, samples: NDArray[np.uint16]) -> bool:
    steps = values.astype(np.float64) * 65_535
    near = np.abs(steps - samples) <= 0.5 + ROUNDING  # False for NaN
    return bool((near & (values >= 0) & (values <= 1)).all())


def in_eight_bits(values: Float32Array) -> bool:
    """True if all lie on the steps of 8 bits but for the rounding of earlier arithmetic, so that 8 bits hold them."""
    for rows in strips(*values.shape[:2]):
        steps = values[rows] * np.float32(255)
        if (np.abs(steps - np.rint(steps)) > 10 * ROUNDING).any():
            return False
    return True
